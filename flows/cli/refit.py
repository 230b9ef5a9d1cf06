"""`obbligato review --refit`: confidences learned anew from what people set right."""

import re
from typing import TYPE_CHECKING

import typer

from flows.cli.options import print_json
from flows.errors import UsageError
from schemas.recipe import CALIBRATION_NAME

if TYPE_CHECKING:
    from pipelines.labels.refit import Refit
    from pipelines.storage.store import Store
    from schemas.recipe import Recipe


def refit(build: str, name: str, *, as_json: bool) -> None:
    """Fit to what was set right how far each label's confidence can be trusted, and keep it in the
    build under a name.
    """
    from flows.build.run_step import stored_build
    from pipelines.build.calibrations import calibration_file, calibration_names
    from pipelines.storage.store import Store

    if not re.fullmatch(CALIBRATION_NAME, name):
        raise UsageError(f"{name!r} is not a name: lower-case letters, digits and hyphens, to 40")
    sources, recipe = stored_build(build)
    store = Store(build)
    if name in calibration_names(store):
        raise UsageError(f"{build} has a calibration {name} already: choose another name")
    refits = _fitted(store, recipe, name)
    file = calibration_file(name) if any(one.curve for one in refits) else None
    if as_json:
        print_json({"file": file, "labels": [_plain(one) for one in refits]})
        return
    _show(refits)
    if file is None:
        typer.echo("no confidence was found to be off: nothing was written")
        return
    again = " ".join(sources)
    typer.echo(
        f"written: {file}; `obbligato build {again} --out {build}`, with its recipe and "
        f"--set review.calibration={name}, goes by it"
    )


def _fitted(store: "Store", recipe: "Recipe", name: str) -> list["Refit"]:
    """What became of each label; kept where one is better."""
    from pipelines.build.calibrations import add_calibration
    from pipelines.build.corrections import judged_clips
    from pipelines.build.outputs import Job
    from pipelines.build.plans import read_plan
    from pipelines.labels.refit import calibration_of, refitted
    from pipelines.storage.lock import hold

    with hold(store, "obbligato review"):
        jobs = [Job(store.url, bucket, recipe) for bucket in read_plan(store).buckets]
        refits = refitted([*judged_clips(jobs)])
        _check(refits)
        if any(one.curve for one in refits):
            add_calibration(store, name, calibration_of(refits))
    return refits


def _check(refits: list["Refit"]) -> None:
    """Raise `UsageError` where no label was judged often enough."""
    from pipelines.labels.refit import LEAST_CLIPS, LEAST_SONGS

    if all(one.log_loss is None for one in refits):
        most = max(refits, key=lambda one: one.clips)
        raise UsageError(
            f"{most.clips} clips of {most.songs} songs were judged whole: at least {LEAST_CLIPS} "
            f"of {LEAST_SONGS} are needed, right ones (`y` on the page) and wrong ones"
        )


def _show(refits: list["Refit"]) -> None:
    """A line for each label: what it was judged on, and what 0.8 becomes."""
    from pipelines.labels.calibration import chance_at

    typer.echo("label      clips  songs  log loss  refitted  0.80 becomes")
    for one in refits:
        line = f"{one.label:9} {one.clips:6,} {one.songs:6,}"
        if one.log_loss_before is None or one.log_loss is None:
            typer.echo(f"{line}  too few: stays")
            continue
        becomes = f"{chance_at(one.curve, 0.8):.2f}" if one.curve else "stays: not surely better"
        typer.echo(f"{line} {one.log_loss_before:9.3f} {one.log_loss:9.3f}  {becomes}")


def _plain(one: "Refit") -> dict[str, object]:
    return {**one._asdict(), "curve": one.curve.model_dump() if one.curve else None}
