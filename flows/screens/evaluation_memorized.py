"""Songs learned by heart, as a report shows them: shares, and the likeliest copies beside what they
are copies of.
"""

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote

from training.metrics.copies import COPY

if TYPE_CHECKING:
    from training.evaluation.memorization.memorized import (
        CopyShares,
        MemorizationReport,
        MemorizedClip,
        NearestTraining,
    )
    from training.metrics.summary import Figure

_HEAD = (
    "<tr><th>music</th><th class=number>copies, %</th><th class=number>95 % interval</th>"
    "<th class=number>nearer than 99 % of held-out, %</th><th class=number>95 % interval</th>"
    "<th class=number>clips</th></tr>"
)


def shown_shares(found: "MemorizationReport") -> "list[tuple[str, CopyShares]]":
    """What was measured, each with what it is of; held-out music is the yardstick."""
    named = (
        ("played by held-out prompts", found.played),
        ("played by training captions", found.by_training_prompts),
        ("held-out music", found.held_out),
    )
    return [(name, shares) for name, shares in named if shares]


def memorized_lines(found: "MemorizationReport") -> Iterator[str]:
    """The shares, in a terminal's lines."""
    for name, shares in shown_shares(found):
        nearer = (
            f"; nearer than 99 % of held-out music {_percent(shares.nearer)}"
            if shares.nearer
            else ""
        )
        yield (
            f"copies of training music, {name}: {_percent(shares.copies)} "
            f"of {shares.copies.clips}{nearer}"
        )
    yield searched(found)


def _percent(one: "Figure") -> str:
    return f"{100 * one.value:.1f} % ({100 * one.low:.1f} – {100 * one.high:.1f})"


def searched(found: "MemorizationReport") -> str:
    """What was looked through, in a sentence."""
    others = (
        f"; not searched, though learned from: {', '.join(found.not_searched)}"
        if found.not_searched
        else ""
    )
    unusable = f", {found.unusable} more cannot be used" if found.unusable else ""
    codec = ", held-out music through the model's codec" if found.roundtrip else ""
    return f"{found.samples} training samples compared{unusable}{codec}{others}"


def memorized_section(found: "MemorizationReport") -> Iterator[str]:
    """The page's part: shares, then both sounds of each pair that was copied into the report."""
    yield "<h2>Learned by heart <small>played beside what was learned from</small></h2>"
    rows = "".join(
        f"<tr><td class=name>{escape(name)}</td>{_cells(shares.copies)}{_cells(shares.nearer)}"
        f"<td class=number>{shares.copies.clips}</td></tr>"
        for name, shares in shown_shares(found)
    )
    yield f"<div class=wide><table>{_HEAD}{rows}</table></div>"
    yield (
        f'<p class="facts">{escape(searched(found))}. A copy: at some pitch and speed at least '
        f"{100 * COPY:g} % of the fingerprint’s bits are equal, where other music has about half; "
        "what nets know by heart they may play blurred, so how well levels by time and pitch "
        "correlate stands beside held-out music as well.</p>"
    )
    shown = [clip for clip in found.clips if clip.audio and clip.nearest_audio]
    for clip in sorted(shown, key=lambda clip: clip.likelihood, reverse=True):
        yield from _pair(clip)


def _cells(one: "Figure | None") -> str:
    if one is None:
        return "<td class=number>–</td><td class=number>–</td>"
    return (
        f"<td class=number>{100 * one.value:.1f}</td>"
        f"<td class=number>{100 * one.low:.1f} – {100 * one.high:.1f}</td>"
    )


def _pair(clip: "MemorizedClip") -> Iterator[str]:
    nearest = clip.nearest[0]
    grade, verdict = ("wrong", "a copy") if clip.is_copy else ("right", "no copy")
    by = " · asked by a training caption" if clip.by_training_prompt else ""
    yield (
        f"<article><h3>{escape(clip.name)}{by}</h3><p "
        f'class="prompt">{escape(clip.caption) or "<em>no prompt is known</em>"}</p>'
        f'<p class="marks"><span class="{grade}">{verdict}</span> '
        f"<span>fingerprints agree in {100 * nearest.agreement:.0f} %</span> "
        f"<span>levels correlate by {nearest.correlation:.2f}</span> "
        f"<span>likeness {nearest.similarity:.2f}</span></p>"
        f"<dl><dt>played</dt><dd>{_player(clip.audio)}</dd>"
        f"<dt>learned</dt><dd>{_player(clip.nearest_audio)}{escape(nearest.key)}: "
        f"{escape(change(nearest))}</dd></dl></article>"
    )


def _player(path: str) -> str:
    return f'<audio controls preload="none" src="{escape(quote(path))}"></audio>'


def change(nearest: "NearestTraining") -> str:
    """How a clip differs from a sample where they agree best.

    >>> from training.evaluation.memorization.memorized import NearestTraining
    >>> change(
    ...     NearestTraining(
    ...         key="a", song_id="a", corpus="c", similarity=0.9, agreement=0.8, correlation=0.7,
    ...         is_copy=True, semitones=2, speed=1.104, begins_s=1.5,
    ...     )
    ... )
    'agrees best 2 semitones higher, at 1.10 × the speed, from 1.5 s'
    """
    pitch = "as high" if not nearest.semitones else f"{abs(nearest.semitones)} semitones "
    if nearest.semitones:
        pitch += "higher" if nearest.semitones > 0 else "lower"
    speed = "as fast" if nearest.speed == 1 else f"at {nearest.speed:.2f} × the speed"
    return f"agrees best {pitch}, {speed}, from {max(0.0, nearest.begins_s):.1f} s"
