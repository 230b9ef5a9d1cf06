"""What one row of a manifest, or the JSON beside a file, says of a clip: prompt, controls, times.

The names that others use are known.
"""

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

from pipelines.inputs.manifests import plain_text
from schemas.chord import NO_CHORD
from schemas.errors import SchemaError
from schemas.labels import Labels
from training.errors import TrainingError
from training.metrics.controls import PromptControls, controls_of, overridden, surely_requested
from training.metrics.timing import AskedChord, Timing, timing_of
from training.prompt_controls.chart import read_chart
from training.prompt_controls.requested import read_requested

# Columns by the names that MusicBench, audio folders and our own files give them; the first that
# says something counts.
FILE: Final = ("file", "file_name", "filename", "audio", "path", "location", "uri")
CAPTION: Final = ("caption", "prompt", "text", "captions", "main_caption")
_BPM: Final = ("bpm", "tempo")
_METER: Final = ("meter", "beats_per_bar", "time_signature")
_SECONDS: Final = ("seconds",)
_NOTHING: Final = frozenset(("", "nan", "none", "null", "n/a"))
_KEY: Final = re.compile(
    r"([A-Ga-g](?:#|b|♯|♭)?)[ :_-]*(M|m|[Mm]aj(?:or)?|[Mm]in(?:or)?|MAJOR|MINOR)?"
)
_MAX_BEATS: Final = 10_000
_SHOWN: Final = 40  # characters of a value that cannot be read, in its error


class ParsedRow(NamedTuple):
    """A prompt, what it and its row ask for, and when."""

    caption: str
    requested: PromptControls
    timing: Timing
    seconds: float | None = None  # how long the clip was to be


def parse_row(row: Mapping[str, Any]) -> ParsedRow:
    """What a row asks for: its columns `bpm`, `key`, `chords`, `meter` or `beats`; for what they
    leave open, what the caption states.

    Labels of a piece of ours count where somebody asked for them. Raises `TrainingError`,
    `SchemaError` or `DeadInput` for values that cannot be read.

    >>> chords = {"chords": ["Am", "E7"], "chords_time": [0.4, 2.1]}
    >>> parse_row({"prompt": "A waltz in A minor", "bpm": 90, **chords}).requested.chords
    ('A:min', 'E:7')
    >>> beats = [[0.5, 1.0, 1.5], [3, 1, 2]]
    >>> parse_row({"captions": "Rock.", "key": ["E major", None], "beats": beats}).requested.meter
    3
    """
    caption = text_of(row, CAPTION)
    if isinstance(row.get("labels"), Mapping):
        labels = Labels.model_validate(row["labels"])
        stated = controls_of(read_requested(caption))
        given_controls = surely_requested(labels)
        # a progression is laid out in rounds as long as the clip lasts: the caption's round is what
        # is asked for
        if stated.chords:
            given_controls = given_controls.replaced(chords=())
        return ParsedRow(
            caption, overridden(stated, given_controls), timing_of(labels), labels.duration_s
        )
    times_s, numbers = _beats(row.get("beats"))
    meter = _stated_text(row, _METER) or (max(numbers) if numbers else None)
    chords = _chords(row.get("chords"))
    requested = read_requested(
        caption,
        bpm=_number(row, _BPM),
        meter=meter,
        key=_key(row.get("key")),
        chords=" ".join(chords) or None,
    )
    downbeats_s = tuple(time_s for time_s, number in zip(times_s, numbers) if number == 1)
    timed = _timed(chords, row.get("chords_time")) or tuple(
        AskedChord(*chord) for chord in requested.timed
    )
    return ParsedRow(
        caption,
        controls_of(requested),
        Timing(
            beats_s=times_s,
            downbeats_s=downbeats_s,
            chords=timed,
        ),
        _number(row, _SECONDS),
    )


def text_of(row: Mapping[str, Any], names: Sequence[str]) -> str:
    """The first text among columns; empty where none says anything.

    Raises `DeadInput` for one that could not be written anywhere.
    """
    named = next(
        (name for name in names if isinstance(row.get(name), str) and row[name].strip()), None
    )
    return "" if named is None else plain_text(named, row[named])


def _stated_text(row: Mapping[str, Any], names: Sequence[str]) -> str | None:
    for name in names:
        value = row.get(name)
        if isinstance(value, str | int | float):
            text = _written(
                int(value) if isinstance(value, float) and value.is_integer() else value, name
            ).strip()
            if text.lower() not in _NOTHING:
                return text
    return None


def _written(value: Any, name: str) -> str:
    """A value as text.

    Raises `TrainingError` for whole numbers of more digits than Python writes.
    """
    try:
        return str(value)
    except ValueError as error:
        raise TrainingError(f"{name} holds a number of thousands of digits") from error


def _number(row: Mapping[str, Any], names: Sequence[str]) -> float | None:
    text = _stated_text(row, names)
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError as error:
        raise TrainingError(f"{names[0]} {text[:_SHOWN]!r} is not a number") from error
    if not math.isfinite(number):
        raise TrainingError(f"{names[0]} {text[:_SHOWN]!r} is not finite")
    return number


def _key(value: Any) -> str | None:
    """A key as it is written elsewhere: ``EM``, ``F#m``, ``C maj``, ``["E major", 0.8]``."""
    text = (
        value[0] if isinstance(value, Sequence) and not isinstance(value, str) and value else value
    )
    if not isinstance(text, str) or text.strip().lower() in _NOTHING:
        return None
    match = _KEY.fullmatch(text.strip())
    if not match:
        return text  # the reader of flags says what is wrong with it
    mode = match[2] or "M"
    return (
        f"{match[1][0].upper()}{match[1][1:]} "
        f"{'minor' if mode == 'm' or mode.lower().startswith('min') else 'major'}"
    )


def _chords(value: Any) -> tuple[str, ...]:
    """Harte labels of a list, or of a text with symbols; N for no chord."""
    if value is None or isinstance(value, float):
        return ()
    parts = [
        _written(one, "chords")
        for one in (
            value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        )
    ]
    text = " ".join(parts).strip().strip("[]").replace("'", "").replace('"', "")
    return (
        ()
        if text.lower() in _NOTHING
        else tuple(label for bar in read_chart(text, flag="chords").bars for label in bar)
    )


def _timed(chords: Sequence[str], times: Any) -> tuple[AskedChord, ...]:
    """Chords with their starts; each ends where the next entry begins, be that no chord."""
    starts = _floats(times, "chords_time")
    if len(starts) != len(chords):
        return ()
    timed = zip(chords, starts, (*starts[1:], None), strict=False)
    return tuple(AskedChord(*chord) for chord in timed if chord[0] != NO_CHORD)


def _beats(value: Any) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Times and numbers of ``[[times], [numbers]]``, ``[[time, number], …]``, or times alone."""
    if not _is_list(value) or not value or len(value) > _MAX_BEATS:
        return (), ()
    times_s, numbers = _times_and_numbers(value)
    ascend = all(earlier < later for earlier, later in pairwise(times_s))
    if not ascend or not all(1 <= number <= 15 for number in numbers):
        raise SchemaError(
            "beats are neither two lists, of ascending times "
            "and of numbers from 1 on, nor pairs of both"
        )
    return times_s, tuple(round(number) for number in numbers)


def _times_and_numbers(value: Sequence[Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Both as they are written: two lists side by side, else pairs, else times alone."""
    nested = [_floats(part, "beats") for part in value]
    if len(nested) == 2 and len(nested[0]) == len(nested[1]) != 2:
        return nested[0], nested[1]
    if all(len(part) == 2 for part in nested):
        times_s, numbers = zip(*nested, strict=True)
        return times_s, numbers
    return _floats(value, "beats"), ()


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _floats(value: Any, name: str) -> tuple[float, ...]:
    if not _is_list(value):
        return ()
    try:
        return tuple(
            float(one)
            for one in value
            if isinstance(one, int | float) and math.isfinite(one) and one >= 0
        )
    except OverflowError as error:
        raise TrainingError(
            f"{name} holds a number of hundreds of digits: expected seconds, or numbers of beats"
        ) from error
