"""The steps of a build, each a function of the output folder alone.

The command line takes them in one process, a flow as tasks.
"""

import os
import re
import time
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from flows.build.order import STEPS, order_of
from flows.build.recipe_files import recipe_toml, validated
from flows.build.run_stage import WHOLE, StepReport, UnitShare, Watch, chains_of, run_stages
from flows.errors import UsageError
from pipelines.annotators import check_annotators
from pipelines.beam.options import Engine, check_engine
from pipelines.build.calibrations import check_calibration
from pipelines.build.tables import BEGUN, RECIPE, SOURCES
from pipelines.build.versions import altered_beginning, seal_beginning
from pipelines.codecs.recipe_codec import codec_facts, recipe_code_facts
from pipelines.embedders.recipe_embedder import description
from pipelines.engine.stage import BegunBuild, CorpusStep, Stage
from pipelines.errors import Damaged, PipelineError
from pipelines.extras import require
from pipelines.inputs.listing import list_sources
from pipelines.llm.money import price_of
from pipelines.storage.lock_file import RUNS
from pipelines.storage.store import Store
from pipelines.trust.build_folder import check_folder
from pipelines.trust.trusted import check_trust, reached, requested, trust
from pipelines.vocabularies.files import file_at
from schemas.recipe import Paraphraser, Recipe

_CREDENTIALS: Final = re.compile(r"[a-z0-9+.-]+://[^/@]*:[^/@]*@")


def check(sources: Sequence[str], out: str, recipe: Recipe, engine: Engine) -> None:
    """Refuse what cannot be built, before anything is written.

    That is: engines that do not fit, unknown annotators, sources that do not exist.
    """
    for address in (*sources, out):
        if _CREDENTIALS.match(address):
            raise UsageError(
                f"{address.partition('://')[0]}://… holds a password, which would be stored with "
                "the build; set it in the environment"
            )
    check_engine(engine, out)
    check_folder(Store(out))
    check_annotators(recipe.annotate)
    check_calibration(Store(out), recipe)
    if recipe.caption.paraphraser is Paraphraser.OPENAI:
        from pipelines.llm.openai_server import Server

        price_of(recipe.llm)
        Server.check(recipe.llm)
    check_models(recipe)
    # each is looked at, so each must exist
    firsts = [next(list_sources([source], Store(out), recipe), None) for source in sources]
    if not any(firsts):
        raise UsageError(f"nothing to build from in {', '.join(sources)}: no files")


def check_models(recipe: Recipe) -> None:
    """Refuse a codec, embedder, vocabulary or optional package that is missing."""
    if recipe.encodes:
        codec_facts(recipe)
    if recipe.has_codes:
        recipe_code_facts(recipe)
    for address in (*recipe.label.vocabularies, *recipe.label.exclude):
        file_at(address)
    if recipe.embeds:
        description(recipe)
    if recipe.indexes:
        require("faiss")


def absolute(address: str) -> str:
    """A URL as it is, a path from the root: other processes stand in other folders."""
    return address if "://" in address else os.path.abspath(address)


def begin(sources: Sequence[str], out: str, recipe: Recipe) -> None:
    """Store what a build is asked for, which is all that its steps go by."""
    store = Store(out)
    store.delete(BEGUN.name)
    sources_hash = store.write_json(SOURCES, [absolute(source) for source in sources])
    seal_beginning(
        store,
        [
            sources_hash,
            store.write_bytes(RECIPE, recipe_toml(_anywhere(recipe), comments=False).encode()),
        ],
    )


def trust_recipe(out: str, recipe: Recipe, sources: Sequence[str] = ()) -> None:
    """Remember what a build's recipe names, as it will be stored, and the build's sources."""
    stored = _anywhere(recipe)
    trust(out, requested(stored))
    # a machine that cannot remember where a build reads asks when it is gone on with by hand
    with suppress(PipelineError):
        trust(out, reached(map(absolute, sources), stored))


def check_recipe(out: str, recipe: Recipe) -> None:
    """Raise `NotTrusted` where a recipe from data names what nobody named by hand for its build."""
    check_trust(out, requested(_anywhere(recipe)))


def check_reach(out: str, sources: Sequence[str], recipe: Recipe) -> None:
    """Raise `NotTrusted` before a build is continued whose sources or recipe nobody named by hand.

    It may be a stranger's.
    """
    stored = _anywhere(recipe)
    check_trust(out, (*requested(stored), *reached(sources, stored)))


def _anywhere(recipe: Recipe) -> Recipe:
    """The recipe with files that hold in any working folder."""
    label, encode, ingest = recipe.label, recipe.encode, recipe.ingest
    below, base = (
        absolute(address) if address else "" for address in (ingest.paths_below, ingest.base)
    )
    return recipe.replaced(
        ingest=ingest.replaced(paths_below=below, base=base),
        encode=encode.replaced(source=_here(encode.source)),
        label=label.replaced(
            vocabularies=tuple(map(absolute, label.vocabularies)),
            exclude=tuple(map(absolute, label.exclude)),
            model=_here(label.model),
            python=absolute(label.python) if label.python else "",
        ),
    )


def _here(model: str) -> str:
    """A model's folder from the root; an id on the hub as it is."""
    return absolute(model) if os.path.isdir(model) else model


def run_steps(
    names: Sequence[str],
    out: str,
    engine: Engine,
    run_folder: str,
    watch: Watch,
    share: UnitShare = WHOLE,
    *,
    shrink: bool = False,
) -> list[StepReport]:
    """Take one step of a build that has begun, or a chain of them (`chains_of`), or a share of it.

    The seconds of a chain are told by its steps' work.

    Raises `PipelineError` where it cannot finish, and `UsageError` for steps that are no chain.

    Only a run with `shrink` set may remove many songs.
    """
    sources, recipe = trusted_build(out)
    if len(chains_of(names, recipe)) > 1:
        raise UsageError(
            f"steps {', '.join(names)} are no chain: buckets wait for each other between them; "
            "take them one by one"
        )
    store, began, steps = Store(out), time.time(), [STEPS[name] for name in names]
    if isinstance(steps[0], CorpusStep):
        build = BegunBuild(
            store=store,
            sources=tuple(sources),
            recipe=recipe,
            stages=order_of(recipe),
            shrink=shrink,
        )
        enabled = steps[0].enabled(recipe)
        reports = [StepReport(steps[0].name, steps[0].run(build) if enabled else {})]
    else:
        stages = [step for step in steps if isinstance(step, Stage) and step.enabled(recipe)]
        reports = (
            run_stages(stages, store, recipe, engine, run_folder, watch, share)
            if stages
            else [StepReport(name, {}) for name in names]
        )
    return timed(reports, time.time() - began)


def timed(reports: Sequence[StepReport], seconds: float) -> list[StepReport]:
    """Reports of a chain that took so long, which is shared out by their work."""
    work_s = sum(report.work_s for report in reports)
    parts = [report.work_s / work_s if work_s else 1 / len(reports) for report in reports]
    return [
        report._replace(seconds=round(part * seconds, 3))
        for report, part in zip(reports, parts, strict=True)
    ]


def write_run(
    store: Store, run_folder: str, engine: Engine, started: float, reports: Sequence[StepReport]
) -> None:
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
    return f"{RUNS}/{datetime.now(UTC):%Y%m%dT%H%M%S%f}"


def trusted_build(out: str) -> tuple[list[str], Recipe]:
    """Sources and recipe of a build, to go by.

    Raises `NotTrusted` where its recipe names what nobody has named by hand for it.
    """
    sources, recipe = stored_build(out)
    check_recipe(out, recipe)
    return sources, recipe


def stored_build(out: str) -> tuple[list[str], Recipe]:
    """Sources and recipe that lie in a build's folder: data, of which nothing may be run as it is.

    Raises `UsageError` where there is none, and `Damaged` where they are not what was written; what
    else, `check_folder` says.
    """
    store = Store(out)
    check_folder(store)
    if not store.exists(SOURCES):
        raise UsageError(f"{out} holds no build: there is no {SOURCES} in it")
    altered = next(altered_beginning(store), None)
    if altered is not None:
        raise Damaged(
            f"{out}/{altered}; build again with your own sources and recipe, "
            f"and it is written anew. If you changed it yourself, delete {BEGUN.name} beside it"
        )
    sources = store.read_json(SOURCES)
    if not isinstance(sources, list) or not all(isinstance(source, str) for source in sources):
        raise Damaged(
            f"{out}/{SOURCES} is not a list of places; "
            "build again with your own sources, and it is written anew"
        )
    try:
        return sources, validated(tomllib.loads(store.read_bytes(RECIPE).decode()))
    except UsageError as error:  # one that an earlier version wrote
        raise UsageError(
            f"{out}/{RECIPE}: {error}; build again with your own, and it is written anew"
        ) from error
    except (
        tomllib.TOMLDecodeError,
        UnicodeDecodeError,
        RecursionError,
        FileNotFoundError,
    ) as error:
        raise Damaged(
            f"{out}/{RECIPE} is not a recipe ({error}); "
            "build again with your own, and it is written anew"
        ) from error
