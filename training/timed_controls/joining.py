"""The controls of parts, each in its own time, as those of one piece; and back."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from pipelines.labels.transform import excerpt
from schemas.labels import Claim, Labels
from training.conditions import Condition
from training.conditions.clip_controls import ClipControls, ControlCurves, KeySpan, Known, Span
from training.prompt_controls.controls import GUESSED_CONFIDENCE
from training.prompt_controls.grid import Grid
from training.timed_controls.asked import with_chords
from training.timed_controls.beats import joined_grids
from training.timed_controls.chords import laid_out
from training.timed_controls.melody import frame_count, frames_between
from training.timed_controls.option_reader import grid_of
from training.timed_controls.parts import joined

V = TypeVar("V")
C = TypeVar("C", bound=Claim)


def joined_controls(
    controls: Sequence[ClipControls], spans: Sequence[Span], common: Labels
) -> ClipControls:
    """The controls of parts, each in the time of its span; `common` are those of the whole."""
    duration_s = common.duration_s
    grids = [_moved(grid_of(one.labels), span) for one, span in zip(controls, spans, strict=True)]
    grid = joined_grids(grids, duration_s)
    keys = _keys(controls, spans)
    chords = laid_out(
        [found for one in zip(controls, spans, strict=True) for found in _chords(*one)],
        duration_s,
        "the parts",
    )
    every = [one.labels for one in controls]
    labels = common.replaced(
        beats=_surest([one.beats for one in every], same=True).replaced(
            times_s=grid.times_s,
            numbers=grid.numbers,
            downbeat_confidence=min(one.beats.downbeat_confidence for one in every),
        ),
        tempo=_surest(
            [one.tempo for one in every], same=len({one.tempo.bpm for one in every}) == 1
        ).replaced(bpm=grid.bpm),
        meter=_surest(
            [one.meter for one in every], same=len({one.meter.beats_per_bar for one in every}) == 1
        ).replaced(beats_per_bar=grid.beats_per_bar),
        key=_surest([one.key for one in every], same=len({one.key for one in keys}) == 1),
    )
    sure = min(one.chords.confidence for one in every)
    return ClipControls(
        with_chords(labels, chords.segments, sure),
        _joined_curves([one.curves for one in controls], spans, duration_s),
        _known(controls, spans, keys, chords.spans, duration_s),
        keys if len(keys) > 1 else (),
    )


def _moved(grid: Grid, span: Span) -> Grid:
    times_s = tuple(round(span.start_s + time_s, 3) for time_s in grid.times_s)
    return grid._replace(times_s=times_s)


def _surest(claims: Sequence[C], *, same: bool) -> C:
    """The first claim, as sure as the least sure one; no piece states a value that changes."""
    least = min(one.confidence for one in claims)
    return claims[0].replaced(confidence=least if same else min(least, GUESSED_CONFIDENCE))


def _chords(controls: ClipControls, span: Span) -> Iterator[tuple[Span, str]]:
    """Chords of a section that are asked for, in the time of the piece."""
    known = controls.known.get(Condition.CHORDS, (Span(0.0, controls.labels.duration_s),))
    for one in controls.labels.chords.segments:
        middle_s = (one.start_s + one.end_s) / 2
        if any(part.start_s <= middle_s < part.end_s for part in known):
            yield Span(span.start_s + one.start_s, span.start_s + one.end_s), one.label


def _keys(controls: Sequence[ClipControls], spans: Sequence[Span]) -> tuple[KeySpan, ...]:
    """The keys of all sections, equal neighbours as one."""
    out: list[KeySpan] = []
    for one, span in zip(controls, spans, strict=True):
        alone = one.labels.key.key
        own = one.keys or ((KeySpan(0.0, one.labels.duration_s, alone),) if alone else ())
        for key in own:
            moved = KeySpan(span.start_s + key.start_s, span.start_s + key.end_s, key.key)
            if out and out[-1].key == moved.key and moved.start_s - out[-1].end_s < 2e-3:
                out[-1] = out[-1]._replace(end_s=moved.end_s)
            else:
                out.append(moved)
    return tuple(out)


def _known(
    controls: Sequence[ClipControls],
    spans: Sequence[Span],
    keys: Sequence[KeySpan],
    chord_spans: tuple[Span, ...] | None,
    duration_s: float,
) -> Known:
    """When beats, chords and key are known; those that are for all of the time are left out."""
    beats: list[Span] = []
    for one, span in zip(controls, spans, strict=True):
        whole = (Span(0.0, one.labels.duration_s),)
        beats += [
            Span(span.start_s + part.start_s, span.start_s + part.end_s)
            for part in one.known.get(Condition.BEATS, whole)
        ]
    found = {
        Condition.BEATS: joined(beats, duration_s),
        Condition.CHORDS: chord_spans,
        Condition.KEY: joined([Span(one.start_s, one.end_s) for one in keys], duration_s),
    }
    return {condition: value for condition, value in found.items() if value is not None}


def _joined_curves(
    curves: Sequence[ControlCurves], spans: Sequence[Span], duration_s: float
) -> ControlCurves:
    return ControlCurves(
        dynamics_db=_joined_curve([one.dynamics_db for one in curves], spans, duration_s),
        melody=_joined_curve([one.melody for one in curves], spans, duration_s),
        onsets_per_s=_joined_curve([one.onsets_per_s for one in curves], spans, duration_s),
    )


def _joined_curve(
    curves: Sequence[tuple[V | None, ...]], spans: Sequence[Span], duration_s: float
) -> tuple[V | None, ...]:
    """Frames of sections in the frames of the piece; empty where no section has any."""
    if not any(curves):
        return ()
    out: list[V | None] = [None] * frame_count(duration_s)
    for curve, span in zip(curves, spans, strict=True):
        for place, frame in enumerate(frames_between(span, len(out))):
            out[frame] = curve[place] if place < len(curve) else None
    return tuple(out)


def controls_within(controls: ClipControls, start_s: float, end_s: float) -> ClipControls:
    """The controls of a part of a piece, in its own time: beats, bars and chords go on in it where
    they stand in the piece.
    """
    length_s = end_s - start_s
    known = {
        condition: tuple(
            Span(max(0.0, one.start_s - start_s), min(length_s, one.end_s - start_s))
            for one in spans
            if one.start_s < end_s and one.end_s > start_s
        )
        for condition, spans in controls.known.items()
    }
    keys = tuple(
        KeySpan(max(0.0, one.start_s - start_s), min(length_s, one.end_s - start_s), one.key)
        for one in controls.keys
        if one.start_s < end_s and one.end_s > start_s
    )
    curves = controls.curves._replace(start_s=controls.curves.start_s - start_s)
    labels = excerpt(controls.labels, start_s, end_s)
    return ClipControls(labels, curves, known, keys)
