"""How unsure labels are, and in which order to look at them."""

from schemas.labels import Labels


def weakest(labels: Labels) -> float:
    """The chance that the least sure of the labels is right: of key, tempo, meter, chords, beats
    and bars.
    """
    return min(
        labels.key.confidence,
        labels.tempo.confidence,
        labels.meter.confidence,
        labels.chords.confidence,
        labels.beats.confidence,
        labels.beats.downbeat_confidence,
    )
