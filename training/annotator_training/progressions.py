"""Progressions for practice pieces: degrees of a key, drawn one after another as they like to
follow, and how they are coloured.
"""

from typing import Final, NamedTuple

import numpy as np

from schemas.chord import Chord, ChordQuality
from schemas.pitch import Key, Mode

Q = ChordQuality
_FOURTH: Final = 5  # semitones up, which is where a fifth down leads
_FLAT_SEVEN: Final = 10  # a degree whose seventh chord has the dominant's notes, not its pull
_NINTH: Final = 2
_FOREIGN_BASSES: Final = (10, 2, 5)  # semitones above the root: F/Eb, C/D, C/F


class Degree(NamedTuple):
    """A chord of a key: semitones above the tonic, triad, seventh chord, and how often it comes."""

    step: int
    triad: ChordQuality
    seventh: ChordQuality
    weight: float


# The weights are estimates: home and its neighbours often, borrowed chords and secondary dominants
# now and then.
_DEGREES: Final = {
    Mode.MAJOR: (
        Degree(0, Q.MAJ, Q.MAJ7, 5.0),
        Degree(2, Q.MIN, Q.MIN7, 2.5),
        Degree(4, Q.MIN, Q.MIN7, 1.3),
        Degree(5, Q.MAJ, Q.MAJ7, 4.0),
        Degree(7, Q.MAJ, Q.DOM7, 4.5),
        Degree(9, Q.MIN, Q.MIN7, 3.0),
        Degree(11, Q.DIM, Q.HDIM7, 0.5),
        Degree(10, Q.MAJ, Q.DOM7, 0.7),
        Degree(8, Q.MAJ, Q.MAJ7, 0.4),
        Degree(3, Q.MAJ, Q.MAJ7, 0.3),
        Degree(5, Q.MIN, Q.MIN6, 0.5),
        Degree(2, Q.MAJ, Q.DOM7, 0.6),
        Degree(4, Q.MAJ, Q.DOM7, 0.5),
        Degree(9, Q.MAJ, Q.DOM7, 0.5),
        Degree(0, Q.MAJ, Q.DOM7, 0.4),
        Degree(1, Q.DIM, Q.DIM7, 0.25),
        Degree(0, Q.AUG, Q.AUG, 0.25),
        Degree(7, Q.MIN, Q.MIN7, 0.3),
        Degree(6, Q.DIM, Q.HDIM7, 0.2),
    ),
    Mode.MINOR: (
        Degree(0, Q.MIN, Q.MIN7, 5.0),
        Degree(2, Q.DIM, Q.HDIM7, 0.9),
        Degree(3, Q.MAJ, Q.MAJ7, 2.0),
        Degree(5, Q.MIN, Q.MIN7, 3.2),
        Degree(7, Q.MAJ, Q.DOM7, 3.5),
        Degree(7, Q.MIN, Q.MIN7, 1.2),
        Degree(8, Q.MAJ, Q.MAJ7, 3.0),
        Degree(10, Q.MAJ, Q.DOM7, 2.5),
        Degree(5, Q.MAJ, Q.DOM7, 0.6),
        Degree(11, Q.DIM, Q.DIM7, 0.6),
        Degree(1, Q.MAJ, Q.MAJ7, 0.4),
        Degree(3, Q.AUG, Q.AUG, 0.25),
        Degree(0, Q.MAJ, Q.DOM7, 0.3),
        Degree(2, Q.MAJ, Q.DOM7, 0.3),
        Degree(9, Q.DIM, Q.HDIM7, 0.2),
    ),
}


class Manner(NamedTuple):
    """How a piece's chords are coloured: sevenths, inversions, and whether any chord may come."""

    sevenths: float
    inversions: float
    wild: bool


class Coloured(NamedTuple):
    """A chord and the tension that sounds unnamed with it, in semitones above the root, or none."""

    chord: Chord
    colour: int | None = None


def sample_manner(rng: np.random.Generator) -> Manner:
    """From plain triads to sevenths nearly everywhere; one piece in twenty is wild."""
    return Manner(
        sevenths=float(rng.choice((0.05, 0.25, 0.6, 0.95))),
        inversions=float(rng.choice((0.0, 0.1, 0.35))),
        wild=rng.random() < 0.05,
    )


def progression(
    rng: np.random.Generator, key: Key, manner: Manner, length: int
) -> tuple[Coloured, ...]:
    """`length` chords, each drawn after the one before: 70 in 100 begin at home, 15 end there."""
    degrees = _DEGREES[key.mode]
    home = rng.random()
    chosen: list[Degree] = []
    for index in range(length):
        closes = index == length - 1 and length > 2
        if (index == 0 and home < 0.7) or (closes and 0.7 <= home < 0.85):
            chosen.append(degrees[0])
            continue
        weights = np.array(
            [degree.weight * _follows(chosen[-1] if chosen else None, degree) for degree in degrees]
        )
        if closes:  # the turn-around leads back
            weights *= [2.0 if degree.step in (5, 7, 10) else 1.0 for degree in degrees]
        chosen.append(degrees[int(rng.choice(len(degrees), p=weights / weights.sum()))])
    return tuple(_coloured(rng, key, degree, manner) for degree in chosen)


def _follows(before: Degree | None, degree: Degree) -> float:
    """How gladly a degree follows another: dominants fall a fifth, diminished chords rise a
    semitone, nothing likes to stand still.
    """
    if before is None:
        return 1.0
    motion = (degree.step - before.step) % 12
    if motion == 0:
        return 0.15
    if before.seventh is Q.DOM7 and before.step != _FLAT_SEVEN:
        return {_FOURTH: 8.0, 2: 2.0}.get(motion, 1.0)
    if before.seventh in (Q.DIM7, Q.HDIM7):
        return 6.0 if motion in (1, _FOURTH) else 1.0
    return {_FOURTH: 2.5, 2: 1.4, 7: 1.4, 9: 1.4}.get(motion, 1.0)


def _coloured(rng: np.random.Generator, key: Key, degree: Degree, manner: Manner) -> Coloured:
    """A degree as a chord of the key: perhaps with seventh or ninth, altered or inverted."""
    step, quality = (
        degree.step,
        degree.seventh if rng.random() < manner.sevenths else degree.triad,
    )
    if manner.wild or rng.random() < 0.02:
        step, quality = int(rng.integers(12)), list(Q)[int(rng.integers(len(Q)))]
    elif quality in (Q.MAJ, Q.MIN):
        quality = _altered(rng, quality)
    plain = Chord(root=(key.tonic + step) % 12, quality=quality)
    colour = _NINTH if quality in (Q.DOM7, Q.MIN7, Q.MAJ7) and rng.random() < 0.15 else None
    # turned, these are other chords
    if rng.random() >= manner.inversions or quality in (Q.AUG, Q.DIM7, Q.SUS2, Q.SUS4):
        return Coloured(plain, colour)
    return Coloured(_inverted(rng, plain))


def _altered(rng: np.random.Generator, triad: ChordQuality) -> ChordQuality:
    """A triad, or now and then its suspended or sixth chord."""
    other = rng.random()
    if other < 0.05:
        return Q.SUS4
    if other < 0.09:
        return Q.SUS2
    if other < 0.13:
        return Q.MAJ6 if triad is Q.MAJ else Q.MIN6
    return triad


def _inverted(rng: np.random.Generator, plain: Chord) -> Chord:
    """The chord over another of its notes, or, one time in ten, over a bass drawn freely."""
    if rng.random() < 0.9:
        notes = sorted(plain.pitches - {plain.root})
        return plain.replaced(bass=int(rng.choice(notes)))
    return plain.replaced(bass=(plain.root + int(rng.choice(_FOREIGN_BASSES))) % 12)
