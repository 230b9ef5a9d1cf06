"""Requests to answers by batches: handed over together once all who ask are waiting, looked at now
and then, collected however late.
"""

import asyncio
import time
from typing import TYPE_CHECKING, Final

from pipelines.errors import PipelineError, TransientError
from pipelines.llm.answers import Answers, RequestBatch
from pipelines.llm.asking import CallCounts, Health, Unanswered
from pipelines.llm.money import Budget, most, owed, price_of
from pipelines.llm.request import BAD_REPLY, NOT_TAKEN, Answer, BatchOutcome, Failed, LlmRequest
from schemas.recipe import LlmRecipe

if TYPE_CHECKING:
    from pipelines.llm.openai_server import Server

MOST_REQUESTS: Final = 50_000  # in a batch, as OpenAI takes them
_MOST_BYTES: Final = 190_000_000  # it takes 200 MB
_SETTLED_S: Final = 0.2  # without a new request, all who ask are waiting


class Batched:
    """Asks by batches.

    What an earlier run handed over is collected first; nothing of it is asked again.
    """

    def __init__(
        self, server: "Server", answers: Answers, budget: Budget, recipe: LlmRecipe
    ) -> None:
        self._server, self._answers, self._budget, self._recipe = server, answers, budget, recipe
        self._price = price_of(recipe)
        self._waiting: dict[str, tuple[LlmRequest, asyncio.Future[Answer]]] = {}
        # requests that a batch could not answer, with the last reason
        self._failed: dict[str, Failed] = {}
        self._tries: dict[str, int] = {}
        self._last_asked = time.monotonic()
        self._ends_at = time.monotonic() + recipe.batch_wait_s
        self.meter, self._health = CallCounts(), Health()

    async def ask(self, request: LlmRequest) -> Answer:
        """The answer, from disk or from a batch that this request goes into."""
        if (found := self._answers.get(request.hash)) is not None:
            self.meter.counts["found"] += 1
            return found
        if request.hash not in self._waiting:
            self._waiting[request.hash] = (request, asyncio.get_running_loop().create_future())
            self._last_asked = time.monotonic()
        return await asyncio.shield(self._waiting[request.hash][1])

    async def serve(self) -> None:
        """Hand over and collect until cancelled.

        Raises what ends all asking: no money, no time left, a batch that is not taken.
        """
        for batch in self._answers.batches:
            self._budget.adopt(sum(batch.aside.values()))
            await self._collect(batch)
        while True:
            self._give_out()
            idle_s = time.monotonic() - self._last_asked
            if not self._waiting or (idle_s < _SETTLED_S and len(self._waiting) < MOST_REQUESTS):
                await asyncio.sleep(_SETTLED_S / 4)
                continue
            await self._collect(await self._handed_over())

    def _give_out(self) -> None:
        """Tell those who wait what has come, and those whose requests have failed too often that
        nothing will.
        """
        for key, (request, future) in list(self._waiting.items()):
            answer, failed = self._answers.get(key), self._failed.get(key)
            if answer is not None:
                self._health.well()
                future.set_result(answer)
            elif failed and (not failed.again or self._tries[key] >= self._recipe.attempts):
                self._health.ill(failed)
                future.set_exception(Unanswered(failed.code, failed.message))
            else:
                continue
            del self._waiting[request.hash]

    async def _handed_over(self) -> RequestBatch:
        """A batch of as many waiting requests as it holds and the budget covers."""
        chosen: dict[str, LlmRequest] = {}
        aside: dict[str, int] = {}
        size, left = 0, self._budget.limit - self._budget.spent - self._budget.aside
        for key in sorted(self._waiting):
            request = self._waiting[key][0]
            worst = most(self._price, request, batch=True)
            size += request.most_prompt_tokens
            if chosen and (len(chosen) == MOST_REQUESTS or size > _MOST_BYTES or worst > left):
                break
            chosen[key], aside[key] = request, worst
            left -= worst
        await self._budget.take(sum(aside.values()))  # raises where not even one fits
        batch = await self._answers.open_batch(aside)
        self.meter.counts.update(batches=1, calls=len(chosen))
        try:
            return await self._answers.name_batch(
                batch, await self._server.submit(list(chosen.values()), batch.name)
            )
        except Failed as error:
            raise _ending(error) from None

    async def _collect(self, batch: RequestBatch) -> None:
        """Wait for a batch and keep what it came to.

        Requests that it has not answered cost nothing and are asked again.

        What cannot be read is paid at its worst case: a line that names its request for that
        request, any other for the dearest that no line names, and a batch that can never be read
        for all of them. So no batch stays under way for good.
        """
        ended = await self._ended(batch)
        outcomes = {key: outcome for key, outcome in ended.outcomes.items() if key in batch.aside}
        missing = sorted(
            batch.aside.keys() - outcomes.keys(), key=lambda key: (-batch.aside[key], key)
        )
        for index, key in enumerate(missing):
            unread = Failed(BAD_REPLY, "what its batch came to cannot be read", tokens=None)
            outcomes[key] = (
                unread
                if index < ended.unreadable
                else Failed("expired", "its batch ended before it was answered")
            )
        for outcome in outcomes.values():
            if isinstance(outcome, Answer):
                self.meter.answered(outcome)
            else:
                self.meter.counts[outcome.code] += 1
        self._failed |= {
            key: outcome for key, outcome in outcomes.items() if isinstance(outcome, Failed)
        }
        self._tries |= {key: self._tries.get(key, 0) + 1 for key in batch.aside}
        counted = {
            key: outcome.counted if isinstance(outcome, Answer) else outcome.tokens
            for key, outcome in outcomes.items()
        }
        paid = {
            key: owed(batch.aside[key], self._price, tokens, batch=True)
            for key, tokens in counted.items()
        }
        await self._answers.close_batch(
            batch, paid, [outcome for outcome in outcomes.values() if isinstance(outcome, Answer)]
        )
        await self._budget.settle(sum(batch.aside.values()), sum(paid.values()))

    async def _ended(self, batch: RequestBatch) -> BatchOutcome:
        """What a batch came to, once it has ended.

        One whose run ended while handing it over is looked for by our name.

        Raises `TransientError` where this run waits no longer, `PipelineError` where the server
        can never be asked.
        """
        unread = 0
        while True:
            ended: BatchOutcome | None = None
            try:
                batch = (
                    batch
                    if batch.server_id
                    else batch._replace(server_id=await self._server.find(batch.name))
                )
                ended = (
                    await self._server.ended(batch.server_id, len(batch.aside))
                    if batch.server_id
                    else BatchOutcome({}, 0)
                )
                unread = 0
            except Failed as error:
                unread = unread + 1 if error.code == BAD_REPLY else 0
                # nothing of it was worked on or is paid: a later run must not wait for it
                if error.code == NOT_TAKEN:
                    await self._answers.close_batch(batch, {}, [])
                if not error.again or error.fatal:
                    raise _ending(error) from None
            if unread == self._recipe.attempts:
                return BatchOutcome({}, unreadable=len(batch.aside))
            if ended is not None:
                return ended
            if not unread and time.monotonic() > self._ends_at:
                raise TransientError(
                    f"batch {batch.server_id} is under way; "
                    "it is paid for and noted: run again later, and it is collected"
                )
            await asyncio.sleep(self._recipe.batch_poll_s)


def _ending(error: Failed) -> PipelineError:
    """What ends all asking, as an error for the reader; trying the whole run again is worth it
    where the call was.
    """
    return (TransientError if error.again and not error.fatal else PipelineError)(
        f"{error.code}: {error.message}"
    )
