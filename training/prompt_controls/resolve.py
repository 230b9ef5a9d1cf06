"""A caption and flags to controls: tempo, meter, key, a beat grid, a chord timeline."""

import math
from typing import Final, NamedTuple

import numpy as np

from schemas.chord import Chord
from schemas.identity import keyed_rng
from schemas.labels import TIME_DECIMALS
from schemas.pitch import Key
from training.errors import TrainingError
from training.prompt_controls.chart import in_symbols
from training.prompt_controls.controls import (
    ControlOrigin,
    ControlOrigins,
    ResolvedControls,
    stated_labels,
)
from training.prompt_controls.corpus import NEUTRAL, CorpusStatistics
from training.prompt_controls.filling import (
    Filled,
    FirstBeat,
    filled_meter,
    filled_tempo,
    sampled_chords,
    sampled_key,
    usual_beats_per_chord,
    usual_first_beat,
)
from training.prompt_controls.grid import (
    ChordTimeline,
    Grid,
    beat_grid,
    chart_timeline,
    even_segments,
    grid_from_chords,
    timed_segments,
)
from training.prompt_controls.keys import best_key, fit
from training.prompt_controls.predicting import PredictionRequest, Predictor, predicted_segments
from training.prompt_controls.requested import Provenance, RequestedControls, read_requested

# A key whose scale holds less than three notes in four of the chords is noted to be at odds with
# them. Chords borrowed from the parallel key, and a secondary dominant or two among four chords,
# stay above.
_LEAST_FIT: Final = 0.75


def resolve_controls(
    caption: str,
    *,
    bpm: float | None = None,
    meter: str | int | None = None,
    key: str | None = None,
    chords: str | None = None,
    duration_s: float,
    statistics: CorpusStatistics = NEUTRAL,
    seed: int = 0,
    varied: bool = False,
    predictors: Predictor | None = None,
    changed_from: str = "",
    asked_grid: Grid | None = None,
) -> ResolvedControls:
    """The controls that a caption and flags request; flags win, and the corpus fills gaps.

    - Tempo: a number; else the corpus's median for the meter within what tempo words allow.
    - Meter (``4/4``, ``6/8``, ``3``; beats are those of the upper figure): else the corpus's most
      usual.
    - Key (``F# major``, ``Am``, or a mode alone): else the key that fits the stated chords; else
      drawn as often as the corpus has it.
    - Chords, as `training.prompt_controls.chart.read_chart` reads them: a bar each, from the top
      again to the end; those with times in the caption begin then. Else a phrase of four is drawn
      from what follows what in the corpus, in the key, each as long as is usual there.

    With `predictors`, tempo, meter, mode and chords that nobody states are theirs; the tonic of a
    key is drawn all the same.

    With `changed_from`, the caption that this one comes from by a change of one control, what both
    leave open is filled as for that one: nothing differs but the change and what follows from it.
    Chords that nobody states follow a changed key, and keep their bars in a changed meter; changed
    chords begin when those of that caption do.

    With `asked_grid`, its beats are the clip's, with their tempo and meter.

    The same arguments give the same controls. Draws depend on caption and seed alone, so a flag
    more changes nothing that it does not bear on. With `varied`, tempo and meter are drawn too
    where nothing states them, and all that is predicted. Raises `TrainingError` for flags that
    cannot be read, for a duration that is not above 0, and for more chords than beats.

    >>> resolve_controls("A waltz at 90 BPM", duration_s=2, chords="C").labels.beats.times_s
    (0.0, 0.667, 1.333)
    >>> resolve_controls("A slow song in A minor", bpm=72, duration_s=8, chords="Am F").lines()
    ('tempo 72 BPM (flag)', 'meter 4/4 (default)', 'key A minor (caption)', 'chords Am F Am (flag)')
    """
    if not (math.isfinite(duration_s) and round(duration_s, TIME_DECIMALS) > 0):
        raise TrainingError(
            f"a duration of {duration_s:g} s holds no music: expected seconds above 0"
        )

    def requested_of(text: str) -> RequestedControls:
        return _within(
            read_requested(text, bpm=bpm, meter=meter, key=key, chords=chords), duration_s
        )

    first = changed_from or caption
    asking = _ControlResolver(
        requested_of(first),
        statistics,
        first,
        seed,
        round(duration_s, TIME_DECIMALS),
        varied,
        predictors,
        asked_grid=asked_grid,
    )
    return (
        asking.changed_to(requested_of(caption)).resolved() if changed_from else asking.resolved()
    )


class _UnchangedPrompt(NamedTuple):
    """What a caption requests before one control is changed, and the controls for it."""

    requested: RequestedControls
    resolved: ResolvedControls


class _ControlResolver(NamedTuple):
    """One control after the other, each from what is requested, else from the original's
    controls, else from what is usual.
    """

    requested: RequestedControls
    statistics: CorpusStatistics
    caption: str  # the original's, where there is one: draws and predictions are as for it
    seed: int
    duration_s: float
    varied: bool
    predictors: Predictor | None
    original: _UnchangedPrompt | None = None
    asked_grid: Grid | None = None

    def resolved(self) -> ResolvedControls:
        bar = self.meter()
        tempo = self.tempo(bar.value)
        tonality = self.key()
        grid = self.grid(tempo.value, bar.value)
        timeline = self.timeline(grid, tonality.value)
        requested = self.requested
        origins = ControlOrigins(
            tempo=ControlOrigin(
                source=tempo.source,
                words=" and ".join(requested.words) if requested.bpm is None else "",
            ),
            meter=ControlOrigin(source=bar.source),
            key=ControlOrigin(
                source=tonality.source, words=requested.mode.fact.text if requested.mode else ""
            ),
            chords=ControlOrigin(source=timeline.source),
        )
        notes = (*requested.notes, *self.contradictions(tonality.value), *timeline.value.notes)
        return ResolvedControls(
            labels=stated_labels(grid, tonality.value, timeline.value.segments, origins),
            origins=origins,
            notes=notes,
        )

    def changed_to(self, requested: RequestedControls) -> "_ControlResolver":
        """The same with one control changed; all that it leaves open stays."""
        return self._replace(
            requested=_timed_as(requested, self.requested),
            original=_UnchangedPrompt(self.requested, self.resolved()),
        )

    def meter(self) -> Filled[int]:
        if self.asked_grid:
            return Filled(self.asked_grid.beats_per_bar, Provenance.FLAG)
        stated = self.requested.meter
        if stated:
            return Filled(stated.fact.beats_per_bar, stated.source)
        if self.original and self.original.resolved.labels.meter.beats_per_bar:
            return Filled(
                self.original.resolved.labels.meter.beats_per_bar,
                self.original.resolved.origins.meter.source,
            )
        if self.predictors:
            return Filled(
                self.predictors.meter(self._request, self._variety("meter")), Provenance.PREDICTED
            )
        return filled_meter(self.statistics, self._variety("meter"))

    def tempo(self, beats_per_bar: int) -> Filled[float]:
        if self.asked_grid:
            return Filled(self.asked_grid.bpm, Provenance.FLAG)
        stated, chart = self.requested.bpm, self.requested.chart
        if stated:
            return Filled(stated.fact.bpm, stated.source)
        if self.original and self.original.resolved.labels.tempo.bpm:
            return Filled(
                self.original.resolved.labels.tempo.bpm, self.original.resolved.origins.tempo.source
            )
        first = usual_first_beat(self.statistics, beats_per_bar)
        squeezed = len(chart.bars) if chart and not chart.is_measured else 0
        least_bpm = squeezed * 60 / max(self.duration_s - first.time_s, 1e-3)
        span, rng, filled = self.requested.span, self._variety("tempo"), None
        if self.predictors:
            bpm = self.predictors.tempo(
                self._request, beats_per_bar, span=span, least_bpm=least_bpm, rng=rng
            )
            filled = None if bpm is None else Filled(bpm, Provenance.PREDICTED)
        filled = filled or filled_tempo(
            self.statistics, beats_per_bar, span=span, least_bpm=least_bpm, rng=rng
        )
        return Filled(filled.value, Provenance.CAPTION if self.requested.words else filled.source)

    def key(self) -> Filled[Key]:
        stated, narrowed = self.requested.key, self.requested.mode
        if stated and stated.fact.key:
            return Filled(stated.fact.key, stated.source)
        if self.original and self.original.resolved.labels.key.key:
            return Filled(
                self.original.resolved.labels.key.key, self.original.resolved.origins.key.source
            )
        mode = narrowed.fact.mode if narrowed else None
        chords = self._stated_chords()
        if chords:
            found = Filled(best_key(chords, mode), Provenance.CHORDS)
        elif self.predictors and mode is None:
            mode = self.predictors.mode(self._request, self._variety("mode"))
            found = Filled(
                sampled_key(self.statistics, mode, self._rng("key")).value, Provenance.PREDICTED
            )
        else:
            found = sampled_key(self.statistics, mode, self._rng("key"))
        return Filled(found.value, narrowed.source if narrowed else found.source)

    def grid(self, bpm: float, beats_per_bar: int) -> Grid:
        if self.asked_grid:
            return self.asked_grid
        if self.requested.timed:
            return grid_from_chords(
                [start_s for _, start_s in self.requested.timed],
                bpm,
                beats_per_bar,
                self.duration_s,
            )
        first = self._first_beat(beats_per_bar)
        if first.time_s >= self.duration_s:
            return beat_grid(bpm, beats_per_bar, self.duration_s)
        return beat_grid(
            bpm, beats_per_bar, self.duration_s, start_s=first.time_s, number=first.number
        )

    def timeline(self, grid: Grid, key: Key) -> Filled[ChordTimeline]:
        requested = self.requested
        if requested.chords_source and requested.chart:
            return Filled(chart_timeline(requested.chart, grid), requested.chords_source)
        if requested.chords_source:
            return Filled(
                ChordTimeline(timed_segments(requested.timed, grid)), requested.chords_source
            )
        if self.predictors:
            chords = self.predictors.chords(
                self._request, key, grid, self._variety("predicted chords")
            )
            return Filled(ChordTimeline(predicted_segments(chords, grid)), Provenance.PREDICTED)
        phrase = sampled_chords(self.statistics, key, self._rng("chords"))
        beats_each = self._beats_per_chord(grid.beats_per_bar)
        return Filled(
            ChordTimeline(even_segments([chord.harte for chord in phrase.value], beats_each, grid)),
            phrase.source,
        )

    def contradictions(self, key: Key) -> tuple[str, ...]:
        """A note where a requested key holds few of the notes of the chords that are."""
        chords = self._stated_chords()
        if (
            not chords
            or not (self.requested.key or self.requested.mode)
            or fit(chords, key) >= _LEAST_FIT
        ):
            return ()
        other = best_key(chords)
        return (
            (
                f"{key.name} is at odds with the chords: its scale holds {fit(chords, key):.0%} "
                f"of their notes, that of {other.name} {fit(chords, other):.0%}"
            ),
        )

    def _first_beat(self, beats_per_bar: int) -> FirstBeat:
        beats = self.original.resolved.labels.beats if self.original else None
        if beats and beats.times_s:
            return FirstBeat(
                beats.times_s[0], beats.numbers[0] if beats.numbers[0] <= beats_per_bar else 1
            )
        return usual_first_beat(self.statistics, beats_per_bar)

    def _beats_per_chord(self, beats_per_bar: int) -> int:
        """What is usual; in a changed meter as many bars as in the original's, or one where that is
        no whole number of beats.
        """
        before = (
            self.original.resolved.labels.meter.beats_per_bar if self.original else None
        ) or beats_per_bar
        beats = usual_beats_per_chord(self.statistics, before) * beats_per_bar
        return beats_per_bar if beats % before else beats // before

    @property
    def _request(self) -> PredictionRequest:
        return PredictionRequest(
            self.caption,
            self.original.requested if self.original else self.requested,
            self.duration_s,
        )

    def _stated_chords(self) -> list[Chord]:
        chart = self.requested.chart
        return chart.chords if chart else [Chord.parse(label) for label, _ in self.requested.timed]

    def _rng(self, purpose: str) -> np.random.Generator:
        return keyed_rng(self.seed, self.caption, f"asking: {purpose}")

    def _variety(self, purpose: str) -> np.random.Generator | None:
        return self._rng(purpose) if self.varied else None


def _within(requested: RequestedControls, duration_s: float) -> RequestedControls:
    """What is requested without chords that would begin after the end."""
    beyond = [
        (label, at_s) for label, at_s in requested.timed if at_s >= round(duration_s, TIME_DECIMALS)
    ]
    if not beyond:
        return requested
    inside = tuple(one for one in requested.timed if one not in beyond)
    notes = tuple(
        f"{in_symbols([label])} at {at_s:g} s comes after the end, {duration_s:g} s: left out"
        for label, at_s in beyond
    )
    return requested._replace(
        timed=inside,
        chords_source=requested.chords_source if inside else None,
        notes=(*requested.notes, *notes),
    )


def _timed_as(requested: RequestedControls, original: RequestedControls) -> RequestedControls:
    """The same chords at the times of the original's, where it has times and as many chords."""
    labels = requested.chart.labels if requested.chart else ()
    if not original.timed or len(labels) != len(original.timed):
        return requested
    return requested._replace(
        chart=None,
        timed=tuple((label, at_s) for label, (_, at_s) in zip(labels, original.timed, strict=True)),
    )
