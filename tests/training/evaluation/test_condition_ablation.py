"""Whether a model uses its conditions: of models that listen, that are deaf, and of samples that
cannot be used.
"""

import io
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import soundfile
import soxr
import torch

from pipelines.storage.tar import TarWriter
from schemas.caption import Caption, CaptionKind
from schemas.identity import Split
from schemas.labels import Beats, Chords, ChordSegment
from schemas.sample import Sample
from tests.pipelines.shards.shard_samples import flac
from tests.training.data.shards import sample_of
from tests.training.runs import corpus, recipe
from training.conditions import Condition
from training.diffusion.model import Conditions, LatentDiffusion
from training.errors import TrainingError
from training.evaluation.condition_ablation import ablate_conditions, ablation_of
from training.evaluation.condition_changes import ANOTHER
from training.generation.generate import Generator
from training.run.loop import train

HOW = {"confidence": 1.0, "tool": "truth", "version": "1", "licence": "CC0-1.0"}
RISE = {Condition.TEXT: 0.5, Condition.BEATS: 0.25, Condition.CHORDS: 0.125}


def silent(_: str) -> None:
    """A run whose lines nobody reads."""


def own_sample(number: int) -> Sample:
    """A sample that differs from every other one in its words, the count of its beats and its
    chord.
    """
    text = f"A flute plays{' on' * number}."
    times_s = tuple(0.25 * beat for beat in range(number + 1))
    chord = ChordSegment(start_s=0.0, end_s=2.0, label=("C:maj", "D:maj", "E:maj", "G:maj")[number])
    return sample_of(
        number,
        captions=(Caption(text=text, kind=CaptionKind.SOURCE, sentences=(text,), facts=()),),
        beats=Beats(times_s=times_s, numbers=tuple(range(1, number + 2)), **HOW),
        chords=Chords(segments=(chord,), **HOW),
    )


def tone(number: int) -> bytes:
    """Two seconds, an octave above the one before."""
    out = io.BytesIO()
    wave = 0.5 * np.sin(2 * np.pi * 220 * 2**number * np.arange(16_000) / 8_000)
    soundfile.write(out, wave, 8_000, format="FLAC")
    return out.getvalue()


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four songs that sound and are described otherwise than each other."""
    folder = tmp_path_factory.mktemp("songs")
    with (folder / "train-00000.tar").open("wb") as out:
        tar = TarWriter(out)
        for sample in map(own_sample, range(4)):
            tar.add(f"{sample.key}.flac", tone(int(sample.song_id, 16)))
            tar.add(f"{sample.key}.json", sample.model_dump_json().encode())
        tar.close()
    return folder


def trained(songs: Path, run: Path, *, blind: bool = False) -> Generator:
    """A player of six steps' learning."""
    chosen = recipe(songs)
    if blind:
        chosen = chosen.replaced(model=chosen.model.blind())
    train(chosen, str(run), silent)
    return Generator.of(str(run))


@pytest.fixture(scope="module")
def generator(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator:
    return trained(songs, tmp_path_factory.mktemp("run"))


class Listener(torch.nn.Module):
    """Knows four songs by their sound. The loss of each clip is 1, and more for every condition
    that is not that song's own.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        waves = [
            soundfile.read(io.BytesIO(tone(number)), dtype="float32")[0] for number in range(4)
        ]
        at_codec_rate = [
            soxr.resample(wave, 8_000, generator.codec.facts.rate_hz) for wave in waves
        ]
        self.known = generator.codec.encode(torch.from_numpy(np.stack(at_codec_rate)))
        texts = [own_sample(number).captions[0].text for number in range(4)]
        self.words = generator.encoder.encode(texts).mask_BL.sum(1)
        self.beats = torch.tensor([1, 2, 3, 4])
        self.roots = torch.tensor([0, 2, 4, 7])

    def forward(
        self,
        latents_BCTF: torch.Tensor,
        conditions: Conditions,
        _noise: torch.Tensor,
        _steps: torch.Tensor,
        _frames: torch.Tensor,
    ) -> torch.Tensor:
        apart = (latents_BCTF[:, None] - self.known[None]).abs().flatten(2).mean(2)
        song_B = apart.argmin(1)
        loss_B = torch.ones(len(song_B))
        loss_B += RISE[Condition.TEXT] * (conditions.text.mask_BL.sum(1) != self.words[song_B])
        loss_B += RISE[Condition.BEATS] * (conditions.beats.mask_BL.sum(1) != self.beats[song_B])
        loss_B += RISE[Condition.CHORDS] * (conditions.chords.roots_BL[:, 0] != self.roots[song_B])
        return loss_B


def test_a_model_that_listens_loses_by_each_condition_of_another_song(
    songs: Path, generator: Generator
) -> None:
    listening = generator._replace(model=cast(LatentDiffusion, Listener(generator)))
    found = {
        one.condition: one
        for one in ablate_conditions(listening, str(songs), split=Split.TRAIN, rounds=2)
        if one.how == ANOTHER
    }
    assert found.keys() == set(Condition)
    for condition, rise in (dict.fromkeys(Condition, 0.0) | RISE).items():
        one = found[condition]
        assert (one.songs, one.right, one.wrong) == (4, 1.0, 1.0 + rise)
        assert (one.low, one.difference, one.high, one.is_used) == (
            rise,
            rise,
            rise,
            condition in RISE,
        )


def test_a_net_s_loss_depends_on_all_that_it_is_told_and_a_blind_twin_s_on_the_text_alone(
    songs: Path, generator: Generator, tmp_path: Path
) -> None:
    twin = trained(songs, tmp_path / "blind", blind=True)
    sees, blind = (
        {
            one.condition: one
            for one in ablate_conditions(model, str(songs), split=Split.TRAIN, rounds=2)
            if one.how == ANOTHER
        }
        for model in (generator, twin)
    )
    assert all(abs(sees[condition].difference) > 1e-6 for condition in RISE)
    assert abs(blind[Condition.TEXT].difference) > 1e-6
    for control in (Condition.BEATS, Condition.CHORDS):
        one = blind[control]
        assert (one.difference, one.low, one.high, one.is_used) == (0, 0, 0, False)


def test_the_interval_is_students_over_songs() -> None:
    found = ablation_of(Condition.CHORDS, np.array([1.0, 1.0, 1.0]), np.array([2.0, 3.0, 4.0]))
    assert (found.right, found.wrong, found.difference, found.songs) == (1, 3, 2, 3)
    assert found.low == pytest.approx(
        2 - 4.30265 / np.sqrt(3), abs=1e-4
    )  # the table's 97.5 % of two degrees of freedom
    assert found.high == pytest.approx(2 + 4.30265 / np.sqrt(3), abs=1e-4)
    assert not found.is_used


def test_three_songs_are_the_least(generator: Generator, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="an interval needs 3 at least"):
        ablate_conditions(generator, str(corpus(tmp_path, songs=2)), split=Split.TRAIN)


def with_broken(path: Path, *, whole: int) -> Path:
    """A shard of validation: a sample without sound, one whose JSON is none, and whole ones, the
    first of the song of the soundless one.
    """
    with path.open("wb") as out:
        tar = TarWriter(out)
        tar.add("0-0-2000-orig.json", sample_of(0, split="validation").model_dump_json().encode())
        tar.add("1-0-2000-orig.json", b"{}")
        for number in range(whole):
            sample = sample_of(number, split="validation")
            tar.add(f"{sample.key}.flac", flac(2.0))
            tar.add(f"{sample.key}.json", sample.model_dump_json().encode())
        tar.close()
    return path


def test_a_sample_that_cannot_be_used_is_left_out_and_counted(
    generator: Generator, tmp_path: Path
) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    with_broken(folder / "validation-00000.tar", whole=3)
    found = ablate_conditions(generator, str(folder), split=Split.VALIDATION, rounds=1)
    assert {(one.songs, one.unusable) for one in found} == {(3, 2)}
    whole = tmp_path / "whole"
    whole.mkdir()
    with_broken(whole / "validation-00000.tar", whole=2)
    with pytest.raises(
        TrainingError,
        match=(
            r"2 songs.*cannot be used: 2, "
            r"the first .*validation-00000.tar at byte 0: has no .flac"
        ),
    ):
        ablate_conditions(generator, str(whole), rounds=1)
