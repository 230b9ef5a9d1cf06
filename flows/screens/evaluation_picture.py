"""A clip as a picture: its chroma, with requested and estimated chords above and beats below.

One SVG, the chroma a PNG inside.
"""

import base64
import struct
import zlib
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

import numpy as np
import numpy.typing as npt

from pipelines.labels.lead_sheet import symbol
from schemas.chord import Chord
from schemas.labels import Labels
from schemas.pitch import pretty, spell
from training.evaluation.chroma import Chroma
from training.metrics.timing import SoundingChord, Timing

_INK: Final = (37, 99, 176)  # of the chroma: a blue that can be seen on white and on near black
LEFT, WIDTH = 56, 900  # px: names of lanes and notes, then time
_ROW: Final = 11  # px a pitch class
_LANE: Final = 20  # px a lane of chords
_TICKS: Final = 11
_LETTER: Final = 7  # px wide, about, at the font's size
_LONGEST_S: Final = 60.0


def picture(chroma: Chroma, labels: Labels, timing: Timing) -> str:
    """The SVG of a clip's first minute, with lanes for what was requested where it has times."""
    span_s = min(labels.duration_s, _LONGEST_S)
    estimated = [
        SoundingChord(symbol(segment, labels.key.key), segment.start_s, segment.end_s)
        for segment in labels.chords.segments
    ]
    asked = timing.chord_spans(labels.duration_s)
    requested = [
        span._replace(label=pretty(Chord.parse(span.label).symbol(labels.key.key)))
        for span in asked
    ]
    parts: list[str] = []
    top = 0
    for name, chords in (("asked", requested), ("heard", estimated)):
        if chords:
            parts += _chord_lane(name, chords, top, span_s)
            top += _LANE
    parts += _chroma_image(chroma, top, span_s)
    bottom = top + 12 * _ROW
    parts += _boundaries(asked, top, bottom, span_s)
    for name, times_s, downbeats_s in (
        ("asked", timing.beats_s, timing.downbeats_s),
        ("heard", labels.beats.times_s, labels.beats.downbeats_s),
    ):
        if times_s:
            parts += _beat_lane(name, times_s, downbeats_s, bottom, span_s)
            bottom += _TICKS + 3
    parts += second_marks(bottom, span_s)
    size = f'viewBox="0 0 {LEFT + WIDTH + 18} {bottom + 16}"'
    return (
        f'<svg class="clip" {size} role="img" aria-label="chroma '
        f'with chords and beats">{"".join(parts)}</svg>'
    )


def position(time_s: float, span_s: float) -> float:
    """Where a time stands in a picture of so many seconds, in px."""
    return round(LEFT + WIDTH * min(max(time_s, 0.0), span_s) / span_s, 1)


def _lane_name(name: str, y: float) -> str:
    return f'<text class="lane" x="{LEFT - 6}" y="{y}" text-anchor="end">{name}</text>'


def _chord_lane(
    name: str, chords: Sequence[SoundingChord], top: int, span_s: float
) -> Iterator[str]:
    """Chord names from where each begins; a name that has no room is in its tooltip alone."""
    yield _lane_name(name, top + 14)
    for text, at_s, end_s in chords:
        left, right = position(at_s, span_s), position(end_s, span_s)
        if right <= left:
            continue
        title = escape(text)
        label = (
            f'<text x="{left + 4}" y="{top + 14}">{title}</text>'
            if _LETTER * len(text) + 6 <= right - left
            else ""
        )
        box = (
            f'<rect class="{name}" x="{left}" y="{top + 1}" '
            f'width="{right - left - 1:.1f}" height="{_LANE - 3}" rx="3"/>'
        )
        yield f"<g><title>{title} at {at_s:.2f} s</title>{box}{label}</g>"


def _chroma_image(chroma: Chroma, top: int, span_s: float) -> Iterator[str]:
    for row, pitch in enumerate(range(11, -1, -1)):
        if pitch in (0, 2, 4, 5, 7, 9, 11):
            yield (
                f'<text class="pitch" x="{LEFT - 6}" y="{top + row * _ROW + 9}" '
                f'text-anchor="end">{spell(pitch)}</text>'
            )
    columns = min(chroma.levels.shape[1], max(1, round(span_s * chroma.frames_per_s)))
    width = position(columns / chroma.frames_per_s, span_s) - LEFT
    image = base64.b64encode(png(chroma.levels[::-1, :columns])).decode()
    yield f'<rect class="back" x="{LEFT}" y="{top}" width="{WIDTH}" height="{12 * _ROW}"/>'
    yield (
        f'<image x="{LEFT}" y="{top}" width="{width:.1f}" height="{12 * _ROW}" '
        f'preserveAspectRatio="none" href="data:image/png;base64,{image}"/>'
    )


def _boundaries(
    chords: Sequence[SoundingChord], top: int, bottom: int, span_s: float
) -> Iterator[str]:
    for _, at_s, _ in chords:
        if 0 < at_s < span_s:
            yield (
                f'<line class="boundary" x1="{position(at_s, span_s)}" '
                f'x2="{position(at_s, span_s)}" y1="{top}" y2="{bottom}"/>'
            )


def _beat_lane(
    name: str, times_s: Sequence[float], downbeats_s: Sequence[float], top: int, span_s: float
) -> Iterator[str]:
    yield _lane_name(name, top + 11)
    downbeats = frozenset(downbeats_s)
    for time_s in times_s:
        if time_s <= span_s:
            high = _TICKS if time_s in downbeats else _TICKS / 2
            x = position(time_s, span_s)
            yield (
                f'<line class="beat {name}" x1="{x}" x2="{x}" '
                f'y1="{top + 2}" y2="{top + 2 + high}"/>'
            )


def second_marks(top: int, span_s: float) -> Iterator[str]:
    """Seconds below what ends at `top`, at most twelve of them."""
    step = next(step for step in (1, 2, 5, 10, 20) if span_s / step <= 12)
    for second in range(0, int(span_s) + 1, step):
        yield (
            f'<text class="note" x="{position(second, span_s)}" y="{top + 13}" '
            f'text-anchor="middle">{second} s</text>'
        )


def png(levels: npt.NDArray[np.uint8]) -> bytes:
    """A picture of one colour whose opacity is the level, so that it lies on any background.

    >>> png(np.zeros((1, 1), np.uint8))[:8] == bytes([137, 80, 78, 71, 13, 10, 26, 10])
    True
    """
    high, wide = levels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in np.ascontiguousarray(levels))  # 0: no filter
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", wide, high, 8, 3, 0, 0, 0)),  # 8 bits, palette
        (b"PLTE", bytes(_INK) * 256),
        (b"tRNS", bytes(range(256))),
        (b"IDAT", zlib.compress(rows, 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)


def _chunk(name: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
    )
