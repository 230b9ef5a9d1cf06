"""One process's conversation with a language model: an asker with its money, from the first
question to the last answer.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from pipelines.errors import PipelineError
from pipelines.llm.answers import Answers
from pipelines.llm.asking import Direct
from pipelines.llm.batching import MOST_REQUESTS, Batched
from pipelines.llm.money import USD, Budget
from pipelines.llm.request import Answer, LlmRequest
from schemas.recipe import LlmRecipe

if TYPE_CHECKING:  # the client loads late: who has nothing to ask does without
    from pipelines.llm.openai_server import Server


class Session:
    """What work is given to ask with: `ask`, a `group` for its tasks, and a `window` with room for
    as many as can be under way.
    """

    def __init__(
        self, llm: LlmRecipe, answers: Answers, server: "Server", group: asyncio.TaskGroup
    ) -> None:
        self._llm, self._already = llm, answers.spent
        self._budget = Budget(round(llm.budget_usd * USD), self._already)
        self._asker: Direct | Batched = (Batched if llm.batch else Direct)(
            server, answers, self._budget, llm
        )
        self.group, self.window = (
            group,
            asyncio.Semaphore(MOST_REQUESTS if llm.batch else 2 * llm.concurrency),
        )

    async def ask(self, request: LlmRequest) -> Answer:
        """The answer to a request.

        Raises `Unanswered`, or `PipelineError` where none can be answered any more.
        """
        return await self._asker.ask(request)

    async def serve(self) -> None:
        """What goes on beside the requests, until cancelled."""
        await self._asker.serve()

    def usage(self) -> dict[str, Any]:
        """Calls by how they went, and US dollars, of this session and of all with these answers."""
        spent = self._budget.spent + self._budget.aside
        return {
            "calls": dict(sorted(self._asker.meter.counts.items())),
            "usd": round((spent - self._already) / USD, 9),
            "usd_in_all": round(spent / USD, 9),
            "budget_usd": self._llm.budget_usd,
        }


def hold(
    llm: LlmRecipe, answers: Answers, work: Callable[[Session], Awaitable[None]]
) -> dict[str, Any]:
    """Do work that asks, and the tasks that it leaves in the session's group; returns its
    usage.

    Raises the error that ended the asking, a `PipelineError` where there is one; what was answered
    by then is kept. Batches that an earlier run handed over are paid for: nobody is asked call by
    call until they are collected.
    """
    if answers.batches and not llm.batch:
        raise PipelineError(
            f"{len(answers.batches)} batches of an earlier run are under way, and paid for: run "
            "with llm.batch = true to collect them"
        )
    try:
        return asyncio.run(_held(llm, answers, work))
    except ExceptionGroup as errors:
        raise _first(errors) from None


async def _held(
    llm: LlmRecipe, answers: Answers, work: Callable[[Session], Awaitable[None]]
) -> dict[str, Any]:
    from pipelines.llm.openai_server import Server

    server = Server(llm)
    try:
        async with asyncio.TaskGroup() as beside:
            async with asyncio.TaskGroup() as group:
                session = Session(llm, answers, server, group)
                service = beside.create_task(session.serve())
                await work(session)
            service.cancel()
    finally:
        await server.close()
    return session.usage()


def _first(errors: ExceptionGroup[Exception]) -> Exception:
    """The error that ended the asking; others only followed from it."""
    inner: Exception = errors.subgroup(PipelineError) or errors
    while isinstance(inner, ExceptionGroup):
        inner = inner.exceptions[0]
    return inner
