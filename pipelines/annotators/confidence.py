"""Confidence that means something: the chance that a label is right.

Each label has a logistic regression of its own, fitted by
`training/annotator_training/fit_confidence.py` on clips that no network was trained on, and on
noise and speech, of which every label is wrong. Beats and downbeats: the expected F-measure;
chords: the expected share of time whose sevenths are right; meter and tempo: the chance to be
right. The key's is its own probability (`keys`).
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from pipelines.annotators import WEIGHTS_FOLDER
from pipelines.annotators.bar_lines import Bars
from pipelines.annotators.bar_net import ACCENT_FPS, Accents
from pipelines.annotators.harmony import NO_CHORD_CLASS, HarmonyActivations

Evidence = Mapping[str, float]
FITTED: Final = "confidence.json"
_LEAST: Final = 1e-4


def confidence(label: str, evidence: Evidence) -> float:
    """The chance that a label is right, given what speaks for it; three decimals."""
    weights = fitted(label)
    log_odds = weights["bias"] + sum(
        weight * evidence[name] for name, weight in weights.items() if name != "bias"
    )
    return round(float(1 / (1 + np.exp(-log_odds))), 3)


def rhythm_evidence(bars: Bars, accents: Accents, harmony: HarmonyActivations) -> dict[str, float]:
    """What speaks for beats, downbeats, meter and tempo."""
    frames = np.round(bars.times_s * ACCENT_FPS).astype(int).clip(0, len(accents.activations) - 1)
    beat_activations = accents.activations[frames].sum(axis=1)
    gaps = np.diff(bars.times_s)
    return {
        "loudness": float(np.log(beat_activations.mean() + _LEAST)),
        "faintest": float(np.log(np.quantile(beat_activations, 0.2) + _LEAST)),
        "right": bars.right,
        "unsteadiness": float(np.log(np.std(np.log(gaps)) + 0.003)),
        "tonal": _tonal(harmony),
        "meter": _log_odds(bars.meter),
        "place": _log_odds(bars.place),
        "beats": float(np.log(len(bars.times_s))),
    }


def chords_evidence(harmony: HarmonyActivations, chosen: npt.NDArray[np.intp]) -> dict[str, float]:
    """What speaks for chords; `chosen` is the network's class of each frame's chord."""
    sounding = chosen != NO_CHORD_CLASS
    logs = harmony.chord[np.arange(len(chosen)), chosen][sounding]
    return {
        "certainty": float(logs.clip(-6).mean()) if len(logs) else -6.0,
        "doubtful": float((logs < np.log(0.5)).mean()) if len(logs) else 1.0,
        "tonal": _tonal(harmony),
        "restless": float(np.log1p((np.diff(chosen) != 0).sum() / len(chosen) * 10)),
    }


def _tonal(harmony: HarmonyActivations) -> float:
    """Mean probability that a chord sounds."""
    return float(1 - np.exp(harmony.chord[:, NO_CHORD_CLASS]).mean())


def _log_odds(chance: float) -> float:
    chance = min(max(chance, _LEAST), 1 - _LEAST)
    return float(np.log(chance / (1 - chance)))


def fitted(label: str) -> dict[str, float]:
    """Weights of a label's evidence."""
    return _all_fitted()[label]


@lru_cache(maxsize=1)
def _all_fitted() -> dict[str, dict[str, float]]:
    return dict(json.loads((WEIGHTS_FOLDER / FITTED).read_text()))
