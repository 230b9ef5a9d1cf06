"""A mix as sound: levels and times of tones that are known."""

import numpy as np
import pytest

from pipelines.audio.controls import loudness_lufs
from pipelines.audio.decode import Wave
from pipelines.audio.mixing import mixed

RATE_HZ = 16_000


def tone(hertz: float, seconds: float = 3.0, level: float = 0.1) -> Wave:
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return np.asarray(level * np.sin(2 * np.pi * hertz * time), np.float32)


def level_of(wave: Wave, hertz: float) -> float:
    """Amplitude of a tone in a wave of whole periods."""
    time = np.arange(len(wave)) / RATE_HZ
    return float(2 * np.abs(np.mean(wave * np.exp(-2j * np.pi * hertz * time))))


def lufs(wave: Wave) -> float:
    return loudness_lufs(wave if wave.ndim > 1 else wave[:, None], RATE_HZ)


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_a_guest_has_its_share_however_loud_it_was_and_the_mix_is_as_loud_as_its_host(
    share: float,
) -> None:
    host = tone(500)
    both = mixed(host, tone(550, level=0.8), RATE_HZ, offset_s=0, share=share)
    assert lufs(both) == pytest.approx(lufs(host), abs=0.1)
    ratio = level_of(both, 550) / level_of(both, 500)
    assert ratio == pytest.approx(share / (1 - share), rel=0.03)


def test_nothing_is_clipped() -> None:
    peaks = np.zeros(3 * RATE_HZ, np.float32)
    peaks[::400] = 0.99
    both = mixed(peaks, tone(300, level=0.9), RATE_HZ, offset_s=0, share=0.8)
    assert np.abs(both).max() <= 1


def test_a_guest_sounds_from_its_moment_on_and_its_edge_is_no_click() -> None:
    both = mixed(tone(500), tone(1000, seconds=1.5), RATE_HZ, offset_s=1.0, share=0.5)
    before, inside, after = both[:RATE_HZ], both[22_400:32_000], both[-8000:]
    assert level_of(before, 1000) < 1e-4
    assert level_of(after, 1000) < 1e-4
    assert level_of(inside, 1000) > 0.03
    edge = both[16_000:16_160] - mixed(
        tone(500), np.zeros(8, np.float32), RATE_HZ, offset_s=0, share=0.5
    )[16_000:16_160] * (level_of(before, 500) / 0.1)
    assert np.abs(edge).max() < 0.01  # it rises over a quarter of a second
    early = mixed(tone(500), tone(1000, seconds=4), RATE_HZ, offset_s=-1.0, share=0.5)
    assert level_of(early, 1000) > 0.03


def test_a_guest_takes_the_channels_of_its_host() -> None:
    stereo = np.stack([tone(500), tone(500)], axis=1)
    assert mixed(stereo, tone(700), RATE_HZ, offset_s=0, share=0.5).shape == stereo.shape
    assert mixed(tone(500), stereo, RATE_HZ, offset_s=0, share=0.5).ndim == 1


def test_silence_is_not_made_loud() -> None:
    host = tone(500)
    both = mixed(host, np.zeros_like(host), RATE_HZ, offset_s=0, share=0.5)
    assert lufs(both) == pytest.approx(lufs(host), abs=0.1)
