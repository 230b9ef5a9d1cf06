"""A lead sheet of what was asked for beside what annotators hear, bar by bar."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from pipelines.labels.agreement import same_tempo
from pipelines.labels.lead_sheet import symbol
from schemas.chord import INTERVALS, Chord
from schemas.labels import Chords, ChordSegment, Labels
from schemas.pitch import Key, pretty

_THIRDS: Final = frozenset((3, 4))
_AGREES: Final = 0.5  # of a bar's asked time
_LEAST: Final = 0.1  # of a bar: a chord that sounds for less is not shown in it
_COLUMN: Final = 30
_NOTHING: Final = "–"

Seconds = tuple[float, float]


class ChordAgreement(NamedTuple):
    """Shares of the time for which chords are asked for in which the heard one has the same root
    and third, and the same quality too; none where none is asked for.
    """

    thirds: float | None
    exact: float | None

    @property
    def mark(self) -> str:
        """``=`` where most is exact, ``~`` where most has root and third, ``×`` for less."""
        if self.thirds is None or self.exact is None:
            return ""
        if self.exact >= _AGREES:
            return "="
        return "~" if self.thirds >= _AGREES else "×"


def chord_agreement(
    asked: Chords, heard: Chords, spans: Sequence[Seconds] | None = None
) -> ChordAgreement:
    """How far heard chords are those that were asked for, within spans or everywhere.

    >>> from schemas.labels import ChordSegment
    >>> claim = dict(confidence=1, tool="t", version="1", licence="CC0-1.0")
    >>> am = Chords(segments=(ChordSegment(start_s=0, end_s=4, label="A:min"),), **claim)
    >>> half = (ChordSegment(start_s=0, end_s=2, label="A:min7"),)
    >>> chord_agreement(am, Chords(segments=half, **claim))
    ChordAgreement(thirds=0.5, exact=0.0)
    """
    total = thirds = exact = 0.0
    for start_s, end_s in spans if spans is not None else ((0.0, float("inf")),):
        for one_s, two_s in pairwise(_edges(asked, heard, start_s, end_s)):
            expected = _chord_at(asked, (one_s + two_s) / 2)
            if expected is None:
                continue
            found = _chord_at(heard, (one_s + two_s) / 2)
            total += two_s - one_s
            if found and _with_third(found) == _with_third(expected):
                thirds += two_s - one_s
                exact += (two_s - one_s) * (found.quality is expected.quality)
    return ChordAgreement(thirds / total, exact / total) if total else ChordAgreement(None, None)


def _edges(asked: Chords, heard: Chords, start_s: float, end_s: float) -> list[float]:
    """Times within which neither changes."""
    found = {
        time_s
        for one in (*asked.segments, *heard.segments)
        for time_s in (one.start_s, one.end_s)
        if start_s < time_s < end_s
    }
    return sorted(found | {start_s} | ({end_s} if end_s < float("inf") else set()))


def _chord_at(chords: Chords, time_s: float) -> Chord | None:
    for one in chords.segments:
        if one.start_s <= time_s < one.end_s:
            return one.chord
    return None


def _with_third(chord: Chord) -> tuple[int, frozenset[int]]:
    return chord.root, _THIRDS & set(INTERVALS[chord.quality])


def asked_beside_heard(
    asked: Labels, heard: Labels, spans: Sequence[Seconds] | None = None
) -> Iterator[str]:
    """Lines: key, tempo and meter, then chords by the asked bars, each with a mark.

    ``=`` is as asked, ``~`` the same root and third (of keys the relative one, of tempos half or
    twice), ``×`` another one. `spans` are where chords are asked for.
    """
    yield _row("", "asked", "heard")
    yield _row("key", _key(asked), _key(heard), _key_mark(asked.key.key, heard.key.key))
    yield _row("tempo", _tempo(asked), _tempo(heard), _tempo_mark(asked.tempo.bpm, heard.tempo.bpm))
    yield _row("meter", _meter(asked), _meter(heard), _meter_mark(asked, heard))
    for number, bar in enumerate(_bars(asked, heard), start=1):
        within = _common(bar, spans)
        agreed = chord_agreement(asked.chords, heard.chords, within)
        expected = _in_bar(asked, within) if agreed.thirds is not None else ""
        yield _row(f"{number:>4} {bar[0]:7.2f} s", expected, _in_bar(heard, [bar]), agreed.mark)
    whole = chord_agreement(asked.chords, heard.chords, spans)
    if whole.thirds is not None:
        yield (
            f"chords as asked for {whole.thirds:.0%} of the time by root and third, "
            f"{whole.exact:.0%} by quality too"
        )


def _row(head: str, asked: str, heard: str, mark: str = "") -> str:
    return f"{head:<15} {asked:<{_COLUMN}} {heard:<{_COLUMN}} {mark}".rstrip()


def _common(bar: Seconds, spans: Sequence[Seconds] | None) -> list[Seconds]:
    """The parts of a bar that lie within spans."""
    if spans is None:
        return [bar]
    cut = [(max(bar[0], start_s), min(bar[1], end_s)) for start_s, end_s in spans]
    return [(start_s, end_s) for start_s, end_s in cut if start_s < end_s]


def _bars(asked: Labels, heard: Labels) -> list[Seconds]:
    """Bars by the asked downbeats, else by the heard ones, else chord by chord."""
    starts = asked.beats.downbeats_s or heard.beats.downbeats_s
    if not starts:
        starts = tuple(one.start_s for one in asked.chords.segments) or (0.0,)
    edges = sorted({0.0, *starts, asked.duration_s})
    return list(pairwise(edges))


def _in_bar(labels: Labels, parts: Sequence[Seconds]) -> str:
    """The chords that sound in a bar."""
    shown = [
        symbol(one, labels.key.key)
        for one in labels.chords.segments
        if any(_lasts(one, part) for part in parts)
    ]
    return " ".join(shown) or _NOTHING


def _lasts(one: ChordSegment, part: Seconds) -> bool:
    """Whether a chord fills enough of a part of a bar to be shown there."""
    overlap_s = min(one.end_s, part[1]) - max(one.start_s, part[0])
    return overlap_s > _LEAST * (part[1] - part[0])


def _key(labels: Labels) -> str:
    return pretty(labels.key.key.name) if labels.key.key else _NOTHING


def _tempo(labels: Labels) -> str:
    return f"{labels.tempo.bpm:g} BPM" if labels.tempo.bpm else _NOTHING


def _meter(labels: Labels) -> str:
    beats = labels.meter.beats_per_bar
    return f"{beats} beats a bar" if beats else _NOTHING


def _key_mark(asked: Key | None, heard: Key | None) -> str:
    if asked is None or heard is None:
        return "" if asked is None else "×"
    if asked == heard:
        return "="
    return "~" if asked.relative() == heard else "×"


def _tempo_mark(asked: float | None, heard: float | None) -> str:
    if asked is None:
        return ""
    if same_tempo(asked, heard):
        return "="
    return "~" if same_tempo(2 * asked, heard) or same_tempo(asked / 2, heard) else "×"


def _meter_mark(asked: Labels, heard: Labels) -> str:
    if asked.meter.beats_per_bar is None:
        return ""
    return "=" if asked.meter.beats_per_bar == heard.meter.beats_per_bar else "×"
