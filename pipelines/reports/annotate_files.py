"""Labels of whole audio files, outside any build."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pipelines.annotators.windows import AnnotateWindow, annotate_windows
from pipelines.audio.probe import probe_files
from pipelines.engine import bucket
from pipelines.engine.child_process import Death
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
            [probed] = child.run(probe_files, [path], recipe.ingest)
            labelled: Annotation | Death
            if isinstance(probed, Death):
                labelled = probed
            else:
                [labelled] = child.run(
                    annotate_windows,
                    [AnnotateWindow(path, path, 0.0, probed.duration_s)],
                    recipe.annotate,
                )
            if isinstance(labelled, Annotation):
                yield FileLabels(path, labelled.labels, "")
            else:
                yield FileLabels(
                    path, None, f"{labelled.code}: {labelled.message} {labelled.figure}".strip()
                )
        child.close()
