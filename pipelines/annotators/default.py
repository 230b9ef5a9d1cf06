"""Our own annotators: rhythm, chords and key, each from all networks. The recipe's default."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np

from pipelines.annotators import RATE_HZ, Rhythm, keys, madmom, tempo_octave, weights_version
from pipelines.annotators.accents import accent_ear
from pipelines.annotators.bar_lines import PATHS, Bars, bars
from pipelines.annotators.bar_lines import WEIGHTS as BAR_WEIGHTS
from pipelines.annotators.bar_net import METERS, Accents
from pipelines.annotators.bar_tracker import BarTracker, Tracked
from pipelines.annotators.batch import WaveBatch
from pipelines.annotators.chords import chord_path
from pipelines.annotators.confidence import chords_evidence, confidence, rhythm_evidence
from pipelines.annotators.harmony import WEIGHTS as HARMONY_WEIGHTS
from pipelines.annotators.harmony import HarmonyActivations, key_of_class
from pipelines.audio.decode import Wave
from pipelines.labels.transform import tempo_bpm
from schemas.chord import NO_CHORD
from schemas.labels import TIME_DECIMALS, Beats, Chords, KeyLabel, Meter, Tempo
from schemas.recipe import AnnotateRecipe

_LICENCE: Final = "CC-BY-4.0"  # of the networks we trained: see weights/README.md


@lru_cache(maxsize=16)
def _tracker(meter: int, min_bpm: float, max_bpm: float, device: str) -> BarTracker:
    return BarTracker((meter,), min_bpm, max_bpm).to(device)


class BarReading(NamedTuple):
    """A clip's beats and bars, and the accents they were read from."""

    bars: Bars | None
    accents: Accents


def annotate_beats(batch: WaveBatch) -> list[Rhythm]:
    """Beats with their numbers, meter and tempo: madmom's activations and bar tracking, read again
    with harmony as evidence.
    """
    return [_rhythm(*row) for row in zip(read_bars(batch), batch.harmony, strict=True)]


def read_bars(batch: WaveBatch) -> list[BarReading]:
    """Beats and bars of each clip; where every other beat is faint, after a second, faster pass."""
    recipe = batch.recipe
    accents = list(batch.accents)
    paths = _paths(accents, recipe, recipe.min_bpm, recipe.max_bpm)
    faint = [
        tempo_octave.faintness(_likeliest(found), accent)
        for found, accent in zip(paths, accents, strict=True)
    ]
    doubtful = [index for index, share in enumerate(faint) if share < tempo_octave.DOUBTFUL]
    again = _decoded_faster(
        [_Doubt(batch.waves[index], accents[index], faint[index]) for index in doubtful], recipe
    )
    for index, (accent, found) in zip(doubtful, again, strict=True):
        accents[index], paths[index] = accent, found
    rows = zip(paths, accents, batch.harmony, strict=True)
    return [
        BarReading(bars(found, accent, harmony, recipe.meters), accent)
        for found, accent, harmony in rows
    ]


def _paths(
    accents: Sequence[Accents], recipe: AnnotateRecipe, min_bpm: float, max_bpm: float
) -> list[dict[int, Tracked]]:
    """The tracker's path through each meter's bars, for each clip."""
    usual = set(PATHS) if set(recipe.meters) & set(METERS) else set()
    meters = sorted(usual | (set(recipe.meters) - set(METERS)))
    activations = [accent.activations for accent in accents]
    tracked = [_tracker(meter, min_bpm, max_bpm, recipe.device)(activations) for meter in meters]
    return [dict(zip(meters, row, strict=True)) for row in zip(*tracked, strict=True)]


def _likeliest(paths: dict[int, Tracked]) -> tempo_octave.Beats:
    return max(
        paths.items(), key=lambda path: path[1].log_probability_per_meter.get(path[0], -np.inf)
    )[1].beats


class _Doubt(NamedTuple):
    """A clip of whose beats every other one is faint."""

    wave: Wave
    accents: Accents
    faintness: float


def _decoded_faster(
    doubts: Sequence[_Doubt], recipe: AnnotateRecipe
) -> Iterator[tuple[Accents, dict[int, Tracked]]]:
    """The mean of two hearings of each clip, and its paths: at half the tempo where every other
    beat stays faint.
    """
    faster = accent_ear(recipe.device)([tempo_octave.played_faster(doubt.wave) for doubt in doubts])
    both = [
        tempo_octave.averaged(doubt.accents, accent)
        for doubt, accent in zip(doubts, faster, strict=True)
    ]
    paths = _paths(both, recipe, recipe.min_bpm, recipe.max_bpm)
    rows = enumerate(zip(doubts, both, paths, strict=True))
    fast = [
        index
        for index, (doubt, accent, found) in rows
        if tempo_octave.is_too_fast(_likeliest(found), accent, doubt.faintness)
    ]
    slower = _paths(
        [both[index] for index in fast],
        recipe,
        recipe.min_bpm * tempo_octave.SLOWER,
        recipe.max_bpm / 2,
    )
    for index, found in zip(fast, slower, strict=True):
        if tempo_octave.is_half(_likeliest(found), _likeliest(paths[index])):
            paths[index] = found
    return zip(both, paths, strict=True)


def _rhythm(reading: BarReading, harmony: HarmonyActivations) -> Rhythm:
    found = reading.bars
    claim: dict[str, Any] = {
        "tool": "madmom RNNDownBeat, obbligato bars",
        "version": f"{madmom.VERSION}+{weights_version(BAR_WEIGHTS)}",
        "licence": madmom.LICENCE,
    }
    if found is None:
        return Rhythm(
            Beats(confidence=0, **claim), Meter(confidence=0, **claim), Tempo(confidence=0, **claim)
        )
    evidence = rhythm_evidence(found, reading.accents, harmony)
    sure = {
        label: confidence(label, evidence) for label in ("beats", "downbeats", "meter", "tempo")
    }
    times = tuple(round(float(time), TIME_DECIMALS) for time in found.times_s)
    beats = Beats(
        times_s=times,
        numbers=tuple(found.numbers.tolist()),
        confidence=sure["beats"],
        downbeat_confidence=sure["downbeats"],
        **claim,
    )
    return Rhythm(
        beats,
        Meter(beats_per_bar=found.beats_per_bar, confidence=sure["meter"], **claim),
        Tempo(bpm=tempo_bpm(times), confidence=sure["tempo"], **claim),
    )


def annotate_chords(batch: WaveBatch, rhythms: list[Rhythm]) -> list[Chords]:
    """Chords with basses, changing on beats where the sound allows it."""
    return [_chords(*row) for row in zip(batch.waves, batch.harmony, rhythms, strict=True)]


def _chords(wave: Wave, harmony: HarmonyActivations, rhythm: Rhythm) -> Chords:
    path = chord_path(harmony, rhythm.beats.times_s)
    segments = path.segments(round(len(wave) / RATE_HZ, TIME_DECIMALS))
    return Chords(
        segments=() if all(segment.label == NO_CHORD for segment in segments) else segments,
        confidence=confidence("chords", chords_evidence(harmony, path.classes)),
        tool="obbligato harmony",
        version=weights_version(HARMONY_WEIGHTS),
        licence=_LICENCE,
    )


def annotate_key(batch: WaveBatch) -> list[KeyLabel]:
    """Tonic and mode, by the network and Essentia's profiles together."""
    return [_key(*row) for row in zip(batch.waves, batch.harmony, strict=True)]


def _key(wave: Wave, harmony: HarmonyActivations) -> KeyLabel:
    chances = keys.key_chances(harmony, keys.vote(wave))
    best = int(chances.argmax())
    key = key_of_class(best)
    return KeyLabel(
        tonic=key.tonic,
        mode=key.mode,
        confidence=round(float(chances[best]), 3),
        tool="obbligato harmony, essentia KeyExtractor",
        version=f"{weights_version(HARMONY_WEIGHTS)}+{keys.VERSION}",
        licence=keys.LICENCE,
    )
