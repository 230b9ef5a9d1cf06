"""The results page of an evaluation: one HTML file, complete but for the clips' audio beside it."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final
from urllib.parse import quote

from flows.screens.evaluation_memorized import memorized_section
from flows.screens.evaluation_picture import picture
from flows.screens.evaluation_sound import judge_tables, sound_tables
from flows.screens.evaluation_steered import steered_part
from flows.screens.evaluation_style import STYLE
from flows.screens.evaluation_tables import control_table, space_table
from flows.screens.evaluation_timeline import comparison_table, swap_tables, timeline_table
from pipelines.labels.lead_sheet import heading, lead_sheet
from schemas.chord import Chord
from schemas.fact import write_number
from schemas.labels import Labels
from schemas.pitch import pretty
from training.evaluation.estimated import EstimatedClip
from training.evaluation.report import ClipReport, EvaluationReport
from training.metrics.controls import PromptControls
from training.metrics.outcomes import MEANING, SHARES, Metric
from training.metrics.timeline_figures import TIMELINE_MEANING, TimelineMetric
from training.prompt_controls.requested import signature

_MAX_PROBLEMS: Final = 100
# beside each clip; all are in report.json
_SHOWN: Final = frozenset(
    (TimelineMetric.BEATS, TimelineMetric.MAJMIN, TimelineMetric.SEVENTHS, TimelineMetric.MELODY)
)


def page(report: EvaluationReport, estimated: Sequence[EstimatedClip]) -> str:
    """The page.

    Of clips, those whose sound was copied are shown; every text from outside is escaped.
    """
    shown = [(clip, one) for clip, one in zip(report.clips, estimated, strict=True) if clip.audio]
    body = [
        *_head(report),
        control_table(report),
        timeline_table(report),
        *([swap_tables(report.swaps, report.ceilings)] if report.swaps else []),
        comparison_table(report),
        judge_tables(report.judges),
        space_table(report),
        sound_tables(report.sound),
        *(memorized_section(report.memorized) if report.memorized else ()),
        *_clips(report, shown),
        *_problems(report),
        *_tools(report),
    ]
    title = f"Evaluation of {escape(report.system)}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, '
        f'initial-scale=1"><style>{STYLE}</style></head>\n'
        f"<body><main>\n{chr(10).join(body)}\n</main></body></html>\n"
    )


def _head(report: EvaluationReport) -> Iterator[str]:
    counts = report.counts
    yield f"<h1>{escape(report.system)}</h1>"
    yield (
        (
            f'<p class="facts">{counts.given} given = <b>{counts.scored} scored</b> '
            f"+ {counts.dead} dead + {counts.skipped} skipped"
        )
        + (f" · {counts.without_prompt} scored without a prompt" if counts.without_prompt else "")
        + (f" · {counts.swaps} scored in the swap test alone" if counts.swaps else "")
        + "</p>"
    )
    if report.checkpoint:
        name, sha256 = escape(report.checkpoint.name), escape(report.checkpoint.sha256)
        beside = "".join(f" · played by {escape(one)}" for one in report.checkpoint.refined_by)
        yield f'<p class="facts">checkpoint {name} · SHA-256 of its weights {sha256}{beside}</p>'
    if report.reference:
        split = f", its {escape(report.reference_split)} shards" if report.reference_split else ""
        yield f'<p class="facts">beside {escape(report.reference)}{split}</p>'


def _clips(
    report: EvaluationReport, shown: Sequence[tuple[ClipReport, EstimatedClip]]
) -> Iterator[str]:
    if not shown:
        return
    part = (
        ""
        if len(shown) == len(report.clips)
        else f" <small>{len(shown)} of {len(report.clips)}; all are in report.json</small>"
    )
    yield f"<h2>Clips{part}</h2>"
    yield (
        '<p class="facts">Above the chroma the chords, below it the beats (long: downbeats). '
        "Asked ones are shown where they have times; dashed lines are asked chord changes.</p>"
    )
    for clip, one in shown:
        yield from _clip(clip, one)


def _clip(clip: ClipReport, one: EstimatedClip) -> Iterator[str]:
    yield (
        f"<article><h3>{escape(clip.name)}</h3><p "
        f'class="prompt">{escape(clip.caption) or "<em>no prompt is known</em>"}</p>'
    )
    if clip.swap_of:
        yield f'<p class="facts">swap of {escape(clip.swap_of)}: in the swap test alone</p>'
    yield f'<audio controls preload="metadata" src="{escape(quote(clip.audio))}"></audio>'
    yield f'<p class="marks">{"".join(_marks(clip))}</p>'
    if clip.steered is not None:
        yield steered_part(clip, clip.steered)
    if one.chroma is not None:
        yield f'<div class="wide">{picture(one.chroma, clip.labels, clip.timing)}</div>'
    judged = "".join(
        f"<dt>heard by {escape(name)}</dt><dd>{_sheet(labels)}</dd>"
        for name, labels in clip.judged.items()
    )
    yield (
        f"<dl><dt>asked</dt><dd>{escape(requested_line(clip.asked))}</dd>"
        f"<dt>heard</dt><dd>{_sheet(clip.labels)}</dd>{judged}</dl></article>"
    )


def _sheet(labels: Labels) -> str:
    return f"<pre>{escape(chr(10).join((heading(labels), *lead_sheet(labels))))}</pre>"


def _marks(clip: ClipReport) -> Iterator[str]:
    for name, value in clip.scores.items():
        metric = Metric(name)
        yield (
            f'<span class="{_grade(value)}" title="{escape(MEANING[metric])}">'
            f"{escape(name)} {_score_text(metric, value)}</span> "
        )
    for name, value in clip.timeline.items():
        if name in _SHOWN:
            meaning = escape(TIMELINE_MEANING[TimelineMetric(name)])
            yield (
                f'<span class="{_grade(value)}" title="{meaning}">{escape(name)} '
                f"{100 * value:.0f} %</span> "
            )
    if clip.cosine is not None:
        yield f'<span title="cosine of prompt and clip">cosine {clip.cosine:.2f}</span>'


def _score_text(metric: Metric, value: float) -> str:
    if metric not in SHARES:
        return f"{100 * value:.0f} %"
    return "✓" if value else "✗"


def _grade(value: float) -> str:
    if value >= 1:
        return "right"
    return "part" if value > 0 else "wrong"


def requested_line(requested: PromptControls) -> str:
    """What a prompt states, in one line.

    >>> requested_line(PromptControls(bpm=90, meter=3, chords=("A:min", "Bb:maj")))
    'tempo 90 BPM · meter 3/4 · chords Am – B♭'
    """
    parts = (
        f"key {pretty(requested.key.name)}" if requested.key else "",
        f"tempo {write_number(requested.bpm)} BPM" if requested.bpm else "",
        f"tempo {' and '.join(requested.tempo_words)}" if requested.tempo_words else "",
        f"meter {signature(requested.meter)}" if requested.meter else "",
        "chords "
        + " – ".join(pretty(Chord.parse(label).symbol(requested.key)) for label in requested.chords)
        if requested.chords
        else "",
    )
    return " · ".join(part for part in parts if part) or "no tempo, key, chords or meter"


def _problems(report: EvaluationReport) -> Iterator[str]:
    if not report.problems:
        return
    rows = "".join(
        f"<tr><td>{escape(one.name)}</td><td>{escape(one.reason)}</td></tr>"
        for one in report.problems[:_MAX_PROBLEMS]
    )
    more = len(report.problems) - _MAX_PROBLEMS
    yield (
        "<h2>Not scored</h2><div class=wide><table><tr><th>file or "
        f"row</th><th>why</th></tr>{rows}</table></div>"
    )
    if more > 0:
        yield f"<p>and {more} more, in report.json</p>"


def _tools(report: EvaluationReport) -> Iterator[str]:
    text = " · ".join(
        f"{escape(name)} {escape(version)}" for name, version in sorted(report.tools.items())
    )
    yield f'<h2>Made with</h2><p class="facts">seed {report.seed} · {text}</p>'
