"""The controls of a clip to be made, each with where it comes from."""

from typing import Any, Final

from schemas.labels import (
    Beats,
    Chords,
    ChordSegment,
    Claim,
    KeyLabel,
    Labels,
    Meter,
    Origin,
    Tempo,
)
from schemas.pitch import Key
from schemas.record import Record
from training.prompt_controls.chart import in_symbols
from training.prompt_controls.grid import Grid
from training.prompt_controls.requested import Provenance, signature

TOOL: Final = "obbligato asking"
VERSION: Final = "1"
STATED_CONFIDENCE: Final = 1.0  # of what a flag or the caption states: it is right by definition
# of what was worked out or filled in; no measured figure, it says that nobody requested it
GUESSED_CONFIDENCE: Final = 0.5


class ControlOrigin(Record):
    """Where a control comes from, and the words that it was worked out from, if it was."""

    source: Provenance
    words: str = ""

    @property
    def confidence(self) -> float:
        """1 for what is stated, less for what was worked out or filled in."""
        is_stated = self.source in (Provenance.FLAG, Provenance.CAPTION) and not self.words
        return STATED_CONFIDENCE if is_stated else GUESSED_CONFIDENCE

    def __str__(self) -> str:
        """For a reader: ``(flag)``, ``(caption: slow)``."""
        return f"({self.source}: {self.words})" if self.words else f"({self.source})"


class ControlOrigins(Record):
    """Where each control comes from; the beats come from tempo and meter."""

    tempo: ControlOrigin
    meter: ControlOrigin
    key: ControlOrigin
    chords: ControlOrigin


class ResolvedControls(Record):
    """The controls of one clip to be made, as labels, their origins, and contradictions."""

    labels: Labels
    origins: ControlOrigins
    notes: tuple[str, ...]  # contradictions, and what had to be left out

    def lines(self) -> tuple[str, ...]:
        """Lines for a reader: each control with where it comes from, then the notes.

        >>> from training.prompt_controls.resolve import resolve_controls
        >>> caption = "A waltz at 80 BPM"
        >>> lines = resolve_controls(caption, bpm=90, duration_s=4, chords="Am F").lines()
        >>> lines[3]
        'chords Am F (flag)'
        >>> lines[4]
        "note: --bpm 90 stands against '80 BPM' in the caption: the flag is taken"
        """
        key = self.labels.key.key
        chords = in_symbols([segment.label for segment in self.labels.chords.segments], key)
        return (
            f"tempo {self.labels.tempo.bpm:g} BPM {self.origins.tempo}",
            f"meter {signature(self.labels.meter.beats_per_bar or 0)} {self.origins.meter}",
            f"key {key.name if key else '–'} {self.origins.key}",
            f"chords {chords} {self.origins.chords}",
            *(f"note: {note}" for note in self.notes),
        )


def stated_labels(
    grid: Grid, key: Key, segments: tuple[ChordSegment, ...], origins: ControlOrigins
) -> Labels:
    """The controls as labels; nothing of them was measured."""
    return Labels(
        duration_s=grid.duration_s,
        beats=Beats(
            times_s=grid.times_s,
            numbers=grid.numbers,
            downbeat_confidence=origins.meter.confidence,
            **_claim(origins.tempo),
        ),
        meter=Meter(beats_per_bar=grid.beats_per_bar, **_claim(origins.meter)),
        tempo=Tempo(bpm=grid.bpm, **_claim(origins.tempo)),
        chords=Chords(segments=segments, **_claim(origins.chords)),
        key=KeyLabel(tonic=key.tonic, mode=key.mode, **_claim(origins.key)),
    )


def _claim(origin: ControlOrigin) -> dict[str, Any]:
    # CC0: figures that somebody asked for are nobody's work.
    return Claim(
        confidence=origin.confidence,
        tool=TOOL,
        version=VERSION,
        licence="CC0-1.0",
        origin=Origin.STATED,
    ).model_dump()
