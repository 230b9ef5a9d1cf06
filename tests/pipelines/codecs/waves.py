"""Rendered waves and what is heard in them, for tests."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

Floats = npt.NDArray[np.float64]


def sines(*frequencies_hz: float, rate_hz: int = 16_000, duration_s: float = 3.0) -> torch.Tensor:
    """One clip per frequency: (B, S)."""
    times = torch.arange(round(rate_hz * duration_s)) / rate_hz
    return 0.3 * torch.sin(2 * torch.pi * torch.tensor(frequencies_hz)[:, None] * times)


def chord(pitches: Sequence[int], rate_hz: int = 16_000, duration_s: float = 3.0) -> torch.Tensor:
    """Notes by their MIDI numbers, each with four falling harmonics: (1, S)."""
    notes = [440 * 2 ** ((pitch - 69) / 12) for pitch in pitches]
    partials = torch.cat(
        [
            sines(*(n * note for note in notes), rate_hz=rate_hz, duration_s=duration_s) / n**2
            for n in range(1, 5)
        ]
    )
    return partials.sum(0, keepdim=True) / len(pitches)


def spectrum(wave: torch.Tensor, rate_hz: int = 16_000) -> tuple[Floats, Floats]:
    """Frequencies and magnitudes, finely sampled."""
    samples = wave.double().numpy() * np.hanning(len(wave))
    size = 8 * len(wave)
    hertz = np.fft.rfftfreq(size, 1 / rate_hz).astype(np.float64)
    return hertz, np.abs(np.fft.rfft(samples, size)).astype(np.float64)


def cents_off(wave: torch.Tensor, frequency_hz: float) -> float:
    """How far the strongest frequency lies from the given one."""
    frequencies, magnitudes = spectrum(wave)
    return float(1200 * np.log2(frequencies[magnitudes.argmax()] / frequency_hz))


def chroma(wave: torch.Tensor) -> Floats:
    """Share of the energy between C2 and C6 in each pitch class."""
    frequencies, magnitudes = spectrum(wave)
    inside = (frequencies > 64) & (frequencies < 1050)
    classes = np.round(12 * np.log2(frequencies[inside] / 440) + 69).astype(int) % 12
    energy = np.bincount(classes, weights=magnitudes[inside] ** 2, minlength=12)
    return np.asarray(energy / energy.sum())
