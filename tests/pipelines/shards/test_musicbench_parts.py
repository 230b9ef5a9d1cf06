"""The parts of a published set: which sample stands in which, with which text, and in what
shares.
"""

import json
from collections import Counter
from pathlib import Path

import pytest

from pipelines.errors import PipelineError
from pipelines.shards.find import find_shards
from pipelines.shards.musicbench import musicbench_row
from pipelines.shards.musicbench_parts import (
    PARAPHRASED_SHARE,
    Exported,
    PartFile,
    export_parts,
    train_rows,
)
from schemas.caption import Caption, CaptionKind
from schemas.corpus import Change
from schemas.identity import keyed_rng
from schemas.sample import Sample
from tests.pipelines.shards.shard_samples import foreign, our_sample, write_shard

WORDS = ("quality", "low fidelity")
CONTROL = "A flute plays. It gets louder. The key is A minor. The meter is 3/4. It runs at 120 BPM."
PARAPHRASE = "A flute, louder and louder."
PROMPTS = ("prompt_aug", "prompt_ch", "prompt_bt", "prompt_bpm", "prompt_key")


def sample(
    number: int,
    variant: str = "orig",
    split: str = "train",
    source: str = "A flute plays.",
    without: str = "",
) -> Sample:
    """Sample `number`, whose captions are all there but the kind named by `without`."""
    clip = f"{number:016x}-0-2000"
    first, *others = our_sample().captions
    own = Caption(text=source, kind=CaptionKind.SOURCE, sentences=(source,), facts=())
    captions = tuple(
        caption for caption in (own if source else first, *others) if caption.kind.value != without
    )
    return our_sample(
        key=f"{clip}-{variant}",
        song_id=f"{number:016x}",
        clip_key=clip,
        split=split,
        change=Change(variant=variant),
        captions=captions,
    )


def shard(folder: Path, *samples: Sample) -> str:
    members = [
        member
        for one in samples
        for member in (
            (f"{one.key}.flac", b"no sound"),
            (f"{one.key}.json", one.model_dump_json().encode()),
        )
    ]
    return str(write_shard(folder / "all.tar", members))


def exported(tmp_path: Path, *samples: Sample) -> Exported:
    return export_parts(
        find_shards(shard(tmp_path, *samples)),
        str(tmp_path / "parts"),
        dataset="mine",
        seed=0,
        words=WORDS,
    )


def lines(tmp_path: Path, part: PartFile) -> list[dict[str, object]]:
    return [
        json.loads(line)
        for line in (tmp_path / "parts" / f"{part.value}.jsonl").read_text().splitlines()
    ]


def test_a_training_original_stands_in_each_part_with_its_text(tmp_path: Path) -> None:
    done = exported(tmp_path, sample(1))
    row = dict(musicbench_row(sample(1), f"{1:016x}-0-2000-orig.flac", "mine"))
    nothing = dict.fromkeys(PROMPTS, "")
    assert lines(tmp_path, PartFile.TRAIN_A) == [
        {**row, "main_caption": "A flute plays.", "alt_caption": "", **nothing}
    ]
    assert lines(tmp_path, PartFile.TRAIN_B) == [
        {**row, "main_caption": CONTROL, "alt_caption": "A flute plays."}
    ]
    assert lines(tmp_path, PartFile.TRAIN_C) == [
        {**row, "main_caption": PARAPHRASE, "alt_caption": CONTROL}
    ]
    # the sixteen fields in their order
    assert [list(line) for part in PartFile for line in lines(tmp_path, part)] == [list(row)] * 4
    assert done.rows == {
        PartFile.TRAIN_A: 1,
        PartFile.TRAIN_B: 1,
        PartFile.TRAIN_C: 1,
        PartFile.TRAIN: 1,
        PartFile.TRAIN_AUGMENTED: 0,
        PartFile.TEST_A: 0,
        PartFile.TEST_B: 0,
    }
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == sorted(
        f"{part.value}.jsonl" for part in PartFile
    )


def test_varied_copies_are_augmented_training_and_in_no_original_part(tmp_path: Path) -> None:
    done = exported(tmp_path, sample(1), sample(1, "pu1"), sample(1, "s1"))
    assert [line["location"] for line in lines(tmp_path, PartFile.TRAIN_AUGMENTED)] == [
        f"{1:016x}-0-2000-{name}.flac" for name in ("pu1", "s1")
    ]
    assert {
        (line["main_caption"], line["alt_caption"])
        for line in lines(tmp_path, PartFile.TRAIN_AUGMENTED)
    } == {(CONTROL, PARAPHRASE)}
    assert (done.rows[PartFile.TRAIN_A], done.rows[PartFile.TRAIN]) == (1, 3)


def test_a_row_without_its_text_is_skipped_and_counted(tmp_path: Path) -> None:
    done = exported(
        tmp_path,
        sample(1, without="source"),
        sample(2, without="control"),
        sample(3, without="paraphrase"),
        sample(4),
        sample(5, split="test", without="control"),
        sample(6, split="test", without="source"),
    )
    assert {
        part: (done.rows[part], done.skipped[part])
        for part in (PartFile.TRAIN_A, PartFile.TRAIN_B, PartFile.TRAIN_C)
    } == {
        PartFile.TRAIN_A: (3, {"no_source": 1}),
        PartFile.TRAIN_B: (4, {}),
        PartFile.TRAIN_C: (3, {"no_paraphrase": 1}),
    }
    # what has no paraphrase stands as it was composed
    assert (done.rows[PartFile.TRAIN], done.skipped[PartFile.TRAIN]) == (4, {})
    assert (
        done.skipped[PartFile.TEST_A]
        == done.skipped[PartFile.TEST_B]
        == {"no_control": 1, "no_source": 1}
    )
    # the source, where that is what was reworded
    assert lines(tmp_path, PartFile.TRAIN_C)[1]["alt_caption"] == "A flute plays."


def test_85_of_100_training_rows_are_paraphrased_by_a_draw_of_their_own() -> None:
    samples = [sample(number, variant) for number in range(1500) for variant in ("orig", "pu1")]
    paraphrased = 0
    for one in samples:
        [part_rows] = [
            part_rows
            for part_rows in train_rows(one, musicbench_row(one, "a.flac", "mine"), 3)
            if part_rows.part is PartFile.TRAIN
        ]
        prefers_paraphrase = keyed_rng(3, one.key, "text").random() < 0.85
        assert part_rows.row is not None
        assert (part_rows.row["main_caption"], part_rows.row["alt_caption"]) == (
            (PARAPHRASE, CONTROL) if prefers_paraphrase else (CONTROL, PARAPHRASE)
        )
        paraphrased += prefers_paraphrase
    # three standard deviations
    assert paraphrased / len(samples) == pytest.approx(PARAPHRASED_SHARE, abs=0.02)


def test_the_tests_are_the_same_clips_half_of_them_poor_recordings(tmp_path: Path) -> None:
    poor = [
        sample(number, split="test", source="A Low Quality tape of a flute.") for number in range(5)
    ]
    poor += [sample(number, split="test", source="A low fidelity flute.") for number in range(5, 8)]
    good = [sample(number, split="test", source="A flute of equality.") for number in range(8, 40)]
    done = exported(tmp_path, *good[:16], *poor, *good[16:])
    without, with_controls = lines(tmp_path, PartFile.TEST_A), lines(tmp_path, PartFile.TEST_B)
    assert [line["location"] for line in without] == [line["location"] for line in with_controls]
    assert Counter(line["main_caption"] for line in without) == {
        "A Low Quality tape of a flute.": 5, "A low fidelity flute.": 3, "A flute of equality.": 8,
    }  # fmt: skip
    assert {str(line[name]) for line in without for name in (*PROMPTS, "alt_caption")} == {""}
    assert {line["main_caption"] for line in with_controls} == {CONTROL}
    assert [line["alt_caption"] for line in with_controls] == [
        line["main_caption"] for line in without
    ]
    assert done.rows[PartFile.TEST_A] == done.rows[PartFile.TEST_B] == 16
    assert done.skipped[PartFile.TEST_A] == done.skipped[PartFile.TEST_B] == {"no_counterpart": 24}


def test_which_clips_are_tested_on_does_not_depend_on_their_order(tmp_path: Path) -> None:
    samples = [
        sample(n, split="test", source="Bad quality." if n % 5 == 0 else "A flute plays.")
        for n in range(30)
    ]
    exported(tmp_path / "one", *samples)
    exported(tmp_path / "two", *reversed(samples))
    one, two = (
        [line["location"] for line in lines(tmp_path / name, PartFile.TEST_A)]
        for name in ("one", "two")
    )
    assert one == two[::-1]
    assert len(one) == 12


def test_what_is_in_no_part_is_counted_and_what_is_not_ours_is_a_problem(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "b.tar", foreign("0"))
    shard(tmp_path, sample(1), sample(2, split="validation"), sample(3, "pu1", split="test"))
    done = export_parts(
        find_shards(str(tmp_path)), str(tmp_path / "parts"), dataset="mine", seed=0, words=WORDS
    )
    assert (done.samples, done.of_no_part) == (3, {"test_varied": 1, "validation": 1})
    assert [(problem.shard, problem.code) for problem in done.problems] == [(path.name, "foreign")]


def test_nothing_is_replaced_or_left_half_written(tmp_path: Path) -> None:
    with pytest.raises(
        PipelineError, match="nothing to export: no sample of Obbligato, in train or test"
    ):
        exported(tmp_path, sample(1, split="validation"))
    assert list((tmp_path / "parts").iterdir()) == []
    (tmp_path / "parts" / "TrainC.jsonl").write_text("mine")
    with pytest.raises(
        PipelineError, match=r"TrainC\.jsonl exists: name another folder, or --force to replace it"
    ):
        exported(tmp_path, sample(1))
    found = find_shards(shard(tmp_path, sample(1)))
    assert (
        export_parts(
            found, str(tmp_path / "parts"), dataset="mine", seed=0, words=(), force=True
        ).rows[PartFile.TRAIN_C]
        == 1
    )
