"""How far labels that were extracted again agree with the ones carried."""

from schemas.record import Record


class LabelAgreement(Record):
    """Figures in [0, 1]; none where the reference says nothing.

    A label missing where the reference has one is a miss.
    """

    beats: float | None = None
    downbeats: float | None = None
    meter: float | None = None
    tempo: float | None = None
    chords: float | None = None
    key: float | None = None


class Relabelled(Record):
    """Labels of one sample extracted again from its audio, compared with the ones it carries."""

    sample_key: str
    variant: str
    agreement: LabelAgreement


class KindAgreement(LabelAgreement):
    """Mean figures over some samples, such as those of one kind of variant."""

    samples: int
