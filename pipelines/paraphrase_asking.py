"""Control captions reworded by a language model: one process asks for all buckets, and writes each as it is done."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from pipelines import clips
from pipelines.captioning.conversation import Rewording, reworded
from pipelines.errors import PipelineError
from pipelines.isolation import Death
from pipelines.quoting import quote
from pipelines.rewording import Work, publish, works
from pipelines.stage import Done, Job, Stage, Summary, Together, begin_bucket, fingerprint, finished, write_marker
from pipelines.writers.answers import Answers
from pipelines.writers.asking import Direct, Unanswered
from pipelines.writers.batching import MOST_REQUESTS, Batched
from pipelines.writers.money import USD, Budget, price_of
from schemas.recipe import Recipe

_EXAMPLES: Final = 5  # of what landed and of what was refused, for people to look at


def paraphrase_together(stage: Stage, jobs: Sequence[Job]) -> Together:
    """Reword the control captions of all buckets that are not done. Raises `PipelineError` where asking must end; what is done is kept."""
    before = {job.bucket: finished(stage, job, fingerprint(stage, job)) for job in jobs}
    found = [Summary(bucket, ran=False, counts=counts) for bucket, counts in before.items() if counts is not None]
    waiting = [job for job in jobs if before[job.bucket] is None]
    if not waiting:
        return Together(found, {})
    run = _Run(stage, waiting[0].recipe)
    try:
        asyncio.run(run.all_of(waiting))
    except ExceptionGroup as errors:
        raise _first(errors) from None
    return Together([*found, *run.summaries], run.told())


def _first(errors: ExceptionGroup[Exception]) -> Exception:
    """The error that ended the asking; others only followed from it."""
    expected = errors.subgroup(PipelineError)
    inner: Exception = expected or errors
    while isinstance(inner, ExceptionGroup):
        inner = inner.exceptions[0]
    return inner


class _Run:
    """One run over the waiting buckets."""

    def __init__(self, stage: Stage, recipe: Recipe) -> None:
        self._stage, self._recipe = stage, recipe
        self.summaries: list[Summary] = []
        self._examples: dict[str, list[dict[str, str]]] = {"landed": [], "refused": []}
        self._told: dict[str, Any] = {}

    async def all_of(self, jobs: Sequence[Job]) -> None:
        """Reword all, so many captions at a time as there are calls under way, or as a batch holds."""
        from pipelines.writers.openai_server import Server

        llm = self._recipe.llm
        answers = await asyncio.to_thread(Answers, jobs[0].store)
        already = answers.spent
        price = price_of(llm)
        if not llm.budget_usd and (price.prompt or price.answer):
            needed = await asyncio.to_thread(quote, jobs[0].store, self._recipe)
            if needed.calls:
                raise PipelineError(f"llm.budget_usd is 0, so {llm.model} is not asked. {' '.join(needed.lines)}. Set it and run again")
        budget, server = Budget(round(llm.budget_usd * USD), already), Server(llm)
        asker: Direct | Batched = (Batched if llm.batch else Direct)(server, answers, budget, llm)
        window = asyncio.Semaphore(MOST_REQUESTS if llm.batch else 2 * llm.concurrency)
        try:
            async with asyncio.TaskGroup() as group:
                service = group.create_task(asker.serve())
                buckets = [await self._begun(job, group, window, asker) for job in jobs]
                await asyncio.gather(*buckets)
                service.cancel()
        finally:
            await server.close()
            self._told = {
                "calls": dict(sorted(asker.meter.counts.items())),
                "usd": round((budget.spent + budget.aside - already) / USD, 9),
                "usd_in_all": round((budget.spent + budget.aside) / USD, 9),
                "budget_usd": llm.budget_usd,
            }

    async def _begun(self, job: Job, group: asyncio.TaskGroup, window: asyncio.Semaphore, asker: Direct | Batched) -> "asyncio.Task[None]":
        """Start on a bucket as there is room; the task that ends it waits for its captions."""
        begin_bucket(self._stage, job)
        asked: dict[str, asyncio.Task[Rewording | Death]] = {}
        for work in works(job):
            await window.acquire()
            asked[work.sample_key] = group.create_task(self._reworded(work, window, asker))
        return group.create_task(self._ended(job, asked))

    async def _reworded(self, work: Work, window: asyncio.Semaphore, asker: Direct | Batched) -> Rewording | Death:
        try:
            found = await reworded(work.control, work.labels, self._recipe.caption.paraphrases, self._recipe.llm, asker.ask)
        except Unanswered as error:
            return Death(error.code, error.message)
        finally:
            window.release()
        self._show(work, found)
        return found

    def _show(self, work: Work, found: Rewording) -> None:
        said = {"landed": found.captions[0].text if found.captions else "", "refused": found.example}
        for name, text in said.items():
            if text and len(self._examples[name]) < _EXAMPLES:
                self._examples[name].append({"sample": work.sample_key, "caption": work.control.text, "rewording": text})

    async def _ended(self, job: Job, asked: dict[str, "asyncio.Task[Rewording | Death]"]) -> None:
        """Write a bucket once all its captions are through."""
        await asyncio.gather(*asked.values())
        done: Done = await asyncio.to_thread(publish, job, {key: task.result() for key, task in asked.items()})
        await asyncio.to_thread(lambda: write_marker(self._stage.folder, job, fingerprint(self._stage, job), done))
        self.summaries.append(Summary(job.bucket, ran=True, counts=done.counts))
        clips.progress(len(clips.read(job)))

    def told(self) -> dict[str, Any]:
        """Money, calls and examples of this run."""
        return {**self._told, "examples": self._examples}
