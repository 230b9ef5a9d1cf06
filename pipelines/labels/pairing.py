"""Two clips that can sound together: at which speed, how many semitones higher and from when the
one, the guest, falls on the beats and into the key of the other, its host.
"""

from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.labels import Beats, Labels
from schemas.pitch import Key, Mode
from schemas.recipe import MixRecipe

# A listener takes two strokes for one up to about this far apart; half the window of F-measures.
DRIFT_S: Final = 0.035
LEAST_BEATS: Final = 8  # two bars of four: fewer say too little of a tempo
LEAST_COVER: Final = 0.75  # of the host, over which its guest sounds
_SPEED_DECIMALS: Final = 4
_TIME_DECIMALS: Final = 3
_RELATIVE: Final = 3  # semitones from a minor key's tonic up to its relative major's
_SLACK: Final = 0.02  # tempi are means: the beats themselves have the last word
Times = npt.NDArray[np.float64]


class Pairing(NamedTuple):
    """What is done to a guest: second `t` of it is then heard at ``offset_s + t / speed``."""

    speed: float
    semitones: int
    offset_s: float


class Misfit(StrEnum):
    """Why two sure clips cannot sound together, in the order in which it is asked."""

    METER = "meter"
    KEY = "key"  # too many semitones apart
    TEMPO = "tempo"  # too great a change of speed
    BEATS = "beats"  # drift apart, or too few fall together


def unsure(labels: Labels, recipe: MixRecipe) -> str:
    """The first label of a clip that is missing, or not sure enough for it to be mixed, with the
    figure; "" where all are.
    """
    beats, meter, key = labels.beats, labels.meter, labels.key
    bars = meter.beats_per_bar is not None
    asked = (
        ("beats", bool(beats.times_s), beats.confidence, recipe.min_beats_confidence),
        ("downbeats", bars, beats.downbeat_confidence, recipe.min_downbeats_confidence),
        ("meter", bars, meter.confidence, recipe.min_meter_confidence),
        ("key", key.key is not None, key.confidence, recipe.min_key_confidence),
    )
    for name, is_there, found, least in asked:
        if not is_there:
            return f"no {name}"
        if found < least:
            return f"confidence of {name} {found:.2f}, limit {least:g}"
    return ""


def paired(host: Labels, guest: Labels, recipe: MixRecipe) -> Pairing | Misfit:
    """How a guest fits its host, or what is in the way.

    `host` are the labels of the host's clip alone, `guest` those of the guest's extended window:
    where it is sped up, what is past its clip sounds too.
    """
    if host.meter.beats_per_bar != guest.meter.beats_per_bar:
        return Misfit.METER
    semitones = semitones_between(guest.key.key, host.key.key)
    if semitones is None or abs(semitones) > recipe.semitones_max:
        return Misfit.KEY
    speed = (host.tempo.bpm or 0.0) / (guest.tempo.bpm or np.inf)
    if abs(speed - 1) > recipe.speed_max + _SLACK:
        return Misfit.TEMPO
    fits = [
        fit
        for shift in range(1 - len(host.beats.times_s), len(guest.beats.times_s))
        if (fit := _shifted(host, guest, shift)) and abs(fit.speed - 1) <= recipe.speed_max
    ]
    if not fits:
        return Misfit.BEATS
    best = max(fits, key=lambda fit: (fit.cover, -abs(fit.offset_s)))
    return Pairing(best.speed, semitones, best.offset_s)


def semitones_between(key: Key | None, home: Key | None) -> int | None:
    """The fewest semitones from a key to another, or to its relative where the modes differ.

    >>> semitones_between(Key.parse("A minor"), Key.parse("C major"))
    0
    >>> semitones_between(Key.parse("B minor"), Key.parse("C major"))
    -2
    """
    if key is None or home is None:
        return None
    tonic = home.tonic
    if key.mode is not home.mode:
        tonic += -_RELATIVE if home.mode is Mode.MAJOR else _RELATIVE
    return (tonic - key.tonic + 6) % 12 - 6


class _Fit(NamedTuple):
    """A guest at one speed from one moment, and the share of its host over which it sounds."""

    speed: float
    offset_s: float
    cover: float


def _shifted(host: Labels, guest: Labels, shift: int) -> _Fit | None:
    """The fit in which the guest's beat `shift` is the host's first, where bars and beats agree."""
    matched = _matched(host.beats, guest.beats, shift)
    if matched is None:
        return None
    host_s, guest_s = matched
    slope, offset = np.polyfit(guest_s, host_s, 1)
    speed, offset_s = (
        round(1 / float(slope), _SPEED_DECIMALS),
        round(float(offset), _TIME_DECIMALS),
    )
    if speed <= 0 or np.abs(offset_s + guest_s / speed - host_s).max() > DRIFT_S:
        return None
    end_s = min(host.duration_s, offset_s + guest.duration_s / speed)
    cover = (end_s - max(0.0, offset_s)) / host.duration_s
    return _Fit(speed, offset_s, cover) if cover >= LEAST_COVER else None


def _matched(host: Beats, guest: Beats, shift: int) -> tuple[Times, Times] | None:
    """Beats that fall together where the guest's beat `shift` is the host's first; none where they
    are too few, or of another place in the bar.
    """
    first, last = max(0, -shift), min(len(host.times_s), len(guest.times_s) - shift)
    if last - first < LEAST_BEATS:
        return None
    theirs = slice(first + shift, last + shift)
    if host.numbers[first:last] != guest.numbers[theirs]:
        return None
    return np.array(host.times_s[first:last]), np.array(guest.times_s[theirs])
