"""When requested beats and chords should sound, and requested curves: what clips are held to."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from pydantic import model_validator

from schemas.chord import NO_CHORD
from schemas.controls import CONTROL_RATE_HZ, Decibels, MelodyClass
from schemas.errors import SchemaError
from schemas.labels import Labels
from schemas.record import Record

TimeSpan = tuple[float, float]  # seconds: from, to


class AskedChord(NamedTuple):
    """A chord (Harte) and its start in seconds; where no end is said, it lasts until the next one
    begins, and the last one as long as the clip.
    """

    label: str
    start_s: float
    end_s: float | None = None


class SoundingChord(NamedTuple):
    """A chord that sounds, or shall sound, from one second to another."""

    label: str
    start_s: float
    end_s: float


class Timing(Record):
    """When requested beats and chords should fall, in seconds; empty where nobody said.

    `beats_known` and `chords_known` are the parts of the clip for which they were requested: what
    falls elsewhere is not scored. None where they hold for all of it.
    """

    beats_s: tuple[float, ...] = ()
    downbeats_s: tuple[float, ...] = ()
    chords: tuple[AskedChord, ...] = ()
    beats_known: tuple[TimeSpan, ...] | None = None
    chords_known: tuple[TimeSpan, ...] | None = None

    @model_validator(mode="after")
    def _check(self) -> "Timing":
        for start_s, end_s in (*(self.beats_known or ()), *(self.chords_known or ())):
            if end_s <= start_s:
                raise SchemaError(
                    f"a part that is asked for ends at {end_s} s, not after its start at {start_s}"
                )
        return self

    def chord_spans(self, duration_s: float) -> tuple[SoundingChord, ...]:
        """The requested chords with their ends, in a clip of `duration_s`: within it, and within
        the parts for which chords are asked.

        >>> timing = Timing(chords=(("C:maj", 0.0), ("G:maj", 2.0)), chords_known=((1.0, 3.0),))
        >>> [tuple(span) for span in timing.chord_spans(4.0)]
        [('C:maj', 1.0, 2.0), ('G:maj', 2.0, 3.0)]
        """
        parts = [(0.0, duration_s)] if self.chords_known is None else self.chords_known
        return tuple(
            SoundingChord(span.label, max(span.start_s, start_s), min(span.end_s, end_s))
            for span in self._whole_spans(duration_s)
            for start_s, end_s in parts
            if min(span.end_s, end_s) > max(span.start_s, start_s)
        )

    def chord_changes_s(self, duration_s: float) -> tuple[float, ...]:
        """When one requested chord gives way to another, within the parts that are asked for."""
        found = changes_s(self._whole_spans(duration_s))
        if self.chords_known is None:
            return found
        return tuple(
            time_s
            for time_s in found
            if any(start_s < time_s < end_s for start_s, end_s in self.chords_known)
        )

    def _whole_spans(self, duration_s: float) -> list[SoundingChord]:
        following_s = [*(chord.start_s for chord in self.chords[1:]), duration_s]
        return [
            SoundingChord(
                chord.label,
                chord.start_s,
                min(next_s if chord.end_s is None else chord.end_s, duration_s),
            )
            for chord, next_s in zip(self.chords, following_s, strict=False)
            if chord.start_s < duration_s
        ]


class AskedCurves(Record):
    """Curves that a clip shall follow, ten values a second, as `AudioControls` has them; none where
    nothing is asked, and empty for a curve that nobody asks for.
    """

    frame_rate_hz: int = CONTROL_RATE_HZ
    dynamics_db: tuple[Decibels | None, ...] = ()
    melody: tuple[MelodyClass | None, ...] = ()


def timing_of(labels: Labels) -> Timing:
    """Beats and chords of labels that a clip was made with."""
    chords = tuple(
        AskedChord(segment.label, segment.start_s, segment.end_s)
        for segment in labels.chords.segments
        if segment.label != NO_CHORD
    )
    return Timing(beats_s=labels.beats.times_s, downbeats_s=labels.beats.downbeats_s, chords=chords)


def sounding_spans(labels: Labels) -> tuple[SoundingChord, ...]:
    """Chords of labels; stretches without a chord are left out."""
    return tuple(
        SoundingChord(segment.label, segment.start_s, segment.end_s)
        for segment in labels.chords.segments
        if segment.label != NO_CHORD
    )


def changes_s(spans: Sequence[SoundingChord]) -> tuple[float, ...]:
    """When each chord begins that differs from the one before it; so not the first.

    >>> first = SoundingChord("C:maj", 0, 1)
    >>> changes_s([first, SoundingChord("C:maj", 1, 2), SoundingChord("F:maj", 2, 4)])
    (2,)
    """
    return tuple(
        later.start_s for earlier, later in pairwise(spans) if later.label != earlier.label
    )
