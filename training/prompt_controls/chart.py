"""Chords as people write them: lead-sheet symbols or Harte syntax, with or without bar lines."""

import re
from collections.abc import Sequence
from itertools import chain, groupby
from typing import Final, NamedTuple

from pipelines.captioning.symbols import CHORD, chord_tokens
from schemas.chord import NO_CHORD, Chord
from schemas.errors import SchemaError
from schemas.pitch import Key
from training.errors import TrainingError

# a dash parts chords, but not "C-7"
_SEPARATORS: Final = re.compile(r"(?:[\s,;→>]|[-–—]+(?=[\s>]|[A-GN]))+")
_TIMES: Final = re.compile(r"(.+):(\d{1,2})")
_NO_CHORD_SIGNS: Final = ("N", "NC", "N.C.", "N.C")
MAX_BARS_OF_ONE: Final = 16


class Chart(NamedTuple):
    """Chords by bar, as Harte labels in canonical spelling; N is not a chord."""

    bars: tuple[tuple[str, ...], ...]
    # bar lines or counts say how long each chord lasts; else they may be squeezed into the time
    # there is
    is_measured: bool

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels in order, immediate repeats merged."""
        return tuple(label for label, _ in groupby(chain.from_iterable(self.bars)))

    @property
    def chords(self) -> list[Chord]:
        """The chords in order, stretches without one left out."""
        return [Chord.parse(label) for label in self.labels if label != NO_CHORD]


def listed(labels: tuple[str, ...]) -> Chart:
    """A chart of one chord after the other, of which nobody says how long each lasts."""
    return Chart(tuple((label,) for label in labels), is_measured=False)


def in_symbols(labels: Sequence[str], key: Key | None = None) -> str:
    """Harte labels as a lead sheet writes them in `key`, in ASCII."""
    return " ".join(
        "N.C." if label == NO_CHORD else Chord.parse(label).symbol(key) for label in labels
    )


def read_chart(text: str, *, flag: str = "--chords") -> Chart:
    """The chords of a text: ``Am F C G`` (a bar each), ``Dm7 G7 | Cmaj7`` (bars), ``Am:2 F:2`` (two
    bars each), ``A:min F:maj``, ``N.C.``.

    What Harte syntax reads is a chord: ``A:7`` is A7, not A for seven bars; ``A*7`` is. Raises
    `TrainingError` for what is not a chord, with its place.

    >>> read_chart("Dm7 G7 | Cmaj7").bars
    (('D:min7', 'G:7'), ('C:maj7',))
    >>> read_chart("Am:2 F").bars, read_chart("A:min, F:maj").bars
    ((('A:min',), ('A:min',), ('F:maj',)), (('A:min',), ('F:maj',)))
    """
    cells = [cell for cell in map(_symbols, text.split("|")) if cell]
    if not cells:
        raise TrainingError(
            f"{flag} {text!r} names no chord: expected such "
            "as 'Am F C G', or 'Dm7 G7 | Cmaj7' with bar lines"
        )
    has_lines = "|" in text
    bars: list[tuple[str, ...]] = []
    before, is_counted = 0, False
    for cell in cells:
        chords = [
            _counted(symbol, before + number, flag) for number, symbol in enumerate(cell, start=1)
        ]
        before += len(cell)
        is_counted = is_counted or any(one.has_count for one in chords)
        if has_lines and len(chords) > 1:
            bars.append(_shared_bar(chords, cell, flag))
        else:
            bars += _bars_each(chords)
    return Chart(tuple(bars), is_measured=has_lines or is_counted)


def _symbols(cell: str) -> list[str]:
    """What stands between two bar lines, symbol by symbol."""
    return [symbol for symbol in _SEPARATORS.split(cell) if symbol]


def _shared_bar(chords: Sequence["_Counted"], cell: Sequence[str], flag: str) -> tuple[str, ...]:
    """Several chords in one bar."""
    if any(one.has_count for one in chords):
        raise TrainingError(
            f"{flag} {' '.join(cell)!r}: within a bar of several chords none can be given a "
            "number of bars"
        )
    return tuple(one.label for one in chords)


def _bars_each(chords: Sequence["_Counted"]) -> list[tuple[str, ...]]:
    """Chords one after the other, each for as many bars as it says."""
    out: list[tuple[str, ...]] = []
    for one in chords:
        out += [(one.label,)] * one.bars
    return out


class _Counted(NamedTuple):
    label: str
    bars: int
    has_count: bool


def _counted(symbol: str, number: int, flag: str) -> _Counted:
    """A chord and for how many bars it stands. `number` counts from 1, for the error."""
    label = chord_label(symbol)
    times = None if label else _TIMES.fullmatch(symbol.replace("*", ":"))
    if times:
        label = chord_label(times[1])
    if label is None:
        raise TrainingError(
            f"{flag}: {symbol!r} (the {_ordinal(number)}) is not a chord: expected a lead-sheet "
            "symbol such as Am, F#m7, C/E, or Harte syntax "
            "such as A:min, F#:min7, C:maj/3, or N.C."
        )
    bars = int(times[2]) if times else 1
    if not 1 <= bars <= MAX_BARS_OF_ONE:
        raise TrainingError(
            f"{flag}: {symbol!r} (the {_ordinal(number)}) "
            f"lasts {bars} bars: expected 1 to {MAX_BARS_OF_ONE}"
        )
    return _Counted(label, bars, times is not None)


def chord_label(symbol: str) -> str | None:
    """The Harte label of a symbol, or none where it is not a chord.

    >>> chord_label("F#m7"), chord_label("A:min/b3"), chord_label("N.C."), chord_label("H")
    ('F#:min7', 'A:min/b3', 'N', None)
    """
    if symbol in _NO_CHORD_SIGNS:
        return NO_CHORD
    if ":" in symbol:
        try:
            return Chord.parse(symbol.replace("♯", "#").replace("♭", "b")).harte
        except SchemaError:
            return None
    if not CHORD.fullmatch(symbol):
        return None
    return chord_tokens(symbol, 0, len(symbol))[0].chord.harte


def _ordinal(number: int) -> str:
    ending = (
        "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    )
    return f"{number}{ending}"
