"""madmom as a judge: chords by its convolutional network and conditional random field, beats by its
recurrent networks and dynamic Bayesian network, keys by its convolutional network.

F. Korzeniowski and G. Widmer, "A fully convolutional deep auditory model for musical chord
recognition", MLSP 2016; S. Böck and M. Schedl, "Enhanced beat tracking with context-aware neural
networks", DAFx 2011; F. Krebs et al., ISMIR 2015; F. Korzeniowski and G. Widmer, "Genre-agnostic
key classification with convolutional neural networks", ISMIR 2018.

Its models are CC BY-NC-SA 4.0: for evaluation, not for labels of data that is to be sold. Chords
are major, minor or none. Its beat networks are not those that our annotator reads, which also hear
downbeats, but come from the same authors; they give no bars.
"""

import importlib
from functools import lru_cache
from typing import Any, Final

import numpy as np

from pipelines.annotators import RATE_HZ, Rhythm
from pipelines.annotators.batch import WaveBatch
from pipelines.annotators.madmom import LICENCE, VERSION  # it answers madmom's look-up of itself
from pipelines.audio.decode import Wave
from pipelines.labels.transform import tempo_bpm
from schemas.chord import NO_CHORD, Chord
from schemas.labels import TIME_DECIMALS, Beats, Chords, ChordSegment, KeyLabel, Meter, Tempo
from schemas.pitch import Mode, parse_note

_FPS: Final = 100  # of its beat networks
# Where it hears something, madmom does not say how surely.
_HEARD: Final = 1.0
# Beats without bars have no numbers. 1 would make each a downbeat.
_NO_DOWNBEAT: Final = 2


@lru_cache(maxsize=8)
def _processor(module: str, name: str, **options: Any) -> Any:
    return getattr(importlib.import_module(f"madmom.{module}"), name)(**options)


def _signal(wave: Wave) -> Any:
    return importlib.import_module("madmom.audio.signal").Signal(wave, sample_rate=RATE_HZ)


def _claim(tool: str, is_heard: bool) -> dict[str, Any]:
    return {
        "confidence": _HEARD if is_heard else 0.0,
        "tool": f"madmom {tool}",
        "version": VERSION,
        "licence": LICENCE,
    }


def annotate_beats(batch: WaveBatch) -> list[Rhythm]:
    """Beats and tempo of each wave; no meter."""
    return [_rhythm(wave) for wave in batch.waves]


def _rhythm(wave: Wave) -> Rhythm:
    activations = _processor("features.beats", "RNNBeatProcessor")(_signal(wave))
    tracker = _processor("features.beats", "DBNBeatTrackingProcessor", fps=_FPS)
    times_s = tuple(
        dict.fromkeys(round(float(time), TIME_DECIMALS) for time in tracker(activations))
    )
    claim = _claim("RNNBeat, DBNBeatTracking", len(times_s) > 0)
    return Rhythm(
        Beats(times_s=times_s, numbers=(_NO_DOWNBEAT,) * len(times_s), **claim),
        Meter(**{**claim, "confidence": 0.0}),
        Tempo(bpm=tempo_bpm(times_s), **claim),
    )


def annotate_chords(batch: WaveBatch, rhythms: list[Rhythm]) -> list[Chords]:
    """Major and minor chords of each wave; beats are not asked."""
    return [_chords(wave) for wave in batch.waves]


def _chords(wave: Wave) -> Chords:
    features = _processor("features.chords", "CNNChordFeatureProcessor")(_signal(wave))
    spans = _processor("features.chords", "CRFChordRecognitionProcessor")(features)
    segments = joined(
        [(float(start), float(end), str(label)) for start, end, label in spans],
        round(len(wave) / RATE_HZ, TIME_DECIMALS),
    )
    return Chords(segments=segments, **_claim("CNNChord, CRF", len(segments) > 0))


def joined(spans: list[tuple[float, float, str]], duration_s: float) -> tuple[ChordSegment, ...]:
    """Spans as segments that join and end where the wave does; empty where none is a chord.

    >>> [one.end_s for one in joined([(0.0, 1.0, "C:maj"), (1.1, 2.0, "N")], 1.8)]
    [1.1, 1.8]
    """
    starts = [0.0, *(round(start, TIME_DECIMALS) for start, _, _ in spans[1:])]
    ends = [*starts[1:], duration_s]
    found = tuple(
        ChordSegment(
            start_s=start,
            end_s=min(end, duration_s),
            label=NO_CHORD if label == NO_CHORD else Chord.parse(label).harte,
        )
        for start, end, (_, _, label) in zip(starts, ends, spans, strict=True)
        if min(end, duration_s) > start
    )
    return () if all(one.label == NO_CHORD for one in found) else found


def annotate_key(batch: WaveBatch) -> list[KeyLabel]:
    """The key of each wave."""
    return [_key(wave) for wave in batch.waves]


def _key(wave: Wave) -> KeyLabel:
    chances = _processor("features.key", "CNNKeyRecognitionProcessor")(_signal(wave))
    if not np.isfinite(chances).all():  # of a clip too short for its network
        return KeyLabel(**_claim("CNNKey", False))
    name = importlib.import_module("madmom.features.key").key_prediction_to_label(chances)
    tonic, mode = name.split()
    claim = {**_claim("CNNKey", True), "confidence": round(float(chances.max()), 3)}
    return KeyLabel(tonic=parse_note(tonic), mode=Mode(mode), **claim)
