"""Annotators: one module each, named by the recipe for each role.

An annotator is a module of this folder, or any importable module by its dotted name, with one or
more of ``annotate_beats(batch)``, ``annotate_chords(batch, rhythms)`` and ``annotate_key(batch)``.
Each takes a `Batch` (mono float32 waves at 44.1 kHz, the recipe's annotate section, and what the
networks hear, computed when first asked for) and returns one label per wave.
"""

import hashlib
import importlib
import importlib.util
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final, Literal, NamedTuple

from pipelines.errors import PipelineError
from pipelines.extras import naming_extras
from schemas.labels import Beats, Meter, Tempo

RATE_HZ: Final = 44_100  # every annotator hears this rate
WEIGHTS_FOLDER: Final = files(__name__) / "weights"  # of our own networks, and of confidences


class Rhythm(NamedTuple):
    """What ``annotate_beats`` gives for each wave."""

    beats: Beats
    meter: Meter
    tempo: Tempo


@lru_cache(maxsize=8)
def weights_version(*files_of_weights: str) -> str:
    """What our own networks weigh, as a version: eight hex of the SHA-256 of the named files, of
    all where none is named.
    """
    names = files_of_weights or sorted(file.name for file in WEIGHTS_FOLDER.iterdir())
    return hashlib.sha256(
        b"".join((WEIGHTS_FOLDER / name).read_bytes() for name in names)
    ).hexdigest()[:8]


Role = Literal["beats", "chords", "key"]


def annotator(role: Role, name: str) -> Any:
    """The function of annotator `name` for a role; names without a dot are modules of this
    folder.
    """
    try:
        with naming_extras():
            return getattr(importlib.import_module(_module(name)), f"annotate_{role}")
    except (ImportError, AttributeError) as error:
        raise PipelineError(
            f"no annotator of {role} called {name!r} ({error}); see pipelines/annotators for the "
            "ones there are"
        ) from error


def check_annotators(names: Iterable[str]) -> None:
    """Raise `PipelineError` for a name that no module stands behind. Of a dotted name the packages
    above it are imported.
    """
    for name in names:
        try:
            found = importlib.util.find_spec(_module(name))
        except ImportError:
            found = None
        if found is None:
            raise PipelineError(
                f"no annotator called {name!r}: expected obbligato or a module's dotted name"
            )


def _module(name: str) -> str:
    return name if "." in name else f"{__name__}.{name}"
