"""Whether a stated fact can be true beside the labels, or beside another stated fact."""

from collections.abc import Sequence
from itertools import groupby
from typing import Final

from pipelines.captioning.tempo_words import TEMPO_RANGES, BpmRange
from schemas.chord import Chord
from schemas.fact import (
    BpmFact,
    ChordsFact,
    DynamicsFact,
    Fact,
    KeyFact,
    MeterFact,
    TempoWordFact,
    TimedChordsFact,
    TimeFact,
)
from schemas.labels import Chords, KeyLabel, Labels

# MIREX and mir_eval count a tempo within 4 % as right; half and double are wrong here
BPM_TOLERANCE: Final = 0.04
# a start written with one decimal, and a beat's width of doubt in the label
START_TOLERANCE_S: Final = 0.15
WORD_TOLERANCE: Final = 0.10  # tables of tempo words differ by about that much
ChordStart = tuple[str, float]  # a Harte label and its start in seconds


def contradiction(fact: Fact, labels: Labels) -> bool:
    """Whether a fact is false by the labels of the same audio.

    Where the label is missing, nothing is contradicted.

    Tempo numbers may differ by 4 %, words by 10 % of their range; meter, key (however spelled) and
    the order of chords must be equal, and each timed chord start within 0.15 s of its label; a time
    must lie within the audio. No label speaks of dynamics, instruments or moods.

    >>> from schemas.labels import Beats, Chords, KeyLabel, Meter, Tempo
    >>> how = dict(confidence=1, tool="t", version="1", licence="CC0")
    >>> kinds = dict(beats=Beats, meter=Meter, chords=Chords, key=KeyLabel)
    >>> empty = {name: kind(**how) for name, kind in kinds.items()} | {"duration_s": 10}
    >>> labels = Labels(tempo=Tempo(bpm=120, **how), **empty)
    >>> [contradiction(BpmFact(bpm=bpm), labels) for bpm in (118, 60)]
    [False, True]
    """
    match fact:
        case BpmFact() | TempoWordFact():
            return labels.tempo.bpm is not None and not _may_be(fact, labels.tempo.bpm)
        case MeterFact():
            beats = labels.meter.beats_per_bar
            return beats is not None and fact.beats_per_bar != beats
        case KeyFact():
            return labels.key.key is not None and _keys_differ(fact, labels.key)
        case ChordsFact() | TimedChordsFact():
            return _differs_from(fact, labels.chords)
        case TimeFact():
            return fact.time_s > labels.duration_s
        case _:
            return False


def _differs_from(fact: ChordsFact | TimedChordsFact, chords: Chords) -> bool:
    """Whether chords are in another order than the labels, or timed ones begin elsewhere."""
    estimated = [
        (segment.label, segment.start_s) for segment in chords.segments if segment.chord is not None
    ]
    if not estimated:
        return False
    if isinstance(fact, ChordsFact):
        return merged(fact.chords) != merged([label for label, _ in estimated])
    return _starts_differ(timed(fact), _first_of_runs(estimated))


def disagree(one: Fact, other: Fact) -> bool:
    """Whether two facts about the same music cannot both be true.

    Two times may both be named, two instruments both play.

    >>> disagree(MeterFact(beats_per_bar=3), MeterFact(beats_per_bar=4))
    True
    """
    match one, other:
        case (BpmFact() | TempoWordFact()) as first, (BpmFact() | TempoWordFact()) as second:
            return _tempos_differ(first, second)
        case (ChordsFact() | TimedChordsFact()) as chords, (
            ChordsFact() | TimedChordsFact()
        ) as other_chords:
            return _chords_differ(chords, other_chords)
        case KeyFact() as key, KeyFact() as other_key:
            return _keys_differ(key, other_key)
        case (MeterFact(), MeterFact()) | (DynamicsFact(), DynamicsFact()):
            return one.at(0) != other.at(0)
        case _:
            return False


def chord_labels(chords: Chords) -> tuple[str, ...]:
    """Harte labels of the chords in order, stretches without a chord left out, immediate repeats
    merged.
    """
    return merged([segment.label for segment in chords.segments if segment.chord is not None])


def merged(labels: Sequence[str]) -> tuple[str, ...]:
    """Chord labels in canonical spelling without immediate repeats.

    >>> merged(["A:min", "A:min", "A#:maj"])
    ('A:min', 'Bb:maj')
    """
    hartes = [Chord.parse(label).harte for label in labels]
    return tuple(harte for harte, _ in groupby(hartes))


def sequence(fact: ChordsFact | TimedChordsFact) -> tuple[str, ...]:
    """The chords of a fact about them, in order, timed or not, immediate repeats merged.

    >>> sequence(ChordsFact(chords=("A:min", "A:min", "F:maj")))
    ('A:min', 'F:maj')
    """
    labels = (
        fact.chords
        if isinstance(fact, ChordsFact)
        else [chord.label for chord in fact.timed_chords]
    )
    return tuple(label for label, _ in groupby(labels))


def timed(fact: TimedChordsFact) -> tuple[ChordStart, ...]:
    """Chords and starts of a timed fact, immediate repeats merged.

    >>> from schemas.fact import TimedChord
    >>> starts = (("A", 0), ("A", 1), ("F", 2.5))
    >>> chords = [TimedChord(label=label, start_s=start_s) for label, start_s in starts]
    >>> timed(TimedChordsFact(timed_chords=chords))
    (('A:maj', 0.0), ('F:maj', 2.5))
    """
    return _first_of_runs([(chord.label, chord.start_s) for chord in fact.timed_chords])


def _first_of_runs(chords: Sequence[ChordStart]) -> tuple[ChordStart, ...]:
    """Each chord in canonical spelling where it begins anew."""
    named = [(Chord.parse(label).harte, at_s) for label, at_s in chords]
    return tuple(next(run) for _, run in groupby(named, key=lambda chord: chord[0]))


def _starts_differ(one: Sequence[ChordStart], other: Sequence[ChordStart]) -> bool:
    """Whether two timed sequences differ in a chord, or in a start by more than the tolerance."""
    if [label for label, _ in one] != [label for label, _ in other]:
        return True
    return any(
        abs(start - at) > START_TOLERANCE_S + 1e-9
        for (_, start), (_, at) in zip(one, other, strict=True)
    )


def _span(word: str) -> BpmRange:
    return TEMPO_RANGES.get(word, BpmRange(0, 1000))


def _may_be(fact: BpmFact | TempoWordFact, bpm: float) -> bool:
    """Whether a tempo fact allows this many beats per minute."""
    if isinstance(fact, BpmFact):
        return abs(fact.bpm - bpm) <= BPM_TOLERANCE * bpm
    span = _span(fact.word)
    return span.low * (1 - WORD_TOLERANCE) <= bpm <= span.high * (1 + WORD_TOLERANCE)


def _keys_differ(one: KeyFact | KeyLabel, other: KeyFact | KeyLabel) -> bool:
    """Whether two keys differ; a bare mode agrees with every key of that mode."""
    if one.tonic is None or other.tonic is None:
        return one.mode is not other.mode
    return one.key != other.key


def _tempos_differ(one: BpmFact | TempoWordFact, other: BpmFact | TempoWordFact) -> bool:
    """Whether no tempo suits both."""
    if isinstance(other, BpmFact):
        return not _may_be(one, other.bpm)
    if isinstance(one, BpmFact):
        return not _may_be(other, one.bpm)
    first, second = _span(one.word), _span(other.word)
    return first.high <= second.low or second.high <= first.low


def _chords_differ(one: ChordsFact | TimedChordsFact, other: ChordsFact | TimedChordsFact) -> bool:
    """Whether the order of chords differs or, where both have times, a start."""
    if isinstance(one, TimedChordsFact) and isinstance(other, TimedChordsFact):
        return _starts_differ(timed(one), timed(other))
    return sequence(one) != sequence(other)
