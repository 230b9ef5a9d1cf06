"""Mixes of a build: host and guest of one bucket, labels of the host, both sources named; nothing
vanishes, and what is forgotten sounds nowhere.
"""

import shutil
from pathlib import Path
from typing import Final

import numpy as np
import pytest
import soundfile

from flows.build.local import build, forget
from pipelines.audio import rubberband
from pipelines.beam.options import Engine
from pipelines.build.corrections import add_correction
from pipelines.build.outputs import Job
from pipelines.build.tables import CLIPS, MIXES, REFUSED_MIXES
from pipelines.reports.ledger import ledger_rows
from pipelines.stages.output.close import stated_dataset
from pipelines.stages.output.verify import read_back
from pipelines.storage.store import Store
from pipelines.synthesis.songs import write_songs
from schemas.corpus import Outcome
from schemas.dataset import Dataset
from schemas.labels import Correction, Meter, Origin
from schemas.recipe import (
    CaptionRecipe,
    CorpusRecipe,
    IngestRecipe,
    MixRecipe,
    PackRecipe,
    Recipe,
    RubberBandEngine,
    VaryRecipe,
    VerifyRecipe,
)
from schemas.sample import Sample

RATE_HZ: Final = 44_100
CHANGED: Final = {  # copies of one piece, of which each can be the guest of any other
    "a": (1.0, 0, "train"),
    "b": (1.04, 1, "train"),
    "c": (0.95, -1, "validation"),
    "d": (1.08, 2, "validation"),
}
LOW: Final = {f"min_{name}_confidence": 0.0 for name in ("beats", "downbeats", "meter", "key")}
RECIPE: Final = Recipe(
    corpus=CorpusRecipe(name="mixes"),
    ingest=IngestRecipe(clip_s=9.0, clips="first"),
    vary=VaryRecipe(semitones=(), speeds=0, volumes=0, all_splits=True),
    mix=MixRecipe(mixes=2, **LOW),
    caption=CaptionRecipe(metadata_columns={"instruments": "instruments", "genre": "genres"}),
    verify=VerifyRecipe(relabel_clips=2),
)


def write_music(folder: Path) -> str:
    """Four copies of a piece under different licences, and noise, which fits nothing."""
    write_songs(folder / "pieces", songs=1)
    piece = next((folder / "pieces").glob("*.flac"))
    wave, rate_hz = soundfile.read(piece, dtype="float32", frames=14 * RATE_HZ)
    rows = ["uri,licence,caption,split,instruments"]
    for name, (speed, semitones, split) in CHANGED.items():
        changed = rubberband.changed(
            wave, rate_hz, speed=speed, semitones=semitones, engine=RubberBandEngine.PEDALBOARD
        )
        soundfile.write(folder / f"{name}.flac", changed, rate_hz)
        rows.append(f"{name}.flac,CC-{name.upper()},Player {name} plays.,{split},lute {name}")
    noise = 0.1 * np.random.default_rng(0).standard_normal(10 * RATE_HZ)
    soundfile.write(folder / "noise.flac", noise, RATE_HZ)
    rows.append("noise.flac,CC0,A hiss.,train,")
    (folder / "music.csv").write_text("\n".join(rows) + "\n")
    return str(folder / "music.csv")


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_music(tmp_path_factory.mktemp("music"))


def made(music: str, out: Path, recipe: Recipe = RECIPE, workers: int = 1) -> Dataset:
    return build([music], str(out), recipe, Engine(workers=workers), lambda _: None)


@pytest.fixture(scope="module")
def mixes(music: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("mixes") / "out"
    made(music, out)
    return out


def samples(out: Path) -> dict[str, Sample]:
    shards = sorted((out / "shards").glob("*.tar"))
    found = [read.sample for shard in shards for read in read_back(str(shard))]
    return {sample.key: sample for sample in found}


def name_of(sample: Sample) -> str:
    return Path(sample.source.uri).stem


def steady(out: Path) -> dict[str, bytes]:
    """Every file whose bytes are promised."""
    return {
        str(file.relative_to(out)): file.read_bytes()
        for file in out.rglob("*")
        if file.is_file() and file.relative_to(out).parts[0] not in ("runs", "run.lock", "versions")
    }


def test_a_mix_is_of_two_clips_of_one_split_and_names_both_sources(mixes: Path) -> None:
    found = samples(mixes)
    mixed = {name_of(one): one for one in found.values() if one.guest}
    assert {name: Path(one.sources[1].uri).stem for name, one in mixed.items()} == {
        "a": "b", "b": "a", "c": "d", "d": "c",
    }  # fmt: skip
    for name, one in mixed.items():
        assert one.guest
        host = found[one.key.replace("-m1", "-orig")]
        assert one.guest.clip_key.split("-")[0] != one.song_id
        assert one.beats.times_s == host.beats.times_s
        guest = found[f"{one.guest.clip_key}-orig"]
        # copies of one piece may be heard in the one or the other of two relative keys
        is_one_mode = guest.key_label.mode is host.key_label.mode
        assert one.key_label.key == (host.key_label.key if is_one_mode else None)
        assert one.beats.origin is Origin.MOVED
        assert one.chords.segments == ()
        speed, semitones, _ = CHANGED[name]
        guest_speed, guest_semitones, _ = CHANGED[Path(one.guest.source.uri).stem]
        assert one.guest.speed == pytest.approx(speed / guest_speed, abs=0.01)
        assert one.guest.semitones == semitones - guest_semitones
    one = mixed["a"]
    assert [source.licence for source in one.sources] == ["CC-A", "CC-B"]
    assert one.captions[0].text == (
        "Two pieces of music sound together. One of them: Player a plays. "
        "The other: Player b plays."
    )


def test_what_found_no_guest_is_counted_and_says_why(mixes: Path) -> None:
    dataset = stated_dataset(Store(str(mixes)))
    samples_ = dataset.samples
    # five clips: an original and two mixes each; of every other clip one fits, of noise none
    assert (samples_.planned, samples_.written, samples_.rejected, samples_.dead) == (15, 9, 6, 0)
    rows = ledger_rows(Store(str(mixes)), [Outcome.REJECTED])
    assert {row.stage for row in rows} == {"mix"}
    assert sorted(row.code for row in rows) == ["no_guest"] * 4 + ["unsure_labels"] * 2
    assert dataset.agreement["mix"].samples >= 1
    assert dataset.stages["mix"] == {"samples": 4, "rejected": 6, "dead": 0}


@pytest.mark.slow
def test_two_workers_and_a_killed_build_give_the_same_bytes(
    music: str, mixes: Path, tmp_path: Path
) -> None:
    made(music, tmp_path / "out", workers=2)
    assert steady(tmp_path / "out") == steady(mixes)
    for file in (tmp_path / "out" / "mixes").glob("train-*"):
        file.unlink()
    made(music, tmp_path / "out")
    assert steady(tmp_path / "out") == steady(mixes)


def test_a_forgotten_song_sounds_in_no_mix_and_its_hosts_look_again(
    music: str, mixes: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(mixes, out)
    before = samples(out)
    gone = next(one.song_id for one in before.values() if name_of(one) == "b")
    taken = forget(str(out), [gone], "ann", "", Engine(), lambda _: None)
    assert (taken.songs, taken.left) == (1, ())
    after = samples(out)
    assert {name_of(one) for one in after.values() if one.guest} == {"c", "d"}
    assert after == {
        key: one
        for key, one in before.items()
        if gone not in key and not (one.guest and one.guest.clip_key.startswith(gone))
    }
    dataset = made(music, out)
    # of three clips in train, of which one is forgotten, none has a guest any more
    assert (dataset.samples.written, dataset.samples.rejected) == (6, 6)
    assert samples(out) == after


def test_a_correction_makes_the_mixes_of_its_clip_anew_and_no_other(
    music: str, mixes: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(mixes, out)
    job = Job(str(out), "train-00000", RECIPE)
    before = {row.sample_key: row for row in MIXES.read(job)}
    guest = next(clip for clip in CLIPS.read(job) if clip.source.uri.endswith("b.flac"))
    untouched = (out / "mixes" / "validation-00000.tar").stat().st_mtime_ns
    meter = Meter(
        beats_per_bar=5, confidence=1, tool="t", version="1", licence="", origin=Origin.CORRECTED
    )
    add_correction(
        Store(str(out)), Correction(clip_key=guest.clip_key, who="a", when="", meter=meter)
    )
    made(music, out)
    assert [*MIXES.read(job)] == []
    assert len(before) == 2
    refused = {row.sample_key: row for row in REFUSED_MIXES.read(job)}
    assert {refused[key].rule for key in before} == {"no_guest"}
    assert {refused[key].figure for key in before} == {
        "0 of 1 other sure clips fit; in the way: 1 meter"
    }
    assert (out / "mixes" / "validation-00000.tar").stat().st_mtime_ns == untouched


def sounds(out: Path) -> dict[str, bytes]:
    """The audio of every sample."""
    shards = sorted((out / "shards").glob("*.tar"))
    return {read.sample.key: read.flac for shard in shards for read in read_back(str(shard))}


def test_mixes_that_are_dropped_once_packed_are_read_from_the_shard(
    music: str, mixes: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(mixes, out)
    dropping = RECIPE.replaced(pack=PackRecipe(keep_variants=False))
    made(music, out, dropping)
    assert not list((out / "mixes").glob("*.tar"))
    captions = {key: one.captions for key, one in samples(out).items()}
    made(music, out, dropping.replaced(caption=CaptionRecipe(metadata_prompts=0)))
    assert {key: one.captions for key, one in samples(out).items()} != captions
    assert sounds(out) == sounds(mixes)
