"""A vocoder in training: it goes on to the bit, processes share it, and what is written plays."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from pipelines.codecs import open_codec
from pipelines.codecs.mel import SPECTROGRAM, MelCodec
from pipelines.codecs.vocoder import FOLDER, open_vocoder, with_vocoder
from pipelines.codecs.vocoder_net import VocoderNet
from pipelines.codecs.vocoder_shape import VocoderConfig, VocoderShape
from pipelines.errors import PipelineError
from pipelines.pretrained.own_weights import write_weights
from tests.pipelines.codecs.exact_waves import exact_codec
from tests.training.runs import corpus
from tests.training.two_processes import train_by_two
from training.codec.judged_recipe import CriticShape, WaveLossRecipe
from training.data.recipe import SampleRecipe
from training.errors import TrainingError
from training.run import checkpoints
from training.run.recipe import OptimRecipe, StepsRecipe
from training.vocoder.corruption import LevelCorruption, corrupted
from training.vocoder.recipe import VocoderRecipe
from training.vocoder.train import train_vocoder

_NET = VocoderShape(width=8, depth=1, window=250, updates=2, rounds=0)
_SMALL = VocoderRecipe(
    net=_NET,
    data=SampleRecipe(seconds=0.25, batch=4, micro_batch=2, workers=0, validation=4),
    optim=OptimRecipe(lr=3e-3, warmup_steps=2, weight_decay=0, ema=0.5),
    run=StepsRecipe(steps=4, log_every=1, checkpoint_every=2, validate_every=2),
    loss=WaveLossRecipe(windows=(512, 128), wave=0.0, judged_from=3),
    critic=CriticShape(windows=(256,), width=4),
)


def silent(_: str) -> None:
    """A training whose lines nobody reads."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> VocoderRecipe:
    shards = corpus(tmp_path_factory.mktemp("shards"), songs=6, latents=False)
    return _SMALL.replaced(data=_SMALL.data.replaced(shards=(str(shards),)))


def tensors(folder: Path, step: int, name: str = "model") -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(folder / checkpoints.folder_of(step) / f"{name}.safetensors")


def test_a_run_that_goes_on_is_equal_to_the_bit_and_is_played_by(
    small: VocoderRecipe, tmp_path: Path
) -> None:
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    train_vocoder(small, straight, silent)
    half = checkpoints.folder_of(2)
    shutil.copytree(straight / half, resumed / half)
    lines: list[str] = []
    made = train_vocoder(small, resumed, lines.append)
    assert (made.step, made.stopped) == (4, False)
    assert any(line.startswith("going on from step 2") for line in lines)
    for name in ("model", "ema"):
        mine, theirs = tensors(straight, 4, name), tensors(resumed, 4, name)
        assert all(torch.equal(value, theirs[key]) for key, value in mine.items()), name
    assert open_vocoder(str(straight)).name == open_vocoder(str(resumed)).name
    learned = tensors(straight, 4)
    assert learned["net.last.weight"].abs().max() > 0
    judged = {key: value for key, value in learned.items() if key.startswith("critic.")}
    early = tensors(straight, 2)  # the critic had learned nothing yet
    assert not all(torch.equal(value, early[key]) for key, value in judged.items())
    mel = open_codec("mel")
    latents = mel.encode(0.1 * torch.randn(1, 8000))
    net = VocoderNet(_NET)
    net.load_state_dict(safetensors.torch.load_file(straight / FOLDER / "model.safetensors"))
    with torch.no_grad():
        played_BS = with_vocoder(mel, open_vocoder(str(straight))).decode(latents)
        assert torch.equal(played_BS, net(MelCodec().levels_of(latents)).clamp(-1, 1))
    with pytest.raises(TrainingError, match="holds a vocoder already"):
        train_vocoder(small, straight, silent)
    before = open_vocoder(str(straight)).name
    (straight / FOLDER / "config.json").unlink()  # as it was when writing ended too early
    train_vocoder(small, straight, silent)
    assert open_vocoder(str(straight)).name == before


@pytest.mark.slow  # half a minute
def test_two_processes_learn_what_one_does(small: VocoderRecipe, tmp_path: Path) -> None:
    train_vocoder(small, tmp_path / "one", silent)
    train_by_two(small, train_vocoder, tmp_path / "two")
    one, two = (tensors(tmp_path / name, 4) for name in ("one", "two"))
    assert all(torch.allclose(value, two[key], atol=2e-3) for key, value in one.items())


def test_a_fresh_network_leaves_the_guess_as_it_is_and_gradients_pass() -> None:
    mel, net = MelCodec(), VocoderNet(_NET)
    times = torch.arange(16_000) / 16_000
    levels_BMN = mel.levels(0.5 * torch.sin(2 * torch.pi * 440 * times)[None]).requires_grad_()
    played_BS = net(levels_BMN)
    assert torch.allclose(played_BS, mel.guessed(levels_BMN, updates=2, rounds=0), atol=1e-5)
    pitch_hz = int(torch.fft.rfft(played_BS[0].detach()).abs().argmax())  # bins of 1 Hz
    assert abs(pitch_hz - 440) <= 2
    played_BS.square().sum().backward()
    assert levels_BMN.grad is not None
    assert levels_BMN.grad.abs().sum() > 0


def test_who_plays_does_not_change_what_latents_are(tmp_path: Path) -> None:
    write_weights(
        VocoderNet(_NET), VocoderConfig(spectrogram=SPECTROGRAM, net=_NET), tmp_path / FOLDER
    )
    mel = open_codec("mel")
    codec = with_vocoder(mel, open_vocoder(str(tmp_path)))
    assert codec.facts == mel.facts
    wave_BS = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (1, 8000))).float()
    assert torch.equal(codec.encode(wave_BS), mel.encode(wave_BS))


def test_a_folder_without_a_vocoder_or_of_another_spectrogram_is_said(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="expected a folder with vocoder/ in it"):
        open_vocoder(str(tmp_path))
    other = VocoderConfig(spectrogram=SPECTROGRAM.replaced(bands=64), net=_NET)
    write_weights(VocoderNet(_NET), other, tmp_path / FOLDER)
    with pytest.raises(
        PipelineError, match=r"another spectrogram than that of mel: bands 64 \(mel"
    ):
        open_vocoder(str(tmp_path))
    wide = VocoderConfig(spectrogram=SPECTROGRAM, net=_NET.replaced(width=4096, depth=64))
    write_weights(VocoderNet(_NET), wide, tmp_path / FOLDER)
    with pytest.raises(PipelineError, match=r"weights do not fit its config\.json, the first is"):
        open_vocoder(str(tmp_path))  # 13 GB, had it been built
    with pytest.raises(ValueError, match=r"500 samples apart, .* windows of net\.window 500"):
        VocoderConfig(spectrogram=SPECTROGRAM, net=VocoderShape(frames=1))
    with pytest.raises(ValueError, match="that of mel is the only one"):
        VocoderRecipe(spectrogram=SPECTROGRAM.replaced(bands=64))
    codec = open_codec("wave", str(exact_codec(tmp_path / "wave", channels=1)))
    write_weights(
        VocoderNet(_NET), VocoderConfig(spectrogram=SPECTROGRAM, net=_NET), tmp_path / FOLDER
    )
    with pytest.raises(PipelineError, match="wave plays its latents itself"):
        with_vocoder(codec, open_vocoder(str(tmp_path)))


def test_blur_keeps_what_is_even_and_spreads_what_is_not() -> None:
    rules = LevelCorruption(share=1.0, noise=0.0, blur=1.0)
    draws = torch.tensor([[0.0, 1.0]])
    even, peak = torch.full((1, 7, 7), 2.0), torch.zeros(1, 7, 7)
    peak[0, 3, 3] = 1.0
    noise = torch.zeros(1, 7, 7)
    assert torch.allclose(corrupted(even, noise, draws, rules), even)
    spread = corrupted(peak, noise, draws, rules)
    assert spread.sum() == pytest.approx(1.0, abs=1e-5)
    # a normal distribution of spread 1 over five places: 0.4026 in the middle
    assert float(spread[0, 3, 3]) == pytest.approx(0.4026**2, abs=1e-3)
    assert torch.equal(corrupted(peak, noise, torch.zeros(1, 2), rules), peak)
