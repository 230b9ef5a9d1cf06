"""What our annotators estimate of clips: many at a time, in a child process that may crash."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pipelines.annotators.windows import AnnotateWindow, annotate_windows
from pipelines.audio.probe import probe_files
from pipelines.engine import bucket
from pipelines.engine.child_process import Child, Death
from schemas.controls import AudioControls
from schemas.labels import Annotation, Labels
from schemas.recipe import Recipe
from training.evaluation.chroma import Chroma, chromas
from training.evaluation.clips import MadeClip
from training.evaluation.heard_controls import measured_controls
from training.evaluation.steered.views import SteeredView, SteeredWindow, steered_views


class EstimatedClip(NamedTuple):
    """A clip with its labels and its chroma, or why it has none; its controls where curves were
    asked for.
    """

    made: MadeClip
    labels: Labels | None
    chroma: Chroma | None
    problem: str = ""
    controls: AudioControls | None = None
    view: SteeredView | None = None  # of a piece that was steered


def estimate(made: Sequence[MadeClip], recipe: Recipe) -> Iterator[EstimatedClip]:
    """Clips in order, each annotated whole; those that cannot be used come with the reason."""
    with bucket.child(recipe.limits) as child:
        for batch in bucket.batches(made, recipe.annotate.batch):
            yield from _batch(batch, recipe, child)


def _batch(batch: Sequence[MadeClip], recipe: Recipe, child: Child) -> Iterator[EstimatedClip]:
    probed = child.run(probe_files, [one.path for one in batch], recipe.ingest)
    windows = [
        AnnotateWindow(one.name, one.path, 0.0, probe.duration_s)
        for one, probe in zip(batch, probed, strict=True)
        if not isinstance(probe, Death)
    ]
    labelled = iter(child.run(annotate_windows, windows, recipe.annotate) if windows else ())
    pictured = iter(child.run(chromas, windows, None) if windows else ())
    measured = _controls(batch, windows, child)
    seen = _views(batch, windows, child)
    for one, probe in zip(batch, probed, strict=True):
        found = probe if isinstance(probe, Death) else next(labelled)
        chroma = None if isinstance(probe, Death) else next(pictured)
        if isinstance(found, Annotation):
            yield EstimatedClip(
                one,
                found.labels,
                chroma if isinstance(chroma, Chroma) else None,
                controls=measured.get(one.name),
                view=seen.get(one.name),
            )
        else:
            yield EstimatedClip(
                one, None, None, f"{found.code}: {found.message} {found.figure}".strip()
            )


def _controls(
    batch: Sequence[MadeClip], windows: Sequence[AnnotateWindow], child: Child
) -> dict[str, AudioControls]:
    """Controls by name, of clips of which curves were asked."""
    names = {one.name for one in batch if one.curves is not None}
    chosen = [window for window in windows if window.key in names]
    found = child.run(measured_controls, chosen, None) if chosen else ()
    return {
        window.key: controls
        for window, controls in zip(chosen, found, strict=True)
        if isinstance(controls, AudioControls)
    }


def _views(
    batch: Sequence[MadeClip], windows: Sequence[AnnotateWindow], child: Child
) -> dict[str, SteeredView]:
    """What pictures show of pieces that were steered, by name."""
    facts = {one.name: one.steered for one in batch if one.steered is not None}
    chosen = [
        SteeredWindow(
            window.key,
            window.path,
            window.end_s,
            facts[window.key].new_s if facts[window.key].form_asked else None,
            bool(facts[window.key].form),
        )
        for window in windows
        if window.key in facts
    ]
    found = child.run(steered_views, chosen, None) if chosen else ()
    return {
        window.key: view
        for window, view in zip(chosen, found, strict=True)
        if isinstance(view, SteeredView)
    }
