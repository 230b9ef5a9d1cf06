"""A sample as a picture: waveform, beats, chords, figures, and its caption with the facts marked.

One SVG that needs nothing else: it follows the reader's light or dark theme, and text from outside
is shown as text.
"""

import colorsys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby, pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from flows.screens.plain import plain
from flows.screens.shards import change_text
from pipelines.captioning.marking import marked
from pipelines.labels.lead_sheet import symbol
from pipelines.shards.find import FoundShards
from pipelines.shards.pick import Picked, wave_of
from schemas.caption import Caption, CaptionKind
from schemas.fact import FactKind
from schemas.labels import ChordSegment, Labels
from schemas.pitch import pretty
from schemas.sample import Sample

WIDTH: Final = 900  # px of the whole picture
LEFT: Final = 32  # px where time begins, and as much is free on the right
SPAN: Final = WIDTH - 2 * LEFT  # px of the time that is drawn
_LONGEST_S: Final = 60.0  # drawn of a long sample: its first minute
_LONGEST_TEXT: Final = 900  # characters of a caption
_WAVE: Final = (112, 208)  # px: top and bottom of the waveform
_CHORDS: Final = (216, 250)  # and of the chord lane
_COLUMN: Final = 3  # px of a bar of the waveform, with the gap beside it
_NEAREST: Final = 3.0  # px between beats that are drawn; a file can claim millions
_NUMBERED: Final = 26.0  # px between numbers of bars
_FONT: Final = "system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans','DejaVu Sans',sans-serif"

# What a fact is about, as a class of the style sheet: one colour above and in the caption.
ABOUT: Final = {
    FactKind.KEY: "key",
    FactKind.BPM: "tempo",
    FactKind.TEMPO_WORD: "tempo",
    FactKind.METER: "meter",
    FactKind.CHORDS: "chord",
    FactKind.TIMED_CHORDS: "chord",
    FactKind.TIME: "chord",
    FactKind.DYNAMICS: "other",
    FactKind.INSTRUMENT: "other",
    FactKind.MOOD: "other",
}
_LIGHT: Final = {
    "page": "#ffffff", "edge": "#d8dee6", "wave": "#64748b", "ink": "#1c2330", "soft": "#667085",
    "key": "#1d4ed8", "tempo": "#b45309", "meter": "#a21caf", "chord": "#047857",
    "other": "#475467",
}  # fmt: skip
_DARK: Final = {
    "page": "#12161d", "edge": "#2c3440", "wave": "#8b9ab0", "ink": "#e8ecf2", "soft": "#98a2b3",
    "key": "#93b4ff", "tempo": "#fbbf5a", "meter": "#f0a6f5", "chord": "#5fdca5",
    "other": "#c3cad6",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _LabelFigure:
    """One label of the first line: its name, its value and how sure it is."""

    about: str
    name: str
    value: str
    confidence: float


def sample_svg(sample: Sample, wave: npt.NDArray[np.float32]) -> str:
    """The picture of a sample and its audio: a mono `wave` of `sample.duration_s`, at any rate.

    Of a sample that is longer than a minute the first minute is drawn.
    """
    span_s = min(sample.duration_s, _LONGEST_S)
    drawn = wave[: max(1, round(len(wave) * span_s / sample.duration_s))]
    caption = _caption(sample.captions)
    text = list(_caption_text(caption, _CHORDS[1] + 60)) if caption else []
    height = _CHORDS[1] + 44 + 27 * len(text) + 36
    parts = [
        f'<rect class="page" x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1}" rx="14"/>',
        *_figures(sample),
        *_beats(sample.labels, span_s),
        _waveform(drawn),
        *_chords(sample.labels, span_s),
        *_seconds(span_s),
        *text,
        _source(sample, caption, height - 18),
    ]
    size = f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    about = f"{escape(plain(sample.key))}: waveform, beats, chords and caption"
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{about}">'
    return "\n".join([opening, _style(), *parts, "</svg>"]) + "\n"


def write_picture(file: Path, found: FoundShards, picked: Picked) -> None:
    """Draw a sample that `pick` found into a file.

    Raises `PipelineError` where it is not ours or its audio cannot be read.
    """
    wave = wave_of(found, picked)
    if picked.ours:
        file.write_text(sample_svg(picked.ours, wave), encoding="utf-8")


def time_x(time_s: float, span_s: float) -> float:
    """Where a time stands, in px from the left, if `span_s` seconds are drawn.

    >>> time_x(0.0, 10.0), time_x(5.0, 10.0), time_x(10.0, 10.0)
    (32.0, 450.0, 868.0)
    """
    return round(LEFT + SPAN * min(time_s / span_s, 1.0), 1)


def _style() -> str:
    rules = (
        f"text{{font-family:{_FONT};white-space:pre}}"
        ".value{font-size:27px;font-weight:650}.name,.small{font-size:12.5px}.caption{font-size:17px}"
        ".bar{font-size:11.5px;text-anchor:middle}.symbol{font-size:15px;font-weight:600}"
        ".right{text-anchor:end}"
        ".fact{font-weight:600;text-decoration:underline;text-underline-offset:4px}"
        ".beat{stroke-width:1;stroke-opacity:.28}.downbeat{stroke-width:1.5;stroke-opacity:.75}"
        ".wave{stroke-width:2;stroke-linecap:round}.segment{fill-opacity:.3}"
    )
    dark = f"@media(prefers-color-scheme:dark){{{_colours(_DARK)}}}"
    return f"<style>{rules}{_colours(_LIGHT)}{dark}</style>"


def _colours(theme: dict[str, str]) -> str:
    lines = f".page{{fill:{theme['page']};stroke:{theme['edge']}}}.wave{{stroke:{theme['wave']}}}"
    lines += f".beat,.downbeat{{stroke:{theme['soft']}}}"
    return lines + "".join(
        f".{name}{{fill:{theme[name]}}}" for name in theme if name not in ("page", "edge", "wave")
    )


def _figures(sample: Sample) -> Iterator[str]:
    """Key, tempo and meter with their confidences; on the right, what was done to the clip."""
    labels = sample.labels
    key, bpm, meter = labels.key.key, labels.tempo.bpm, labels.meter.beats_per_bar
    figures = (
        _LabelFigure(
            about="key",
            name="key",
            value=pretty(key.name) if key else "–",
            confidence=labels.key.confidence,
        ),
        _LabelFigure(
            about="tempo",
            name="tempo",
            value=f"{bpm:.4g} BPM" if bpm else "–",
            confidence=labels.tempo.confidence,
        ),
        _LabelFigure(
            about="meter",
            name="meter",
            value=f"{meter}/4" if meter else "–",
            confidence=labels.meter.confidence,
        ),
        _LabelFigure(
            about="chord",
            name="chords",
            value=_chord_count(labels),
            confidence=labels.chords.confidence,
        ),
    )
    x = float(LEFT)
    for figure in figures:
        line = f"{figure.name} · confidence {figure.confidence:.2f}"
        yield f'<text class="value {figure.about}" x="{x:.0f}" y="50">{escape(figure.value)}</text>'
        yield f'<text class="name soft" x="{x:.0f}" y="72">{line}</text>'
        x += max(_text_px(figure.value, 27), 145) + 24
    done = (change_text(sample.change), f"{sample.duration_s:g} s", sample.split.value)
    text = escape(plain(" · ".join(done)))
    yield f'<text class="small soft right" x="{WIDTH - LEFT}" y="50">{text}</text>'


def _chord_count(labels: Labels) -> str:
    named = sum(segment.chord is not None for segment in labels.chords.segments)
    return f"{named} chord{'s' * (named != 1)}"


def _beats(labels: Labels, span_s: float) -> Iterator[str]:
    """A line a beat, stronger and numbered at a downbeat.

    What would stand too near to the line before is left out.
    """
    lines: dict[str, list[str]] = {"beat": [], "downbeat": []}
    numbers: list[str] = []
    last, last_number, bar = -_NEAREST, -_NUMBERED, 0
    for time_s, number in zip(labels.beats.times_s, labels.beats.numbers, strict=True):
        if time_s > span_s:
            break
        x = time_x(time_s, span_s)
        bar += number == 1
        if x - last >= _NEAREST:
            lines["downbeat" if number == 1 else "beat"].append(
                f"M{x:g} {_WAVE[0] - 6}V{_CHORDS[1]}"
            )
            last = x
        if number == 1 and x - last_number >= _NUMBERED:
            numbers.append(f'<text class="bar soft" x="{x:g}" y="{_WAVE[0] - 12}">{bar}</text>')
            last_number = x
    for name, drawn in lines.items():
        yield f'<path class="{name}" d="{"".join(drawn)}"/>'
    yield from numbers


def _waveform(wave: npt.NDArray[np.float32]) -> str:
    """Peaks of the wave in columns, the loudest as high as the lane."""
    columns = SPAN // _COLUMN
    edges = np.linspace(0, len(wave), columns + 1).astype(int)
    level = np.abs(np.nan_to_num(wave))
    peaks = np.array(
        [level[start : max(end, start + 1)].max(initial=0.0) for start, end in pairwise(edges)]
    )
    heights = peaks / max(float(peaks.max()), 1e-4)
    middle, half = sum(_WAVE) / 2, (_WAVE[1] - _WAVE[0]) / 2
    drawn = []
    for column, height in enumerate(heights):
        reach = max(half * height, 0.5)
        drawn.append(
            f"M{LEFT + _COLUMN * (column + 0.5):g} {middle - reach:.1f}V{middle + reach:.1f}"
        )
    return f'<path class="wave" d="{"".join(drawn)}"/>'


def _chords(labels: Labels, span_s: float) -> Iterator[str]:
    """A block for each chord, one colour for each root.

    A name that has no room is in its tooltip alone.
    """
    top, bottom = _CHORDS
    last = 0.0
    for segment in labels.chords.segments:
        left, right = time_x(segment.start_s, span_s), time_x(segment.end_s, span_s)
        if right - max(left, last) < _NEAREST:
            continue
        last = right
        name = escape(symbol(segment, labels.key.key))
        tip = f"<title>{name}, {segment.start_s:.2f}–{segment.end_s:.2f} s</title>"
        block = f'x="{left + 1:g}" y="{top}" height="{bottom - top}" rx="5"'
        room = _text_px(symbol(segment, labels.key.key), 15) + 10 <= right - left
        block += f' width="{right - left - 2:.1f}" fill="{_colour(segment)}"'
        text = f'<text class="symbol ink" x="{left + 8:g}" y="{bottom - 12}">{name}</text>'
        yield f'<g>{tip}<rect class="segment" {block}/>{text if room else ""}</g>'


def _colour(segment: ChordSegment) -> str:
    """Neighbours on the circle of fifths have neighbouring hues; grey where no chord sounds."""
    chord = segment.chord
    if chord is None:
        return "#8a94a6"
    red, green, blue = colorsys.hls_to_rgb((chord.root * 7 % 12 + 7) / 12 % 1, 0.58, 0.8)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def _seconds(span_s: float) -> Iterator[str]:
    step_s = next((step for step in (0.5, 1.0, 2.0, 5.0) if span_s / step <= 12), 10.0)
    for mark in range(int(span_s / step_s) + 1):
        x = time_x(mark * step_s, span_s)
        yield f'<text class="bar soft" x="{x:g}" y="{_CHORDS[1] + 18}">{mark * step_s:g} s</text>'


def _caption(captions: Sequence[Caption]) -> Caption | None:
    """The caption to show: of those that state most facts, the control caption before others."""

    def rank(caption: Caption) -> tuple[int, bool]:
        return len(caption.facts), caption.kind is CaptionKind.CONTROL

    return max(captions, key=rank, default=None)


def _caption_text(caption: Caption, top: int) -> Iterator[str]:
    """Lines of the caption; words that state a fact are underlined in its colour."""
    text, about = _marked(caption)
    for row, (start, end) in enumerate(_lines(text)):
        runs = []
        for name, signs in groupby(range(start, end), key=about.__getitem__):
            run = escape(plain("".join(text[sign] for sign in signs)))
            runs.append(f'<tspan class="fact {name}">{run}</tspan>' if name else run)
        yield f'<text class="caption ink" x="{LEFT}" y="{top + 27 * row}">{"".join(runs)}</text>'


def _marked(caption: Caption) -> tuple[str, list[str]]:
    """The caption's text, and for each character what the fact that it states is about, if any."""
    text, words = marked(caption)
    about = [""] * len(text)
    for start, end, fact in words:
        about[start:end] = [ABOUT[fact.kind]] * (end - start)
    if len(text) > _LONGEST_TEXT:
        text = text[: _LONGEST_TEXT - 1] + "…"
    return text, about


def _lines(text: str) -> Iterator[tuple[int, int]]:
    """Beginning and end of each line that fits; a word that is longer than a line is broken."""
    start, space, px = 0, -1, 0.0
    for at, sign in enumerate(text):
        if sign == " ":
            space = at
        px += _text_px(plain(sign), 17)
        if px > SPAN:
            end = space if space > start else at
            yield start, end
            start = end + 1 if space > start else at
            px = _text_px(text[start : at + 1], 17)
    if start < len(text):
        yield start, len(text)


def _text_px(text: str, size: float) -> float:
    """About how wide a text is: fonts differ, so it is measured a little wide."""
    narrow, wide = frozenset(" .,:;'|!()ijlftrI/"), frozenset("mwMW–…")
    ems = 0.0
    for sign in text:
        if sign in narrow:
            ems += 0.34
        elif sign in wide:
            ems += 0.92
        else:
            ems += 0.7 if sign.isupper() else 0.58
    return size * ems


def _source(sample: Sample, caption: Caption | None, y: int) -> str:
    kind = f"{caption.kind.value} caption · " if caption else "no caption · "
    licences = " and ".join(source.licence or "licence unknown" for source in sample.sources)
    line = f"{kind}{sample.key} · {licences}"
    return f'<text class="small soft" x="{LEFT}" y="{y}">{escape(plain(line[:120]))}</text>'
