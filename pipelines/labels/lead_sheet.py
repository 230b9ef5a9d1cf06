"""Labels as a musician reads them: a lead sheet in text."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from schemas.chord import NO_CHORD, Chord
from schemas.labels import ChordSegment, Labels
from schemas.pitch import Key, pretty

_CELL: Final = 9
_NOTHING: Final = "·"


class _Cell(NamedTuple):
    number: int
    time_s: float
    text: str


def heading(labels: Labels) -> str:
    """Key, tempo, meter and length in one line, with confidences.

    An empty label reads as ``–``.
    """
    key = labels.key.key
    tempo = "–" if labels.tempo.bpm is None else f"{labels.tempo.bpm:g} BPM"
    meter = "–" if labels.meter.beats_per_bar is None else f"{labels.meter.beats_per_bar}/4"
    parts = (
        ("key", pretty(key.name) if key else "–", labels.key.confidence),
        ("tempo", tempo, labels.tempo.confidence),
        ("meter", meter, labels.meter.confidence),
    )
    controls = "   ".join(f"{name} {value} ({confidence:.2f})" for name, value, confidence in parts)
    return f"{controls}   chords ({labels.chords.confidence:.2f})   {labels.duration_s:g} s"


def lead_sheet(labels: Labels) -> Iterator[str]:
    """Lines of bars: each beat's cell has the chord that begins nearest to it, or a dot.

    Without beats, chords stand by time.
    """
    if not labels.beats.times_s:
        yield from _by_time(labels)
        return
    bar: list[_Cell] = []
    bar_number = 0
    for cell in _cells(labels):
        if cell.number == 1 and bar:
            yield _line(bar_number, bar)
            bar = []
        bar_number += cell.number == 1
        bar.append(cell)
    yield _line(bar_number, bar)


def _cells(labels: Labels) -> Iterator[_Cell]:
    starts = _chords_at_beats(labels)
    for index, (time_s, number) in enumerate(
        zip(labels.beats.times_s, labels.beats.numbers, strict=True)
    ):
        yield _Cell(number, time_s, starts.get(index, _NOTHING))


def _chords_at_beats(labels: Labels) -> dict[int, str]:
    """Chord symbols by the index of the nearest beat; of several on one beat, all."""
    key, beats = labels.key.key, labels.beats.times_s
    found: dict[int, str] = {}
    for segment in labels.chords.segments:
        nearest = min(range(len(beats)), key=lambda index: abs(beats[index] - segment.start_s))
        text = symbol(segment, key)
        found[nearest] = f"{found[nearest]} {text}" if nearest in found else text
    return found


def symbol(segment: ChordSegment, key: Key | None) -> str:
    """A segment's chord as a lead sheet writes it; ``N.C.`` for no chord."""
    return "N.C." if segment.label == NO_CHORD else pretty(Chord.parse(segment.label).symbol(key))


def _line(number: int, bar: list[_Cell]) -> str:
    """One bar; a pick-up is number 0 and indented to its beat."""
    gap = " " * _CELL * (bar[0].number - 1)
    return (
        f"{number:>4} {bar[0].time_s:8.2f} s "
        f"|{gap}{''.join(f'{cell.text:<{_CELL}}' for cell in bar).rstrip():<{_CELL * len(bar)}}|"
    )


def _by_time(labels: Labels) -> Iterator[str]:
    key = labels.key.key
    for segment in labels.chords.segments:
        yield f"     {segment.start_s:8.2f} s  {symbol(segment, key)}"
    if not labels.chords.segments:
        yield "     no beats and no chords found"
