"""When a requested value counts as played: tempo bins, keys, and chord sequences.

Nothing here knows of missing labels.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Final, TypeVar

from schemas.chord import INTERVALS, Chord, ChordQuality
from schemas.pitch import Key, Mode

T = TypeVar("T", bound=Hashable)

# Upper edges of Grave, Largo, Adagio, Andante, Moderato, Allegro, Vivace, Presto; above is
# Prestissimo (Melechovsky et al., NAACL 2024).
TEMPO_EDGES_BPM: Final = (40, 60, 70, 90, 110, 140, 160, 210)


def tempo_bin(bpm: float) -> int:
    """The bin of a tempo, from 0; an edge belongs to the bin below it.

    >>> tempo_bin(40), tempo_bin(40.5), tempo_bin(90), tempo_bin(211)
    (0, 1, 3, 8)
    """
    return bisect_left(TEMPO_EDGES_BPM, bpm)


def same_or_relative(requested: Key, estimated: Key) -> bool:
    """Whether the estimated key is the one requested or has the same signature.

    >>> c, relative, other = (Key.parse(name) for name in ("C major", "A minor", "Eb minor"))
    >>> same_or_relative(c, relative), same_or_relative(c, other)
    (True, False)
    """
    return estimated in (requested, requested.relative())


def same_or_wrong_relative(requested: Key, estimated: Key) -> bool:
    """As the published code has it: the relative key is looked for in the wrong direction, three
    semitones off on the other side.

    For C major it takes E flat minor, for A minor F sharp major.

    >>> key, wrong, relative = (Key.parse(name) for name in ("A minor", "F# major", "C major"))
    >>> same_or_wrong_relative(key, wrong), same_or_wrong_relative(key, relative)
    (True, False)
    """
    if estimated == requested:
        return True
    step = 3 if requested.mode is Mode.MAJOR else -3
    return estimated.mode is not requested.mode and estimated.tonic == (requested.tonic + step) % 12


def longest_in_order(requested: Sequence[T], estimated: Sequence[T]) -> int:
    """Length of the longest common subsequence: requested items in order, with others between.

    >>> longest_in_order("abcd", "xbxd"), longest_in_order("abc", "cba")
    (2, 1)
    """
    row = [0] * (len(estimated) + 1)
    for item in requested:
        before = 0
        for index, other in enumerate(estimated, start=1):
            before, row[index] = (
                row[index],
                before + 1 if item == other else max(row[index], row[index - 1]),
            )
    return row[-1]


def beginning_in_order(requested: Sequence[T], estimated: Sequence[T]) -> int:
    """As the published code has it: how many requested items from the first on come in order.

    One that is missing ends the count.

    >>> beginning_in_order("abcd", "xaxb"), beginning_in_order("abcd", "bcd")
    (2, 0)
    """
    found = 0
    for item in estimated:
        found += found < len(requested) and item == requested[found]
    return found


def matches_in_any_order(requested: Sequence[T], estimated: Sequence[T]) -> int:
    """How many requested items are among the estimated, each of which serves once.

    >>> matches_in_any_order("aab", "bac")
    2
    """
    return (Counter(requested) & Counter(estimated)).total()


def called_for(requested: Sequence[T], estimated: Sequence[T]) -> int:
    """How many estimated items the requested sequence, played round and round, calls for in order.

    It is the longest common subsequence with as many rounds as it takes to be as long as what was
    estimated.

    >>> called_for("abc", "abcab"), called_for("abc", "abcxyz"), called_for("a", "aba")
    (5, 3, 1)
    """
    rounds = list(requested)
    while requested and len(rounds) < len(estimated):
        longer = [item for item, _ in groupby([*rounds, *requested])]
        if len(longer) == len(rounds):  # one item alone, which never gets longer
            break
        rounds = longer
    return longest_in_order(estimated, rounds)


@lru_cache(maxsize=4096)  # a closed vocabulary, and a thousand clips against each other's prompts
def by_third(label: str) -> tuple[int, str]:
    """A chord's root and whether its third is minor or major; suspended chords have none.

    >>> by_third("A:min7/b3"), by_third("B:dim"), by_third("G:7"), by_third("D:sus4")
    ((9, 'minor'), (11, 'minor'), (7, 'major'), (2, 'none'))
    """
    chord = Chord.parse(label)
    steps = INTERVALS[chord.quality]
    if 3 in steps:
        return chord.root, "minor"
    return chord.root, "major" if 4 in steps else "none"


@lru_cache(maxsize=4096)
def by_published_type(label: str) -> tuple[int, str]:
    """As the published code has it: diminished and augmented triads (and diminished sevenths) are
    one class, neither major nor minor.

    >>> by_published_type("B:dim"), by_published_type("B:hdim7"), by_published_type("C:aug")
    ((11, 'other'), (11, 'minor'), (0, 'other'))
    """
    chord = Chord.parse(label)
    if chord.quality in (ChordQuality.DIM, ChordQuality.DIM7, ChordQuality.AUG):
        return chord.root, "other"
    return by_third(label)


def merged_by(labels: Sequence[T]) -> tuple[T, ...]:
    """A sequence without immediate repeats: ``Am Am7`` by their thirds are one chord."""
    return tuple(item for item, _ in groupby(labels))
