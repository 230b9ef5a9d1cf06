"""Scorers: figures that papers report, by models that hear music and know nothing of our labels.

One library per file. A scorer is one of this folder, or a plug-in (pipelines/plug_ins.py): a module
with ``open_scorer(source, device)``, which returns a `Scorer`.

Shapes: N clips, M clips of reference, K figures that a scorer keeps of a clip.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from pipelines.audio.decode import Wave
from pipelines.extras import naming_extras
from pipelines.plug_ins import Door
from schemas.record import Record
from training.errors import TrainingError

Rows = npt.NDArray[np.float64]  # one a clip: (N, K)


class Better(StrEnum):
    """Which way a figure is better."""

    HIGHER = "higher"
    LOWER = "lower"


class ValueUnit(StrEnum):
    """What each value of a figure belongs to."""

    CLIP = "clip"
    PAIR = "pair"  # a clip, and the reference sample whose caption it was made for
    SETS = "sets"  # all clips beside all of the reference: one value


class ScorerFacts(Record):
    """What a scorer is: `version` is a checksum of its weights; waves are wanted at `rate_hz`."""

    name: str
    version: str
    licence: str
    rate_hz: int


class ScorerValues(NamedTuple):
    """A figure, value by value: as many as its unit has."""

    name: str
    meaning: str
    better: Better
    unit: ValueUnit
    values: tuple[float, ...]


class ObservedClips(NamedTuple):
    """What a scorer kept of clips; of each pair the row among the reference's, and among the made
    ones'. A reference of none has no rows.
    """

    made_NK: Rows
    reference_MK: Rows
    pairs: tuple[tuple[int, int], ...] = ()


class Scorer(Protocol):
    """Hears clips one by one, then says what they come to."""

    @property
    def facts(self) -> ScorerFacts:
        """Name, version, licence, rate."""

    def observe(self, waves: Sequence[Wave]) -> Rows:
        """What is kept of mono waves within [-1, 1] at the scorer's rate, a row each: scores, or
        chances of classes.
        """

    def score(self, observed: ObservedClips) -> Sequence[ScorerValues]:
        """Figures of clips; those that need a reference or pairs are left out where none are."""


class ScorerModule(Protocol):
    """What a scorer's module offers."""

    def open_scorer(self, source: str = "", device: str = "cpu") -> Scorer:
        """The scorer with the weights at `source`, its own default where that is empty.

        Raises `PipelineError` where they cannot be had.
        """
        ...


SCORERS: Final = Door[ScorerModule](
    kind="scorer",
    group="obbligato.scorers",
    built_in={"ast": f"{__name__}.audioset"},
    needs=("open_scorer",),
    extra="train",
)


class ScorerChoice(Record):
    """A scorer by its name, where its weights are, and where it runs."""

    name: str
    source: str = ""
    device: str = "cpu"


def scorer_choice(named: str, device: str = "cpu") -> ScorerChoice:
    """A scorer as the command line names it: NAME, or NAME=SOURCE.

    Raises `TrainingError` for one without a name.

    >>> scorer_choice("ast=models/ast").source
    'models/ast'
    """
    name, _, source = named.partition("=")
    if not name.strip():
        raise TrainingError(f"scorer {named!r} has no name: expected NAME or NAME=SOURCE")
    return ScorerChoice(name=name.strip(), source=source.strip(), device=device)


def open_scorer(choice: ScorerChoice) -> Scorer:
    """The scorer of a choice.

    Raises `PipelineError` where no such scorer is there or its weights cannot be had, and
    `MissingExtra` where it needs a package that is not installed.
    """
    with naming_extras("train"):
        return SCORERS.offer(choice.name).open_scorer(choice.source, choice.device)
