"""Chords from the harmony network's activations: a hidden Markov model over chord and bass, whose
changes prefer beats.

Shapes: T frames, S states; a state is a chord and the pitch class in the bass.
"""

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.annotators.harmony import (
    NO_BASS,
    NO_CHORD_CLASS,
    QUALITIES,
    HarmonyActivations,
    chord_class,
)
from pipelines.annotators.pitch_spectrum import FPS
from schemas.chord import NO_CHORD, Chord
from schemas.labels import TIME_DECIMALS, ChordSegment

# Fitted on practice pieces that the network was not trained on.
_BASS_WEIGHT: Final = 0.8  # how much the bass has to say beside the chord
_INVERTED: Final = -0.3  # log odds of a chord note in the bass that is not the root, at each frame
_FOREIGN: Final = -1.6  # of any other note
_CHANGE: Final = -4.0  # log odds of a change on a beat
_OFF_BEAT: Final = -3.0  # further log odds half-way between two beats, and where no beats are known
_SNAP_S: Final = 0.12  # a change this close to a beat is on it: the network's frames are 0.1 s long


class _States(NamedTuple):
    chord: npt.NDArray[np.intp]  # (S,) the network's class
    bass: npt.NDArray[np.intp]  # (S,) pitch class, or none
    prior: npt.NDArray[np.float64]  # (S,)
    names: tuple[str, ...]  # Harte syntax


class ChordPath(NamedTuple):
    """The likeliest chord of each frame."""

    classes: npt.NDArray[np.intp]  # (T,) the network's
    starts_s: tuple[float, ...]  # of the segments
    names: tuple[str, ...]  # Harte syntax

    def segments(self, duration_s: float) -> tuple[ChordSegment, ...]:
        """Segments that start at 0, join, and end at `duration_s`; equal neighbours are one."""
        ends = (*self.starts_s[1:], duration_s)
        merged: list[ChordSegment] = []
        for start, end, name in zip(self.starts_s, ends, self.names, strict=True):
            end_s = min(end, duration_s)
            # two changes were put on one beat: what stood before and after may be the same chord
            if end_s <= start:
                continue
            if merged and merged[-1].label == name:
                merged[-1] = merged[-1].replaced(end_s=end_s)
            else:
                merged.append(ChordSegment(start_s=start, end_s=end_s, label=name))
        return tuple(merged)


def chord_path(activations: HarmonyActivations, beats_s: tuple[float, ...]) -> ChordPath:
    """Decode a clip; changes near a beat are put on it."""
    states = _states()
    path = _best_path(emissions(activations), _change_costs(len(activations.chord), beats_s))
    changes = np.flatnonzero(np.diff(path)) + 1
    starts = (0.0, *(_snapped(frame / FPS, beats_s) for frame in changes))
    return ChordPath(
        states.chord[path], starts, tuple(states.names[path[frame]] for frame in (0, *changes))
    )


def emissions(activations: HarmonyActivations) -> npt.NDArray[np.float64]:
    """How well each state fits each frame, (T, S), in log odds."""
    states = _states()
    fit: npt.NDArray[np.float64] = (
        activations.chord[:, states.chord]
        + _BASS_WEIGHT * activations.bass[:, states.bass]
        + states.prior
    )
    return fit


def _bass_prior(chord: Chord, bass: int) -> float:
    """Log odds of a bass under a chord: of its root, of another of its notes, of none of them."""
    if bass == chord.root:
        return 0.0
    return _INVERTED if bass in chord.pitches else _FOREIGN


@lru_cache(maxsize=1)
def _states() -> _States:
    chord, bass, prior, names = [NO_CHORD_CLASS], [NO_BASS], [0.0], [NO_CHORD]
    for root in range(12):
        for quality in QUALITIES:
            plain = Chord(root=root, quality=quality)
            for note in range(12):
                chord.append(chord_class(plain))
                bass.append(note)
                prior.append(_bass_prior(plain, note))
                names.append(plain.replaced(bass=None if note == root else note).harte)
    return _States(np.array(chord), np.array(bass), np.array(prior), tuple(names))


def _change_costs(frames: int, beats_s: tuple[float, ...]) -> npt.NDArray[np.float64]:
    """Log odds of a change before each frame: highest on beats, lowest half-way between them."""
    if len(beats_s) < 2:
        return np.full(frames, _CHANGE + _OFF_BEAT / 2)
    beats = np.asarray(beats_s)
    times = np.arange(frames) / FPS
    beat_position = np.interp(times, beats, np.arange(len(beats)))
    off = 2 * np.abs(beat_position - np.round(beat_position))
    outside = (times < beats[0]) | (times > beats[-1])
    return _CHANGE + _OFF_BEAT * np.where(outside, 0.5, off)


def _best_path(
    fit_TS: npt.NDArray[np.float64], change_T: npt.NDArray[np.float64]
) -> npt.NDArray[np.intp]:
    """Viterbi where every change costs the same: the best state so far, or the one before."""
    frames, size = fit_TS.shape
    previous = np.empty((frames, size), np.intp)
    stay = np.arange(size)
    best = fit_TS[0]
    for frame in range(1, frames):
        leader = int(best.argmax())
        changed = best[leader] + change_T[frame]
        stays = best >= changed
        previous[frame] = np.where(stays, stay, leader)
        best = np.where(stays, best, changed) + fit_TS[frame]
    path = np.empty(frames, np.intp)
    path[-1] = int(best.argmax())
    for frame in range(frames - 1, 0, -1):
        path[frame - 1] = previous[frame, path[frame]]
    return path


def _snapped(time_s: float, beats_s: tuple[float, ...]) -> float:
    nearest = min(beats_s, key=lambda beat: abs(beat - time_s), default=time_s)
    return round(nearest if abs(nearest - time_s) <= _SNAP_S else time_s, TIME_DECIMALS)
