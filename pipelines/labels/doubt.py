"""How unsure labels are, and in which order to look at them."""

from collections.abc import Iterable
from math import prod

from schemas.labels import Labels


def all_right(labels: Labels) -> float:
    """The chance that all labels are right, if each is so by itself: what is low is looked at
    first.
    """
    return chance_of_all(confidences(labels).values())


def confidences(labels: Labels) -> dict[str, float]:
    """The chance of each label to be right, by its name."""
    return {
        "key": labels.key.confidence,
        "tempo": labels.tempo.confidence,
        "meter": labels.meter.confidence,
        "chords": labels.chords.confidence,
        "beats": labels.beats.confidence,
        "downbeats": labels.beats.downbeat_confidence,
    }


def chance_of_all(chances: Iterable[float]) -> float:
    """Of all of several things, that have nothing to do with each other.

    >>> chance_of_all([0.5, 0.5, 1.0])
    0.25
    """
    return round(prod(chances), 6)
