"""Texts with times: ``0-4: Am F; 6-8: C``.

A part is ``START-END:`` in seconds and what is asked for between them; ``6-:`` lasts to the end.
What begins with no such head holds for all of the time. A head is known by its number: no chord,
note or key begins with one.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from training.conditions.clip_controls import Span
from training.errors import TrainingError
from training.timed_controls.files import shown

_NUMBER: Final = r"\d{1,6}(?:\.\d{1,6})?"
_HEAD: Final = re.compile(rf"(?:^|(?<=[\s;,]))({_NUMBER})\s?[-–]\s?({_NUMBER})?\s?:")
_LONGEST: Final = 100_000  # characters
_JOINED_S: Final = 0.002  # parts this near join: times are written in milliseconds


class Part(NamedTuple):
    """What is asked for within a span; without one, for all of the time."""

    span: Span | None
    text: str


def read_parts(text: str, flag: str, duration_s: float) -> tuple[Part, ...]:
    """The parts of a text, in the order of their times, cut at the end of the piece.

    Raises `TrainingError` for words before the first head, for parts that overlap, end before they
    begin, are empty or begin after the end.

    >>> read_parts("6-: C; 0-4: Am | F", "--chords", 8)[0]
    Part(span=Span(start_s=0.0, end_s=4.0), text='Am | F')
    >>> read_parts("Am F C G", "--chords", 8)
    (Part(span=None, text='Am F C G'),)
    """
    if len(text) > _LONGEST:
        raise TrainingError(f"{flag} is longer than {_LONGEST} characters: give a file")
    heads = list(_HEAD.finditer(text))
    if not heads:
        return (Part(None, text.strip()),)
    if text[: heads[0].start()].strip(" ;,"):
        raise TrainingError(
            f"{flag} {shown(text)}: {shown(text[: heads[0].start()].strip())} has no time: "
            "expected parts such as '0-4: Am F; 6-8: C'"
        )
    ends = [*(head.start() for head in heads[1:]), len(text)]
    found = [
        _part(head, text[head.end() : end], flag, duration_s)
        for head, end in zip(heads, ends, strict=True)
    ]
    parts = sorted(found, key=lambda part: part.span or Span(0, 0))
    check_apart([part.span for part in parts if part.span], flag)
    return tuple(parts)


def _part(head: re.Match[str], text: str, flag: str, duration_s: float) -> Part:
    start_s = float(head[1])
    end_s = min(float(head[2]), duration_s) if head[2] else duration_s
    if start_s >= duration_s:
        raise TrainingError(
            f"{flag}: {head[0].strip()} begins after the end, {duration_s:g} s: ask for more "
            "seconds, or leave it out"
        )
    if end_s <= start_s:
        raise TrainingError(f"{flag}: {head[0].strip()} does not end after its start")
    asked = text.strip().rstrip(";,").strip()
    if not asked:
        raise TrainingError(f"{flag}: {head[0].strip()} asks for nothing: write it after the colon")
    return Part(Span(start_s, end_s), asked)


def check_apart(spans: Sequence[Span], flag: str) -> None:
    """Raise `TrainingError` where one of these spans, in order, begins before the last ended."""
    for earlier, later in pairwise(spans):
        if later.start_s < earlier.end_s - 1e-6:
            raise TrainingError(
                f"{flag}: what begins at {later.start_s:g} s begins before the part from "
                f"{earlier.start_s:g} to {earlier.end_s:g} s has ended"
            )


def joined(spans: Iterable[Span], duration_s: float) -> tuple[Span, ...] | None:
    """Spans in order with neighbours made one; none where they are all of the time.

    >>> joined([Span(0, 2), Span(2, 4), Span(5, 6)], 8)
    (Span(start_s=0, end_s=4), Span(start_s=5, end_s=6))
    >>> joined([Span(0, 5), Span(5, 8)], 8) is None
    True
    """
    out: list[Span] = []
    for span in spans:
        if out and span.start_s - out[-1].end_s <= _JOINED_S:
            out[-1] = Span(out[-1].start_s, span.end_s)
        else:
            out.append(span)
    if len(out) == 1 and out[0].start_s <= _JOINED_S and out[0].end_s >= duration_s - _JOINED_S:
        return None
    return tuple(out)
