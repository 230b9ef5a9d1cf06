"""What we say about music: claims with confidence, tool, version, licence and origin.

Times are seconds from the start of the audio that the label belongs to.
"""

from enum import StrEnum
from itertools import pairwise
from typing import Final, Self

from pydantic import Field, model_validator

from schemas.chord import NO_CHORD, Chord
from schemas.errors import SchemaError
from schemas.identity import ClipKey, SampleKey
from schemas.pitch import Key, Mode
from schemas.record import Confidence, PitchClass, PositiveSeconds, Record, Seconds

TIME_DECIMALS: Final = 3  # stored times are whole milliseconds


class Origin(StrEnum):
    """Where a label comes from."""

    EXTRACTED = "extracted"  # measured from this audio
    MOVED = "moved"  # computed from the original's label and the change made to the audio
    STATED = "stated"  # given by the source
    CORRECTED = "corrected"  # set right by a person who listened; it goes before all others


class Claim(Record):
    """What every label carries beside its value; confidence is the chance that it is right."""

    confidence: Confidence
    tool: str
    version: str
    licence: str
    origin: Origin = Origin.EXTRACTED


class Beats(Claim):
    """Beat times, ascending, and each beat's number in its bar (1 is a downbeat).

    `confidence` is the expected F-measure of the beats, `downbeat_confidence` that of the
    downbeats.

    >>> how = dict(confidence=1, tool="t", version="1", licence="CC0")
    >>> Beats(times_s=(0.5, 1.0, 1.5), numbers=(3, 1, 2), **how).downbeats_s
    (1.0,)
    """

    times_s: tuple[Seconds, ...] = ()
    numbers: tuple[int, ...] = ()
    downbeat_confidence: Confidence = 0.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.times_s) != len(self.numbers):
            raise SchemaError(
                f"{len(self.times_s)} beat times but {len(self.numbers)} beat numbers"
            )
        if any(later <= earlier for earlier, later in pairwise(self.times_s)):
            raise SchemaError("beat times must ascend")
        if any(number < 1 for number in self.numbers):
            raise SchemaError("beat numbers start at 1")
        return self

    @property
    def downbeats_s(self) -> tuple[float, ...]:
        """Times of the beats numbered 1."""
        return tuple(
            time for time, number in zip(self.times_s, self.numbers, strict=True) if number == 1
        )


class Meter(Claim):
    """Beats per bar, or none where no meter was found."""

    beats_per_bar: int | None = Field(default=None, ge=1)


class Tempo(Claim):
    """Beats per minute, or none where there are fewer than three beats."""

    bpm: float | None = Field(default=None, gt=0)


class KeyLabel(Claim):
    """Tonic and mode, both or neither."""

    tonic: PitchClass | None = None
    mode: Mode | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.tonic is None) != (self.mode is None):
            raise SchemaError("a key has both tonic and mode, or neither")
        return self

    @property
    def key(self) -> Key | None:
        """The key, or none where the label is empty."""
        return (
            None
            if self.tonic is None or self.mode is None
            else Key(tonic=self.tonic, mode=self.mode)
        )


class ChordSegment(Record):
    """One chord from `start_s` to `end_s`, in Harte syntax; ``N`` is no chord."""

    start_s: Seconds
    end_s: PositiveSeconds
    label: str

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.end_s <= self.start_s:
            raise SchemaError(
                f"chord {self.label} ends at {self.end_s} s, "
                f"not after its start at {self.start_s} s"
            )
        if self.label != NO_CHORD:
            Chord.parse(self.label)
        return self

    @property
    def chord(self) -> Chord | None:
        """The chord, or none for ``N``."""
        return None if self.label == NO_CHORD else Chord.parse(self.label)


class Chords(Claim):
    """Chord segments in order, without gaps or overlaps; empty where nothing was found.

    The confidence is the expected share of time whose chord is right (to the seventh).
    """

    segments: tuple[ChordSegment, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        for earlier, later in pairwise(self.segments):
            if abs(later.start_s - earlier.end_s) > 1e-6:
                raise SchemaError(
                    f"chord segments must join: one ends at {earlier.end_s} s, "
                    f"the next starts at {later.start_s} s"
                )
        return self


class Downmix(StrEnum):
    """How several channels became one."""

    NONE = "none"  # the source is mono
    MEAN = "mean"
    LOUDEST = "loudest"  # the mean cancels (antiphase): the loudest channel stands in


class Measures(Record):
    """Plain measurements of the audio, for the filter and for users."""

    peak: float = Field(ge=0)  # of the samples as decoded; above 1 the clip was scaled down to 1
    rms_db: float  # relative to full scale; -120 for digital silence
    silent_share: Confidence  # share of 50 ms frames below -60 dB
    clipped_share: Confidence  # share of samples in runs of three or more at the clip's own peak
    downmix: Downmix


class Labels(Record):
    """All labels of one piece of audio of `duration_s`."""

    duration_s: PositiveSeconds
    beats: Beats
    meter: Meter
    tempo: Tempo
    chords: Chords
    key: KeyLabel


class Annotation(Record):
    """Labels and measurements of a clip; labels reach past its end where the file allows."""

    clip_key: str
    labels: Labels
    measures: Measures


class MovedLabels(Record):
    """The labels of one sample: its clip's, moved with the audio."""

    sample_key: SampleKey
    labels: Labels


class Correction(Record):
    """What somebody who listened set right on a clip, and when (UTC, to the second).

    Labels are over the clip's extended window, of origin `corrected`; none stands where nothing is
    said of it. The tempo follows from the beats.
    """

    clip_key: ClipKey
    who: str
    when: str
    beats: Beats | None = None
    meter: Meter | None = None
    chords: Chords | None = None
    key: KeyLabel | None = None
    not_music: str | None = None  # why the clip is to be left out
    withdrawn: tuple[str, ...] = ()  # of the fields above, those that earlier corrections set


class Corrections(Record):
    """All corrections of a song's clips, oldest first; none is ever taken out."""

    edits: tuple[Correction, ...]
