"""Whether a stated fact can be true beside the labels, or beside another stated fact."""

from collections.abc import Callable
from itertools import groupby
from typing import Final

from pipelines.captioning.tempo_words import TEMPO_RANGES, BpmRange
from schemas.caption import Fact, FactKind
from schemas.chord import Chord
from schemas.labels import Chords, Labels
from schemas.pitch import Key

# MIREX and mir_eval count a tempo within 4 % as right; half and double are wrong here
BPM_TOLERANCE: Final = 0.04
# a start written with one decimal, and a beat's width of doubt in the label
START_TOLERANCE_S: Final = 0.15
WORD_TOLERANCE: Final = 0.10  # tables of tempo words differ by about that much
TEMPO_KINDS: Final = frozenset((FactKind.BPM, FactKind.TEMPO_WORD))
_SEQUENCE_KINDS: Final = frozenset((FactKind.CHORDS, FactKind.TIMED_CHORDS))
TimedChord = tuple[str, float]  # a Harte label and its start in seconds


def contradiction(fact: Fact, labels: Labels) -> bool:
    """Whether a fact is false by the labels of the same audio. Where the label is missing, nothing
    is contradicted.

    Tempo numbers may differ by 4 %, words by 10 % of their range; meter, key (however spelled) and
    the order of chords must be equal, and each timed chord start within 0.15 s of its label; a time
    must lie within the audio. No label speaks of dynamics.

    >>> from schemas.labels import Beats, Chords, KeyLabel, Meter, Tempo
    >>> how = dict(confidence=1, tool="t", version="1", licence="CC0")
    >>> empty = dict(duration_s=10, beats=Beats(**how), meter=Meter(**how), chords=Chords(**how), key=KeyLabel(**how))
    >>> labels = Labels(tempo=Tempo(bpm=120, **how), **empty)
    >>> [contradiction(Fact(kind="bpm", value=value, sentence=0), labels) for value in ("118", "60")]
    [False, True]
    """
    if fact.kind in TEMPO_KINDS:
        return labels.tempo.bpm is not None and not _may_be(fact, labels.tempo.bpm)
    if fact.kind is FactKind.METER:
        return (
            labels.meter.beats_per_bar is not None and int(fact.value) != labels.meter.beats_per_bar
        )
    if fact.kind is FactKind.KEY:
        if labels.key.tonic is None or labels.key.mode is None:
            return False
        return _keys_differ(fact.value, Key(tonic=labels.key.tonic, mode=labels.key.mode).name)
    if fact.kind in _SEQUENCE_KINDS:
        return _misheard(fact, labels.chords)
    return fact.kind is FactKind.TIME and float(fact.value) > labels.duration_s


def _misheard(fact: Fact, chords: Chords) -> bool:
    """Whether chords are in another order than the labels, or timed ones begin elsewhere."""
    heard = [
        (segment.label, segment.start_s) for segment in chords.segments if segment.chord is not None
    ]
    if not heard or fact.kind is FactKind.CHORDS:
        return bool(heard) and merged(fact.value.split()) != merged([label for label, _ in heard])
    return _starts_differ(timed(fact.value), _first_of_runs(heard))


def disagree(one: Fact, other: Fact) -> bool:
    """Whether two facts about the same music cannot both be true.

    >>> disagree(Fact(kind="meter", value="3", sentence=0), Fact(kind="meter", value="4", sentence=1))
    True
    """
    kinds = {one.kind, other.kind}
    if kinds == _SEQUENCE_KINDS:
        return sequence(one) != sequence(other)
    if kinds == TEMPO_KINDS:
        number, word = (one, other) if one.kind is FactKind.BPM else (other, one)
        return not _may_be(word, float(number.value))
    if len(kinds) > 1:
        return False
    if one.kind is FactKind.BPM:
        return not _may_be(one, float(other.value))
    differ = _DIFFER.get(one.kind)
    return differ is not None and differ(one.value, other.value)


def heard_chords(chords: Chords) -> tuple[str, ...]:
    """Harte labels of the chords in order, stretches without a chord left out, immediate repeats
    merged.
    """
    return merged([segment.label for segment in chords.segments if segment.chord is not None])


def merged(labels: list[str]) -> tuple[str, ...]:
    """Chord labels in canonical spelling without immediate repeats.

    >>> merged(["A:min", "A:min", "A#:maj"])
    ('A:min', 'Bb:maj')
    """
    return tuple(harte for harte, _ in groupby(Chord.parse(label).harte for label in labels))


def sequence(fact: Fact) -> tuple[str, ...]:
    """The chords of a fact about them, in order, timed or not.

    >>> sequence(Fact(kind="timed_chords", value="A:min@0 F:maj@2.5", sentence=0))
    ('A:min', 'F:maj')
    """
    return merged([label.partition("@")[0] for label in fact.value.split()])


def timed(value: str) -> tuple[TimedChord, ...]:
    """Chords and starts of a timed fact's value, immediate repeats merged.

    >>> timed("A:min@0 A:min@1 A#:maj@2.5")
    (('A:min', 0.0), ('Bb:maj', 2.5))
    """
    pairs = (label.split("@") for label in value.split())
    return _first_of_runs([(label, float(at)) for label, at in pairs])


def _first_of_runs(chords: list[TimedChord]) -> tuple[TimedChord, ...]:
    """Each chord in canonical spelling where it begins anew."""
    named = [(Chord.parse(label).harte, at_s) for label, at_s in chords]
    return tuple(next(run) for _, run in groupby(named, key=lambda chord: chord[0]))


def _starts_differ(one: tuple[TimedChord, ...], other: tuple[TimedChord, ...]) -> bool:
    """Whether two timed sequences differ in a chord, or in a start by more than the tolerance."""
    if [label for label, _ in one] != [label for label, _ in other]:
        return True
    return any(
        abs(start - at) > START_TOLERANCE_S + 1e-9
        for (_, start), (_, at) in zip(one, other, strict=True)
    )


def _span(word: str) -> BpmRange:
    return TEMPO_RANGES.get(word, BpmRange(0, 1000))


def _may_be(fact: Fact, bpm: float) -> bool:
    """Whether a tempo fact allows this many beats per minute."""
    if fact.kind is FactKind.BPM:
        return abs(float(fact.value) - bpm) <= BPM_TOLERANCE * bpm
    span = _span(fact.value)
    return span.low * (1 - WORD_TOLERANCE) <= bpm <= span.high * (1 + WORD_TOLERANCE)


def _keys_differ(one: str, other: str) -> bool:
    """Whether two keys differ; a bare mode agrees with every key of that mode."""
    if " " not in one or " " not in other:
        return one.rpartition(" ")[2] != other.rpartition(" ")[2]
    return Key.parse(one) != Key.parse(other)


def _words_differ(one: str, other: str) -> bool:
    """Whether no tempo suits both words."""
    first, second = _span(one), _span(other)
    return first.high <= second.low or second.high <= first.low


# Two times may both be named, so they never disagree.
_DIFFER: Final[dict[FactKind, Callable[[str, str], bool]]] = {
    FactKind.TEMPO_WORD: _words_differ,
    FactKind.METER: str.__ne__,
    FactKind.KEY: _keys_differ,
    FactKind.CHORDS: lambda one, other: merged(one.split()) != merged(other.split()),
    FactKind.TIMED_CHORDS: lambda one, other: _starts_differ(timed(one), timed(other)),
    FactKind.DYNAMICS: str.__ne__,
}
