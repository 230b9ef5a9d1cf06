"""What plays beside a model: a vocoder in place of Griffin-Lim, an upsampler behind it."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from flows.models.playing import PieceJob, play_jobs
from flows.models.sampling import sampling_request
from pipelines.codecs.mel import SPECTROGRAM, MelCodec
from pipelines.codecs.vocoder import FOLDER as VOCODER
from pipelines.codecs.vocoder_net import VocoderNet
from pipelines.codecs.vocoder_shape import VocoderConfig, VocoderShape
from pipelines.errors import PipelineError
from pipelines.pretrained.own_weights import write_weights
from tests.training.runs import corpus, recipe
from training.errors import TrainingError
from training.generation.generate import Generator
from training.generation.refiners import Refiners
from training.generation.write import GeneratedPiece
from training.run.loop import train
from training.timed_controls.options import ControlOptions
from training.upsampler.net import UpsamplerNet
from training.upsampler.play import FOLDER as UPSAMPLER
from training.upsampler.recipe import UpsamplerRecipe
from training.upsampler.shape import UpsamplerPlay, UpsamplerShape


def silent(_: str) -> None:
    """A training whose lines nobody reads."""


@pytest.fixture(scope="module")
def refiners(tmp_path_factory: pytest.TempPathFactory) -> Refiners:
    """Two that have learned nothing."""
    folder = tmp_path_factory.mktemp("refiners")
    net = VocoderShape(width=8, depth=1, updates=2, rounds=0)
    config = VocoderConfig(spectrogram=SPECTROGRAM, net=net)
    write_weights(VocoderNet(net), config, folder / VOCODER)
    torch.manual_seed(0)
    shape = UpsamplerShape(strides=(4, 4), widths=(8, 8), units=1, conditioning_width=8)
    made = UpsamplerRecipe(net=shape, played=UpsamplerPlay(steps=1))
    write_weights(UpsamplerNet(shape), made.config, folder / UPSAMPLER)
    return Refiners(str(folder), str(folder))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shards, folder = corpus(tmp_path_factory.mktemp("shards")), tmp_path_factory.mktemp("run")
    train(recipe(shards, sampling__steps=2, run__steps=1), str(folder), silent)
    return folder


def play(generator: Generator, folder: Path) -> tuple[bytes, GeneratedPiece]:
    request = sampling_request(generator, "A flute", ControlOptions(), seconds=2.0)
    [played] = play_jobs(
        generator, [PieceJob(request, 3, "0")], folder, batch=1, audio_format="flac"
    )
    path = Path(played.file)
    return path.read_bytes(), GeneratedPiece.model_validate_json(
        path.with_suffix(".json").read_text()
    )


def test_both_play_the_same_bytes_again_and_are_named(
    run: Path, refiners: Refiners, tmp_path: Path
) -> None:
    plain, refined = Generator.of(str(run)), Generator.of(str(run), refiners=refiners)
    assert (plain.rate_hz, refined.rate_hz) == (16_000, 24_000)
    assert plain.codec.facts == refined.codec.facts
    _, alone = play(plain, tmp_path / "plain")
    first, piece = play(refined, tmp_path / "first")
    again, _ = play(refined, tmp_path / "again")
    assert first == again
    assert alone.refined_by == ()
    vocoder, upsampler = piece.refined_by
    assert vocoder.startswith("vocoder ")
    assert upsampler.startswith("upsampler 16000 to 24000 Hz ")
    [file] = (tmp_path / "first").glob("*.flac")
    wave, rate_hz = soundfile.read(file)
    assert (rate_hz, len(wave)) == (24_000, 48_000)
    assert np.abs(np.fft.rfft(wave)[17_000:]).mean() > 0.01  # bins of 0.5 Hz: above 8.5 kHz


def test_a_recipe_names_a_vocoder_and_a_run_goes_on_with_another(
    refiners: Refiners, tmp_path: Path
) -> None:
    shards = corpus(tmp_path / "shards")
    small = recipe(shards, sampling__steps=2, run__steps=1)
    train(small, str(tmp_path / "run"), silent)
    longer = recipe(shards, sampling__steps=2, run__steps=2, codec__vocoder=refiners.vocoder)
    lines: list[str] = []
    train(longer, str(tmp_path / "run"), lines.append)
    assert any("codec.vocoder" in line for line in lines)
    generator = Generator.of(str(tmp_path / "run"))
    assert [name.partition(" ")[0] for name in generator.refined_by] == ["vocoder"]
    plain = Generator.of(str(tmp_path / "run"), refiners=Refiners(vocoder="none"))
    assert plain.refined_by == ()
    levels = MelCodec().levels(torch.zeros(1, 2000))
    assert generator.codec.played(levels).shape == (1, 2000)  # type: ignore[attr-defined]


def test_folders_that_hold_neither_are_said(run: Path, tmp_path: Path) -> None:
    said = r"expected a folder with vocoder/ in it.*`--vocoder none` plays by Griffin-Lim"
    with pytest.raises(PipelineError, match=said):
        Generator.of(str(run), refiners=Refiners(vocoder=str(tmp_path)))
    with pytest.raises(TrainingError, match="expected a folder with upsampler/ in it"):
        Generator.of(str(run), refiners=Refiners(upsampler=str(tmp_path)))


def test_an_upsampler_to_the_rate_that_a_model_plays_is_refused(run: Path, tmp_path: Path) -> None:
    shape = UpsamplerShape(
        rate_hz=16_000, lower_hz=3_200, strides=(4,), widths=(4,), units=1, conditioning_width=8
    )
    config = UpsamplerRecipe(net=shape, played=UpsamplerPlay(steps=1)).config
    write_weights(UpsamplerNet(shape), config, tmp_path / UPSAMPLER)
    with pytest.raises(TrainingError, match="the sound has 16000 Hz already"):
        Generator.of(str(run), refiners=Refiners(upsampler=str(tmp_path)))
