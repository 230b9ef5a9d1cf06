"""What turns the confidence of an annotator into the chance that its label is right, where people
have listened and the two were found to differ.
"""

from pydantic import Field

from schemas.record import Record


class Curve(Record):
    """One label's: the log odds of being right are `shift` + `slope` × those of its confidence.

    Beside it, what it was fitted on, and the mean log loss (nats a clip) on songs that were left
    out: of the confidence as it was, and as the curve makes it.
    """

    shift: float
    slope: float = Field(gt=0)
    clips: int = Field(ge=1)
    songs: int = Field(ge=1)
    log_loss_before: float = Field(ge=0)
    log_loss: float = Field(ge=0)


class Calibration(Record):
    """A curve for each label whose confidence was found to be off; the others stay as they are."""

    beats: Curve | None = None
    downbeats: Curve | None = None
    meter: Curve | None = None
    tempo: Curve | None = None
    chords: Curve | None = None
    key: Curve | None = None
