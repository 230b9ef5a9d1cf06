"""A build from sources to a verified dataset, step by step, in this process."""

import time
from collections.abc import Mapping, Sequence

from flows.build.order import ALL_STEPS, ASSIGNED, MARKED, ORDER, order_of, steps_of
from flows.build.run_stage import StepReport, Watch, chains_of, run_stages, watched
from flows.build.run_step import (
    begin,
    check,
    check_models,
    check_reach,
    new_run,
    run_steps,
    stored_build,
    trust_recipe,
    trusted_build,
    write_run,
)
from flows.errors import UsageError
from pipelines.beam.options import Engine
from pipelines.build.markers import marker_name
from pipelines.build.outputs import Job
from pipelines.build.plans import read_plan
from pipelines.build.tables import BUCKET_PLAN
from pipelines.build.versions import publish_version
from pipelines.engine.child_process import CHILDREN
from pipelines.engine.pool import shared_out
from pipelines.engine.stage import Stage, fingerprints, finished, missing_inputs
from pipelines.errors import Damaged, PipelineError
from pipelines.reports.damage import check_whole
from pipelines.reports.forget import Taken, forgotten_now
from pipelines.reports.forget import forget as forget_songs
from pipelines.reports.ledger import mark_for_retry
from pipelines.stages.output.close import check_stated, described, publish_dataset, stated_dataset
from pipelines.stages.output.verify import STAGE as VERIFY
from pipelines.stages.output.verify import read_bucket_back
from pipelines.storage.lock import Lock, hold
from pipelines.storage.store import Store
from schemas.dataset import Dataset
from schemas.recipe import Recipe


def build(
    sources: Sequence[str],
    out: str,
    recipe: Recipe,
    engine: Engine,
    watch: Watch,
    *,
    shrink: bool = False,
) -> Dataset:
    """Build a dataset, or finish one: buckets whose inputs and recipe have not changed are skipped.

    Returns dataset.json.

    Raises `Shrinks` where many songs that are in force would go, unless `shrink` is set.
    """
    check(sources, out, recipe, engine)
    trust_recipe(out, recipe, sources)
    with hold(Store(out), "obbligato build") as lock:
        begin(sources, out, recipe)
        return _taken(recipe, out, engine, watch, lock, shrink=shrink)


def _taken(
    recipe: Recipe,
    out: str,
    engine: Engine,
    watch: Watch,
    lock: Lock,
    *,
    after: str = "",
    shrink: bool = False,
) -> Dataset:
    store, run_folder = Store(out), new_run()
    reports: list[StepReport] = []
    started = time.time()
    try:
        for chain in chains_of(steps_of(recipe, after=after), recipe):
            lock.check()
            reports += run_steps(
                chain, out, engine, run_folder, watched(watch, lock), shrink=shrink
            )
        return stated_dataset(store)
    finally:
        CHILDREN.close()
        write_run(store, run_folder, engine, started, reports)


def label(out: str, recipe: Recipe, engine: Engine, watch: Watch) -> Dataset:
    """Give a build that stands its pseudo-labels, or others. Returns dataset.json.

    Raises `UsageError` where the recipe has no vocabulary, and `PipelineError` where something that
    the labels need is missing.
    """
    if not recipe.labels:
        raise UsageError("no vocabulary to label with: name one with --vocabulary")
    return _renewed(out, recipe, engine, watch, "obbligato label")


def encode(out: str, recipe: Recipe, engine: Engine, watch: Watch) -> Dataset:
    """Give a build that stands its latents, or others. Returns dataset.json.

    Raises `UsageError` where the recipe names no codec, and `PipelineError` where the codec or its
    weights are missing.
    """
    if not recipe.encodes:
        raise UsageError("no codec to encode with: name one with --codec")
    return _renewed(out, recipe, engine, watch, "obbligato encode")


def _renewed(out: str, recipe: Recipe, engine: Engine, watch: Watch, command: str) -> Dataset:
    """Bring a build that stands up to date with a recipe, without looking at its sources again."""
    sources, _ = stored_build(out)
    trust_recipe(out, recipe)
    check_models(recipe)
    with hold(Store(out), command) as lock:
        begin(sources, out, recipe)
        return _taken(recipe, out, engine, watch, lock, after=ASSIGNED)


def verify_build(out: str, engine: Engine, watch: Watch) -> Dataset:
    """Run the last stage again on a whole build, whatever its markers say, and close it again.

    Returns dataset.json.
    """
    store = Store(out)
    try:
        _, recipe = trusted_build(out)
    except Damaged:
        with hold(store, "obbligato verify"):
            check_whole(store, MARKED)  # which names it, and whatever else is damaged
        raise
    with hold(store, "obbligato verify"):
        return _verified(store, recipe, engine, watch)


def _verified(store: Store, recipe: Recipe, engine: Engine, watch: Watch) -> Dataset:
    if not BUCKET_PLAN.exists(store):
        raise PipelineError(
            f"{store.url}: its inputs are not divided into buckets; "
            "run `obbligato build` again before it is verified"
        )
    check_whole(store, MARKED)
    jobs = [Job(store.url, name, recipe) for name in read_plan(store).buckets]
    order = order_of(recipe)
    without = {stage.name: lack for stage in order if (lack := _lack(stage, recipe))}
    for stage in order[:-1]:
        if stage.name not in without and not _is_done(stage, jobs):
            raise PipelineError(
                f"{store.url}: stage {stage.name} is unfinished or stale; "
                "run `obbligato build` again before it is verified"
            )
    try:
        if without:
            shared_out(read_bucket_back, jobs, engine.workers)
            raise PipelineError(_told_without(store, without))
        for job in jobs:
            store.delete(marker_name(order[-1].folder, job.bucket))
        run_stages(order[-1:], store, recipe, engine, new_run(), watch)
        dataset = described(store, recipe, order)
        check_stated(store, dataset)
        publish_dataset(store, dataset)
        publish_version(store, dataset, recipe)
        return dataset
    finally:
        CHILDREN.close()


def _is_done(stage: Stage, jobs: Sequence[Job]) -> bool:
    """Whether a stage has done all its buckets, from inputs that are there as they were then."""
    if any(missing_inputs(stage, job) for job in jobs):
        return False
    marked = zip(jobs, fingerprints(stage, jobs), strict=True)
    return all(finished(stage, job, mark) is not None for job, mark in marked)


def _lack(stage: Stage, recipe: Recipe) -> str:
    """Why a stage's tools cannot be told here: a plug-in or a package is not installed.

    Empty where they are all here.
    """
    try:
        stage.tools(recipe)
    except PipelineError as error:
        return str(error)
    return ""


def _told_without(store: Store, without: Mapping[str, str]) -> str:
    """What could not be verified of a build, and why, where all else was and is whole."""
    again = "labels were not extracted again, and " if VERIFY.name in without else ""
    reasons = "; ".join(dict.fromkeys(without.values()))
    return (
        f"{store.url}: {again}whether stages {', '.join(without)} are up to date is not known: "
        f"{reasons}. All else was verified: every file is as written, "
        "every shard keeps the contract"
    )


def forget(
    out: str, songs: Sequence[str], who: str, reason: str, engine: Engine, watch: Watch
) -> Taken:
    """Take songs out of a build for good; what it holds then is described, as a new version.

    Where labels of a song had been extracted again, those of another clip are in their place.
    """
    _, recipe = trusted_build(out)
    store = Store(out)
    with hold(store, "obbligato forget"):
        stages = [step for step in ALL_STEPS if isinstance(step, Stage)]
        taken = forget_songs(store, recipe, stages, songs, forgotten_now(who, reason))
        try:
            run_stages([VERIFY], store, recipe, engine, new_run(), watch)
        finally:
            CHILDREN.close()
        dataset = described(store, recipe, order_of(recipe))
        publish_dataset(store, dataset)
        publish_version(store, dataset, recipe)
    return taken


def retry(out: str, keys: Sequence[str], engine: Engine, watch: Watch) -> Dataset:
    """Do dead inputs of a build again, all or those with these keys; replaces their ledger rows."""
    sources, recipe = stored_build(out)
    check_reach(out, sources, recipe)
    check(sources, out, recipe, engine)
    with hold(Store(out), "obbligato dead retry") as lock:
        mark_for_retry(Store(out), recipe, ORDER, keys)
        return _taken(recipe, out, engine, watch, lock)
