"""Which key chords are in: the scale that holds most of their notes."""

from collections.abc import Sequence
from typing import Final

from schemas.chord import Chord
from schemas.pitch import Key, Mode

# The minor scale has both sevenths: the dominant of minor keys is major more often than not, and
# chords may use either.
SCALES: Final = {
    Mode.MAJOR: frozenset((0, 2, 4, 5, 7, 9, 11)),
    Mode.MINOR: frozenset((0, 2, 3, 5, 7, 8, 10, 11)),
}
_THIRD: Final = {Mode.MAJOR: 4, Mode.MINOR: 3}
# A progression tends to begin, and less so to end, on its tonic. Each weighs less than one strange
# note in four triads (1 / 12), both together more: G F G is in G, Am F C G in no G major.
_FIRST_BONUS: Final = 0.08
_LAST_BONUS: Final = 0.04


def fit(chords: Sequence[Chord], key: Key) -> float:
    """Share of the chords' notes that belong to the scale of a key.

    >>> fit([Chord.parse("A:min"), Chord.parse("E:7")], Key.parse("A minor"))
    1.0
    >>> round(fit([Chord.parse("A:min"), Chord.parse("E:7")], Key.parse("C major")), 2)
    0.86
    """
    notes = [(pitch - key.tonic) % 12 for chord in chords for pitch in chord.pitches]
    return sum(note in SCALES[key.mode] for note in notes) / len(notes)


def best_key(chords: Sequence[Chord], mode: Mode | None = None) -> Key:
    """The key, of a mode if one is given, whose scale fits the chords best, with some weight on the
    first and the last as its home.

    Of equals the key of the first chord's root is taken, then the major one. Needs at least one
    chord.

    >>> best_key([Chord.parse_symbol(one) for one in ("Am", "F", "C", "G")]).name
    'A minor'
    >>> best_key([Chord.parse_symbol(one) for one in ("C", "G", "Am", "F")]).name
    'C major'
    >>> best_key([Chord.parse_symbol(one) for one in ("Dm7", "G7", "Cmaj7")]).name
    'C major'
    """
    keys = [
        Key(tonic=tonic, mode=one) for one in Mode for tonic in range(12) if mode in (None, one)
    ]

    def rank(key: Key) -> tuple[float, bool, bool, int]:
        home = _FIRST_BONUS * _is_home(chords[0], key) + _LAST_BONUS * _is_home(chords[-1], key)
        score = round(fit(chords, key) + home, 9)  # equal by music, whatever the order of adding
        return score, key.tonic == chords[0].root, key.mode is Mode.MAJOR, -key.tonic

    return max(keys, key=rank)


def _is_home(chord: Chord, key: Key) -> bool:
    """Whether a chord is the tonic triad of a key, perhaps with more notes."""
    return (
        chord.root == key.tonic
        and {chord.root, (chord.root + _THIRD[key.mode]) % 12, (chord.root + 7) % 12}
        <= chord.pitches
    )
