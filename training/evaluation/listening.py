"""What our annotators hear in clips: many at a time, in a child process that may crash."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pipelines.engine import bucket
from pipelines.engine.child_process import Child, Death
from pipelines.stages.labels.annotate import Window
from schemas.labels import Annotation, Labels
from schemas.recipe import Recipe
from training.evaluation.chroma import Chroma
from training.evaluation.made import Made


class Heard(NamedTuple):
    """A clip with its labels and its chroma, or why it has none."""

    made: Made
    labels: Labels | None
    chroma: Chroma | None
    problem: str = ""


def listen(made: Sequence[Made], recipe: Recipe) -> Iterator[Heard]:
    """Clips in order, each heard whole; those that cannot be used come with the reason."""
    with bucket.child(recipe.limits) as child:
        for batch in bucket.batches(made, recipe.annotate.batch):
            yield from _batch(batch, recipe, child)


def _batch(batch: Sequence[Made], recipe: Recipe, child: Child) -> Iterator[Heard]:
    probed = child.run(
        "pipelines.stages.inputs.probe:probe_files", [one.path for one in batch], recipe.ingest
    )
    windows = [
        Window(one.name, one.path, 0.0, probe.duration_s)
        for one, probe in zip(batch, probed, strict=True)
        if not isinstance(probe, Death)
    ]
    labelled = iter(
        child.run("pipelines.stages.labels.annotate:annotate_windows", windows, recipe.annotate)
        if windows
        else ()
    )
    pictured = iter(
        child.run("training.evaluation.chroma:chromas", windows, None) if windows else ()
    )
    for one, probe in zip(batch, probed, strict=True):
        found = probe if isinstance(probe, Death) else next(labelled)
        chroma = None if isinstance(probe, Death) else next(pictured)
        if isinstance(found, Annotation):
            yield Heard(one, found.labels, chroma if isinstance(chroma, Chroma) else None)
        else:
            yield Heard(one, None, None, f"{found.code}: {found.message} {found.figure}".strip())
