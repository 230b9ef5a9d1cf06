"""Files probed in a worker's child: what each is, or why it cannot be used."""

from collections.abc import Sequence

from pipelines.audio.decode import Probe, probe
from pipelines.engine.child_process import Death
from pipelines.errors import DeadInput
from schemas.recipe import IngestRecipe


def probe_files(paths: Sequence[str], recipe: IngestRecipe) -> list[Probe | Death]:
    """A `Probe` or `Death` per path; runs in a worker's child.

    A path that repeats is probed once.
    """
    found: dict[str, Probe | Death] = {}
    for path in paths:
        if path not in found:
            try:
                found[path] = probe(path, recipe)
            except DeadInput as error:
                found[path] = Death(error.code, error.message, error.figure)
    return [found[path] for path in paths]
