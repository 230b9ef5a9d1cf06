"""What is heard so that gradients pass is what the controls of our shards say."""

from functools import cache

import numpy as np
import pytest
import torch

from pipelines.audio.controls import controls_of, onsets
from pipelines.audio.spectra import measured_spectra
from pipelines.codecs.mel import MelCodec
from pipelines.synthesis.compose import compose
from pipelines.synthesis.render import render
from schemas.controls import AudioControls
from training.steering.listening import Ear, cepstra_of_waves, melody_of, similarity_of
from training.steering.of_waves import (
    chroma_of_waves,
    mean_squares,
    onset_strength_of_waves,
    resampled_waves,
    smoothed_db,
)

RATE_HZ, SECONDS = 16_000, 6
CODEC = MelCodec()


@cache
def waves() -> torch.Tensor:
    """Two composed pieces; the second fades."""
    pieces = [render(compose(index, 0), RATE_HZ)[16_000 : 16_000 * 7] for index in (0, 2)]
    fade = np.linspace(1, 0.02, len(pieces[1]))
    return torch.from_numpy(np.stack([pieces[0], pieces[1] * fade])).float()


@cache
def controls() -> tuple[AudioControls, ...]:
    return tuple(controls_of(wave.numpy(), RATE_HZ) for wave in waves())


def dynamics() -> torch.Tensor:
    return torch.tensor([one.dynamics_db for one in controls()])


def melodies() -> torch.Tensor:
    return torch.tensor([one.melody for one in controls()])


def test_dynamics_of_waves_are_those_of_shards() -> None:
    found = smoothed_db(mean_squares(waves(), RATE_HZ))
    assert (found - dynamics()).abs().max() <= 0.0501  # shards have a tenth of a decibel
    # a rest, and a part of a frame at the end
    wave = torch.cat([waves()[:1, :30_000], torch.zeros(1, 20_100)], 1)
    wanted = torch.tensor(controls_of(wave[0].numpy(), RATE_HZ).dynamics_db)
    assert (smoothed_db(mean_squares(wave, RATE_HZ))[0] - wanted).abs().max() <= 0.0501


def test_melodies_of_waves_are_those_of_shards() -> None:
    found = melody_of(chroma_of_waves(waves(), RATE_HZ))
    assert (found == melodies()).float().mean() >= 0.98
    silence = torch.zeros(1, RATE_HZ)
    assert melody_of(chroma_of_waves(silence, RATE_HZ)).tolist() == [[12] * 10]


def test_onset_strength_has_the_peaks_that_are_counted() -> None:
    for wave, strength in zip(waves(), onset_strength_of_waves(waves(), RATE_HZ)):
        bands_TB = measured_spectra(wave.numpy(), RATE_HZ, SECONDS * 10).bands_TB
        wide = np.maximum(bands_TB, np.maximum(np.roll(bands_TB, 1, 1), np.roll(bands_TB, -1, 1)))
        rise = np.maximum(0, bands_TB[2:-2] - wide[:-4]).mean(1)
        assert strength[2:-2].numpy() == pytest.approx(rise, abs=2e-3)
        assert onsets(bands_TB) > 5
        assert strength.max() > 3  # dB; a beat


def test_dynamics_of_levels_are_near() -> None:
    found = Ear(CODEC).dynamics_db(CODEC.encode(waves()))
    assert (found - dynamics()).abs().max() < 1.0
    assert (found - dynamics()).abs().mean() < 0.5


def test_melodies_of_levels_are_often_the_same() -> None:
    found = melody_of(Ear(CODEC).chroma(CODEC.encode(waves())))
    right = (found == melodies()).float().mean(1)
    assert right.mean() > 0.6  # by chance 0.08: bands are as wide as semitones
    scale = 0.3 * torch.sin(2 * torch.pi * 523.25 * torch.arange(RATE_HZ)[None] / RATE_HZ)
    assert melody_of(Ear(CODEC).chroma(CODEC.encode(scale)))[0, 1:-1].tolist() == [0] * 8  # C5


def test_onset_strength_of_levels_rises_and_falls_alike() -> None:
    coarse = Ear(CODEC).onset_strength(CODEC.encode(waves()))
    fine = onset_strength_of_waves(waves(), RATE_HZ)
    for left, right in zip(coarse.numpy(), fine.numpy()):
        near = np.convolve(right, np.ones(3) / 3, "same")
        at_32_hz = np.interp(np.arange(len(left)) / 32, np.arange(len(near)) / 100, near)
        assert np.corrcoef(left[2:-2], at_32_hz[2:-2])[0, 1] > 0.9


def test_moments_that_return_are_alike() -> None:
    one, other = waves()[:1, :32_000], waves()[1:, :32_000]
    heard = Ear(CODEC).similarity(CODEC.encode(torch.cat([one, other, one], 1)))[0]
    assert heard.shape == (60, 60)
    assert torch.allclose(heard.diagonal(), torch.ones(60), atol=1e-4)
    assert heard[2:18, 42:58].diagonal().mean() > 0.99  # A and A
    assert heard[2:18, 22:38].mean() < 0.2  # A and B
    again = similarity_of(cepstra_of_waves(torch.cat([one, other, one], 1), RATE_HZ))[0]
    assert torch.allclose(heard, again, atol=1e-4)


def test_what_is_played_can_be_heard_instead() -> None:
    latents = CODEC.encode(waves())
    played = CODEC.decode(latents)
    heard = Ear(CODEC, played=True).dynamics_db(latents)
    assert torch.equal(heard, smoothed_db(mean_squares(played, RATE_HZ)))


def test_a_sine_is_the_same_at_another_rate() -> None:
    fine, coarse = (
        torch.sin(2 * torch.pi * 440 * torch.arange(rate, dtype=torch.float64)[None] / rate)
        for rate in (44_100, 16_000)
    )
    assert torch.allclose(resampled_waves(fine, 44_100, 16_000), coarse, atol=1e-9)


@pytest.mark.parametrize("name", ["dynamics_db", "chroma", "onset_strength", "similarity"])
@pytest.mark.parametrize("played", [False, True])
def test_gradients_reach_the_latents(name: str, played: bool) -> None:
    latents = CODEC.encode(waves()[:1, :32_000]).requires_grad_()
    heard = getattr(Ear(CODEC, played=played), name)(latents)
    [slope] = torch.autograd.grad(heard.square().sum(), [latents])
    assert slope.isfinite().all()
    # each frame says something, but for the ends, which some leave out
    assert (slope[:, :, 1:-1].abs().amax(dim=(1, 3)) > 0).all()
