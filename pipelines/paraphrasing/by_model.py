"""Control captions reworded by a language model: one process asks for all buckets, and writes each
as it is done.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from pipelines.build.markers import Done, write_marker
from pipelines.build.outputs import Job
from pipelines.build.tables import CLIPS
from pipelines.engine import bucket as clips
from pipelines.engine.child_process import Death
from pipelines.engine.stage import Stage, Summary, Together, begin_bucket, fingerprint, finished
from pipelines.errors import PipelineError
from pipelines.llm.answers import Answers
from pipelines.llm.asking import Unanswered
from pipelines.llm.money import price_of
from pipelines.llm.session import Session, hold
from pipelines.paraphrasing.conversation import Rewording, reworded
from pipelines.paraphrasing.quote import quote
from pipelines.paraphrasing.work import Work, publish, works
from pipelines.storage.store import Store
from schemas.recipe import Recipe

_EXAMPLES: Final = 5  # of what landed and of what was refused, for people to look at


def paraphrase_together(stage: Stage, jobs: Sequence[Job]) -> Together:
    """Reword the control captions of all buckets that are not done.

    Raises `PipelineError` where asking must end; what is done is kept.
    """
    before = {job.bucket: finished(stage, job, fingerprint(stage, job)) for job in jobs}
    found = [
        Summary(bucket, ran=False, counts=counts)
        for bucket, counts in before.items()
        if counts is not None
    ]
    waiting = [job for job in jobs if before[job.bucket] is None]
    if not waiting:
        return Together(found, {})
    store, recipe = waiting[0].store, waiting[0].recipe
    answers = Answers(store)
    _check_budget(store, recipe)
    run = _ParaphraseRun(stage, recipe)
    usage = hold(recipe.llm, answers, lambda session: run.begin(session, waiting))
    return Together([*found, *run.summaries], {**usage, "examples": run.examples})


def _check_budget(store: Store, recipe: Recipe) -> None:
    """Raise `PipelineError`, with a quote, where captions wait for a model that costs money and no
    budget is set.
    """
    price = price_of(recipe.llm)
    if not recipe.llm.budget_usd and (price.prompt or price.answer):
        needed = quote(store, recipe)
        if needed.calls:
            raise PipelineError(
                f"llm.budget_usd is 0, so {recipe.llm.model} is not asked. "
                f"{' '.join(needed.lines)}. Set it and run again"
            )


class _ParaphraseRun:
    """One run over the waiting buckets: what became of each, and examples for people to look at."""

    def __init__(self, stage: Stage, recipe: Recipe) -> None:
        self._stage, self._recipe = stage, recipe
        self.summaries: list[Summary] = []
        self.examples: dict[str, list[dict[str, str]]] = {"landed": [], "refused": []}

    async def begin(self, session: Session, jobs: Sequence[Job]) -> None:
        """Start on every bucket as there is room.

        For each a task stays that ends it once its captions are through.
        """
        for job in jobs:
            begin_bucket(self._stage, job)
            tasks: dict[str, asyncio.Task[Rewording | Death]] = {}
            for work in works(job):
                await session.window.acquire()
                tasks[work.sample_key] = session.group.create_task(self._reworded(work, session))
            session.group.create_task(self._end(job, tasks))

    async def _reworded(self, work: Work, session: Session) -> Rewording | Death:
        try:
            found = await reworded(
                work.control,
                work.labels,
                self._recipe.caption.paraphrases,
                self._recipe.llm,
                session.ask,
            )
        except Unanswered as error:
            return Death(error.code, error.message)
        finally:
            session.window.release()
        self._show(work, found)
        return found

    def _show(self, work: Work, found: Rewording) -> None:
        texts = {
            "landed": found.captions[0].text if found.captions else "",
            "refused": found.example,
        }
        for name, text in texts.items():
            if text and len(self.examples[name]) < _EXAMPLES:
                self.examples[name].append(
                    {"sample": work.sample_key, "caption": work.control.text, "rewording": text}
                )

    async def _end(self, job: Job, tasks: dict[str, "asyncio.Task[Rewording | Death]"]) -> None:
        """Write a bucket once all its captions are through."""
        await asyncio.gather(*tasks.values())
        done: Done = await asyncio.to_thread(
            publish, job, {key: task.result() for key, task in tasks.items()}
        )
        await asyncio.to_thread(
            lambda: write_marker(self._stage.folder, job, fingerprint(self._stage, job), done)
        )
        self.summaries.append(Summary(job.bucket, ran=True, counts=done.counts))
        clips.progress(len(CLIPS.read(job)))
