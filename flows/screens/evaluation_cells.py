"""Cells of an evaluation's tables: figures, their intervals, and what stands beside them."""

from training.evaluation.report import SpaceFigures
from training.metrics.frechet_infinity import LEAST
from training.metrics.summary import Figure


def percent(share: float) -> str:
    """A share in per cent, with one decimal."""
    return f"{100 * share:.1f}"


def counted(number: int, noun: str) -> str:
    """A number of things.

    >>> counted(1, "clip"), counted(2, "clip")
    ('1 clip', '2 clips')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def plain(value: float) -> str:
    """A figure that is not a share, with two decimals."""
    return f"{value:.2f}"


def optional(value: float | None, *, is_share: bool = True) -> str:
    """A figure that may be missing."""
    if value is None:
        return "–"
    return percent(value) if is_share else plain(value)


def interval(one: Figure) -> str:
    """A mean's interval with three decimals; none where its clips tell no spread."""
    return f"{one.low:.3f} – {one.high:.3f}" if one.low < one.high else "–"


def infinity_missing(space: SpaceFigures) -> str:
    """Why there is no FAD∞ beside a Fréchet distance; empty where there is one, or neither."""
    if space.frechet is None or space.frechet_infinity:
        return ""
    return f"no FAD∞: it takes {LEAST} clips, and {2 * LEAST} of reference"


def interval_cells(one: Figure, *, is_share: bool = True) -> str:
    """Value, interval, and for a share the drawing of both."""
    written = percent if is_share else plain
    drawing = interval_svg(one) if is_share else ""
    return (
        f"<td class=number>{written(one.value)}</td><td class=number>{written(one.low)} – "
        f"{written(one.high)}</td><td>{drawing}</td>"
    )


def ceiling_heads(beside: bool) -> str:
    """Heads of the columns of `ceiling_cells`."""
    return "<th class=number>recordings</th><th class=number>codec</th>" if beside else ""


def ceiling_cells(one: Figure, beside: bool, *, is_share: bool = True) -> str:
    """What recordings get, and the codec's round trip of them."""
    if not beside:
        return ""
    return "".join(
        f"<td class=number>{optional(value, is_share=is_share)}</td>"
        for value in (one.recordings, one.codec)
    )


def interval_svg(one: Figure) -> str:
    """A share and its interval from 0 to 100 %, and chance as a stroke."""
    low, value, high, chance = (
        5 + 140 * end for end in (one.low, one.value, one.high, one.chance or 0)
    )
    stroke = (
        ""
        if one.chance is None
        else f'<line class="chance" x1="{chance:.1f}" x2="{chance:.1f}" y1="2" y2="14"/>'
    )
    return (
        '<svg class="range" viewBox="0 0 150 16" aria-hidden="true"><line class="track" '
        f'x1="5" x2="145" y1="8" y2="8"/><line class="span" x1="{low:.1f}" x2="{high:.1f}" '
        f'y1="8" y2="8"/>{stroke}<circle class="point" cx="{value:.1f}" cy="8" r="4"/></svg>'
    )
