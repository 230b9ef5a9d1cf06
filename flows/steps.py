"""The steps of a build, each a function of the output folder alone: the command line takes them in one process, a flow as tasks."""

import os
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from flows.errors import UsageError
from flows.order import BEFORE, ORDER
from flows.settings import recipe_toml, validated
from pipelines import clips
from pipelines.annotators import check_annotators
from pipelines.beam.options import Engine, check_engine
from pipelines.dataset import close_dataset
from pipelines.errors import PipelineError
from pipelines.listing import list_inputs
from pipelines.settling import PLAN, settle_corpus
from pipelines.slicing import LISTING, write_listing
from pipelines.stage import Job, Stage, fingerprint, finished
from pipelines.store import Store
from pipelines.versions import publish_version
from schemas.corpus import InputRow
from schemas.recipe import Recipe

SOURCES: Final = "sources.json"
RECIPE: Final = "recipe.toml"
STAGES: Final = {stage.name: stage for stage in (*BEFORE, *ORDER)}
STEPS: Final = ("list", *(stage.name for stage in BEFORE), "settle", *(stage.name for stage in ORDER), "close")


class StepProgress(NamedTuple):
    """What a build reports while it runs: the step, work done so far and in all (inputs, or clips)."""

    step: str
    done: int
    total: int


class Share(NamedTuple):
    """A share of a stage's units: the first of four, say."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> "Share":
        """The share that a command line names, such as ``1/4``."""
        number, _, of = text.partition("/")
        if not (number.isdigit() and of.isdigit() and 1 <= int(number) <= int(of)):
            raise UsageError(f"{text!r} is no share: expected one such as 1/4")
        return cls(int(number), int(of))


WHOLE: Final = Share(1, 1)


class Report(NamedTuple):
    """What a step did: its counts, buckets run and in all, wall-clock seconds, and seconds of the stage's own work."""

    step: str
    counts: dict[str, Any]
    buckets: int = 0
    run: int = 0
    seconds: float = 0.0
    work_s: float = 0.0


Watch = Callable[[StepProgress], None]


def check(sources: Sequence[str], out: str, recipe: Recipe, engine: Engine) -> None:
    """Refuse what cannot be built, before anything is written: wrong engines, unknown annotators, sources that are not there."""
    check_engine(engine, out)
    check_annotators((recipe.annotate.beats, recipe.annotate.chords, recipe.annotate.key))
    firsts = [next(list_sources([source], Store(out), recipe), None) for source in sources]  # each is looked at, so each must exist
    if not any(firsts):
        raise UsageError(f"nothing to build from in {', '.join(sources)}: no files")


def begin(sources: Sequence[str], out: str, recipe: Recipe) -> None:
    """Store what a build is asked for, which is all that its steps go by."""
    store = Store(out)
    store.write_json(SOURCES, [source if "://" in source else os.path.abspath(source) for source in sources])
    store.write_bytes(RECIPE, recipe_toml(recipe, comments=False).encode())


def run_step(name: str, out: str, engine: Engine, run_folder: str, watch: Watch, share: Share = WHOLE) -> Report:
    """Take one step of a build that has begun, or a share of it. Raises `PipelineError` where it cannot finish."""
    sources, recipe = stored_build(out)
    store, began = Store(out), time.time()
    if name == "list":
        slices = write_listing(store, list_sources(sources, store, recipe), recipe)
        report = Report(name, {"inputs": sum(slices.values()), "slices": len(slices)})
    elif name == "settle":
        report = Report(name, settle_corpus(store, sizes_of(STAGES["cut"], store), recipe)["inputs"])
    elif name == "close":
        dataset = close_dataset(store, recipe, ORDER)
        report = Report(name, {**dataset["samples"], "version": publish_version(store, dataset, recipe).number})
    else:
        report = run_stage(STAGES[name], store, recipe, engine, run_folder, watch, share)
    return report._replace(seconds=round(time.time() - began, 3))


def list_sources(sources: Sequence[str], store: Store, recipe: Recipe) -> Iterator[InputRow]:
    """The inputs in all sources, without what lies in the build's own folder."""
    own = f"{store.root if store.is_local else store.fs.unstrip_protocol(store.root)}/"
    return (row for row in list_inputs(sources, recipe.ingest) if not row.source.uri.startswith(own))


def sizes_of(stage: Stage, store: Store) -> dict[str, int]:
    """Units of a stage and their sizes: slices in inputs, or buckets in clips. Raises `PipelineError` before they are known."""
    plan, key, before = (LISTING, "slices", "list") if stage in BEFORE else (PLAN, "clips", "settle")
    if not store.exists(plan):
        raise PipelineError(f"{store.url}: step {stage.name} needs step {before}, which is not done; run `obbligato build`")
    return dict(store.read_json(plan)[key])


def run_stage(stage: Stage, store: Store, recipe: Recipe, engine: Engine, run_folder: str, watch: Watch, share: Share = WHOLE) -> Report:
    """Run a stage over all its units that are not done. Raises `PipelineError` where some stay unfinished."""
    from pipelines.beam.run import dealt, run_buckets

    sizes = sizes_of(stage, store)
    sizes = {name: sizes[name] for name in dealt(sizes, share.of)[share.number - 1]}
    found = {name: _done_before(stage, Job(store.url, name, recipe)) for name in sizes}
    waiting = [name for name, done_before in found.items() if done_before is None]
    counts = sum((Counter(done_before) for done_before in found.values() if done_before), Counter[str]())
    total = sum(sizes.values())
    done = [total - sum(sizes[name] for name in waiting)]

    def count(number: int) -> None:
        done[0] += number
        watch(StepProgress(stage.name, min(done[0], total), total))

    watch(StepProgress(stage.name, done[0], total))
    clips.listen(count)
    try:
        rows = (
            run_buckets(stage, store, recipe, {name: sizes[name] for name in waiting}, _reports(run_folder, share), engine)
            if waiting
            else []
        )
    finally:
        clips.listen(None)
    unfinished = [row for row in rows if row.unfinished]
    if unfinished:
        first = unfinished[0]
        raise PipelineError(
            f"stage {stage.name}: {len(unfinished)} of {len(sizes)} buckets are unfinished, {first.bucket} first: {first.unfinished}"
        )
    watch(StepProgress(stage.name, total, total))
    for row in rows:
        counts.update(row.counts)
    ran = sum(row.ran for row in rows)
    return Report(stage.name, dict(sorted(counts.items())), len(sizes), ran, work_s=round(sum(row.work_s for row in rows), 3))


def _reports(run_folder: str, share: Share) -> str:
    return run_folder if share == WHOLE else f"{run_folder}/{share.number}-of-{share.of}"


def _done_before(stage: Stage, job: Job) -> dict[str, int] | None:
    """Counts of a unit that can be left out. On an object store every look costs a request: there the workers look, side by side."""
    return finished(stage, job, fingerprint(stage, job)) if job.store.is_local else None


def write_run(store: Store, run_folder: str, engine: Engine, started: float, reports: Sequence[Report]) -> None:
    """Publish what a run did and how long it took: outside the promise of equal bytes."""
    store.write_json(
        f"{run_folder}/run.json",
        {
            "started": started,
            "seconds": round(time.time() - started, 3),
            "steps": {report.step: report._asdict() for report in reports},
            "workers": engine.workers,
            "runner": engine.runner,
        },
    )


def new_run() -> str:
    """Folder of a new run's reports."""
    return f"runs/{datetime.now(UTC):%Y%m%dT%H%M%S%f}"


def stored_build(out: str) -> tuple[list[str], Recipe]:
    """Sources and recipe of a build that was begun in a folder; raises `UsageError` where there is none."""
    store = Store(out)
    if not store.exists(SOURCES):
        raise UsageError(f"{out} holds no build: there is no {SOURCES} in it")
    return list(store.read_json(SOURCES)), validated(tomllib.loads(store.read_bytes(RECIPE).decode()))
