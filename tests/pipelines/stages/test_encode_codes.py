"""Codes in shards: the codec's own of the audio beside them, in all samples or in none; who wants
none has what was there before.
"""

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

from flows.build.local import build, encode, forget, verify_build
from pipelines.audio.decode import decoded
from pipelines.beam.options import Engine
from pipelines.build.outputs import Job
from pipelines.codecs import open_codec
from pipelines.codecs.token_codec import with_codes
from pipelines.errors import PipelineError
from pipelines.guarded.npy import read_codes
from pipelines.shards.check import Checked, check
from pipelines.shards.find import find_shards
from pipelines.stages.output import encode as encode_stage
from pipelines.trust.trusted import trust
from schemas.dataset import Dataset
from schemas.recipe import Recipe
from tests.pipelines.codecs.coded_waves import BOOKS, ENTRIES, HOP, coded_codec
from tests.support.building import digests
from tests.support.melodies import RATE_HZ, melody
from tests.support.tone_corpus import PLAIN
from training.data.records import SampleRecords

IGNORE = lambda _: None  # noqa: E731


class Coded:
    """Two melodies, one of them with a copy, and builds of them by a codec with codebooks."""

    def __init__(self, folder: Path) -> None:
        self.codec = coded_codec(folder / "codec")
        self.songs = folder / "songs"
        self.songs.mkdir()
        for number in range(3):
            soundfile.write(self.songs / f"{number}.flac", melody(number, 4.0), RATE_HZ)

    def recipe(self, *, codes: bool, codec: str = "wave") -> Recipe:
        source = str(self.codec) if codec == "wave" else ""
        return PLAIN.replaced(encode=PLAIN.encode.replaced(codec=codec, source=source, codes=codes))

    def build(self, out: Path, *, codes: bool) -> Dataset:
        return build([str(self.songs)], str(out), self.recipe(codes=codes), Engine(1), IGNORE)


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> Coded:
    return Coded(tmp_path_factory.mktemp("coded"))


@pytest.fixture(scope="module")
def out(coded: Coded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build with latents and codes; not to be changed."""
    made = tmp_path_factory.mktemp("build") / "out"
    coded.build(made, codes=True)
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


def test_codes_are_the_codec_s_own_of_the_audio_and_play_what_latents_play(
    coded: Coded, out: Path
) -> None:
    codec = with_codes(open_codec("wave", str(coded.codec)))
    samples = members(out)
    assert len(samples) > 3
    for sample in samples.values():
        stored = np.load(io.BytesIO(sample["codes.npy"]))
        wave = torch.from_numpy(decoded(sample["flac"]).wave)[None]
        assert (stored.dtype, stored.shape) == (np.uint16, (BOOKS, -(-wave.shape[1] // HOP)))
        own_BLT = codec.codes(wave)
        assert (own_BLT[0].numpy() == stored).mean() > 0.999  # another batch: all but ties
        assert len(np.unique(stored)) > 4
        assert np.array_equal(read_codes(sample["codes.npy"], ENTRIES), stored)
        codes_BLT = torch.from_numpy(stored.astype(np.int64))[None]
        by_latents = codec.decode(codec.encode(wave))
        same = (codes_BLT == own_BLT).all()
        assert not same or torch.allclose(codec.decode_codes(codes_BLT), by_latents, atol=1e-5)


def test_the_dataset_and_its_card_say_what_codes_are(out: Path) -> None:
    dataset = json.loads((out / "dataset.json").read_text())
    codes = dataset["codes"]
    assert codes.pop("version") == dataset["latents"]["version"]
    assert codes == {
        "codec": "wave",
        "licence": "own",
        "books": 3,
        "entries": 16,
        "frames_per_s": 40.0,
    }
    assert (
        "`<key>.codes.npy`: 3 codebooks × frames, 16 bits each, of 16 entries, 40 frames a second"
        in (out / "README.md").read_text()
    )
    found = [one for one in check(find_shards(str(out))) if not isinstance(one, Checked)]
    assert found == []


@pytest.mark.slow
def test_codes_come_and_go_and_leave_what_was_there_before(
    coded: Coded, out: Path, tmp_path: Path
) -> None:
    coded.build(tmp_path, codes=False)
    before = digests(tmp_path)
    assert not (tmp_path / "codes").exists()
    assert "codes" not in json.loads((tmp_path / "dataset.json").read_text())
    encode(str(tmp_path), coded.recipe(codes=True), Engine(), IGNORE)
    assert members(tmp_path) == members(out)
    assert verify_build(str(tmp_path), Engine(), IGNORE).codes is not None
    encode(str(tmp_path), coded.recipe(codes=False), Engine(), IGNORE)
    after = digests(tmp_path)
    # but for what says how often it was published
    kept = {name for name in before if not name.startswith("versions")}
    assert {name: after.get(name) for name in kept} == {name: before[name] for name in kept}
    assert not list((tmp_path / "codes").iterdir())


def test_a_song_that_is_forgotten_takes_its_codes_along(
    coded: Coded, out: Path, tmp_path: Path
) -> None:
    again, before = tmp_path / "out", members(out)
    shutil.copytree(out, again)
    plain = "tests.support.plug_ins.plain_annotator"
    trust(str(again), [f"annotate.{label}={plain}" for label in ("beats", "chords", "key")])
    song_id = min(before).partition("-")[0]
    forget(str(again), [song_id], "me", "asked for", Engine(), IGNORE)
    left = {key: sample for key, sample in before.items() if not key.startswith(song_id)}
    assert len(left) < len(before)
    assert members(again) == left
    for archive in (again / "codes").glob("*.tar"):
        with tarfile.open(archive) as tar:
            found = {name.partition(".")[0] for name in tar.getnames()}
        assert found <= left.keys()
    # what is left stands where the tables say, so that nothing is encoded again
    assert verify_build(str(again), Engine(), IGNORE).samples.written == len(left)


def test_torch_s_dataset_gives_codes_by_number(out: Path) -> None:
    records, samples = SampleRecords(str(out)), members(out)
    assert len(records) > 1
    for number in range(len(records)):
        expected = read_codes(samples[records[number].sample.key]["codes.npy"])
        assert np.array_equal(records.codes(number), expected)


def test_latents_of_before_stay_good(coded: Coded, tmp_path: Path) -> None:
    """What decides them has not changed by the knob that came later."""
    job = Job(str(tmp_path), "train-00000", coded.recipe(codes=False))
    seen = encode_stage.STAGE.extra_fingerprint
    assert "codes" not in seen(job)
    assert seen(job._replace(recipe=coded.recipe(codes=True)))["codes"]["books"] == BOOKS
    assert not any("codes" in knob for knob in encode_stage.STAGE.knobs)


def test_a_codec_without_codebooks_is_refused_before_anything_starts(
    coded: Coded, out: Path, tmp_path: Path
) -> None:
    again = tmp_path / "out"
    shutil.copytree(out, again)
    without = coded.recipe(codes=True, codec="mel")
    with pytest.raises(PipelineError, match="the codec mel has no codebooks"):
        encode(str(again), without, Engine(), IGNORE)
    assert digests(again) == digests(out)


def test_codes_that_are_none_of_a_codec_are_refused() -> None:
    def file(values: Any) -> bytes:
        np.save(content := io.BytesIO(), values)
        return content.getvalue()

    with pytest.raises(PipelineError, match="has the code 16, but codebooks of 16 entries"):
        read_codes(file(np.array([[16]], np.uint16)), ENTRIES)
    with pytest.raises(PipelineError, match="it holds '<f4', not whole numbers of 2 bytes"):
        read_codes(file(np.array([[1]], np.float32)), ENTRIES)
