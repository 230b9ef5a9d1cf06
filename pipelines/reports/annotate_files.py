"""Labels of whole audio files, outside any build."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pipelines.engine import bucket
from pipelines.engine.child_process import Death
from pipelines.stages.inputs.probe import probe_files
from pipelines.stages.labels.annotate import Window
from schemas.labels import Annotation, Labels
from schemas.recipe import Recipe


class FileLabels(NamedTuple):
    """A file's labels, or why it has none."""

    path: str
    labels: Labels | None
    problem: str


def annotate_files(paths: Sequence[str], recipe: Recipe) -> Iterator[FileLabels]:
    """Label each file over its whole length, as it comes."""
    with bucket.child(recipe.limits) as child:
        for path in paths:
            [probed] = child.run(f"{probe_files.__module__}:probe_files", [path], recipe.ingest)
            if not isinstance(probed, Death):
                [probed] = child.run(
                    "pipelines.stages.labels.annotate:annotate_windows",
                    [Window(path, path, 0.0, probed.duration_s)],
                    recipe.annotate,
                )
            if isinstance(probed, Annotation):
                yield FileLabels(path, probed.labels, "")
            else:
                yield FileLabels(
                    path, None, f"{probed.code}: {probed.message} {probed.figure}".strip()
                )
        child.close()
