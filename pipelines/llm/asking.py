"""Requests to answers, call by call: looked up, else paid for once, within budget and limits, tried
again where that may help.
"""

import asyncio
import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from pipelines.errors import PipelineError, TransientError
from pipelines.llm.answers import Answers
from pipelines.llm.money import Budget, most, owed, price_of
from pipelines.llm.pace import RateLimit
from pipelines.llm.request import Answer, Failed, LlmRequest
from schemas.recipe import LlmRecipe

if TYPE_CHECKING:  # the client loads late: who has nothing to ask does without
    from pipelines.llm.openai_server import Server

_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
# requests in a row that no try could answer: the server is down, not the requests odd
_HOPELESS: Final = 10


class Unanswered(Exception):
    """A request that no try could answer."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class CallCounts:
    """What a run did: calls, answers found, tries by how they failed, tokens."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def answered(self, answer: Answer) -> None:
        """Count an answer that came now."""
        self.counts.update(
            answered=1, prompt_tokens=answer.prompt_tokens, answer_tokens=answer.answer_tokens
        )


class Health:
    """Whether the server works at all: so many unanswered requests in a row cannot be by chance."""

    def __init__(self) -> None:
        self._in_a_row = 0

    def well(self) -> None:
        """An answer came."""
        self._in_a_row = 0

    def ill(self, error: Failed) -> None:
        """A request ended without an answer.

        Raises `PipelineError` where it is one too many, `TransientError` where trying later may
        help.
        """
        self._in_a_row += 1
        if self._in_a_row >= _HOPELESS:
            raise (TransientError if error.again else PipelineError)(
                f"{self._in_a_row} requests in a row went unanswered, the last with {error.code}: "
                f"{error.message}. What was answered is kept; run again once the server works"
            )


class Direct:
    """Asks call by call."""

    def __init__(
        self, server: "Server", answers: Answers, budget: Budget, recipe: LlmRecipe
    ) -> None:
        self._server, self._answers, self._budget, self._recipe = server, answers, budget, recipe
        self._price = price_of(recipe)
        self._calls = asyncio.Semaphore(recipe.concurrency)
        self._requests, self._tokens = (
            RateLimit(recipe.requests_per_minute),
            RateLimit(recipe.tokens_per_minute),
        )
        self._quiet_until = 0.0  # the server asked all of us to wait
        self._asked: dict[str, asyncio.Future[Answer]] = {}  # equal requests under way are one
        self.meter, self._health = CallCounts(), Health()

    async def ask(self, request: LlmRequest) -> Answer:
        """The answer, from disk or from the server.

        Raises `Unanswered`, or `PipelineError` where none can be answered any more.
        """
        if (found := self._answers.get(request.hash)) is not None:
            self.meter.counts["found"] += 1
            return found
        if request.hash not in self._asked:
            self._asked[request.hash] = asyncio.ensure_future(self._answered(request))
            self._asked[request.hash].add_done_callback(
                lambda _done: self._asked.pop(request.hash, None)
            )
        return await asyncio.shield(self._asked[request.hash])

    async def _answered(self, request: LlmRequest) -> Answer:
        attempt = 0
        while True:
            attempt += 1
            try:
                async with self._calls:
                    answer = await self._called(request)
            except Failed as error:
                self.meter.counts[error.code] += 1
                if error.fatal:
                    raise PipelineError(f"{error.code}: {error.message}") from None
                if not error.again or attempt == self._recipe.attempts:
                    self._health.ill(error)
                    raise Unanswered(error.code, error.message) from None
                if error.code == "rate_limited":
                    self._quiet_until = max(self._quiet_until, time.monotonic() + error.wait_s)
                await asyncio.sleep(max(error.wait_s, _pause(attempt)))
            else:
                self._health.well()
                self.meter.answered(answer)
                return answer

    async def _called(self, request: LlmRequest) -> Answer:
        """One call, paid for. Raises `Failed`."""
        tokens = request.likely_prompt_tokens + request.max_tokens
        await self._tokens.take(tokens)
        await self._requests.take(1)
        while (wait_s := self._quiet_until - time.monotonic()) > 0:
            await asyncio.sleep(wait_s * random.uniform(1, 1.1))
        worst = most(self._price, request)
        await self._budget.take(worst)
        paid = worst  # until it is known
        answer: Answer | None = None
        call = ""
        try:
            call = await self._answers.set_aside(worst)
            self.meter.counts["calls"] += 1
            try:
                answer = await self._server.ask(request)
                paid = owed(worst, self._price, answer.counted)
                used = min(
                    answer.prompt_tokens + answer.answer_tokens,
                    request.most_prompt_tokens + request.max_tokens,
                )
                # no claim of the server makes the next calls wait for hours
                self._tokens.give_back(tokens - used)
            except Failed as error:
                paid = owed(worst, self._price, error.tokens)
                raise
            return answer
        finally:
            if call:
                await self._answers.settle(call, paid, answer)
            await self._budget.settle(worst, paid)

    async def serve(self) -> None:
        """Nothing goes on beside the asking."""


def _pause(attempt: int) -> float:
    """Seconds before the next try: they double, and differ between callers."""
    return min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.0)
