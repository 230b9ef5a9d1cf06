"""Clips are drawn by their names, with all their samples and outlines."""

from pathlib import Path

from pipelines.shards.chosen import ChosenSample, choose, read_chosen
from pipelines.shards.find import ShardProblem, find_shards
from schemas.sample import Sample
from tests.pipelines.shards.shard_samples import foreign, our_sample, write_build, write_shard


def clip(number: int) -> str:
    return f"{number:016x}-0-2000"


def sample_of(number: int, variant: str = "orig") -> Sample:
    name = clip(number)
    return our_sample(variant, key=f"{name}-{variant}", clip_key=name, song_id=f"{number:016x}")


def test_clips_are_drawn_with_all_their_samples_and_the_same_ones_each_time(
    tmp_path: Path,
) -> None:
    samples = [sample_of(number, variant) for number in range(8) for variant in ("orig", "v1")]
    found = find_shards(str(write_build(tmp_path / "build", *samples)))
    chosen = choose(found, 3)
    assert (len(chosen.clips), chosen.of) == (3, 8)
    assert choose(found, 3) == chosen
    assert choose(found, 0).clips == {clip(number) for number in range(8)}
    read = [entry for entry in read_chosen(found, chosen) if isinstance(entry, ChosenSample)]
    assert {entry.clip for entry in read} == chosen.clips
    assert sorted(entry.key[-4:] for entry in read) == ["0-v1"] * 3 + ["orig"] * 3


def test_a_larger_draw_holds_the_smaller_one(tmp_path: Path) -> None:
    found = find_shards(
        str(write_build(tmp_path / "build", *(sample_of(number) for number in range(9))))
    )
    assert choose(found, 2).clips < choose(found, 5).clips < choose(found, 0).clips


def test_a_sample_comes_with_its_audio_and_outline(tmp_path: Path) -> None:
    found = find_shards(str(write_build(tmp_path / "build", our_sample())))
    [entry] = read_chosen(found, choose(found, 0))
    assert isinstance(entry, ChosenSample)
    assert (entry.extension, entry.audio[:4]) == ("flac", b"fLaC")
    assert entry.outline is not None
    assert entry.outline.duration_s == 2
    assert set(entry.outline.peaks) <= {127, 128}  # a sine of half the full scale
    assert set(entry.outline.levels) <= set(range(87, 94))  # and its level, 3 dB below


def test_audio_that_cannot_be_decoded_is_a_problem_beside_its_sample(tmp_path: Path) -> None:
    broken = [("b.flac", b"no sound"), ("b.json", b'{"caption": "A flute."}')]
    found = find_shards(str(write_shard(tmp_path / "x.tar", [*foreign("a"), *broken])))
    entries = list(read_chosen(found, choose(found, 0)))
    keys = [(type(entry), entry.key) for entry in entries]
    assert keys == [(ChosenSample, "a"), (ChosenSample, "b"), (ShardProblem, "b")]
    assert isinstance(entries[1], ChosenSample)
    assert (entries[1].outline, entries[1].facts["caption"]) == (None, "A flute.")
    assert isinstance(entries[2], ShardProblem)
    assert "cannot be drawn" in entries[2].message


def test_a_shard_that_holds_none_of_the_clips_is_not_read(tmp_path: Path) -> None:
    for at in range(6):
        write_shard(tmp_path / f"{at}.tar", [*foreign(f"a{at}"), ("b.json", b"{")])
    found = find_shards(str(tmp_path))
    chosen = choose(found, 1)
    assert (len(chosen.shards), chosen.of) == (1, 7)
    shards = {entry.shard for entry in read_chosen(found, chosen)}
    assert shards == chosen.shards
