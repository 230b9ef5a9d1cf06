"""Calls to a server that answers well, badly, late or never: what is tried again, what is paid,
what ends the asking.
"""

import asyncio
import errno
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from pipelines.errors import MachineFault, PipelineError, TransientError
from pipelines.llm.answers import Answers
from pipelines.llm.asking import Direct, Unanswered
from pipelines.llm.batching import Batched
from pipelines.llm.money import USD, Budget, cost, price_of
from pipelines.llm.openai_server import Server
from pipelines.llm.request import Answer, LlmRequest, request_of
from pipelines.llm.session import hold
from pipelines.storage.store import Store
from schemas.recipe import LlmRecipe
from tests.support.servers.llm_server import KEY, llm_server


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


class Answered(NamedTuple):
    """What came of requests: an answer or the error of each, the money, and what was counted."""

    results: list[Answer | BaseException]
    spent: int
    counts: dict[str, int]

    @property
    def texts(self) -> list[tuple[str, ...]]:
        """The texts of each; none of an error."""
        return [result.texts if isinstance(result, Answer) else () for result in self.results]

    @property
    def codes(self) -> list[tuple[type, str]]:
        """The type of each, and the code of what is unanswered."""
        return [
            (type(result), result.code if isinstance(result, Unanswered) else "")
            for result in self.results
        ]


def requests(count: int, llm: LlmRecipe) -> list[LlmRequest]:
    user = '{{"caption": "Tune {} at 90 BPM.", "count": 1}}'
    return [
        request_of(llm, "Reword.", user.format(number), "paraphrases", 200)
        for number in range(count)
    ]


def asked(llm: LlmRecipe, to_send: Sequence[LlmRequest], out: Path) -> Answered:
    async def story() -> Answered:
        answers = Answers(Store(str(out)))
        budget, server = Budget(round(llm.budget_usd * USD), answers.spent), Server(llm)
        asker: Direct | Batched = (Batched if llm.batch else Direct)(server, answers, budget, llm)
        service = asyncio.create_task(asker.serve())
        results = await asyncio.gather(
            *(asker.ask(request) for request in to_send), return_exceptions=True
        )
        service.cancel()
        await server.close()
        assert budget.spent + budget.aside == Answers(Store(str(out))).spent
        return Answered(results, budget.spent, dict(asker.meter.counts))

    return asyncio.run(story())


def test_a_request_is_asked_once_and_never_again(tmp_path: Path) -> None:
    with llm_server(tmp_path / "server") as server:
        llm = LlmRecipe(base_url=server.url, budget_usd=1)
        expected = requests(20, llm)
        first = asked(llm, [*expected, *expected], tmp_path)
        answered = server.answered()
        assert len(answered) == 20
        tokens = sum(
            cost(price_of(llm), line["prompt_tokens"], line["completion_tokens"])
            for line in answered
        )
        assert first.spent == tokens
        assert first.texts[0] == ("Picture this: Tune 0 at 90 BPM.",)
        again = asked(llm, expected, tmp_path)
        assert again.results == first.results[:20]
        assert again.counts == {"found": 20}
        assert len(server.answered()) == 20


@pytest.mark.parametrize("kind", ["429", "500", "half", "not_json", "refuse", "cut_off", "never"])
def test_what_may_pass_is_tried_again_until_it_is_answered(tmp_path: Path, kind: str) -> None:
    with llm_server(tmp_path / "server", **{kind: 0.4}) as server:
        llm = LlmRecipe(base_url=server.url, budget_usd=1, timeout_s=1.0, attempts=12)
        found = asked(llm, requests(6, llm), tmp_path)
    assert [texts[0] for texts in found.texts] == [
        f"Picture this: Tune {number} at 90 BPM." for number in range(6)
    ]
    assert found.counts["calls"] > 6


def test_what_never_passes_is_unanswered_with_its_reason_and_the_worst_case_of_unknown_ends_is_paid(
    tmp_path: Path,
) -> None:
    with llm_server(tmp_path / "server", half=1.0) as server:
        llm = LlmRecipe(base_url=server.url, budget_usd=1, attempts=2)
        found = asked(llm, requests(2, llm), tmp_path)
    assert found.codes == [(Unanswered, "connection")] * 2
    worst = cost(price_of(llm), requests(1, llm)[0].most_prompt_tokens, 200)
    assert found.spent == 4 * worst


def test_a_server_that_is_down_throughout_ends_the_asking_early_with_one_error(
    tmp_path: Path,
) -> None:
    with llm_server(tmp_path / "server", **{"500": 1.0}) as server:
        llm = LlmRecipe(base_url=server.url, budget_usd=1, attempts=1, concurrency=2)
        found = asked(llm, requests(40, llm), tmp_path)
    first = next(result for result in found.results if isinstance(result, PipelineError))
    assert "10 requests in a row went unanswered, the last with server_error: 500: " in str(first)


@pytest.mark.parametrize(
    ("kind", "message"), [("quota", "out of money"), ("unknown_model", "knows no such model")]
)
def test_an_error_that_no_other_request_can_escape_ends_the_asking_at_once(
    tmp_path: Path, kind: str, message: str
) -> None:
    with llm_server(tmp_path / "server", **{kind: 1.0}) as server:
        llm = LlmRecipe(base_url=server.url, budget_usd=1)
        found = asked(llm, requests(1, llm), tmp_path)
    assert isinstance(found.results[0], PipelineError)
    assert message in str(found.results[0])
    assert found.counts["calls"] == 1


def test_a_refused_key_is_named_by_its_variable_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-77")
    with llm_server(tmp_path / "server") as server:
        llm = LlmRecipe(base_url=server.url, budget_usd=1)
        found = asked(llm, requests(1, llm), tmp_path)
    assert "refuses the key in OPENAI_API_KEY" in str(found.results[0])
    kept = "".join(file.read_text() for file in (tmp_path / "answers").iterdir())
    assert "sk-secret-77" not in f"{found.results}{kept}"


def test_without_a_key_openais_own_server_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(
        PipelineError, match="needs a key in the environment variable OPENAI_API_KEY"
    ):
        Server(LlmRecipe())
    with pytest.raises(PipelineError, match="is not the address of a server"):
        Server(LlmRecipe(base_url="host/v1"))


def test_four_callers_at_once_never_exceed_the_budget(tmp_path: Path) -> None:
    with llm_server(tmp_path / "server", latency_s=0.01) as server:
        llm = LlmRecipe(base_url=server.url, budget_usd=0.0012, concurrency=4)
        found = asked(llm, requests(60, llm), tmp_path)
        paid = sum(
            cost(price_of(llm), line["prompt_tokens"], line["completion_tokens"])
            for line in server.answered()
        )
    answered = [result for result in found.results if isinstance(result, Answer)]
    assert 5 < len(answered) < 60
    assert paid == found.spent <= 0.0012 * USD
    assert paid > 0.75 * 0.0012 * USD  # what is left is less than the worst case of a call
    assert all(
        isinstance(result, Answer) or "raise the budget and run again" in str(result)
        for result in found.results
    )


def test_a_limit_per_minute_is_used_and_kept(tmp_path: Path) -> None:
    with llm_server(tmp_path / "server") as server:
        llm = LlmRecipe(base_url=server.url, budget_usd=1, requests_per_minute=1200)
        began = time.monotonic()
        asked(llm, requests(80, llm), tmp_path)
    took = time.monotonic() - began
    assert took >= (80 - 20) / (1200 / 60)  # a burst of one second, then the pace


def test_batches_that_expire_or_fail_in_part_are_completed_by_others(tmp_path: Path) -> None:
    with llm_server(tmp_path / "server", bad_batches=1) as server:
        llm = LlmRecipe(base_url=server.url, budget_usd=1, batch=True, batch_poll_s=0.05)
        found = asked(llm, requests(40, llm), tmp_path)
        answered = server.answered()
    assert [texts[0] for texts in found.texts] == [
        f"Picture this: Tune {number} at 90 BPM." for number in range(40)
    ]
    assert found.counts["batches"] == 3
    assert len(answered) == 40
    assert found.spent == sum(
        cost(price_of(llm), line["prompt_tokens"], line["completion_tokens"], batch=True)
        for line in answered
    )


def test_a_batch_gives_the_answers_of_single_calls(tmp_path: Path) -> None:
    with llm_server(tmp_path / "server") as server:
        llm = LlmRecipe(base_url=server.url, budget_usd=1, batch_poll_s=0.05)
        one_by_one = asked(llm, requests(12, llm), tmp_path / "direct")
        together = asked(llm.replaced(batch=True), requests(12, llm), tmp_path / "batch")
    assert together.texts == one_by_one.texts
    assert all(together.texts)
    assert together.spent == pytest.approx(one_by_one.spent / 2, rel=0.01)


def test_a_batch_that_an_ended_run_left_is_collected_and_not_asked_again(tmp_path: Path) -> None:
    async def left_behind(llm: LlmRecipe) -> None:
        answers, server = Answers(Store(str(tmp_path))), Server(llm)
        expected = requests(30, llm)
        # the second was handed over, but its run died before it noted so
        for half, named in ((expected[:15], True), (expected[15:], False)):
            batch = await answers.open_batch({request.hash: 1000 for request in half})
            server_id = await server.submit(half, batch.name)
            if named:
                await answers.name_batch(batch, server_id)
        await server.close()

    with llm_server(tmp_path / "server") as server:
        llm = LlmRecipe(base_url=server.url, budget_usd=1, batch=True, batch_poll_s=0.05)
        asyncio.run(left_behind(llm))
        found = asked(llm, requests(30, llm), tmp_path)
        assert len(server.answered()) == 30
    assert all(isinstance(result, Answer) for result in found.results)
    assert "batches" not in found.counts


def test_requests_that_a_server_cannot_take_end_the_asking_early_too(tmp_path: Path) -> None:
    with llm_server(tmp_path / "server", **{"400": 1.0}) as server:
        llm = LlmRecipe(base_url=server.url, budget_usd=1, concurrency=2)
        found = asked(llm, requests(40, llm), tmp_path)
    first = next(result for result in found.results if isinstance(result, PipelineError))
    assert not isinstance(first, TransientError)
    assert "10 requests in a row went unanswered, the last with bad_request: 400: " in str(first)


def test_nobody_is_asked_call_by_call_while_batches_are_under_way(tmp_path: Path) -> None:
    answers = Answers(Store(str(tmp_path)))
    asyncio.run(answers.open_batch({"0a": 10}))
    with pytest.raises(PipelineError, match="1 batches of an earlier run are under way"):
        hold(
            LlmRecipe(base_url="http://127.0.0.1:9/v1"), answers, lambda _session: asyncio.sleep(0)
        )


def test_a_machine_that_can_open_no_connection_is_no_fault_of_the_captions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def send(*_arguments: object, **_named: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("httpx2.AsyncClient.send", send)
    llm = LlmRecipe(base_url="http://127.0.0.1:9/v1", budget_usd=1)
    found = asked(llm, requests(1, llm), tmp_path)
    assert isinstance(found.results[0], MachineFault)
    assert "Too many open files; make room or repair it, then run again" in str(found.results[0])


def test_a_server_that_is_not_there_costs_nothing(tmp_path: Path) -> None:
    llm = LlmRecipe(base_url="http://127.0.0.1:9/v1", budget_usd=1, attempts=1)
    found = asked(llm, requests(2, llm), tmp_path)
    assert found.codes == [(Unanswered, "connection")] * 2
    assert found.spent == 0
