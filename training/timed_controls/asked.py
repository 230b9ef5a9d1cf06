"""A caption and options to what a model is conditioned on over the time of a piece.

`asked_piece` is the place to start reading.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from schemas.labels import ChordSegment, Labels
from schemas.pitch import Key
from training.conditions import Condition
from training.conditions.clip_controls import ClipControls, ControlCurves, KeySpan, Known, Span
from training.prompt_controls.chart import in_symbols
from training.prompt_controls.controls import STATED_CONFIDENCE, ControlOrigin, ResolvedControls
from training.prompt_controls.corpus import NEUTRAL, CorpusStatistics
from training.prompt_controls.grid import Grid, grid_from_chords
from training.prompt_controls.keys import best_key
from training.prompt_controls.predicting import Predictor
from training.prompt_controls.requested import Provenance
from training.prompt_controls.resolve import resolve_controls
from training.timed_controls.beats import TimedBeats
from training.timed_controls.chords import TimedChords
from training.timed_controls.files import HERE, AllowedFiles
from training.timed_controls.option_reader import OptionReader, grid_of
from training.timed_controls.options import ControlOptions
from training.timed_controls.parts import joined

_MOST_SHOWN: Final = 8  # parts in a line
_ANCHORS: Final = 200  # chords that a grid is laid on


class Filling(NamedTuple):
    """What fills in what nobody says: a corpus, a seed, and perhaps learned predictors."""

    statistics: CorpusStatistics = NEUTRAL
    seed: int = 0
    predictors: Predictor | None = None


class AskedPiece(NamedTuple):
    """A piece to be made: its text, its controls, which of these somebody asked for, and what to
    tell a reader.
    """

    prompt: str
    controls: ClipControls
    stated: frozenset[Condition]
    lines: tuple[str, ...]


def asked_piece(
    caption: str,
    options: ControlOptions,
    *,
    duration_s: float,
    filling: Filling | None = None,
    files: AllowedFiles = HERE,
    going_on: Grid | None = None,
) -> AskedPiece:
    """The piece that a caption and options without sections ask for.

    Tempo, meter, key and chords that nobody says are filled in as `resolve_controls` does, for all
    of the time; a control that is asked for within spans is known there alone; curves that nobody
    says are not known. `going_on` are its beats where options ask for none. Raises `TrainingError`
    for what cannot be read.

    >>> piece = asked_piece("Calm", ControlOptions(bpm=60, chords="0-4: Am F"), duration_s=8)
    >>> piece.controls.known[Condition.CHORDS]
    (Span(start_s=0.0, end_s=4.0),)
    >>> [one.label for one in piece.controls.labels.chords.segments]
    ['A:min', 'F:maj', 'N']
    """
    reading = OptionReader(caption, options, duration_s, files)
    chosen = filling or Filling()
    beats, keys = reading.beats(), reading.keys()
    resolved = resolve_controls(
        caption,
        bpm=options.bpm,
        meter=options.meter,
        key=keys[0].key.name if keys else options.key,
        chords=None if reading.has_timed_chords() else options.chords,
        duration_s=duration_s,
        statistics=chosen.statistics,
        seed=chosen.seed,
        predictors=chosen.predictors,
        asked_grid=beats.grid if beats else going_on,
    )
    chords = reading.chords(grid_of(resolved.labels))
    known = _known(beats, chords, keys, duration_s)
    if chords:
        resolved = _with_chords(resolved, chords, caption)
    own_times = reading.has_melody_file() or (chords is not None and chords.have_times)
    if own_times and not beats:
        resolved, known = _on_own_times(resolved, chords, known)
    curves = reading.curves(grid_of(resolved.labels))
    controls = ClipControls(resolved.labels, curves, known, keys if len(keys) > 1 else ())
    lines = (*_lines(resolved, chords, keys), *curve_lines(curves), *known_lines(known))
    return AskedPiece(caption, controls, reading.stated(), lines)


def _with_chords(resolved: ResolvedControls, chords: TimedChords, caption: str) -> ResolvedControls:
    """Controls with chords that somebody states, and the key that fits them where nobody says."""
    origins = resolved.origins.replaced(chords=ControlOrigin(source=Provenance.FLAG))
    labels = with_chords(resolved.labels, chords.segments, STATED_CONFIDENCE)
    sounding = [one.chord for one in chords.segments if one.chord]
    if origins.key.source not in (Provenance.FLAG, Provenance.CAPTION) and sounding:
        origins = origins.replaced(key=ControlOrigin(source=Provenance.CHORDS))
        key = best_key(sounding)
        labels = labels.replaced(
            key=labels.key.replaced(
                tonic=key.tonic, mode=key.mode, confidence=origins.key.confidence
            )
        )
    return ResolvedControls(labels=labels, origins=origins, notes=(*resolved.notes, *chords.notes))


def with_chords(labels: Labels, segments: tuple[ChordSegment, ...], confidence: float) -> Labels:
    """Labels with other chords."""
    chords = labels.chords.replaced(segments=segments, confidence=confidence)
    return labels.replaced(chords=chords)


def _on_own_times(
    resolved: ResolvedControls,
    chords: TimedChords | None,
    known: dict[Condition, tuple[Span, ...]],
) -> tuple[ResolvedControls, dict[Condition, tuple[Span, ...]]]:
    """Controls beside chords or a melody of a file: in the tempo that somebody states, with the
    beats on which the chords change; where nobody states one, the beats are the model's own.
    """
    if resolved.origins.tempo.confidence < STATED_CONFIDENCE:
        note = "a file has times of its own and nobody says a tempo: beats are the model's own"
        notes = (*resolved.notes, note)
        return resolved.replaced(notes=notes), known | {Condition.BEATS: ()}
    if chords is None or not chords.have_times:
        return resolved, known
    labels, grid = resolved.labels, grid_of(resolved.labels)
    starts = [one.start_s for one in chords.segments if one.chord]
    if not starts:
        return resolved, known
    grid = grid_from_chords(starts[:_ANCHORS], grid.bpm, grid.beats_per_bar, grid.duration_s)
    beats = labels.beats.replaced(times_s=grid.times_s, numbers=grid.numbers)
    return resolved.replaced(labels=labels.replaced(beats=beats)), known


def _known(
    beats: TimedBeats | None,
    chords: TimedChords | None,
    keys: Sequence[KeySpan],
    duration_s: float,
) -> dict[Condition, tuple[Span, ...]]:
    """When beats, chords and key are known; those that are for all of the time are left out."""
    spans = {
        Condition.BEATS: beats.spans if beats else None,
        Condition.CHORDS: chords.spans if chords else None,
        Condition.KEY: joined([Span(one.start_s, one.end_s) for one in keys], duration_s)
        if keys
        else None,
    }
    return {condition: found for condition, found in spans.items() if found is not None}


def _lines(
    resolved: ResolvedControls, chords: TimedChords | None, keys: Sequence[KeySpan]
) -> tuple[str, ...]:
    """Lines of resolved controls; those asked for a part of the time with their times."""
    tempo, meter, key, progression, *notes = resolved.lines()
    if keys:
        key = f"key {_keys_in_words(keys)} (flag)"
    if chords and chords.spans:
        progression = f"chords {_chords_in_words(chords, resolved.labels.key.key)} (flag)"
    return (tempo, meter, key, progression, *notes)


def _chords_in_words(chords: TimedChords, key: Key | None) -> str:
    """The chords of each span, with its times; of many spans, how many there are."""
    spans = chords.spans or ()
    if len(spans) > _MOST_SHOWN:
        return f"in {len(spans)} parts of the time"
    out: list[str] = []
    for span in spans:
        labels = [
            one.label
            for one in chords.segments
            if span.start_s <= (one.start_s + one.end_s) / 2 < span.end_s
        ]
        out.append(f"{in_symbols(labels, key)} {span.start_s:g}–{span.end_s:g} s")
    return ", ".join(out)


def _keys_in_words(keys: Sequence[KeySpan]) -> str:
    return ", ".join(f"{one.key.name} {one.start_s:g}–{one.end_s:g} s" for one in keys)


def curve_lines(curves: ControlCurves) -> tuple[str, ...]:
    """A line for each curve that is asked for: its range, and for how much of the time."""
    out: list[str] = []
    named = (
        ("melody", "", curves.melody),
        ("dynamics", " dB", curves.dynamics_db),
        ("density", " notes a second", curves.onsets_per_s),
    )
    for name, unit, values in named:
        known = [value for value in values if value is not None]
        if not known:
            continue
        low, high = (f"{round(value, 1):g}" for value in (min(known), max(known)))
        span = low if low == high else f"{low} to {high}"
        figures = "" if name == "melody" else f" {span}{unit}"
        out.append(f"{name}{figures} for {len(known) / curves.rate_hz:g} s (flag)")
    return tuple(out)


def known_lines(known: Known) -> tuple[str, ...]:
    """A note for each control that is known for a part of the time."""
    return tuple(
        f"note: {condition} asked for {_in_words(spans)}: the rest is the model's own"
        for condition, spans in known.items()
        if spans
    )


def _in_words(spans: Sequence[Span]) -> str:
    if len(spans) > _MOST_SHOWN:
        return f"{len(spans)} parts of the time"
    return ", ".join(f"{one.start_s:g}–{one.end_s:g} s" for one in spans)
