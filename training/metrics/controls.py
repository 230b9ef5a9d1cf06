"""What a prompt states, and what was estimated, in the form that the metrics compare."""

from collections.abc import Sequence
from enum import StrEnum
from itertools import groupby

from pydantic import Field, field_validator

from pipelines.captioning.check import chord_labels
from schemas.chord import NO_CHORD, Chord
from schemas.labels import Labels
from schemas.pitch import Key
from schemas.record import Record
from training.prompt_controls.controls import STATED_CONFIDENCE
from training.prompt_controls.requested import RequestedControls, read_requested


class Control(StrEnum):
    """What a prompt can ask for."""

    TEMPO = "tempo"
    KEY = "key"
    CHORDS = "chords"
    METER = "meter"


class PromptControls(Record):
    """Tempo, key, chords and meter of one clip; none or empty where a prompt does not state it, or
    where nothing was estimated.

    Chords are Harte labels in order, spelled canonically, without immediate repeats; stretches
    without a chord are left out.

    >>> PromptControls(chords=("A#:maj", "Bb:maj", "N", "F:maj")).chords
    ('Bb:maj', 'F:maj')
    """

    bpm: float | None = Field(default=None, gt=0)
    tempo_words: tuple[str, ...] = ()  # where a prompt gives words and no number; never estimated
    key: Key | None = None
    chords: tuple[str, ...] = ()
    meter: int | None = Field(default=None, ge=1)  # beats per bar

    @field_validator("chords")
    @classmethod
    def _plain(cls, labels: tuple[str, ...]) -> tuple[str, ...]:
        return plain_chords(labels)

    def has(self, control: Control) -> bool:
        """Whether a control is there.

        Tempo words alone are not a tempo: they are scored by themselves.

        >>> PromptControls(bpm=120).has(Control.TEMPO)
        True
        >>> PromptControls(tempo_words=("slow",)).has(Control.TEMPO)
        False
        """
        if control is Control.CHORDS:
            return bool(self.chords)
        return {Control.TEMPO: self.bpm, Control.KEY: self.key, Control.METER: self.meter}[
            control
        ] is not None


def plain_chords(labels: Sequence[str]) -> tuple[str, ...]:
    """Labels spelled canonically, N left out, immediate repeats merged.

    Raises `SchemaError` for what is not a chord.
    """
    spelled = (Chord.parse(label).harte for label in labels if label != NO_CHORD)
    return tuple(label for label, _ in groupby(spelled))


def estimated_controls(labels: Labels) -> PromptControls:
    """What the annotators found; what they left empty is missing."""
    return PromptControls(
        bpm=labels.tempo.bpm,
        key=labels.key.key,
        chords=chord_labels(labels.chords),
        meter=labels.meter.beats_per_bar,
    )


def controls_of(requested: RequestedControls) -> PromptControls:
    """What flags and a caption state, without anything that was worked out or filled in."""
    return PromptControls(
        bpm=requested.bpm.fact.bpm if requested.bpm else None,
        tempo_words=() if requested.bpm else requested.words,
        key=requested.key.fact.key if requested.key else None,
        chords=requested.chord_labels,
        meter=requested.meter.fact.beats_per_bar if requested.meter else None,
    )


def stated_controls(caption: str) -> PromptControls:
    """What a caption states. A mode without a tonic is not a key.

    >>> stated_controls("A slow waltz in A minor. The chords are Am, F, E7.").chords
    ('A:min', 'F:maj', 'E:7')
    >>> stated_controls("Something calm, in a minor key") == PromptControls()
    True
    """
    return controls_of(read_requested(caption))


def surely_requested(labels: Labels) -> PromptControls:
    """Of the labels of a clip, those that were requested: what fills gaps is less confident."""
    estimated = estimated_controls(labels)
    is_sure = {
        "bpm": labels.tempo.confidence >= STATED_CONFIDENCE,
        "key": labels.key.confidence >= STATED_CONFIDENCE,
        "chords": labels.chords.confidence >= STATED_CONFIDENCE,
        "meter": labels.meter.confidence >= STATED_CONFIDENCE,
    }
    return PromptControls(
        **{name: getattr(estimated, name) for name, is_requested in is_sure.items() if is_requested}
    )


def overridden(stated: PromptControls, given: PromptControls) -> PromptControls:
    """Controls of which those that are given replace those that a caption states.

    >>> overridden(stated_controls("A waltz at 90 BPM"), PromptControls(bpm=100)).bpm
    100.0
    """
    values = stated.model_dump() | {
        name: value for name, value in given.model_dump().items() if value not in (None, ())
    }
    if given.bpm is not None:
        values["tempo_words"] = ()
    return PromptControls.model_validate(values)
