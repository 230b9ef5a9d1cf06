"""What calls cost, and a budget that is never exceeded: the worst case is set aside before a call,
and settled on its answer.
"""

import asyncio
from math import ceil
from typing import Final

from pipelines.errors import PipelineError
from pipelines.llm.request import LlmRequest
from schemas.recipe import LlmRecipe, Price

USD: Final = 1_000_000_000  # amounts are whole billionths of a dollar: their sums are exact
BATCH_SHARE: Final = 0.5  # OpenAI takes half the price for batches


class BudgetSpent(PipelineError):
    """The budget does not cover the worst case of another call."""


def price_of(recipe: LlmRecipe) -> Price:
    """Price of the recipe's model.

    Raises `PipelineError` for a model without one: a guess could cost anything.
    """
    if recipe.model not in recipe.prices:
        raise PipelineError(
            f"llm.prices has no price for {recipe.model}: "
            "look it up and say it in US dollars per million tokens, as "
            f"--set 'llm.prices={{\"{recipe.model}\" = {{prompt = 0.0, answer = 0.0}}}}' "
            "(0 for a server of your own)"
        )
    return recipe.prices[recipe.model]


def cost(price: Price, prompt_tokens: int, answer_tokens: int, *, batch: bool = False) -> int:
    """What so many tokens cost, in billionths of a dollar, rounded up.

    >>> cost(Price(prompt=0.15, answer=0.60), 1000, 100)
    210000
    """
    per_million = prompt_tokens * price.prompt + answer_tokens * price.answer
    return ceil(round(per_million * (USD // 1_000_000) * (BATCH_SHARE if batch else 1), 6))


def most(price: Price, request: LlmRequest, *, batch: bool = False) -> int:
    """The worst case of a call: the longest prompt of its text, and the longest answer."""
    return cost(price, request.most_prompt_tokens, request.max_tokens, batch=batch)


def owed(aside: int, price: Price, counted: tuple[int, int] | None, *, batch: bool = False) -> int:
    """What is paid for a call of which `aside` was set aside, where the server counted so many
    tokens of prompt and answer.

    All that was set aside is paid where nobody knows the count, and where it comes to more: a
    server's claim never breaks a budget.

    >>> price = Price(prompt=1, answer=1)
    >>> [owed(5000, price, counted) for counted in ((1, 2), (10**9, 2), None, (0, 0))]
    [3000, 5000, 5000, 0]
    """
    return aside if counted is None else min(aside, cost(price, *counted, batch=batch))


class Budget:
    """Money to spend. What is set aside and never paid or freed counts as spent."""

    def __init__(self, limit: int, spent: int) -> None:
        # settled, and set aside by runs that ended before they settled it
        self.limit, self.spent = limit, spent
        self.aside = 0  # by calls of this run
        self._under_way = 0
        self._changed = asyncio.Condition()

    async def take(self, amount: int) -> None:
        """Set an amount aside, waiting for calls under way to settle where it does not fit.

        Raises `BudgetSpent` where it cannot.
        """
        async with self._changed:
            while self.spent + self.aside + amount > self.limit:
                if not self._under_way:
                    raise BudgetSpent(
                        f"llm.budget_usd {self.limit / USD:g}: {self.spent / USD:.6f} "
                        f"is spent, and the next call may cost {amount / USD:.6f}. "
                        "What was answered is kept: raise the budget and run again; "
                        "`obbligato captions quote` says what to expect"
                    )
                await self._changed.wait()
            self.aside += amount
            self._under_way += 1

    def adopt(self, amount: int) -> None:
        """Treat what an earlier run set aside, which counts as spent, as set aside by this run: its
        call is still under way.
        """
        self.spent -= amount
        self.aside += amount
        self._under_way += 1

    async def settle(self, taken: int, paid: int) -> None:
        """Replace what was set aside for a call by what it cost."""
        async with self._changed:
            self.aside -= taken
            self.spent += paid
            self._under_way -= 1
            self._changed.notify_all()
