"""Clips whose truth is known, and how far a tool's labels agree with it.

A folder holds audio files and beside each a JSON of the same name with its truth: `duration`,
`beats` [[time_s, number]], `beats_per_bar` or `meter`, `tempo_bpm`, `key` {label}, `chords`
[{start, end, label}]; what is missing is not scored.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import mir_eval
import numpy as np
import numpy.typing as npt

from pipelines.annotators import RATE_HZ
from pipelines.audio.decode import Wave, read_window, resampled
from pipelines.labels.agreement import f_measure, same_tempo
from schemas.labels import Labels

FIGURES: Final = (
    "beats",
    "downbeats",
    "meter",
    "tempo",
    "majmin",
    "sevenths",
    "sevenths_inv",
    "key",
    "key_weighted",
)
Array = npt.NDArray[np.float64]
Spans = list[tuple[float, float, str]]


class Estimate(NamedTuple):
    """What a tool says of a clip; none for what it does not say at all."""

    beats: Array | None = None  # (beats, 2)
    numbered: bool = False
    meter: int | None = None
    bpm: float | None = None
    chords: Spans | None = None
    key: str | None = None


class ClipTruth(NamedTuple):
    """What is known of a clip; none where nothing is."""

    beats: Array  # (beats, 2)
    meter: int | None
    bpm: float | None
    chords: Spans | None
    keys: tuple[str, ...]  # any of them is right


class KnownClip(NamedTuple):
    """A clip and its truth."""

    name: str
    wave: Wave
    truth: ClipTruth


def clips(folder: Path) -> Iterator[KnownClip]:
    """The clips of a folder that have a truth, by name."""
    audio = {
        path.stem: path for path in folder.iterdir() if path.suffix in (".flac", ".wav", ".ogg")
    }
    for file in sorted(folder.glob("*.json")):
        if file.stem in audio:
            stored = json.loads(file.read_text())
            recorded = read_window(str(audio[file.stem]), 0.0, stored["duration"])
            yield KnownClip(
                file.stem, resampled(recorded.wave, recorded.rate_hz, RATE_HZ), _truth(stored)
            )


def _truth(stored: dict[str, Any]) -> ClipTruth:
    spans: Spans | None = None
    key = stored.get("key")
    # the one N of a clip of drums alone is not a chord to find
    if stored.get("chords") and (key or "style" not in stored):
        # Harte has no augmented fifth in the bass that mir_eval would read: it is a minor sixth.
        spans = [
            (chord["start"], chord["end"], chord["label"].replace("/#5", "/b6"))
            for chord in stored["chords"]
        ]
    named = (key["label"],) if key else tuple(stored.get("key_candidates") or ())
    beats = np.array(stored["beats"], float).reshape(-1, 2)
    return ClipTruth(
        beats,
        stored.get("beats_per_bar") or stored["meter"][0],
        stored.get("tempo_bpm") or stored.get("tempo_bpm_median"),
        spans,
        named,
    )


def scores(truth: ClipTruth, found: Estimate) -> dict[str, float]:
    """Figures in [0, 1] of one clip; only what both can be asked for."""
    out: dict[str, float] = {}
    if found.beats is not None:
        out |= _rhythm_scores(truth, found, found.beats)
    if found.chords is not None and truth.chords:
        out |= chord_scores(truth.chords, found.chords)
    if found.key is not None and truth.keys:
        weighted = [
            mir_eval.key.weighted_score(key, found.key) if found.key else 0.0 for key in truth.keys
        ]
        out |= {"key": float(max(weighted) == 1), "key_weighted": float(max(weighted))}
    return out


def _rhythm_scores(truth: ClipTruth, found: Estimate, beats: Array) -> dict[str, float]:
    true_downbeats, downbeats = (rows[rows[:, 1] == 1, 0].tolist() for rows in (truth.beats, beats))
    out = {
        "beats": f_measure(truth.beats[:, 0].tolist(), beats[:, 0].tolist()),
        "tempo": same_tempo(truth.bpm, found.bpm),
    }
    if found.numbered and true_downbeats:
        out |= {
            "downbeats": f_measure(true_downbeats, downbeats),
            "meter": float(len(beats) > 0 and found.meter == truth.meter),
        }
    return {name: figure for name, figure in out.items() if figure is not None}


def chord_scores(truth: Spans, found: Spans) -> dict[str, float]:
    """Shares of time, without what a vocabulary does not know."""
    spans = np.array([span[:2] for span in truth])
    names = [span[2] for span in truth]
    ours = np.array([span[:2] for span in found] or [(0.0, spans[-1, 1])])
    labels = [span[2] for span in found] or ["N"]
    ours, labels = mir_eval.util.adjust_intervals(ours, labels, spans.min(), spans.max(), "N", "N")
    parts, left, right = mir_eval.util.merge_labeled_intervals(spans, names, ours, labels)
    lengths = mir_eval.util.intervals_to_durations(parts)
    return {
        name: float(
            mir_eval.chord.weighted_accuracy(getattr(mir_eval.chord, name)(left, right), lengths)
        )
        for name in ("majmin", "sevenths", "sevenths_inv")
    }


def as_estimate(labels: Labels) -> Estimate:
    """Our labels as the benchmark reads every tool's."""
    beats = np.column_stack([labels.beats.times_s, labels.beats.numbers]).reshape(-1, 2)
    key = labels.key.key.name if labels.key.key else ""
    return Estimate(
        beats=beats,
        numbered=True,
        meter=labels.meter.beats_per_bar,
        bpm=labels.tempo.bpm,
        chords=[(span.start_s, span.end_s, span.label) for span in labels.chords.segments],
        key=key,
    )
