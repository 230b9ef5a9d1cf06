"""A clip in words: tempo, meter and mode from its labels; drums, sustain, density and brightness
measured on its wave.
"""

from typing import Final, NamedTuple

import numpy as np

from pipelines.audio.controls import onsets
from pipelines.audio.decode import Wave
from pipelines.audio.spectra import COARSE_HZ, EAR_HZ, Spectra, measured_spectra
from schemas.controls import CONTROL_RATE_HZ
from schemas.labels import Labels
from schemas.pitch import Mode

# Thresholds were set on 110 rendered clips (seeds 600-709); figures are medians, or where two kinds
# of clip part best.
_WIDE_DB: Final = 6.0  # a stroke lifts a band by this within 20 ms
_WIDE_SHARE: Final = 0.3  # of the bands, at the strongest twentieth of the moments
_NOISY: Final = -0.6  # log flatness of 3.9 to 7 kHz: cymbals and snares fill it evenly
_BUSY_PER_S: Final = 2.5
_SPARSE_PER_S: Final = 1.2
# level of the quietest tenth of the moments beside the mean: organs, strings and choirs do not fade
_STEADY: Final = 0.3
_BRIGHT_BAND: Final = 12.0  # mean band, of 40 on the mel scale
_DARK_BAND: Final = 7.5


class Descriptors(NamedTuple):
    """What a clip sounds like."""

    percussive: bool  # most likely with drums
    steady: bool  # tones that last, instead of being struck or plucked
    onsets_per_s: float
    brightness: float  # mean band of 40, equal in width on the mel scale


def descriptors(wave: Wave) -> Descriptors:
    """Descriptors of a mono wave at 16 kHz."""
    sound = measured_spectra(wave, EAR_HZ, max(1, len(wave) * CONTROL_RATE_HZ // EAR_HZ))
    per_s = onsets(sound.bands_TB) * COARSE_HZ / len(sound.bands_TB)
    power_TB = 10 ** (sound.bands_TB / 10)
    votes = (_wide_share(sound) > _WIDE_SHARE, _noisiness(sound) > _NOISY, per_s > _BUSY_PER_S)
    steadiness = float(np.quantile(sound.power_T, 0.1) / max(float(sound.power_T.mean()), 1e-12))
    brightness = float((power_TB @ np.arange(power_TB.shape[1]) / power_TB.sum(axis=1)).mean())
    return Descriptors(
        sum(votes) >= 2,
        steadiness > _STEADY and per_s < _BUSY_PER_S,
        round(per_s, 2),
        round(brightness, 2),
    )


def _wide_share(sound: Spectra) -> float:
    rise_TB = np.maximum(0, sound.bands_TB[2:] - sound.bands_TB[:-2])
    return float(np.quantile((rise_TB > _WIDE_DB).mean(axis=1), 0.95)) if len(rise_TB) else 0.0


def _noisiness(sound: Spectra) -> float:
    high_FK = np.maximum(sound.fine_FK[:, 1000:1800], 1e-6)
    return float(np.mean(np.log(high_FK).mean(axis=1) - np.log(high_FK.mean(axis=1))))


def described(wave: Wave, labels: Labels) -> str:
    """A few sentences on a clip, of what is known alone."""
    found = descriptors(wave)
    return " ".join(
        sentence
        for sentence in (_piece(found, labels), _sound(found, labels), _mood(labels))
        if sentence
    )


def _piece(found: Descriptors, labels: Labels) -> str:
    tempo = _tempo(labels)
    if found.percussive and not labels.chords.segments:
        return f"A solo drum kit pattern{tempo}, a beat of drums and percussion without melody."
    kind = {3: "waltz"}.get(labels.meter.beats_per_bar or 0, "piece of music")
    manner = "flowing"
    if found.onsets_per_s < _SPARSE_PER_S:
        manner = "gentle"
    elif found.onsets_per_s > _BUSY_PER_S:
        manner = "rhythmic"
    drums = "with drums and bass" if found.percussive else "without drums"
    return f"A {manner} {kind}{tempo}, {drums}."


def _tempo(labels: Labels) -> str:
    bpm = labels.tempo.bpm
    if bpm is None:
        return ""
    word = next(
        word
        for limit, word in (
            (76, "slow"),
            (108, "moderate"),
            (140, "lively"),
            (float("inf"), "fast"),
        )
        if bpm < limit
    )
    return f" at a {word} tempo"


def _sound(found: Descriptors, labels: Labels) -> str:
    if not labels.chords.segments:
        return ""
    colour = "clear"
    if found.brightness > _BRIGHT_BAND:
        colour = "bright"
    elif found.brightness < _DARK_BAND:
        colour = "dark and warm"
    tones = (
        "sustained tones, like strings, choir or organ"
        if found.steady
        else "struck and plucked notes, like piano or guitar"
    )
    return f"The sound is {colour}, with {tones}."


def _mood(labels: Labels) -> str:
    if labels.key.mode is None:
        return ""
    minor = labels.key.mode is Mode.MINOR
    return (
        "The mood is dark, melancholic and wistful."
        if minor
        else "The mood is cheerful, uplifting and warm."
    )
