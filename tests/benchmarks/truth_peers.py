"""The tools that our annotators stand beside, each as its own authors call it, one clip at a
time.
"""

import importlib
import importlib.util
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import essentia.standard
import numpy as np

# It answers madmom's look-up of its own version.
import pipelines.annotators.madmom  # noqa: F401
from pipelines.annotators import RATE_HZ
from pipelines.audio.decode import Wave
from pipelines.labels.transform import tempo_bpm
from schemas.chord import Chord
from schemas.errors import SchemaError
from training.annotator_training.known_truth import Estimate, Spans


@lru_cache(maxsize=8)
def _madmom(module: str, name: str, **options: Any) -> Any:
    return getattr(importlib.import_module(f"madmom.{module}"), name)(**options)


@lru_cache(maxsize=1)
def _tracker() -> Any:
    return importlib.import_module("madmom.features.downbeats").DBNDownBeatTrackingProcessor(
        beats_per_bar=[3, 4], fps=100
    )


def _signal(wave: Wave) -> Any:
    return importlib.import_module("madmom.audio.signal").Signal(wave, sample_rate=RATE_HZ)


def madmom_downbeats(wave: Wave) -> Estimate:
    beats = _tracker()(
        _madmom("features.downbeats", "RNNDownBeatProcessor")(_signal(wave))
    ).reshape(-1, 2)
    return Estimate(
        beats=beats,
        numbered=True,
        meter=int(beats[:, 1].max()) if len(beats) else None,
        bpm=tempo_bpm(beats[:, 0].tolist()),
    )


def madmom_deep_chroma(wave: Wave) -> Estimate:
    chroma = _madmom("audio.chroma", "DeepChromaProcessor")(_signal(wave))
    return Estimate(
        chords=_spans(_madmom("features.chords", "DeepChromaChordRecognitionProcessor")(chroma))
    )


def madmom_cnn_crf(wave: Wave) -> Estimate:
    features = _madmom("features.chords", "CNNChordFeatureProcessor")(_signal(wave))
    return Estimate(
        chords=_spans(_madmom("features.chords", "CRFChordRecognitionProcessor")(features))
    )


def madmom_cnn_key(wave: Wave) -> Estimate:
    from madmom.features.key import key_prediction_to_label

    return Estimate(
        key=key_prediction_to_label(
            _madmom("features.key", "CNNKeyRecognitionProcessor")(_signal(wave))
        )
    )


def essentia_rhythm(wave: Wave) -> Estimate:
    bpm, beats, *_rest = essentia.standard.RhythmExtractor2013(method="multifeature")(
        np.ascontiguousarray(wave)
    )
    return Estimate(
        beats=np.column_stack([beats, np.full(len(beats), 2)]).reshape(-1, 2),
        bpm=float(bpm) or None,
    )


def essentia_key(profile: str) -> Callable[[Wave], Estimate]:
    def annotate(wave: Wave) -> Estimate:
        tonic, mode, _ = essentia.standard.KeyExtractor(profileType=profile, sampleRate=RATE_HZ)(
            np.ascontiguousarray(wave)
        )
        return Estimate(key=f"{tonic} {mode}")

    return annotate


def chordino(wave: Wave) -> Estimate:
    """M. Mauch's Vamp plug-in, as `chord-extractor` ships it, with its own settings."""
    import vamp

    changes = vamp.collect(wave, RATE_HZ, "nnls-chroma:chordino", output="simplechord")["list"]
    starts = [float(change["timestamp"]) for change in changes]
    ends = [*starts[1:], len(wave) / RATE_HZ]
    spans = zip(starts, ends, (_harte(change["label"]) for change in changes), strict=True)
    return Estimate(chords=[(start, end, name) for start, end, name in spans if end > start])


def _harte(symbol: str) -> str:
    """Chordino writes lead-sheet symbols; the few outside our vocabulary are reduced to what stands
    before the slash.
    """
    for text in (symbol, symbol.split("/", maxsplit=1)[0]):
        try:
            return Chord.parse_symbol(text).harte
        except SchemaError:
            continue
    return "N"


def _spans(found: Any) -> Spans:
    return [(float(start), float(end), str(label)) for start, end, label in found]


PEERS: dict[str, Callable[[Wave], Estimate]] = {
    "madmom RNN + DBN, 3/4 and 4/4": madmom_downbeats,
    "Essentia RhythmExtractor2013": essentia_rhythm,
    "madmom DeepChroma": madmom_deep_chroma,
    "madmom CNN + CRF": madmom_cnn_crf,
    "madmom CNN key": madmom_cnn_key,
    **{
        f"Essentia KeyExtractor {profile}": essentia_key(profile)
        for profile in ("krumhansl", "temperley", "edma", "bgate")
    },
}
_PLUGINS = importlib.util.find_spec("chord_extractor")
if importlib.util.find_spec("vamp") and _PLUGINS and _PLUGINS.origin:
    os.environ.setdefault("VAMP_PATH", str(Path(_PLUGINS.origin).parent / "_lib"))
    PEERS["Chordino"] = chordino
