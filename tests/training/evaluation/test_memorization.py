"""Copies made from training clips are found, with the clip and the change named; held-out and other
music is not, and shares say so.
"""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from pipelines.audio.decode import Wave, resampled
from pipelines.audio.rubberband import changed
from pipelines.codecs import open_codec
from pipelines.storage.tar import TarWriter
from schemas.recipe import RubberBandEngine
from tests.support.melodies import RATE_HZ, melody
from tests.training.data.shards import sample_of
from training.errors import TrainingError
from training.evaluation.memorization.memorization import (
    FoundMemorized,
    SearchedCorpora,
    memorization,
)
from training.evaluation.memorization.memorized import PlayedClip

HZ = 16_000
SONGS = 8


def song(number: int) -> Wave:
    return resampled(melody(number, 6), RATE_HZ, HZ)


def write(path: Path, numbers: range, split: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as out:
        tar = TarWriter(out)
        for number in numbers:
            sample = sample_of(number, split=split)
            content = io.BytesIO()
            soundfile.write(content, song(number), HZ, format="FLAC")
            tar.add(f"{sample.key}.flac", content.getvalue())
            tar.add(f"{sample.key}.json", sample.model_dump_json().encode())
        tar.close()


def varied(wave: Wave, speed: float, semitones: int) -> Wave:
    return changed(wave, HZ, speed=speed, semitones=semitones, engine=RubberBandEngine.PEDALBOARD)


def through_codec(wave: Wave) -> Wave:
    codec = open_codec("mel")
    with torch.no_grad():
        return codec.decode(codec.encode(torch.from_numpy(wave)[None]))[0].numpy()[: len(wave)]


COPIES: dict[str, tuple[int, Callable[[Wave], Wave]]] = {
    "itself": (0, lambda wave: wave),
    "two semitones higher": (1, lambda wave: varied(wave, 1.0, 2)),
    "sped up": (2, lambda wave: varied(wave, 1.1, 0)),
    "through the codec": (3, through_codec),
    "quieter, a second later": (4, lambda wave: 0.1 * wave[HZ:]),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> FoundMemorized:
    folder = tmp_path_factory.mktemp("memorization")
    write(folder / "shards" / "train-00000.tar", range(SONGS), "train")
    write(folder / "shards" / "test-00000.tar", range(100, 102), "test")
    waves = {name: change(song(number)) for name, (number, change) in COPIES.items()}
    waves |= {f"new {number}": song(number) for number in (200, 201)}
    waves["silence"] = np.zeros(5 * HZ, np.float32)
    played = []
    for number, (name, wave) in enumerate(waves.items()):
        path = folder / f"{number}.flac"
        soundfile.write(path, wave, HZ)
        asked = sample_of(0).key if name == "itself" else ""
        played.append(PlayedClip(name, "A song.", str(path), asked))
    shards = str(folder / "shards")
    (folder / "out").mkdir()
    return memorization(played, SearchedCorpora((shards,), shards), folder / "out")


def test_copies_are_found_with_the_clip_and_the_change(found: FoundMemorized) -> None:
    by_name = {clip.name: clip for clip in found.report.clips}
    for name, (number, _) in COPIES.items():
        clip = by_name[name]
        assert clip.is_copy, name
        assert clip.nearest[0].key == sample_of(number).key, name
    assert by_name["two semitones higher"].nearest[0].semitones == 2
    assert by_name["sped up"].nearest[0].speed == pytest.approx(1.1, abs=0.02)
    assert by_name["quieter, a second later"].nearest[0].begins_s == pytest.approx(1.0, abs=0.06)


def test_other_music_is_no_copy(found: FoundMemorized) -> None:
    by_name = {clip.name: clip for clip in found.report.clips}
    for name in ("new 200", "new 201", "silence"):
        assert not by_name[name].is_copy, name
    assert len(by_name["new 200"].nearest) == 5
    assert by_name["silence"].nearest == ()


def test_shares_stand_beside_those_of_held_out_music(found: FoundMemorized) -> None:
    report = found.report
    assert (report.samples, report.unusable) == (SONGS, 0)
    assert report.held_out
    assert report.played
    assert report.by_training_prompts
    assert (report.held_out.copies.value, report.held_out.copies.clips) == (0.0, 2)
    assert (report.all_played.copies.value, report.all_played.copies.clips) == (0.625, 8)
    assert (report.played.copies.value, report.played.copies.clips) == (0.5714, 7)
    assert (report.by_training_prompts.copies.value, report.by_training_prompts.copies.clips) == (
        1.0,
        1,
    )
    assert report.all_played.nearer
    assert report.all_played.nearer.value >= 0.625


def test_the_nearest_sound_is_the_shards_own_file(found: FoundMemorized) -> None:
    played, nearest = found.sounds[0]
    assert np.array_equal(soundfile.read(nearest)[0], soundfile.read(played)[0])
    assert found.sounds[-1][1] == ""  # of silence


def test_without_train_samples_the_corpus_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "shards" / "test-00000.tar", range(1), "test")
    path, shards = tmp_path / "one.flac", str(tmp_path / "shards")
    soundfile.write(path, song(0), HZ)
    played = [PlayedClip("one", "", str(path))]
    with pytest.raises(TrainingError, match="no samples of split train"):
        memorization(played, SearchedCorpora((shards,), shards), tmp_path)
