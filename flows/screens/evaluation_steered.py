"""A steered piece on the page: which way was taken, how near it came, and as pictures its outline
with joins, asked curves over heard ones, and the forms that were asked for and heard.
"""

import base64
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from typing import Final

import numpy as np

from flows.screens.evaluation_picture import LEFT, WIDTH, png, position, second_marks
from schemas.controls import CONTROL_RATE_HZ, NO_PITCH
from schemas.pitch import spell
from training.evaluation.report import ClipReport
from training.generation.steered_facts import Matrix, SteeredFacts
from training.timed_controls.steer_options import SteerWay

_OUTLINE: Final = 56  # px high
_LEVELS: Final = 110
_TONE: Final = 8  # px a pitch class
_LOW_DB, _HIGH_DB = -60.0, 0.0
_LONGEST_S: Final = 60.0
_MOST_CURVE: Final = 600  # frames of the first minute


def steered_part(clip: ClipReport, facts: SteeredFacts) -> str:
    """Ways, figures and pictures of a piece; every text from outside is escaped."""
    return "".join((*_words(facts), *_pictures(clip, facts), *_forms(clip, facts)))


def _words(facts: SteeredFacts) -> Iterator[str]:
    tries = f", {facts.tries} tries at most" if facts.tries else ""
    ways = [
        f"{aim} by {way}{tries if way is SteerWay.OPTIMISE else ''}"
        for aim, way in facts.ways.items()
    ]
    if ways:
        yield f'<p class="facts">{escape(" · ".join(ways))}</p>'
    if facts.near:
        rows = "".join(f"<li>{escape(line)}</li>" for line in facts.near)
        yield f'<ul class="near">{rows}</ul>'


def _pictures(clip: ClipReport, facts: SteeredFacts) -> Iterator[str]:
    span_s = min(clip.labels.duration_s, _LONGEST_S)
    parts, top = list[str](), 0
    if clip.view is not None:
        parts += _outline(clip.view.outline, top)
        top += _OUTLINE + 6
    asked, heard = clip.curves, clip.controls
    if asked is not None and heard is not None:
        if any(one is not None for one in asked.dynamics_db):
            parts += _levels(asked.dynamics_db, heard.dynamics_db, top, span_s)
            top += _LEVELS + 6
        if any(one not in (None, NO_PITCH) for one in asked.melody):
            parts += _tones(asked.melody, heard.melody, top, span_s)
            top += NO_PITCH * _TONE + 6
    if not top:
        return
    own = list(_recorded(facts, top, span_s))
    parts = [*own, *parts, *_joins(facts.joins_s, top, span_s), *second_marks(top, span_s)]
    size = f'viewBox="0 0 {LEFT + WIDTH + 18} {top + 18}"'
    if asked is not None or own:
        recorded = "; grey ground: the recording" if own else ""
        yield f'<p class="facts">Broad: asked; fine: heard{recorded}.</p>'
    yield (
        f'<div class="wide"><svg class="clip" {size} role="img" aria-label="outline, with asked '
        f'curves over heard ones and joins">{"".join(parts)}</svg></div>'
    )


def _lane(name: str, y: float) -> str:
    return f'<text class="lane" x="{LEFT - 6}" y="{y:g}" text-anchor="end">{name}</text>'


def _outline(outline: Sequence[float], top: int) -> Iterator[str]:
    """The wave's magnitudes, mirrored."""
    middle, step = top + _OUTLINE / 2, WIDTH / max(1, len(outline))
    highest = max(*outline, 1e-3)
    up = [
        f"{LEFT + (index + 0.5) * step:.1f},{middle - value / highest * _OUTLINE / 2:.1f}"
        for index, value in enumerate(outline)
    ]
    down = [
        f"{LEFT + (index + 0.5) * step:.1f},{middle + value / highest * _OUTLINE / 2:.1f}"
        for index, value in reversed(list(enumerate(outline)))
    ]
    yield _lane("wave", middle + 4)
    yield f'<polygon class="outline" points="{" ".join((*up, *down))}"/>'


def _levels(
    asked: Sequence[float | None], heard: Sequence[float], top: int, span_s: float
) -> Iterator[str]:
    """Levels in dB: what is asked for as a broad line, what is heard as a fine one upon it."""

    def y(level: float) -> float:
        share = (min(max(level, _LOW_DB), _HIGH_DB) - _LOW_DB) / (_HIGH_DB - _LOW_DB)
        return round(top + _LEVELS * (1 - share), 1)

    for level in (-50, -30, -10):
        at = f'y1="{y(level)}" y2="{y(level)}"'
        yield f'<line class="grid" x1="{LEFT}" x2="{LEFT + WIDTH}" {at}/>'
        yield _lane(f"{level} dB", y(level) + 4)
    for name, values in (("asked", asked), ("heard", heard)):
        for run in _runs(values[:_MOST_CURVE]):
            points = " ".join(
                f"{position((at + 0.5) / CONTROL_RATE_HZ, span_s)},{y(value)}" for at, value in run
            )
            title = f"<title>{name}</title>"
            yield f'<polyline class="curve {name}" points="{points}">{title}</polyline>'


def _runs(values: Sequence[float | None]) -> Iterator[list[tuple[int, float]]]:
    """Frames that follow each other and are known."""
    numbered = list(enumerate(values))
    for known, run in groupby(numbered, key=lambda one: one[1] is not None):
        if known:
            yield [(at, float(value)) for at, value in run if value is not None]


def _tones(
    asked: Sequence[int | None], heard: Sequence[int], top: int, span_s: float
) -> Iterator[str]:
    """Pitch classes from B down to C: broad boxes asked for, bars heard within them."""
    for pitch in (0, 2, 4, 5, 7, 9, 11):
        yield (
            f'<text class="pitch" x="{LEFT - 6}" y="{top + (11 - pitch) * _TONE + _TONE}" '
            f'text-anchor="end">{spell(pitch)}</text>'
        )
    for name, values, inset in (("asked", asked, 0), ("heard", heard, 2)):
        at = 0
        for value, run in groupby(values[:_MOST_CURVE]):
            length = len(list(run))
            if value is not None and value != NO_PITCH:
                left, right = (
                    position(frame / CONTROL_RATE_HZ, span_s) for frame in (at, at + length)
                )
                yield (
                    f'<rect class="tone {name}" x="{left}" width="{right - left:.1f}" '
                    f'y="{top + (11 - value) * _TONE + inset}" height="{_TONE - 2 * inset}"/>'
                )
            at += length


def _recorded(facts: SteeredFacts, bottom: int, span_s: float) -> Iterator[str]:
    """Behind all else, the time that is a recording's."""
    first, last = facts.new_s
    for start_s, end_s in ((0.0, first), (last, span_s)):
        if end_s - start_s > 1 / CONTROL_RATE_HZ:
            left, right = position(start_s, span_s), position(end_s, span_s)
            yield (
                f'<rect class="own" x="{left}" width="{right - left:.1f}" y="0" height="{bottom}">'
                "<title>the recording</title></rect>"
            )


def _joins(joins_s: Sequence[float], bottom: int, span_s: float) -> Iterator[str]:
    for at_s in joins_s:
        if 0 < at_s < span_s:
            x = position(at_s, span_s)
            yield f'<line class="join" x1="{x}" x2="{x}" y1="0" y2="{bottom}"/>'
            yield f'<text class="join" x="{x + 3}" y="10">join</text>'


def _forms(clip: ClipReport, facts: SteeredFacts) -> Iterator[str]:
    heard = clip.view.form if clip.view else ()
    if not facts.form_asked or not heard:
        return
    letters = f" {escape(facts.form)}" if facts.form else ""
    figures = "".join(
        f'<figure><img alt="{what}" src="{_matrix_image(matrix)}"><figcaption>{what}</figcaption>'
        "</figure>"
        for what, matrix in ((f"form asked{letters}", facts.form_asked), ("form heard", heard))
    )
    yield f'<div class="forms">{figures}</div>'


def _matrix_image(matrix: Matrix) -> str:
    """Alike is dark: from 0 to 1; what is opposite is as empty as what has nothing in common."""
    levels = (255 * np.clip(np.array(matrix, np.float64), 0, 1)).astype(np.uint8)
    return f"data:image/png;base64,{base64.b64encode(png(levels)).decode()}"
