"""A build from sources to a verified dataset, stage by stage, in this process."""

import os
import time
import tomllib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from flows.errors import UsageError
from flows.order import ORDER
from flows.settings import recipe_toml, validated
from pipelines import clips, ingest
from pipelines.annotators import check_annotators
from pipelines.dataset import close_dataset
from pipelines.errors import PipelineError
from pipelines.isolation import CHILDREN
from pipelines.ledger import mark_for_retry
from pipelines.listing import list_inputs
from pipelines.settling import PLAN, settle_corpus, write_listing
from pipelines.stage import Job, Stage, fingerprint, finished, marker_name, missing_inputs
from pipelines.store import Store
from schemas.corpus import InputRow
from schemas.recipe import Recipe

SOURCES: Final = "sources.json"
RECIPE: Final = "recipe.toml"


class Engine(NamedTuple):
    """How stages are run: worker count, Beam runner and its own options."""

    workers: int = 1
    runner: str = "FnApiRunner"
    options: tuple[str, ...] = ()


class StageProgress(NamedTuple):
    """What a build reports while it runs: the stage, work done so far and in all (clips, or inputs for ingest)."""

    stage: str
    done: int
    total: int


Watch = Callable[[StageProgress], None]


def build(sources: Sequence[str], out: str, recipe: Recipe, engine: Engine, watch: Watch) -> dict[str, Any]:
    """Build a dataset, or finish one: buckets whose inputs and recipe have not changed are skipped. Returns dataset.json."""
    check_annotators((recipe.annotate.beats, recipe.annotate.chords, recipe.annotate.key))
    store = Store(out)
    started = time.time()
    run_folder = _run_folder()
    times: dict[str, float] = {}
    rows = list_sources(sources, store, recipe)
    if not rows:
        raise UsageError(f"nothing to build from in {', '.join(sources)}: no files")
    times["list"] = round(time.time() - started, 3)
    store.write_json(SOURCES, [source if "://" in source else os.path.abspath(source) for source in sources])
    store.write_bytes(RECIPE, recipe_toml(recipe, comments=False).encode())
    try:
        plan = _ingest(rows, store, recipe, engine, run_folder, watch, times)
        for stage in ORDER:
            jobs = [Job(store.url, name, recipe) for name in plan["buckets"]]
            _run(stage, jobs, plan["clips"], engine, run_folder, watch, times)
        return close_dataset(store, recipe, ORDER)
    finally:
        clips.listen(None)
        CHILDREN.close()
        store.write_json(
            f"{run_folder}/run.json",
            {
                "started": started,
                "seconds": round(time.time() - started, 3),
                "stages_s": times,
                "workers": engine.workers,
                "runner": engine.runner,
            },
        )


def _ingest(
    rows: Sequence[InputRow], store: Store, recipe: Recipe, engine: Engine, run_folder: str, watch: Watch, times: dict[str, float]
) -> dict[str, Any]:
    slices = write_listing(store, rows, recipe)
    jobs = [Job(store.url, name, recipe) for name in slices]
    _run(
        ingest.STAGE,
        jobs,
        {name: min(ingest.SLICE, len(rows) - place * ingest.SLICE) for place, name in enumerate(slices)},
        engine,
        run_folder,
        watch,
        times,
    )
    return settle_corpus(store, slices, recipe)


def list_sources(sources: Sequence[str], store: Store, recipe: Recipe) -> list[InputRow]:
    """The listing of all sources, without what lies in the build's own folder."""
    own = f"{store.root if store.is_local else store.fs.unstrip_protocol(store.root)}/"
    rows = [row for row in list_inputs(sources, recipe.ingest) if not row.source.uri.startswith(own)]
    return [row.replaced(place=place) for place, row in enumerate(rows)]


def _run(
    stage: Stage, jobs: Sequence[Job], sizes: dict[str, int], engine: Engine, run_folder: str, watch: Watch, times: dict[str, float]
) -> None:
    from pipelines.beam.run import run_stage

    began = time.time()
    waiting = [job for job in jobs if finished(stage, job, fingerprint(stage, job)) is None]
    total = sum(sizes.values())
    done = [total - sum(sizes[job.bucket] for job in waiting)]

    def count(number: int) -> None:
        done[0] += number
        watch(StageProgress(stage.name, min(done[0], total), total))

    watch(StageProgress(stage.name, done[0], total))
    clips.listen(count)
    if waiting:
        rows = run_stage(stage, waiting, sizes, run_folder, engine.workers, engine.runner, engine.options)
        unfinished = [row for row in rows if row.unfinished]
        if unfinished:
            first = unfinished[0]
            raise PipelineError(
                f"stage {stage.name}: {len(unfinished)} of {len(jobs)} buckets are unfinished, {first.bucket} first: {first.unfinished}"
            )
        times[f"{stage.name}_work"] = round(sum(row.work_s for row in rows), 3)
    times[stage.name] = round(time.time() - began, 3)
    watch(StageProgress(stage.name, total, total))


def verify_build(out: str, engine: Engine, watch: Watch) -> dict[str, Any]:
    """Run the last stage again on a whole build, whatever its markers say, and close it again. Returns dataset.json."""
    _, recipe = stored_build(out)
    store = Store(out)
    if not store.exists(PLAN):
        raise PipelineError(f"{out}: ingest is unfinished; run `obbligato build` again before it is verified")
    plan = store.read_json(PLAN)
    jobs = [Job(store.url, name, recipe) for name in plan["buckets"]]
    for stage in ORDER[:-1]:
        if any(missing_inputs(stage, job) or finished(stage, job, fingerprint(stage, job)) is None for job in jobs):
            raise PipelineError(f"{out}: stage {stage.name} is unfinished or stale; run `obbligato build` again before it is verified")
    for name in plan["buckets"]:
        store.delete(marker_name(ORDER[-1].folder, name))
    try:
        _run(ORDER[-1], jobs, plan["clips"], engine, _run_folder(), watch, {})
        return close_dataset(store, recipe, ORDER)
    finally:
        clips.listen(None)
        CHILDREN.close()


def retry(out: str, keys: Sequence[str], engine: Engine, watch: Watch) -> dict[str, Any]:
    """Do the dead of a build again, all or those with these keys; their rows in the ledger are replaced."""
    sources, recipe = stored_build(out)
    mark_for_retry(Store(out), recipe, ORDER, keys)
    return build(sources, out, recipe, engine, watch)


def _run_folder() -> str:
    return f"runs/{datetime.now(UTC):%Y%m%dT%H%M%S%f}"


def stored_build(out: str) -> tuple[list[str], Recipe]:
    """Sources and recipe of a build that was begun in a folder; raises `UsageError` where there is none."""
    store = Store(out)
    if not store.exists(SOURCES):
        raise UsageError(f"{out} holds no build: there is no {SOURCES} in it")
    return list(store.read_json(SOURCES)), validated(tomllib.loads(store.read_bytes(RECIPE).decode()))
