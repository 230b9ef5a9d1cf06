"""What somebody who listens does to labels, and what becomes of them: beats twice as fast, another
beat as the one, a tapped tempo, a chord that begins elsewhere.

Each edit gives the whole label anew, over the clip's extended window, as a claim of origin
`corrected`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Annotated, Any, Final, Literal, NamedTuple

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from pipelines.labels.corrected import PARTS
from schemas.chord import NO_CHORD, Chord
from schemas.errors import SchemaError
from schemas.labels import (
    TIME_DECIMALS,
    Beats,
    Chords,
    ChordSegment,
    Correction,
    KeyLabel,
    Labels,
    Meter,
    Origin,
)
from schemas.pitch import Key
from schemas.record import Record, Seconds

TOOL: Final = "review"
_LEAST_CHORD_S: Final = 0.05  # between two boundaries: less cannot be heard as a chord
_BPM: Final = (20.0, 400.0)  # that can be tapped
_LEAST_TAPS: Final = 4  # three intervals: their spread can be told from a slip
_MOST_TAPS: Final = 1000
_MOST_BEATS: Final = 100_000
_UNEVEN: Final = 0.25  # of a beat: how far a tap may lie from the even grid through all


class Doubled(Record):
    """Twice as many beats."""

    kind: Literal["doubled"]


class Halved(Record):
    """Every other beat, among them the downbeats, or most of them."""

    kind: Literal["halved"]


class OneAt(Record):
    """The beat of this index is the first of its bar."""

    kind: Literal["one"]
    beat: int = Field(ge=0)


class BarOf(Record):
    """A bar has so many beats, from the first downbeat on."""

    kind: Literal["meter"]
    beats_per_bar: int = Field(ge=1, le=16)


class Tapped(Record):
    """Beats are where somebody tapped, and go on evenly before and after; the first tap is a
    downbeat.
    """

    kind: Literal["tapped"]
    taps_s: tuple[Seconds, ...] = Field(min_length=_LEAST_TAPS, max_length=_MOST_TAPS)


class BoundaryAt(Record):
    """The chord of this index begins at another time."""

    kind: Literal["boundary"]
    index: int = Field(ge=1)
    to_s: Seconds


class ChordIs(Record):
    """The chord of this index is another: in Harte syntax, or as lead sheets write it."""

    kind: Literal["chord"]
    index: int = Field(ge=0)
    label: str = Field(max_length=40)


class ChordSplit(Record):
    """The chord that sounds at a time is two from there on, to be named apart."""

    kind: Literal["split"]
    at_s: Seconds


class KeyIs(Record):
    """The key is another, as in ``A minor``."""

    kind: Literal["key"]
    key: str = Field(max_length=40)


class NotMusic(Record):
    """The clip is to be left out, and why."""

    kind: Literal["not_music"]
    reason: str = Field("", max_length=200)


class Confirmed(Record):
    """All labels are right as they are."""

    kind: Literal["confirmed"]


class Withdrawn(Record):
    """Earlier corrections of these parts do not hold any more."""

    kind: Literal["withdrawn"]
    parts: tuple[str, ...] = Field(min_length=1)


Edit = Annotated[
    Doubled | Halved | OneAt | BarOf | Tapped | BoundaryAt | ChordIs | ChordSplit | KeyIs
    | NotMusic | Confirmed | Withdrawn,
    Field(discriminator="kind"),
]  # fmt: skip
_EDIT: Final[TypeAdapter[Edit]] = TypeAdapter(Edit)


class Corrector(NamedTuple):
    """Who corrects, when (UTC), and the licence that the corrections have."""

    who: str
    when: str
    licence: str

    @classmethod
    def now(cls, who: str, licence: str) -> "Corrector":
        """Somebody who corrects at this moment."""
        return cls(who, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), licence)

    @property
    def claim(self) -> dict[str, Any]:
        """What a label says of where it is from."""
        return {
            "confidence": 1.0,
            "tool": f"{TOOL} by {self.who}",
            "version": self.when,
            "licence": self.licence,
            "origin": Origin.CORRECTED,
        }


def parsed_edit(value: object) -> Edit:
    """An edit of plain data. Raises `SchemaError` for anything else."""
    try:
        return _EDIT.validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "as a whole"
        raise SchemaError(f"not an edit ({where}: {first['msg']})") from error


def correction(clip_key: str, labels: Labels, edit: Edit, by: Corrector) -> Correction:
    """What an edit makes of a clip's labels, which are those in force over its extended window.

    Raises `SchemaError` where it cannot be done to them.
    """
    return Correction(clip_key=clip_key, who=by.who, when=by.when, **_parts(labels, edit, by))


def _parts(labels: Labels, edit: Edit, by: Corrector) -> dict[str, Any]:
    """The fields of a correction that an edit sets."""
    if isinstance(edit, NotMusic):
        return {"not_music": edit.reason}
    if isinstance(edit, Withdrawn):
        unknown = [part for part in edit.parts if part not in PARTS]
        if unknown:
            raise SchemaError(f"{unknown[0]} is not a part: expected {', '.join(PARTS)}")
        return {"withdrawn": edit.parts}
    if isinstance(edit, Confirmed):
        return _confirmed(labels, by)
    if isinstance(edit, KeyIs):
        key = Key.parse(edit.key)
        return {"key": KeyLabel(tonic=key.tonic, mode=key.mode, **by.claim)}
    if isinstance(edit, BoundaryAt | ChordIs | ChordSplit):
        return {"chords": Chords(segments=_segments(labels, edit), **by.claim)}
    return _rhythm(labels, edit, by)


def _confirmed(labels: Labels, by: Corrector) -> dict[str, Any]:
    """All that the labels say, as claims of whoever listened; what they do not say stays open."""
    parts = {
        "beats": labels.beats.replaced(downbeat_confidence=1.0, **by.claim),
        "meter": labels.meter.replaced(**by.claim),
        "chords": labels.chords.replaced(**by.claim),
        "key": labels.key.replaced(**by.claim),
    }
    said = {
        "beats": labels.beats.times_s,
        "meter": labels.meter.beats_per_bar,
        "chords": labels.chords.segments,
        "key": labels.key.mode,
    }
    return {name: part for name, part in parts.items() if said[name]}


# -- beats and bars


def _rhythm(
    labels: Labels, edit: Doubled | Halved | OneAt | BarOf | Tapped, by: Corrector
) -> dict[str, Any]:
    times_s, numbers = list(labels.beats.times_s), list(labels.beats.numbers)
    bar = labels.meter.beats_per_bar or max(numbers, default=4)
    if isinstance(edit, Tapped):
        times_s = tapped_beats(edit.taps_s, labels.duration_s)
        first = min(range(len(times_s)), key=lambda index: abs(times_s[index] - edit.taps_s[0]))
        numbers = numbered(len(times_s), first, bar)
    elif len(times_s) < 2:
        raise SchemaError("there are no beats to go by: tap them")
    elif isinstance(edit, Doubled):
        times_s, numbers = _doubled(times_s, numbers, bar)
    elif isinstance(edit, Halved):
        times_s, numbers = _halved(times_s, numbers, bar)
    elif isinstance(edit, OneAt):
        if edit.beat >= len(times_s):
            raise SchemaError(f"there is no beat {edit.beat}: there are {len(times_s)}")
        numbers = numbered(len(times_s), edit.beat, bar)
    else:
        bar = edit.beats_per_bar
        numbers = numbered(len(times_s), numbers.index(1) if 1 in numbers else 0, bar)
    return {
        "beats": Beats(
            times_s=tuple(times_s), numbers=tuple(numbers), downbeat_confidence=1.0, **by.claim
        ),
        "meter": Meter(beats_per_bar=bar, **by.claim),
    }


def numbered(count: int, one: int, bar: int) -> list[int]:
    """Numbers in their bars of so many beats, of which the one of index `one` is a downbeat.

    >>> numbered(6, 2, 3)
    [2, 3, 1, 2, 3, 1]
    """
    return [(index - one) % bar + 1 for index in range(count)]


def _doubled(
    times_s: Sequence[float], numbers: Sequence[int], bar: int
) -> tuple[list[float], list[int]]:
    """A beat between each two; downbeats stay, and bars that are too long have another within."""
    between = [(one + other) / 2 for one, other in pairwise(times_s)]
    out_s, out = [times_s[0]], [_within(2 * (numbers[0] - 1), bar)]
    for middle_s, time_s, before, number in zip(
        between, times_s[1:], numbers[:-1], numbers[1:], strict=True
    ):
        out_s += [_ms(middle_s), time_s]
        out += [_within(2 * before - 1, bar), _within(2 * (number - 1), bar)]
    return out_s, out


def _within(beats: int, bar: int) -> int:
    return beats % bar + 1


def _halved(
    times_s: Sequence[float], numbers: Sequence[int], bar: int
) -> tuple[list[float], list[int]]:
    """Every other beat: those of the two halves in which more downbeats are."""
    ones = [sum(number == 1 for number in numbers[start::2]) for start in (0, 1)]
    start = 1 if ones[1] > ones[0] else 0
    kept = list(numbers[start::2])
    return list(times_s[start::2]), numbered(len(kept), kept.index(1) if 1 in kept else 0, bar)


def tapped_beats(taps_s: Sequence[float], duration_s: float) -> list[float]:
    """Even beats through taps, by least squares, from the start of the audio to its end.

    Raises `SchemaError` where the taps are no even beats, or no tempo of music.

    >>> tapped_beats([1.0, 1.5, 2.01, 2.49], 4.0)
    [0.007, 0.505, 1.003, 1.501, 1.999, 2.497, 2.995, 3.493, 3.991]
    """
    taps = np.array(sorted(set(taps_s)))
    if len(taps) < _LEAST_TAPS:
        raise SchemaError(f"tap at least {_LEAST_TAPS} beats")
    about = float(np.median(np.diff(taps)))
    # a beat that was left out stays out
    numbers = np.concatenate([[0], np.cumsum(np.maximum(1, np.round(np.diff(taps) / about)))])
    period_s, start_s = (float(value) for value in np.polyfit(numbers, taps, 1))
    if not _BPM[0] <= 60 / period_s <= _BPM[1]:
        raise SchemaError(
            f"{60 / period_s:.0f} BPM were tapped: expected {_BPM[0]:.0f} to {_BPM[1]:.0f}"
        )
    if float(np.abs(start_s + numbers * period_s - taps).max()) > _UNEVEN * period_s:
        raise SchemaError("the taps are not even: tap again, a tap on each beat")
    first = int(np.ceil(-start_s / period_s - 1e-9))
    last = int(np.ceil((duration_s - start_s) / period_s))
    if last - first > _MOST_BEATS:
        raise SchemaError(f"more than {_MOST_BEATS} beats would come of these taps")
    return [_ms(max(0.0, start_s + number * period_s)) for number in range(first, last)]


def _ms(time_s: float) -> float:
    return round(time_s, TIME_DECIMALS)


# -- chords


def _segments(labels: Labels, edit: BoundaryAt | ChordIs | ChordSplit) -> tuple[ChordSegment, ...]:
    segments = list(labels.chords.segments)
    if isinstance(edit, ChordSplit):
        return tuple(_split(segments, edit.at_s))
    if edit.index >= len(segments):
        raise SchemaError(f"there is no chord {edit.index}: there are {len(segments)}")
    if isinstance(edit, BoundaryAt):
        return tuple(_moved(segments, edit.index, edit.to_s))
    segments[edit.index] = segments[edit.index].replaced(label=chord_label(edit.label))
    return tuple(segments)


def chord_label(text: str) -> str:
    """A chord as labels have it, from Harte syntax or a lead sheet's symbol.

    >>> chord_label("F♯m7"), chord_label("A:min/b3"), chord_label("N.C.")
    ('F#:min7', 'A:min/b3', 'N')
    """
    plain = text.strip()
    if plain.upper().replace(".", "") in (NO_CHORD, "NC", ""):
        return NO_CHORD
    chord = Chord.parse(plain) if ":" in plain else Chord.parse_symbol(plain)
    return chord.harte


def _moved(segments: list[ChordSegment], index: int, to_s: float) -> list[ChordSegment]:
    """The same with another boundary between two chords, which keep a moment each."""
    before, after = segments[index - 1], segments[index]
    least, most = before.start_s + _LEAST_CHORD_S, after.end_s - _LEAST_CHORD_S
    if least > most:
        raise SchemaError("both chords are too short for their boundary to move")
    at_s = _ms(min(max(to_s, least), most))
    segments[index - 1 : index + 1] = [before.replaced(end_s=at_s), after.replaced(start_s=at_s)]
    return segments


def _split(segments: list[ChordSegment], at_s: float) -> list[ChordSegment]:
    for index, one in enumerate(segments):
        if one.start_s + _LEAST_CHORD_S <= at_s <= one.end_s - _LEAST_CHORD_S:
            at_s = _ms(at_s)
            segments[index : index + 1] = [one.replaced(end_s=at_s), one.replaced(start_s=at_s)]
            return segments
    raise SchemaError(f"no chord can be split at {at_s:.2f} s: it is too near a boundary")
