"""Clips that a system made, whatever it is, each with its prompt and what that asks for."""

from typing import NamedTuple

from schemas.record import Record
from training.generation.steered_facts import SteeredFacts
from training.metrics.controls import PromptControls
from training.metrics.timing import AskedCurves, Timing


class MadeClip(NamedTuple):
    """One clip.

    `requested` holds what the prompt states and what was given beside it, nothing that was filled
    in.
    """

    name: str
    caption: str  # empty: not known
    requested: PromptControls
    path: str
    timing: Timing = Timing()
    swap_of: str = ""  # name of the clip whose prompt differs from this one's in one control
    reference: str = ""  # key of the reference sample whose caption this is
    curves: AskedCurves | None = None
    steered: SteeredFacts | None = None  # of a piece of ours
    asked_s: float | None = None  # how long it was to be, where that is known


class Skipped(NamedTuple):
    """A file or row that is not scored, and why."""

    name: str
    reason: str
    path: str = ""  # of the file that a row names, where it is there


class CheckpointFacts(Record):
    """Which weights played."""

    name: str
    sha256: str  # of the file of averaged weights
    refined_by: tuple[str, ...] = ()  # a vocoder, an upsampler: what played beside them


class ScoredListing(NamedTuple):
    """What is to be scored: each clip in order, and what is not scored."""

    system: str
    made: tuple[MadeClip, ...]
    skipped: tuple[Skipped, ...]
    checkpoint: CheckpointFacts | None = None  # of a model of ours
