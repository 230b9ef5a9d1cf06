"""Latents: those of the FLAC beside them, the same bytes however often and by whomever; what cannot
be encoded is dead.
"""

import csv
import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from flows.build.local import build, encode, retry, verify_build
from flows.errors import UsageError
from pipelines.audio.decode import decoded, resampled
from pipelines.beam.options import Engine
from pipelines.build.markers import marker_name
from pipelines.codecs.mel import MelCodec
from pipelines.errors import PipelineError
from pipelines.reports.ledger import ledger_rows
from pipelines.storage.store import Store
from schemas.corpus import Augmented, Outcome
from schemas.dataset import Dataset
from schemas.recipe import Recipe
from tests.pipelines.codecs.level import LevelCodec
from tests.support.building import digests, finish, kill_after_markers, started
from tests.support.melodies import RATE_HZ, melody
from tests.support.tone_corpus import PLAIN

LEVEL = "tests.pipelines.codecs.level"
SONGS_S = {0: 9.0, 1: 9.0, 2: 5.0, 3: 9.0}  # clips of 8 s, but one of 5
IGNORE = lambda _: None  # noqa: E731


def recipe(codec: str = "mel", *, keep_variants: bool = True, **knobs: Any) -> Recipe:
    encoding = PLAIN.encode.replaced(codec=codec, **knobs)
    return PLAIN.replaced(encode=encoding, pack=PLAIN.pack.replaced(keep_variants=keep_variants))


class Songs:
    """Four melodies, three of them in train with a copy each, and builds of them."""

    def __init__(self, folder: Path) -> None:
        self.table = folder / "songs.csv"
        with self.table.open("w", newline="") as out:
            rows = csv.DictWriter(out, fieldnames=["uri", "split"])
            rows.writeheader()
            for number, seconds in SONGS_S.items():
                rows.writerow(
                    {"uri": f"{number}.flac", "split": "test" if number == 3 else "train"}
                )
                soundfile.write(folder / f"{number}.flac", melody(number, seconds), RATE_HZ)

    def build(self, out: Path, chosen: Recipe, workers: int = 1) -> Dataset:
        return build([str(self.table)], str(out), chosen, Engine(workers), IGNORE)


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Songs:
    return Songs(tmp_path_factory.mktemp("songs"))


@pytest.fixture(scope="module")
def out(songs: Songs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build with the latents of mel; not to be changed."""
    made = tmp_path_factory.mktemp("encoded") / "out"
    songs.build(made, recipe())
    return made


def members(out: Path) -> dict[str, dict[str, bytes]]:
    """Members of every sample in the shards, by key and extension."""
    found: dict[str, dict[str, bytes]] = {}
    for shard in sorted((out / "shards").glob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                found.setdefault(key, {})[extension] = tar.extractfile(member).read()  # type: ignore[union-attr]
    return found


def latents(sample: dict[str, bytes]) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = np.load(io.BytesIO(sample["latent.npy"]))
    return found


def test_every_sample_has_the_latents_of_its_own_flac(out: Path) -> None:
    samples = members(out)
    assert len(samples) == 7
    for sample in samples.values():
        wave = torch.from_numpy(decoded(sample["flac"]).wave)[None]
        expected = MelCodec().encode(wave)[0].numpy()
        found = latents(sample)
        assert (found.dtype, found.shape) == (np.float16, (64, -(-wave.shape[1] // 2000), 8))
        assert np.allclose(found, expected, atol=2e-3)


def test_waves_come_at_the_codec_s_rate(songs: Songs, tmp_path: Path) -> None:
    songs.build(tmp_path, recipe(LEVEL))
    for sample in members(tmp_path).values():
        heard = decoded(sample["flac"])
        wave = torch.from_numpy(resampled(heard.wave, heard.rate_hz, 8000))[None]
        assert np.allclose(latents(sample), LevelCodec(0).encode(wave)[0].numpy(), atol=1e-3)
        assert latents(sample).max() > 0.05


def test_a_range_read_of_each_sample_gives_exactly_its_members(out: Path) -> None:
    samples, seen = members(out), 0
    for path in (out / "shards").glob("*.tar"):
        index, content = json.loads(path.with_suffix(".json").read_text()), path.read_bytes()
        assert index["offsets"][0] == 0
        assert len(index["offsets"]) == index["count"] + 1
        assert content[index["offsets"][-1] :] == bytes(1024)
        for key, start, end in zip(
            index["keys"], index["offsets"], index["offsets"][1:], strict=False
        ):
            with tarfile.open(fileobj=io.BytesIO(content[start:end])) as tar:
                found = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
            assert found == {
                f"{key}.{extension}": member for extension, member in samples[key].items()
            }
            seen += 1
    assert seen == len(samples)


def test_the_dataset_and_its_card_name_the_codec(out: Path) -> None:
    dataset = json.loads((out / "dataset.json").read_text())
    assert dataset["latents"] == MelCodec().facts.model_dump()
    assert (dataset["tools"]["mel"], dataset["licences"]["tools"]["mel"]) == ("1", "CC0-1.0")
    assert dataset["stages"]["encode"] == {"clips": 4, "dead": 0, "encoded": 7}
    assert (
        "by the codec mel 1 (CC0-1.0) of the audio in mono at 16000 Hz"
        in (out / "README.md").read_text()
    )


@pytest.mark.slow
def test_two_workers_and_a_build_that_was_killed_give_the_same_bytes(
    songs: Songs, out: Path, tmp_path: Path
) -> None:
    songs.build(tmp_path / "two", recipe(), workers=2)
    assert digests(tmp_path / "two") == digests(out)
    killed = tmp_path / "killed"
    assert kill_after_markers(
        started([str(songs.table)], killed, recipe()),
        killed,
        len(list(out.rglob("*.done.json"))) // 2,
    )
    finish(started([str(songs.table)], killed, recipe(), "--workers", "2"))
    assert digests(killed) == digests(out)


def test_what_a_kill_left_of_latents_is_swept_and_made_again(
    songs: Songs, out: Path, tmp_path: Path
) -> None:
    again = tmp_path / "out"
    shutil.copytree(out, again)
    marker = next((again / "latents").glob("train*.done.json"))
    bucket = marker.name.removesuffix(".done.json")
    marker.unlink()
    (again / f"latents/{bucket}.parquet").unlink()
    (again / f"latents/.part-{bucket}.tar-0").write_bytes(b"half")
    songs.build(again, recipe())
    assert digests(again) == digests(out)


def test_a_second_build_encodes_nothing_and_other_knobs_only_what_they_decide(
    songs: Songs, out: Path, tmp_path: Path
) -> None:
    again = tmp_path / "out"
    shutil.copytree(out, again)

    def changed(chosen: Recipe) -> set[str]:
        before = {path: path.stat().st_mtime_ns for path in again.rglob("*.done.json")}
        songs.build(again, chosen)
        return {path.parent.name for path, at in before.items() if path.stat().st_mtime_ns != at}

    assert changed(recipe()) == set()
    assert changed(recipe(readers=3)) == set()
    assert changed(recipe(batch=1)) >= {"latents"}
    assert changed(recipe(LEVEL)) == {"latents", "shards", "verified"}
    assert changed(recipe("")) == {"shards", "verified"}
    assert {extension for sample in members(again).values() for extension in sample} == {
        "flac",
        "json",
    }


def test_a_sample_that_cannot_be_encoded_is_dead_and_in_no_shard(
    songs: Songs, tmp_path: Path
) -> None:
    dataset = songs.build(tmp_path, recipe(LEVEL, keep_variants=False, source="6.0"))
    assert dataset.samples.model_dump() == {"planned": 7, "written": 5, "rejected": 0, "dead": 2}
    dead = ledger_rows(Store(str(tmp_path)), [Outcome.DEAD])
    assert {(row.stage, row.code, Path(row.uri).name) for row in dead} == {
        ("encode", "not_finite", "2.flac")
    }
    assert not {row.key for row in dead} & members(tmp_path).keys()
    assert all("latent.npy" in sample for sample in members(tmp_path).values())
    # the only place that has the audio of the dead
    assert list((tmp_path / "variants").glob("train*.tar"))
    retry(str(tmp_path), [], Engine(), IGNORE)
    mended = songs.build(tmp_path, recipe(LEVEL, keep_variants=False))
    assert mended.samples.model_dump() == {"planned": 7, "written": 7, "rejected": 0, "dead": 0}
    assert not list((tmp_path / "variants").glob("*.tar"))


def test_a_flac_that_cannot_be_read_costs_itself_alone(
    songs: Songs, out: Path, tmp_path: Path
) -> None:
    again = tmp_path / "out"
    shutil.copytree(out, again)
    store = Store(str(again))
    [bucket] = [path.stem for path in (again / "shards").glob("test*.tar")]
    [row] = store.read_records(f"variants/{bucket}.parquet", Augmented)
    with (again / f"variants/{bucket}.tar").open("r+b") as tar:
        tar.seek(row.offset)
        tar.write(b"none")
    marker = store.read_sealed(marker_name("variants", bucket))  # vary itself wrote it so
    marker["files"][f"variants/{bucket}.tar"]["sha256"] = store.sha256(f"variants/{bucket}.tar")
    store.write_sealed(marker_name("variants", bucket), marker)
    (again / f"latents/{bucket}.done.json").unlink()
    assert songs.build(again, recipe()).samples.model_dump() == {
        "planned": 7,
        "written": 6,
        "rejected": 0,
        "dead": 1,
    }
    [dead] = ledger_rows(store, [Outcome.DEAD])
    assert (dead.key, dead.stage, dead.code) == (row.sample_key, "encode", "undecodable")


@pytest.mark.slow
@pytest.mark.parametrize("keep_variants", [True, False])
def test_a_build_is_encoded_afterwards_around_the_same_audio(
    songs: Songs, out: Path, tmp_path: Path, *, keep_variants: bool
) -> None:
    songs.build(tmp_path, recipe("", keep_variants=keep_variants))
    assert bool(list((tmp_path / "variants").glob("*.tar"))) is keep_variants
    encode(str(tmp_path), recipe(keep_variants=keep_variants), Engine(), IGNORE)
    assert members(tmp_path) == members(out)
    assert bool(list((tmp_path / "variants").glob("*.tar"))) is keep_variants
    assert verify_build(str(tmp_path), Engine(), IGNORE).samples.written == 7


@pytest.mark.slow
def test_a_damaged_shard_that_alone_has_the_audio_is_not_encoded(
    songs: Songs, tmp_path: Path
) -> None:
    songs.build(tmp_path, recipe("", keep_variants=False))
    shard = next((tmp_path / "shards").glob("train*.tar"))
    content = shard.read_bytes()
    shard.write_bytes(content[:700] + bytes([content[700] ^ 1]) + content[701:])
    with pytest.raises(
        PipelineError, match="its variants were dropped and its shard is damaged or gone"
    ):
        encode(str(tmp_path), recipe(keep_variants=False), Engine(), IGNORE)
    # made anew from the sources
    encode(str(tmp_path), recipe(keep_variants=False), Engine(), IGNORE)
    assert all("latent.npy" in sample for sample in members(tmp_path).values())


def test_what_is_not_there_is_refused_before_anything_starts(
    songs: Songs, out: Path, tmp_path: Path
) -> None:
    with pytest.raises(PipelineError, match="no codec called 'flute'"):
        songs.build(tmp_path / "out", recipe("flute"))
    with pytest.raises(PipelineError, match="the mel codec has no weights"):
        songs.build(tmp_path / "out", recipe(source="somewhere"))
    assert not (tmp_path / "out/recipe.toml").exists()
    with pytest.raises(UsageError, match="no codec to encode with: name one with --codec"):
        encode(str(out), recipe(""), Engine(), IGNORE)
    with pytest.raises(UsageError, match="holds no build"):
        encode(str(tmp_path), recipe(), Engine(), IGNORE)
