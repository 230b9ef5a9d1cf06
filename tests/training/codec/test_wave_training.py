"""The codec `wave` in training: it goes on to the bit, processes share it, and what is written is
what was learned.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from pipelines.codecs import open_codec
from pipelines.codecs.wave import WaveCodec
from pipelines.codecs.wave_shape import KlBottleneck, RvqBottleneck, WaveShape
from tests.training.runs import corpus
from tests.training.two_processes import train_by_two
from training.codec.critic import Critic, critic_loss, feature_loss
from training.codec.judged_recipe import CriticShape, WaveLossRecipe
from training.codec.lesson import Lesson
from training.codec.spectral_loss import SpectralLoss, mel_bands
from training.codec.wave_recipe import WaveRecipe, ready_wave
from training.codec.wave_training import train_wave_codec
from training.data.recipe import SampleRecipe
from training.errors import TrainingError
from training.run import checkpoints
from training.run.recipe import OptimRecipe, StepsRecipe

_SMALL = WaveRecipe(
    net=WaveShape(
        strides=(4, 5), encoder_widths=(4, 8, 8), decoder_widths=(4, 8, 8), latent_channels=6
    ),
    data=SampleRecipe(seconds=0.128, batch=4, micro_batch=2, workers=0, validation=4),
    optim=OptimRecipe(lr=3e-3, warmup_steps=2, weight_decay=0, ema=0.5),
    run=StepsRecipe(steps=6, log_every=1, checkpoint_every=3, validate_every=3),
    loss=WaveLossRecipe(windows=(512, 128), judged_from=4),
    critic=CriticShape(windows=(256,), width=4),
)
_RVQ = RvqBottleneck(books=2, entries=8, code_width=4)


def silent(_: str) -> None:
    """A training whose lines nobody reads."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> WaveRecipe:
    shards = corpus(tmp_path_factory.mktemp("shards"), songs=6, latents=False)
    return _SMALL.replaced(data=_SMALL.data.replaced(shards=(str(shards),)))


def critic_of(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in weights.items() if name.startswith("critic.")}


def tensors(folder: Path, step: int, name: str) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(folder / checkpoints.folder_of(step) / name)


@pytest.mark.parametrize("bottleneck", [KlBottleneck(), _RVQ], ids=["kl", "rvq"])
def test_a_run_that_goes_on_into_the_second_phase_is_equal_to_the_bit_to_one_left_alone(
    small: WaveRecipe, tmp_path: Path, bottleneck: KlBottleneck | RvqBottleneck
) -> None:
    chosen = small.replaced(bottleneck=bottleneck)
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    train_wave_codec(chosen, straight, silent)
    half = checkpoints.folder_of(3)  # the critic has learned nothing yet
    shutil.copytree(straight / half, resumed / half)
    lines: list[str] = []
    made = train_wave_codec(chosen, resumed, lines.append)
    assert (made.step, made.stopped) == (6, False)
    assert any(line.startswith("going on from step 3") for line in lines)
    for name in ("model.safetensors", "ema.safetensors"):
        mine, theirs = tensors(straight, 6, name), tensors(resumed, 6, name)
        assert all(torch.equal(value, theirs[key]) for key, value in mine.items()), name
    codecs = [open_codec("wave", str(folder)) for folder in (straight, resumed)]
    assert codecs[0].facts.version == codecs[1].facts.version
    early, judged = (critic_of(tensors(straight, step, "model.safetensors")) for step in (3, 6))
    torch.manual_seed(chosen.run.seed)
    fresh = critic_of(dict(Lesson(chosen).named_parameters()))
    assert all(torch.equal(value, early[name]) for name, value in fresh.items())
    assert not all(torch.equal(value, judged[name]) for name, value in fresh.items())


@pytest.fixture(scope="module")
def trained(small: WaveRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A codec of the corpus's one tone."""
    longer = small.replaced(
        run=StepsRecipe(steps=80, log_every=40, validate_every=40),
        loss=small.loss.replaced(judged_from=100),
        optim=small.optim.replaced(lr=1e-2, ema=0.9),
    )
    folder = tmp_path_factory.mktemp("trained")
    lines: list[str] = []
    train_wave_codec(longer, folder, lines.append)
    first, last = (float(line.rpartition(" ")[2]) for line in lines if "validation loss" in line)
    assert last < first
    return folder


def test_a_tone_is_soon_played_at_its_pitch_from_unit_latents(trained: Path) -> None:
    codec = open_codec("wave", str(trained))
    facts = codec.facts
    assert (facts.rate_hz, facts.channels, facts.bands, facts.frames_per_s) == (16_000, 6, 1, 800)
    times = np.arange(16_000) / 16_000
    tone_BS = torch.from_numpy(0.5 * np.sin(2 * np.pi * 440 * times)).float()[None]
    latents = codec.encode(tone_BS)
    assert 0.3 < float(latents.std()) < 2
    assert float(latents.mean().abs()) < 0.3
    played = codec.decode(latents)[0]
    assert int(torch.fft.rfft(played).abs().argmax()) == 440  # bins of 1 Hz


def test_a_codec_is_not_written_over(small: WaveRecipe, trained: Path) -> None:
    with pytest.raises(TrainingError, match="holds a codec already"):
        train_wave_codec(small, trained, silent)


def test_another_shape_does_not_go_on(small: WaveRecipe, tmp_path: Path) -> None:
    train_wave_codec(small.replaced(run=small.run.replaced(steps=3)), tmp_path, silent)
    shutil.rmtree(tmp_path / "wave")
    other = small.replaced(net=small.net.replaced(latent_channels=5))
    with pytest.raises(TrainingError, match=r"net\.latent_channels = 5 \(was 6\)"):
        train_wave_codec(other, tmp_path, silent)


def test_codebooks_are_used_soon(small: WaveRecipe, tmp_path: Path) -> None:
    chosen = small.replaced(
        bottleneck=_RVQ,
        run=StepsRecipe(steps=30, log_every=30),
        loss=small.loss.replaced(judged_from=100),
        optim=small.optim.replaced(ema=0.5),
    )
    train_wave_codec(chosen, tmp_path, silent)
    codec = open_codec("wave", str(tmp_path))
    assert isinstance(codec, WaveCodec)
    times = torch.arange(16_000) / 16_000
    fading_BS = (times * torch.sin(2 * np.pi * 440 * times))[None]
    for codes_BT in codec.codes(fading_BS).unbind(1):
        assert len(torch.unique(codes_BT)) > _RVQ.entries // 2


@pytest.mark.slow  # half a minute
@pytest.mark.parametrize("bottleneck", [KlBottleneck(), _RVQ], ids=["kl", "rvq"])
def test_two_processes_learn_what_one_does(
    small: WaveRecipe, tmp_path: Path, bottleneck: KlBottleneck | RvqBottleneck
) -> None:
    small = small.replaced(bottleneck=bottleneck)
    train_wave_codec(small, tmp_path / "one", silent)
    train_by_two(small, train_wave_codec, tmp_path / "two")
    one, two = (tensors(tmp_path / name, 6, "model.safetensors") for name in ("one", "two"))
    assert all(torch.allclose(value, two[key], atol=2e-3) for key, value in one.items())
    assert any(
        not torch.equal(value, tensors(tmp_path / "one", 3, "model.safetensors")[key])
        for key, value in one.items()
        if key.startswith("critic.")
    )


def test_equal_waves_are_no_distance_apart_and_sides_count() -> None:
    loss = SpectralLoss((512, 128), 16_000)
    rng = torch.Generator().manual_seed(0)
    waves_BAS = 0.3 * torch.randn(2, 2, 4096, generator=rng)
    assert (loss(waves_BAS, waves_BAS) < 1e-4).all()
    # the same sum, sides exchanged: the difference is as loud, and only its sign another
    assert (loss(waves_BAS, waves_BAS.flip(1)) < 1e-4).all()
    middle_BAS = waves_BAS.mean(1, keepdim=True).expand(-1, 2, -1)
    assert (loss(waves_BAS, middle_BAS) > 1).all()


def test_bands_are_means_of_what_they_span() -> None:
    bands_MK = mel_bands(2048, 16_000, 128)
    assert torch.allclose(bands_MK.sum(1), torch.ones(128))
    peaks_hz = bands_MK.argmax(1) * 16_000 / 2048
    assert (peaks_hz.diff() >= 0).all()
    assert peaks_hz[64] < 2000  # half of the bands for a quarter of the range


def test_a_critic_that_is_sure_has_nothing_to_learn() -> None:
    torch.manual_seed(0)
    critic = Critic(CriticShape(windows=(256,), width=4), channels=1)
    judged = critic(0.1 * torch.randn(2, 1, 4096))
    sure = [one._replace(patches=torch.full_like(one.patches, 1.5)) for one in judged]
    fooled = [one._replace(patches=torch.full_like(one.patches, -1.5)) for one in judged]
    assert torch.equal(critic_loss(sure, fooled), torch.zeros(2))
    assert torch.equal(critic_loss(fooled, sure), torch.full((2,), 5.0))
    assert torch.equal(feature_loss(judged, judged), torch.zeros(2))


def test_presets_are_shaped_as_they_say() -> None:
    tiny, stereo = ready_wave("tiny").net, ready_wave("stereo").net
    assert (tiny.rate_hz, tiny.wave_channels, tiny.hop) == (16_000, 1, 256)
    assert tiny.frames_per_s * tiny.latent_channels <= 4096  # numbers a second: of `mel`
    # Stable Audio's: 44.1 kHz, 2 channels, 64 at 21.5 frames a second
    assert (stereo.rate_hz, stereo.wave_channels, stereo.hop) == (44_100, 2, 2048)
    assert stereo.latent_channels == 64
    with pytest.raises(TrainingError, match="is not a preset of the wave codec"):
        ready_wave("huge")
    with pytest.raises(ValueError, match="lower the one, or raise the other"):
        _SMALL.replaced(data=_SMALL.data.replaced(seconds=0.02))
