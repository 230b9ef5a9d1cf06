"""What flags and a caption ask for, and where they contradict each other."""

import math
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from pipelines.captioning.check import TimedChord, disagree, timed
from pipelines.captioning.facts import parse_facts
from pipelines.captioning.mention import write_number
from pipelines.captioning.sentences import rounds_of
from pipelines.captioning.tempo_words import TEMPO_RANGES, BpmRange
from schemas.caption import Fact, FactKind
from schemas.chord import NO_CHORD
from schemas.errors import SchemaError
from schemas.pitch import Key, Mode
from training.errors import TrainingError
from training.prompt_controls.chart import Chart, in_symbols, listed, read_chart

# What the parser of captions takes for a tempo and for a meter.
_BPM: Final = (15, 400)
_BEATS: Final = (2, 15)
_SIGNATURE: Final = re.compile(r"\s*(\d{1,2})(?:\s*/\s*(2|4|8|16))?\s*")
_EIGHTHS: Final = (6, 9, 12)  # as control sentences write them
ANY_TEMPO: Final = BpmRange(0, 1000)


class Source(StrEnum):
    """Where a control comes from, the strongest first."""

    FLAG = "flag"
    CAPTION = "caption"
    CHORDS = "chords"  # a key worked out from chords that a flag or the caption states
    # nobody says: what a learned predictor takes from the rest of the caption
    PREDICTED = "predicted"
    CORPUS = "corpus"  # nobody says: what is usual in the corpus
    DEFAULT = "default"  # nobody says, and nothing was counted: common knowledge


class Stated(NamedTuple):
    """A fact that a control comes from."""

    fact: Fact
    source: Source


class Wishes(NamedTuple):
    """What is asked for; none or empty where nothing is said."""

    bpm: Stated | None
    words: tuple[str, ...]  # tempo words that agree with each other; used where there is no number
    meter: Stated | None
    key: Stated | None  # with a tonic
    mode: Stated | None  # a mode alone ("in a minor key"); used where there is no key
    chart: Chart | None
    timed: tuple[TimedChord, ...]  # chords with their starts; instead of a chart
    chords_source: Source | None
    notes: tuple[str, ...]  # contradictions

    @property
    def span(self) -> BpmRange:
        """Tempos that the words allow."""
        spans = [TEMPO_RANGES.get(word, ANY_TEMPO) for word in self.words]
        return BpmRange(
            max((one.low for one in spans), default=0),
            min((one.high for one in spans), default=ANY_TEMPO.high),
        )


def read_wishes(
    caption: str,
    *,
    bpm: float | None = None,
    meter: str | int | None = None,
    key: str | None = None,
    chords: str | None = None,
) -> Wishes:
    """What flags and a caption ask for.

    A flag wins over the caption; what loses is named in the notes.

    Raises `TrainingError` for a flag that cannot be read.
    """
    facts, notes = parse_facts(caption), list[str]()

    def of(kind: FactKind) -> list[Fact]:
        return [fact for fact in facts if fact.kind is kind]

    bpm_written = "" if bpm is None else f"--bpm {bpm:g}"
    number = _picked(_bpm_flag(bpm), of(FactKind.BPM), bpm_written, notes)
    words = _agreeing_words(of(FactKind.TEMPO_WORD), number, bpm_written, notes)
    bar = _picked(_meter_flag(meter), of(FactKind.METER), f"--meter {meter}", notes)
    flagged = _key_flag(key)
    keys, modes = [
        [fact for fact in of(FactKind.KEY) if (" " in fact.value) is is_full]
        for is_full in (True, False)
    ]
    tonal = _picked(flagged, [*keys, *modes], f"--key {key}", notes) if flagged or keys else None
    mode = None if tonal else _picked(None, modes, "", notes)
    if tonal and " " not in tonal.fact.value:
        tonal, mode = None, tonal
    chart, at_times, source = _chords(chords, of(FactKind.TIMED_CHORDS), of(FactKind.CHORDS), notes)
    return Wishes(
        number, words, bar, tonal, mode, chart, at_times, source, tuple(dict.fromkeys(notes))
    )


def _picked(
    flag: Fact | None, facts: Sequence[Fact], as_written: str, notes: list[str]
) -> Stated | None:
    """The flag's fact, else the caption's first; others that disagree with it are noted."""
    taken = flag or next(iter(facts), None)
    if taken is None:
        return None
    for other in facts:
        if disagree(other, taken):
            notes.append(_lost(other, taken, as_written if flag else ""))
    return Stated(taken, Source.FLAG if flag else Source.CAPTION)


def _agreeing_words(
    words: Sequence[Fact], number: Stated | None, as_written: str, notes: list[str]
) -> tuple[str, ...]:
    """Tempo words of the caption that agree with the number and with the words before them."""
    kept: list[Fact] = []
    for word in words:
        against = [one for one in ([number.fact] if number else []) + kept if disagree(word, one)]
        if against:
            is_flag = (
                number is not None and against[0] is number.fact and number.source is Source.FLAG
            )
            notes.append(_lost(word, against[0], as_written if is_flag else ""))
        else:
            kept.append(word)
    return tuple(word.value for word in kept)


def _lost(other: Fact, taken: Fact, as_written: str) -> str:
    """What a reader is told of a fact that is not heeded."""
    if as_written:
        return f"{as_written} stands against {said(other)!r} in the caption: the flag is taken"
    return f"the caption says both {said(taken)!r} and {said(other)!r}: {said(taken)!r} is taken"


def said(fact: Fact) -> str:
    """A fact as a reader knows it.

    >>> said(Fact(kind="meter", value="6", sentence=0)), said(Fact(kind="chords", value="A:min F:maj", sentence=0))
    ('6/8', 'Am F')
    """
    if fact.kind is FactKind.BPM:
        return f"{fact.value} BPM"
    if fact.kind is FactKind.METER:
        return signature(int(fact.value))
    if fact.kind is FactKind.CHORDS:
        return in_symbols(fact.value.split())
    if fact.kind is FactKind.TIMED_CHORDS:
        return ", ".join(
            f"{in_symbols([label])} at {at_s:g} s" for label, at_s in timed(fact.value)
        )
    return fact.value


def signature(beats_per_bar: int) -> str:
    """Beats per bar as a time signature.

    >>> signature(3), signature(6)
    ('3/4', '6/8')
    """
    return f"{beats_per_bar}/{8 if beats_per_bar in _EIGHTHS else 4}"


def _bpm_flag(bpm: float | None) -> Fact | None:
    if bpm is None:
        return None
    if not (math.isfinite(bpm) and _BPM[0] <= bpm <= _BPM[1]):
        raise TrainingError(
            f"--bpm {bpm:g} is no tempo: expected {_BPM[0]} to {_BPM[1]} beats per minute"
        )
    return Fact(kind=FactKind.BPM, value=write_number(bpm), sentence=0)


def _meter_flag(meter: str | int | None) -> Fact | None:
    if meter is None:
        return None
    found = _SIGNATURE.fullmatch(str(meter))
    if not found or not _BEATS[0] <= int(found[1]) <= _BEATS[1]:
        raise TrainingError(
            f"--meter {str(meter)!r} is no meter: expected such as '4/4', "
            f"'3/4', '6/8', or {_BEATS[0]} to {_BEATS[1]} beats"
        )
    return Fact(kind=FactKind.METER, value=str(int(found[1])), sentence=0)


def _key_flag(key: str | None) -> Fact | None:
    """A key as a fact; a mode alone is one too."""
    if key is None:
        return None
    if key.strip().lower() in tuple(Mode):
        return Fact(kind=FactKind.KEY, value=key.strip().lower(), sentence=0)
    try:
        return Fact(kind=FactKind.KEY, value=Key.parse(key).name, sentence=0)
    except SchemaError as error:
        raise TrainingError(
            f"--key {key!r} is not a key: expected such as 'A minor', 'F# major'"
        ) from error


class _Chords(NamedTuple):
    chart: Chart | None
    timed: tuple[TimedChord, ...]
    source: Source | None


def _chords(
    flag: str | None, with_times: list[Fact], plain: list[Fact], notes: list[str]
) -> _Chords:
    """The flag's chords, else those of the caption, first those with times; others are noted."""
    if flag is not None:
        chart = read_chart(flag)
        for fact in [*with_times, *plain]:
            if _round(_sequence(fact)) != _round(
                [label for label in chart.labels if label != NO_CHORD]
            ):
                notes.append(_lost(fact, fact, f"--chords {flag!r}"))
        return _Chords(chart, (), Source.FLAG)
    picked = _picked(None, [*with_times, *plain], "", notes)
    if picked is None:
        return _Chords(None, (), None)
    if picked.fact.kind is FactKind.TIMED_CHORDS:
        return _Chords(None, timed(picked.fact.value), Source.CAPTION)
    return _Chords(listed(tuple(picked.fact.value.split())), (), Source.CAPTION)


def _sequence(fact: Fact) -> list[str]:
    return [label.partition("@")[0] for label in fact.value.split()]


def _round(labels: Sequence[str]) -> list[str]:
    """One round of chords that are played several times."""
    return list(labels[: len(labels) // rounds_of(labels)])
