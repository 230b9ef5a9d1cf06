"""How unsure labels are, and in which order to look at them."""

from collections.abc import Iterable
from math import prod

from schemas.labels import Labels


def all_right(labels: Labels) -> float:
    """The chance that all labels are right, if each is so by itself: what is low is looked at
    first.
    """
    return chance_of_all(confidences(labels))


def confidences(labels: Labels) -> tuple[float, ...]:
    """The chance of each label to be right: key, tempo, meter, chords, beats, downbeats."""
    return (
        labels.key.confidence,
        labels.tempo.confidence,
        labels.meter.confidence,
        labels.chords.confidence,
        labels.beats.confidence,
        labels.beats.downbeat_confidence,
    )


def chance_of_all(chances: Iterable[float]) -> float:
    """Of all of several things, that have nothing to do with each other.

    >>> chance_of_all([0.5, 0.5, 1.0])
    0.25
    """
    return round(prod(chances), 6)
