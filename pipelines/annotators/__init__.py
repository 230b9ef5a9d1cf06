"""Annotators: one module each, named by the recipe for each role.

An annotator is our own, in default.py, or a plug-in (pipelines/plug_ins.py): a module with one or
more of ``annotate_beats(batch)``, ``annotate_chords(batch, rhythms)`` and ``annotate_key(batch)``.
Each takes a `WaveBatch` (mono float32 waves at 44.1 kHz, the recipe's annotate section, and what
the networks estimate, computed when first asked for) and returns one label per wave.
"""

import hashlib
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from pipelines.plug_ins import Door
from schemas.labels import Beats, Chords, KeyLabel, Meter, Tempo
from schemas.recipe import AnnotateRecipe

if TYPE_CHECKING:
    from pipelines.annotators.batch import WaveBatch

RATE_HZ: Final = 44_100  # every annotator's input has this rate
WEIGHTS_FOLDER: Final = files(__name__) / "weights"  # of our own networks, and of confidences


class Rhythm(NamedTuple):
    """What ``annotate_beats`` gives for each wave."""

    beats: Beats
    meter: Meter
    tempo: Tempo


@lru_cache(maxsize=8)
def weights_version(*files_of_weights: str) -> str:
    """Our own networks' weights as a version: eight hex of the SHA-256 of the named files, of
    all where none is named.
    """
    names = files_of_weights or _all_weights()
    return hashlib.sha256(
        b"".join((WEIGHTS_FOLDER / name).read_bytes() for name in names)
    ).hexdigest()[:8]


def _all_weights() -> list[str]:
    """Names of the files of weights in order.

    The text about their licence beside them is not one.
    """
    return sorted(
        file.name for file in WEIGHTS_FOLDER.iterdir() if file.name.endswith((".npz", ".json"))
    )


class BeatAnnotator(Protocol):
    """What an annotator of beats offers."""

    def annotate_beats(self, batch: "WaveBatch") -> list[Rhythm]:
        """Beats, meter and tempo of each wave.

        Where none are found, empty labels of confidence 0.
        """
        ...


class ChordAnnotator(Protocol):
    """What an annotator of chords offers."""

    def annotate_chords(self, batch: "WaveBatch", rhythms: list[Rhythm]) -> list[Chords]:
        """Chords of each wave, given its beats."""
        ...


class KeyAnnotator(Protocol):
    """What an annotator of the key offers."""

    def annotate_key(self, batch: "WaveBatch") -> list[KeyLabel]:
        """The key of each wave."""
        ...


GROUP: Final = "obbligato.annotators"
DEFAULT: Final = "obbligato"  # what recipes call our own
BUILT_IN: Final = {DEFAULT: "pipelines.annotators.default"}
BEATS: Final = Door[BeatAnnotator](
    kind="annotator of beats", group=GROUP, built_in=BUILT_IN, needs=("annotate_beats",)
)
CHORDS: Final = Door[ChordAnnotator](
    kind="annotator of chords", group=GROUP, built_in=BUILT_IN, needs=("annotate_chords",)
)
KEY: Final = Door[KeyAnnotator](
    kind="annotator of key", group=GROUP, built_in=BUILT_IN, needs=("annotate_key",)
)


def check_annotators(recipe: AnnotateRecipe) -> None:
    """Raise `PipelineError` for a name of the recipe that no annotator stands behind."""
    BEATS.check(recipe.beats)
    CHORDS.check(recipe.chords)
    KEY.check(recipe.key)
