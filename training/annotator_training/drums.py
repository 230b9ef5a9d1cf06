"""The drums of a practice piece: one kit, one groove in every bar but for crashes and fills."""

from typing import Final, NamedTuple

import numpy as np

from training.annotator_training.etude import Etude
from training.annotator_training.notes import DRUMS, MidiNote

# General MIDI's drum notes.
_KICK: Final = 36
_SNARE: Final = 38
_CRASH: Final = 49
_TOMS: Final = (50, 48, 47, 45)  # from high to low
# closed hi-hat most often; ride, maracas, pedal and open hi-hat
_TIMEKEEPERS: Final = (42, 42, 42, 51, 70, 44, 46)
# by meter, in beats after the bar line
_BACKBEAT: Final = {4: (1.0, 3.0), 3: (1.0, 2.0), 2: (1.0,)}


class Groove(NamedTuple):
    """What is played in every bar: beats after the bar line, in the order of drawing."""

    kicks: tuple[float, ...]
    snares: tuple[float, ...]
    ghosts: tuple[float, ...]  # soft strokes on the snare
    strokes: tuple[float, ...]  # of the timekeeper
    accents: tuple[float, ...]  # of each of those strokes
    timekeeper: int
    loud: float
    crash: bool  # on the first of every four bars
    fills: bool  # at the end of every four bars


def drums(piece: Etude, rng: np.random.Generator) -> list[MidiNote]:
    """A groove from the first bar to the last."""
    groove = _groove(rng, piece.meter)
    notes: list[MidiNote] = []
    for bar in range(piece.beats // piece.meter):
        notes += _bar(groove, bar, piece.meter)
    return notes


def _groove(rng: np.random.Generator, meter: int) -> Groove:
    kicks, snares, ghosts = _kicks(rng, meter), _snares(rng, meter), _ghosts(rng, meter)
    grid = float(rng.choice((1.0, 0.5, 0.5, 0.25)))
    strokes = np.arange(0, meter, grid)
    timekeeper = int(rng.choice(_TIMEKEEPERS))
    accents = rng.uniform(0.5, 1.0, size=len(strokes))
    loud = float(rng.uniform(0.5, 1.0))
    without_kick, without_snare, without_timekeeper = (
        rng.random() < share for share in (0.2, 0.2, 0.15)
    )
    crash, fills = rng.random() < 0.4, rng.random() < 0.4
    if rng.random() < 0.5:  # the bar line is heard
        accents[0] *= 1.15
    silent = without_timekeeper and not (without_kick and without_snare)  # something must play
    return Groove(
        kicks=() if without_kick else kicks,
        snares=() if without_snare else snares,
        ghosts=() if without_snare else ghosts,
        strokes=() if silent else tuple(map(float, strokes)),
        accents=() if silent else tuple(map(float, accents)),
        timekeeper=timekeeper,
        loud=loud,
        crash=crash,
        fills=fills,
    )


def _kicks(rng: np.random.Generator, meter: int) -> tuple[float, ...]:
    """On one and at up to three other eighths, or on every beat."""
    every_beat = {float(beat) for beat in range(meter)}
    kicks = every_beat
    if rng.random() < 0.9:
        kicks = {0.0} | _some(rng, np.arange(0.5, meter, 0.5), int(rng.integers(0, 4)))
    return tuple(every_beat if rng.random() < 0.2 else kicks)


def _snares(rng: np.random.Generator, meter: int) -> tuple[float, ...]:
    """On the backbeat; in half time; on its last beat alone; or nowhere."""
    kind = rng.random()
    if kind < 0.7:
        return tuple(set(_BACKBEAT[meter]))
    if meter == 4 and kind < 0.82:
        return (2.0,)
    return _BACKBEAT[meter][-1:] if kind < 0.92 else ()


def _ghosts(rng: np.random.Generator, meter: int) -> tuple[float, ...]:
    """Up to three sixteenths off the eighths, or none."""
    if rng.random() >= 0.25:
        return ()
    return tuple(_some(rng, np.arange(0.25, meter, 0.5), int(rng.integers(1, 4))))


def _some(rng: np.random.Generator, beats: np.ndarray, count: int) -> set[float]:
    return {float(beat) for beat in rng.choice(beats, size=count, replace=False)}


def _bar(groove: Groove, bar: int, meter: int) -> list[MidiNote]:
    start, loud = bar * meter, groove.loud
    notes = [MidiNote(DRUMS, start + hit, 0.1, _KICK, int(110 * loud)) for hit in groove.kicks]
    notes += [MidiNote(DRUMS, start + hit, 0.1, _SNARE, int(105 * loud)) for hit in groove.snares]
    notes += [MidiNote(DRUMS, start + hit, 0.1, _SNARE, int(45 * loud)) for hit in groove.ghosts]
    for hit, accent in zip(groove.strokes, groove.accents, strict=True):
        notes.append(MidiNote(DRUMS, start + hit, 0.08, groove.timekeeper, int(85 * loud * accent)))
    if groove.crash and bar % 4 == 0:
        notes.append(MidiNote(DRUMS, start, 0.5, _CRASH, int(95 * loud)))
    if groove.fills and bar % 4 == 3:  # sixteenths over the last beat
        notes += [
            MidiNote(DRUMS, start + meter - 1 + turn / 4, 0.1, tom, int(95 * loud))
            for turn, tom in enumerate(_TOMS)
        ]
    return notes
