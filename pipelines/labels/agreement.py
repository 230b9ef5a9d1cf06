"""How far two sets of labels of the same audio agree: figures of verify and benchmarks."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Final

from schemas.agreement import LabelAgreement
from schemas.chord import Chord, ChordQuality
from schemas.labels import Chords, Labels

BEAT_WINDOW_S: Final = 0.07  # what MIREX and mir_eval count as a hit
TEMPO_TOLERANCE: Final = 0.04  # MIREX tempo task
_MINOR: Final = frozenset(
    (
        ChordQuality.MIN,
        ChordQuality.MIN7,
        ChordQuality.MIN6,
        ChordQuality.DIM,
        ChordQuality.DIM7,
        ChordQuality.HDIM7,
    )
)


def agreement(reference: Labels, estimate: Labels) -> LabelAgreement:
    """Figures of `estimate` against `reference`.

    Beats and downbeats as F-measure, meter and key equal or not, tempo within 4 %, chords as share
    of time with the same root and third.
    """
    ref_key, est_key = (
        (reference.key.tonic, reference.key.mode),
        (estimate.key.tonic, estimate.key.mode),
    )
    meter = reference.meter.beats_per_bar
    return LabelAgreement(
        beats=f_measure(reference.beats.times_s, estimate.beats.times_s),
        downbeats=f_measure(reference.beats.downbeats_s, estimate.beats.downbeats_s),
        meter=None if meter is None else float(meter == estimate.meter.beats_per_bar),
        tempo=same_tempo(reference.tempo.bpm, estimate.tempo.bpm),
        chords=majmin_overlap(reference.chords, estimate.chords),
        key=None if ref_key[0] is None else float(ref_key == est_key),
    )


def f_measure(reference_s: Sequence[float], estimate_s: Sequence[float]) -> float | None:
    """F-measure of beat times within 70 ms; none without reference beats."""
    if not reference_s:
        return None
    if not estimate_s:
        return 0.0
    import mir_eval.beat  # late: it loads half of scipy
    import numpy as np

    return float(
        mir_eval.beat.f_measure(
            np.asarray(reference_s), np.asarray(estimate_s), f_measure_threshold=BEAT_WINDOW_S
        )
    )


def same_tempo(reference_bpm: float | None, estimate_bpm: float | None) -> float | None:
    """1 or 0: within 4 % or not; none without a reference."""
    if reference_bpm is None:
        return None
    return float(
        estimate_bpm is not None and abs(estimate_bpm / reference_bpm - 1) <= TEMPO_TOLERANCE
    )


def majmin_overlap(reference: Chords, estimate: Chords) -> float | None:
    """Share of the reference's chord time (no-chord left out) in which the estimate has the same
    root and third.
    """
    return _overlap(reference, estimate, _majmin)


def sevenths_overlap(reference: Chords, estimate: Chords) -> float | None:
    """Share of the reference's chord time (no-chord left out) in which the estimate has the same
    root and quality, whatever the bass: what the confidence of chords is the expectation of.
    """
    return _overlap(reference, estimate, lambda chord: (chord.root, chord.quality))


def _overlap(
    reference: Chords, estimate: Chords, heard_as: Callable[[Chord], tuple[object, ...]]
) -> float | None:
    edges = sorted(
        {
            time
            for chords in (reference, estimate)
            for segment in chords.segments
            for time in (segment.start_s, segment.end_s)
        }
    )
    right = total = 0.0
    for start_s, end_s in pairwise(edges):
        expected = _chord_at(reference, (start_s + end_s) / 2)
        if expected is not None:
            total += end_s - start_s
            found = _chord_at(estimate, (start_s + end_s) / 2)
            if found is not None and heard_as(found) == heard_as(expected):
                right += end_s - start_s
    return right / total if total else None


def _majmin(chord: Chord) -> tuple[int, bool]:
    return chord.root, chord.quality in _MINOR


def _chord_at(chords: Chords, time_s: float) -> Chord | None:
    for segment in chords.segments:
        if segment.start_s <= time_s < segment.end_s:
            return segment.chord
    return None


def mean_agreement(rows: Iterable[LabelAgreement]) -> LabelAgreement:
    """Mean of each figure over the rows that have it."""
    found = list(rows)
    means: dict[str, float | None] = {}
    for name in LabelAgreement.model_fields:
        values = [value for row in found if (value := getattr(row, name)) is not None]
        means[name] = round(fmean(values), 4) if values else None
    return LabelAgreement(**means)
