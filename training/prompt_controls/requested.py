"""What flags and a caption request, and where they contradict each other."""

import math
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, Generic, NamedTuple, TypeVar

from pipelines.captioning.check import ChordStart, disagree, timed
from pipelines.captioning.facts import parse_facts
from pipelines.captioning.sentences import rounds_of
from pipelines.captioning.tempo_words import TEMPO_RANGES, BpmRange
from schemas.chord import NO_CHORD
from schemas.errors import SchemaError
from schemas.fact import (
    BpmFact,
    ChordsFact,
    Fact,
    KeyFact,
    MeterFact,
    TempoWordFact,
    TimedChordsFact,
)
from schemas.pitch import Key, Mode
from training.errors import TrainingError
from training.prompt_controls.chart import Chart, in_symbols, listed, read_chart

# What the parser of captions takes for a tempo and for a meter.
_BPM: Final = (15, 400)
_BEATS: Final = (2, 15)
_SIGNATURE: Final = re.compile(r"\s*(\d{1,2})(?:\s*/\s*(2|4|8|16))?\s*")
_EIGHTHS: Final = (6, 9, 12)  # as control sentences write them
ANY_TEMPO: Final = BpmRange(0, 1000)
F = TypeVar("F", bound=Fact)


class Provenance(StrEnum):
    """Where a control comes from, the strongest first."""

    FLAG = "flag"
    CAPTION = "caption"
    CHORDS = "chords"  # a key worked out from chords that a flag or the caption states
    # nobody says: what a learned predictor takes from the rest of the caption
    PREDICTED = "predicted"
    CORPUS = "corpus"  # nobody says: what is usual in the corpus
    DEFAULT = "default"  # nobody says, and nothing was counted: common knowledge


class Stated(NamedTuple, Generic[F]):
    """A fact that a control comes from."""

    fact: F
    source: Provenance


class RequestedControls(NamedTuple):
    """What is requested; none or empty where nothing is said."""

    bpm: Stated[BpmFact] | None
    words: tuple[str, ...]  # tempo words that agree with each other; used where there is no number
    meter: Stated[MeterFact] | None
    key: Stated[KeyFact] | None  # with a tonic
    mode: Stated[KeyFact] | None  # a mode alone ("in a minor key"); used where there is no key
    chart: Chart | None
    timed: tuple[ChordStart, ...]  # chords with their starts; instead of a chart
    chords_source: Provenance | None
    notes: tuple[str, ...]  # contradictions

    @property
    def span(self) -> BpmRange:
        """Tempos that the words allow."""
        spans = [TEMPO_RANGES.get(word, ANY_TEMPO) for word in self.words]
        low = max((one.low for one in spans), default=0)
        high = min((one.high for one in spans), default=ANY_TEMPO.high)
        return BpmRange(low, high)

    @property
    def chord_labels(self) -> tuple[str, ...]:
        """Harte labels of the chords in order, timed or not; empty where none are requested."""
        if self.timed:
            return tuple(label for label, _ in self.timed)
        return self.chart.labels if self.chart else ()


def read_requested(
    caption: str,
    *,
    bpm: float | None = None,
    meter: str | int | None = None,
    key: str | None = None,
    chords: str | None = None,
) -> RequestedControls:
    """What flags and a caption request.

    A flag wins over the caption; what loses is named in the notes.

    Raises `TrainingError` for a flag that cannot be read.
    """
    facts, notes = parse_facts(caption), list[str]()

    def of(kind: type[F]) -> list[F]:
        return [fact for fact in facts if isinstance(fact, kind)]

    bpm_written = "" if bpm is None else f"--bpm {bpm:g}"
    number = _picked(_bpm_flag(bpm), of(BpmFact), bpm_written, notes)
    words = _agreeing_words(of(TempoWordFact), number, bpm_written, notes)
    bar = _picked(_meter_flag(meter), of(MeterFact), f"--meter {meter}", notes)
    tonal = _tonality(_key_flag(key), of(KeyFact), f"--key {key}", notes)
    is_key = tonal is not None and tonal.fact.tonic is not None
    chart, at_times, source = _chords(chords, of(TimedChordsFact), of(ChordsFact), notes)
    return RequestedControls(
        bpm=number,
        words=words,
        meter=bar,
        key=tonal if is_key else None,
        mode=None if is_key else tonal,
        chart=chart,
        timed=at_times,
        chords_source=source,
        notes=tuple(dict.fromkeys(notes)),
    )


def _tonality(
    flag: KeyFact | None, facts: Sequence[KeyFact], as_written: str, notes: list[str]
) -> Stated[KeyFact] | None:
    """The key of a flag, else of the caption; a mode alone counts where no key is stated."""
    keys = [fact for fact in facts if fact.tonic is not None]
    modes = [fact for fact in facts if fact.tonic is None]
    return _picked(flag, [*keys, *modes], as_written, notes)


def _picked(
    flag: F | None, facts: Sequence[F], as_written: str, notes: list[str]
) -> Stated[F] | None:
    """The flag's fact, else the caption's first; others that disagree with it are noted."""
    taken = flag or next(iter(facts), None)
    if taken is None:
        return None
    for other in facts:
        if disagree(other, taken):
            notes.append(_contradiction(other, taken, as_written if flag else ""))
    return Stated(taken, Provenance.FLAG if flag else Provenance.CAPTION)


def _agreeing_words(
    words: Sequence[TempoWordFact],
    number: Stated[BpmFact] | None,
    as_written: str,
    notes: list[str],
) -> tuple[str, ...]:
    """Tempo words of the caption that agree with the number and with the words before them."""
    agreeing: list[TempoWordFact] = []
    for word in words:
        stated: list[Fact] = [number.fact] if number else []
        against = [one for one in [*stated, *agreeing] if disagree(word, one)]
        if against:
            is_flag = (
                number is not None
                and against[0] is number.fact
                and number.source is Provenance.FLAG
            )
            notes.append(_contradiction(word, against[0], as_written if is_flag else ""))
        else:
            agreeing.append(word)
    return tuple(word.word for word in agreeing)


def _contradiction(other: Fact, taken: Fact, as_written: str) -> str:
    """A note on a fact of the caption that another one overrides."""
    if as_written:
        return (
            f"{as_written} stands against {fact_words(other)!r} in the caption: the flag is taken"
        )
    words = fact_words(taken)
    return f"the caption says both {words!r} and {fact_words(other)!r}: {words!r} is taken"


def fact_words(fact: Fact) -> str:
    """A fact as a reader knows it.

    >>> fact_words(MeterFact(beats_per_bar=6)), fact_words(ChordsFact(chords=("A:min", "F:maj")))
    ('6/8', 'Am F')
    """
    match fact:
        case BpmFact():
            return f"{fact.text} BPM"
        case MeterFact(beats_per_bar=beats):
            return signature(beats)
        case ChordsFact(chords=labels):
            return in_symbols(labels)
        case TimedChordsFact():
            return ", ".join(f"{in_symbols([label])} at {at_s:g} s" for label, at_s in timed(fact))
        case _:
            return fact.text


def signature(beats_per_bar: int) -> str:
    """Beats per bar as a time signature.

    >>> signature(3), signature(6)
    ('3/4', '6/8')
    """
    return f"{beats_per_bar}/{8 if beats_per_bar in _EIGHTHS else 4}"


def _bpm_flag(bpm: float | None) -> BpmFact | None:
    if bpm is None:
        return None
    if not (math.isfinite(bpm) and _BPM[0] <= bpm <= _BPM[1]):
        raise TrainingError(
            f"--bpm {bpm:g} is not a tempo: expected {_BPM[0]} to {_BPM[1]} beats per minute"
        )
    return BpmFact(bpm=bpm)


def _meter_flag(meter: str | int | None) -> MeterFact | None:
    if meter is None:
        return None
    match = _SIGNATURE.fullmatch(str(meter))
    if not match or not _BEATS[0] <= int(match[1]) <= _BEATS[1]:
        raise TrainingError(
            f"--meter {str(meter)!r} is not a meter: expected such as '4/4', "
            f"'3/4', '6/8', or {_BEATS[0]} to {_BEATS[1]} beats"
        )
    return MeterFact(beats_per_bar=int(match[1]))


def _key_flag(key: str | None) -> KeyFact | None:
    """A key as a fact; a mode alone is one too."""
    if key is None:
        return None
    if key.strip().lower() in tuple(Mode):
        return KeyFact(mode=Mode(key.strip().lower()))
    try:
        return KeyFact.of(Key.parse(key))
    except SchemaError as error:
        raise TrainingError(
            f"--key {key!r} is not a key: expected such as 'A minor', 'F# major'"
        ) from error


class _ChordMentions(NamedTuple):
    chart: Chart | None
    timed: tuple[ChordStart, ...]
    source: Provenance | None


def _chords(
    flag: str | None, with_times: list[TimedChordsFact], plain: list[ChordsFact], notes: list[str]
) -> _ChordMentions:
    """The flag's chords, else those of the caption, first those with times; others are noted."""
    stated: list[TimedChordsFact | ChordsFact] = [*with_times, *plain]
    if flag is not None:
        chart = read_chart(flag)
        flag_round = _round([label for label in chart.labels if label != NO_CHORD])
        for fact in stated:
            if _round(_labels(fact)) != flag_round:
                notes.append(_contradiction(fact, fact, f"--chords {flag!r}"))
        return _ChordMentions(chart, (), Provenance.FLAG)
    picked = _picked(None, stated, "", notes)
    if picked is None:
        return _ChordMentions(None, (), None)
    if isinstance(picked.fact, TimedChordsFact):
        return _ChordMentions(None, timed(picked.fact), Provenance.CAPTION)
    return _ChordMentions(listed(picked.fact.chords), (), Provenance.CAPTION)


def _labels(fact: ChordsFact | TimedChordsFact) -> list[str]:
    if isinstance(fact, ChordsFact):
        return list(fact.chords)
    return [chord.label for chord in fact.timed_chords]


def _round(labels: Sequence[str]) -> list[str]:
    """One round of chords that are played several times."""
    return list(labels[: len(labels) // rounds_of(labels)])
