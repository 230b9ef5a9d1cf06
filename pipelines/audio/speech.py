"""How much of a sound is music, speech, noise and silence, by the three seconds around each.

A linear classifier on features after Scheirer & Slaney (1997): how levels move at the rate of
syllables, how evenly strokes come, how long partials stand. Fitted on synthetic sound alone. Of
recordings that it was not fitted on, in seconds judged right: music 0.95 (40 files, mostly so in
39), one file of read speech 1.0, speech by other synthesisers 0.95. It fails where a voice sings
alone (0.32: two thirds pass for speech; with accompaniment it is music) and on birdsong, which
passes for music.
"""

from typing import Final, NamedTuple

import numpy as np

from pipelines.audio.spectra import COARSE_HZ, EAR_HZ, FINE_SIZE, Array, Spectra
from schemas.controls import CONTROL_RATE_HZ

# before and after the second that is judged: one syllable or one long note alone says little
_MARGIN_S: Final = 1
_ENVELOPE_BINS: Final = 15  # 59 Hz to either side: what is narrower is a partial
_APART: Final = 3  # tenths of a second between spectra that share no sample
_FLOOR: Final = 1e-3  # of the highest amplitude: what lies lower is not an audible partial
_FAR: Final = 3.0  # spreads from the mean; no feature counts for more
# Multinomial logistic regression on 11 600 s: 370 utterances by espeak-ng in 20 languages and by
# flite (two voices), 520 General MIDI and pad pieces, 85 drum patterns, 70 sung lines (speech
# slowed and set to scales), 120 coloured noises; each with random room, bands, hiss.
_CLASSES: Final = ("music", "speech", "noise")
_FEATURES: Final = (  # mean, spread, and weight for each class
    # share of movement at 2.2 to 5.8 Hz, the rate of syllables
    (0.348, 0.128, (-0.30, 1.43, -1.13)),
    (0.205, 0.094, (-1.25, 0.60, 0.65)),  # and at 5.8 to 14 Hz
    (2.372, 0.567, (-1.77, 2.58, -0.81)),  # how much levels move
    (3.525, 2.631, (0.46, 0.49, -0.95)),  # spread of brightness
    (1.357, 0.887, (0.44, -0.41, -0.03)),  # spread of rises
    (0.280, 0.161, (2.22, -1.54, -0.67)),  # how evenly strokes come
    (-0.879, 0.331, (0.67, -0.55, -0.12)),  # flatness of the spectrum
    (0.559, 0.228, (1.10, 0.07, -1.17)),  # partials that stand for 100 ms
    (0.402, 0.255, (1.53, -0.77, -0.76)),  # and for 300 ms
)
_OFFSETS: Final = (4.09, 0.49, -4.58)


class Shares(NamedTuple):
    """Shares of the time, 1 in sum."""

    music: float
    speech: float
    noise: float
    silence: float


class _Frames(NamedTuple):
    """What each moment of a sound is like, in T frames at 100 Hz or F at 10 Hz."""

    bands_TB: Array  # dB
    amplitude_T: Array
    brightness_T: Array  # centre of gravity, in bands
    rise_T: Array  # mean of what the bands rise by, in dB
    flatness_F: Array  # of the spectrum: 0 for white noise, lower the more stands out
    likeness_F: Array  # correlation of the partials with those 100 ms later
    standing_F: Array  # and with those 300 ms later


def shares_of(sound: Spectra, sounds_F: Array) -> Shares:
    """Shares of a sound's time, where `sounds_F` says which tenths of a second are not silent."""
    means, spreads, weights = (np.array(column) for column in zip(*_FEATURES, strict=True))
    scores = np.clip((features(sound) - means) / spreads, -_FAR, _FAR) @ weights + _OFFSETS
    classes_F = np.repeat(scores.argmax(axis=1), CONTROL_RATE_HZ)[: len(sounds_F)]
    music, speech, noise = (
        round(float(np.mean(sounds_F & (classes_F == which))), 4) for which in range(len(_CLASSES))
    )
    return Shares(music, speech, noise, round(max(0.0, 1 - music - speech - noise), 4))


def features(sound: Spectra) -> Array:
    """The features of each second, in the order of `_FEATURES`: (seconds, features)."""
    frames = _frames(sound)
    seconds = -(-len(sound.fine_FK) // CONTROL_RATE_HZ)
    return np.array(
        [
            _features(frames, max(0, second - _MARGIN_S), second + 1 + _MARGIN_S)
            for second in range(seconds)
        ]
    )


def _frames(sound: Spectra) -> _Frames:
    bands = sound.bands_TB
    power = 10 ** (bands / 10)
    partials = sound.fine_FK[:, 100 * FINE_SIZE // EAR_HZ : 4000 * FINE_SIZE // EAR_HZ]
    partials = np.maximum(partials, max(_FLOOR * float(partials.max()), 1e-6))
    level = np.log(partials)
    width = 2 * _ENVELOPE_BINS + 1
    sums = np.cumsum(
        np.pad(level, ((0, 0), (_ENVELOPE_BINS + 1, _ENVELOPE_BINS)), "edge"),
        axis=1,
        dtype=np.float64,
    )
    lines = level - (sums[:, width:] - sums[:, :-width]) / width
    return _Frames(
        bands_TB=bands,
        amplitude_T=np.sqrt(sound.power_T),
        brightness_T=power @ np.arange(bands.shape[1], dtype=np.float32) / power.sum(axis=1),
        rise_T=np.maximum(0, np.diff(bands, axis=0, prepend=bands[:1])).mean(axis=1),
        flatness_F=level.mean(axis=1) - np.log(partials.mean(axis=1)),
        likeness_F=_likeness(lines, 1),
        standing_F=_likeness(lines, _APART),
    )


def _likeness(lines_FK: Array, apart: int) -> Array:
    """Correlation of each frame's spectrum with the one `apart` frames later."""
    sizes = np.linalg.norm(lines_FK, axis=1) + 1e-6
    found = np.sum(lines_FK[apart:] * lines_FK[:-apart], axis=1) / (sizes[apart:] * sizes[:-apart])
    return np.concatenate(
        [found, np.full(min(apart, len(lines_FK)), found[-1] if len(found) else 0.0)]
    )


def _features(frames: _Frames, start_s: int, end_s: int) -> list[float]:
    coarse, fine = (slice(start_s * hz, end_s * hz) for hz in (COARSE_HZ, CONTROL_RATE_HZ))
    bands, amplitude, rise = (
        frames.bands_TB[coarse],
        frames.amplitude_T[coarse],
        frames.rise_T[coarse],
    )
    whole, syllables, roughness = _movement(bands)
    return [
        syllables,
        roughness,
        whole,
        float(frames.brightness_T[coarse][amplitude >= 0.1 * amplitude.max()].std()),
        float(rise.std()),
        _regularity(rise),
        float(frames.flatness_F[fine].mean()),
        float(np.quantile(frames.likeness_F[fine], 0.8)),
        float(np.quantile(frames.standing_F[fine], 0.8)),
    ]


def _movement(bands_TB: Array) -> tuple[float, float, float]:
    """How much levels move at 0.9 to 25 Hz (log10 of squared dB), and the shares of 2.2 to 5.8 Hz
    and of 5.8 to 14 Hz in it.
    """
    size = len(bands_TB)
    moving = (bands_TB - bands_TB.mean(axis=0)) * np.hanning(size).astype(np.float32)[:, None]
    spectrum = np.sum(np.abs(np.fft.rfft(moving, axis=0)) ** 2, axis=1)
    hertz = np.fft.rfftfreq(size, 1 / COARSE_HZ)
    whole, syllables, roughness = (
        float(spectrum[(hertz >= low) & (hertz < high)].sum())
        for low, high in ((0.9, 25.0), (2.2, 5.8), (5.8, 14.0))
    )
    whole += 1e-9
    return float(np.log10(whole / size**2 + 1e-3)), syllables / whole, roughness / whole


def _regularity(rise_T: Array) -> float:
    """Highest autocorrelation of the rises at 0.2 to 1.5 s: near 1 where strokes come evenly."""
    moving, size = rise_T - rise_T.mean(), len(rise_T)
    padded = 1 << (2 * size - 1).bit_length()
    alike = np.fft.irfft(np.abs(np.fft.rfft(moving, padded)) ** 2)[:size]
    return float(alike[20:150].max() / (alike[0] + 1e-6)) if size > 20 else 0.0
