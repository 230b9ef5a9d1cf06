"""Melodies of random notes as waves: short, different from each other, and the same for the same
seed.
"""

import numpy as np

RATE_HZ = 44_100


def melody(seed: int, seconds: float) -> np.ndarray:
    """A mono wave of notes of a fifth of a second with two partials each."""
    rng, size = np.random.default_rng(seed), RATE_HZ // 5
    times = np.arange(size) / RATE_HZ
    fade = np.minimum(1, np.minimum(times, times[::-1]) / 0.01)
    notes = 220 * 2 ** (rng.integers(0, 25, round(seconds * 5)) / 12)
    wave = [
        fade * (np.sin(2 * np.pi * hertz * times) + 0.5 * np.sin(4 * np.pi * hertz * times))
        for hertz in notes
    ]
    return (0.2 * np.concatenate(wave)).astype(np.float32)
