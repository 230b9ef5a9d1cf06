"""Confidences of what was heard, as a calibration makes them."""

from math import exp, log
from typing import Final

from schemas.calibration import Calibration, Curve
from schemas.labels import Labels

# stored confidences have three decimals: 0 and 1 stand for less than half of the last one
LEAST: Final = 0.0005


def log_odds(chance: float) -> float:
    """Log odds of a stored confidence; finite for 0 and 1, too.

    >>> round(log_odds(0.8), 3), log_odds(1.0) == log_odds(0.9995)
    (1.386, True)
    """
    within = min(max(chance, LEAST), 1 - LEAST)
    return log(within / (1 - within))


def chance_at(curve: Curve | None, confidence: float) -> float:
    """The chance to be right at a confidence, three decimals; as it is without a curve."""
    if curve is None:
        return confidence
    return round(1 / (1 + exp(-curve.shift - curve.slope * log_odds(confidence))), 3)


def calibrated(labels: Labels, calibration: Calibration) -> Labels:
    """Labels as heard, with each confidence what a calibration makes of it.

    A label that says nothing stays as it is.
    """
    beats, found = labels.beats, {}
    if beats.times_s:
        found["beats"] = beats.replaced(
            confidence=chance_at(calibration.beats, beats.confidence),
            downbeat_confidence=chance_at(calibration.downbeats, beats.downbeat_confidence),
        )
    said = {
        "meter": labels.meter.beats_per_bar,
        "tempo": labels.tempo.bpm,
        "chords": labels.chords.segments,
        "key": labels.key.mode,
    }
    for name, value in said.items():
        if value:
            claim = getattr(labels, name)
            chance = chance_at(getattr(calibration, name), claim.confidence)
            found[name] = claim.replaced(confidence=chance)
    return labels.replaced(**found)
