"""What calls cost to the last billionth, and a budget that no caller can exceed."""

import asyncio

import pytest

from pipelines.errors import PipelineError
from pipelines.llm.money import USD, Budget, BudgetSpent, cost, most, price_of
from pipelines.llm.request import request_of
from schemas.recipe import LlmRecipe, Price

MINI = Price(prompt=0.15, answer=0.60)


def test_tokens_cost_their_price_and_half_of_it_in_batches() -> None:
    assert cost(MINI, 1_000_000, 0) == round(0.15 * USD)
    assert cost(MINI, 2_000, 500) == 600_000  # 0.0003 + 0.0003 dollars
    assert cost(MINI, 2_000, 500, batch=True) == 300_000
    assert cost(Price(prompt=0.075, answer=0), 1, 0) == 75
    assert cost(Price(prompt=0.0015, answer=0), 1, 0) == 2  # rounded up: never less than it costs


def test_the_worst_case_counts_a_token_per_byte_and_the_longest_answer() -> None:
    request = request_of(LlmRecipe(), "Reword.", "Eine Flöte.", "texts", 300)
    body = len('"Reword."') + len('"Eine Flöte."'.encode())
    assert request.most_prompt_tokens > body
    assert most(MINI, request) == cost(MINI, request.most_prompt_tokens, 300)


def test_a_model_without_a_price_is_not_guessed() -> None:
    with pytest.raises(PipelineError, match=r'no price for gpt-9.*llm.prices=\{"gpt-9" = '):
        price_of(LlmRecipe(model="gpt-9"))


def test_what_is_set_aside_counts_until_it_is_settled() -> None:
    async def story() -> None:
        budget = Budget(limit=100, spent=30)
        await budget.take(50)
        second = asyncio.create_task(budget.take(40))
        await asyncio.sleep(0)
        assert not second.done()  # 30 + 50 + 40 would exceed 100: it waits for the call under way
        await budget.settle(50, 20)
        await second
        assert (budget.spent, budget.aside) == (50, 40)
        await budget.settle(40, 40)
        with pytest.raises(BudgetSpent, match=r"9e-08 is spent|0.000000 is spent"):
            await budget.take(11)
        await budget.take(10)
        assert budget.spent + budget.aside == 100

    asyncio.run(story())


def test_a_batch_of_an_earlier_run_is_not_counted_twice() -> None:
    async def story() -> None:
        budget = Budget(limit=100, spent=60)  # of which 40 are a batch that is still under way
        budget.adopt(40)
        assert (budget.spent, budget.aside) == (20, 40)
        await budget.settle(40, 5)
        assert (budget.spent, budget.aside) == (25, 0)

    asyncio.run(story())
