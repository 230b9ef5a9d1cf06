"""Table E of the audit: whoever runs the language model's server, or sits in between, costs a call,
never a run, a budget or a secret.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from flows.build.recipe_files import load_recipe
from flows.errors import UsageError
from pipelines.captioning.judging import faults
from pipelines.captioning.paraphrase import captioned
from pipelines.errors import PipelineError
from pipelines.llm import asking
from pipelines.llm.answers import Answers
from pipelines.llm.asking import Unanswered
from pipelines.llm.money import USD, cost, most, price_of
from pipelines.llm.openai_server import Server
from pipelines.llm.request import Failed, LlmRequest, request_of
from pipelines.llm.session import Session, hold
from pipelines.paraphrasing.by_model import paraphrase_together
from pipelines.stages.texts.paraphrase import STAGE
from pipelines.storage.store import Store
from schemas.caption import CaptionKind
from schemas.corpus import SampleCaptions
from schemas.counts import Reason
from schemas.recipe import CaptionRecipe, LlmRecipe, Recipe
from tests.attacks.hostile_model import (
    FLOODS,
    HONEST,
    ONE_CALL,
    Batches,
    Call,
    completion,
    hostile_model,
    line_of,
)
from tests.support.building import ROOT
from tests.support.captioned_build import captioned_build, labels

KEY = "sk-test-4f9d"
WELL = "Listen, number 0: A flute plays tune {}."


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(asking, "_FIRST_PAUSE_S", 0.01)


class Told(NamedTuple):
    """What came of requests: the first text of each answer or the code of its failure, what was
    counted, and the money.
    """

    found: list[str]
    counts: dict[str, int]
    spent: int


def wanted(llm: LlmRecipe, count: int) -> list[LlmRequest]:
    user = '{{"caption": "A flute plays tune {}.", "count": 1}}'
    return [
        request_of(llm, "Reword.", user.format(number), "paraphrases", 200)
        for number in range(count)
    ]


def asked(out: Path, url: str, count: int = 3, **llm: object) -> Told:
    """Ask so many questions in one session; whatever ends it is raised."""
    recipe = LlmRecipe.model_validate(
        {"base_url": url, "budget_usd": 1.0, "concurrency": 1, "batch_poll_s": 0.01, **llm}
    )
    requests = wanted(recipe, count)
    found: dict[str, str] = {}

    async def one(session: Session, request: LlmRequest) -> None:
        try:
            found[request.hash] = (await session.ask(request)).texts[0]
        except Unanswered as error:
            found[request.hash] = error.code
        finally:
            session.window.release()

    async def work(session: Session) -> None:
        for request in requests:
            await session.window.acquire()
            session.group.create_task(one(session, request))

    received = hold(recipe, Answers(Store(str(out))), work)
    return Told(
        [found[request.hash] for request in requests],
        received["calls"],
        Answers(Store(str(out))).spent,
    )


def worst(**llm: object) -> int:
    recipe = LlmRecipe.model_validate(llm)
    return most(price_of(recipe), wanted(recipe, 1)[0], batch=recipe.batch)


def honest(**llm: object) -> int:
    recipe = LlmRecipe.model_validate(llm)
    return cost(price_of(recipe), *HONEST.values(), batch=recipe.batch)


def first(bad: Callable[[Call], None]) -> Callable[[Call], None]:
    """A server that does so with the first call, and answers all others well."""
    return lambda call: bad(call) if call.number == 0 else call.send(completion(call.body))


BODIES: dict[str, Callable[[Call], object]] = {
    "plain text": lambda _call: b"hello",
    "null": lambda _call: b"null",
    "a list": lambda _call: b"[1]",
    "deep": lambda _call: b"[" * 200_000,
    "bad UTF-8": lambda _call: b'{"\xff": 1}',
    "no choices": lambda call: completion(call.body, choices=[]),
    "choices a text": lambda call: completion(call.body, choices="x"),
    "message null": lambda call: completion(call.body, choices=[{"message": None}]),
    "content a number": lambda call: completion(call.body, choices=[{"message": {"content": 7}}]),
    "huge usage": lambda call: json.dumps(
        completion(call.body, usage={**HONEST, "prompt_tokens": 10**400})
    ).encode(),
    "longer than any number": lambda call: (
        json.dumps(completion(call.body)).replace("100", "1" * 5000).encode()
    ),
    "usage below nothing": lambda call: completion(
        call.body, usage={**HONEST, "completion_tokens": -(10**9)}
    ),
    "usage yes": lambda call: completion(call.body, usage={**HONEST, "completion_tokens": True}),
    "usage a fraction": lambda call: completion(
        call.body, usage={**HONEST, "completion_tokens": 2.5}
    ),
    "usage a text": lambda call: completion(call.body, usage={**HONEST, "completion_tokens": "5"}),
    "usage infinite": lambda call: json.dumps(
        completion(call.body, usage={"prompt_tokens": float("inf"), "completion_tokens": 1})
    ).encode(),
}


@pytest.mark.parametrize("kind", BODIES)
def test_e_a_body_of_any_form_costs_one_call_at_its_worst_case(tmp_path: Path, kind: str) -> None:
    with hostile_model(first(lambda call: call.send(BODIES[kind](call)))) as server:
        received = asked(tmp_path, server.url)
    assert received.found == [WELL.format(number) for number in range(3)]
    assert received.counts["bad_reply"] == 1
    assert received.spent == worst() + 3 * honest()


@pytest.mark.parametrize(
    "claimed", [-(10**9), 10**400, 10**9, 0, True, 1.5, "5", None], ids=lambda value: str(value)[:6]
)
def test_e_no_claim_of_usage_lets_more_calls_through_than_honest_figures(
    tmp_path: Path, claimed: object
) -> None:
    def claiming(usage: object) -> Callable[[Call], None]:
        return lambda call: call.send(completion(call.body, usage=usage))

    def calls(name: str, usage: object) -> int:
        with hostile_model(claiming(usage)) as server:
            with pytest.raises(PipelineError, match="raise the budget"):
                asked(tmp_path / name, server.url, 40, budget_usd=0.002, attempts=1, prices=dear)
            spent = Answers(Store(str(tmp_path / name))).spent
            assert 0.001 * USD < spent <= 0.002 * USD
            return len(server.calls)

    dear = {"gpt-4o-mini": {"prompt": 0.3, "answer": 1.2}}
    most_calls = int(0.002 * USD) // worst(prices=dear)
    assert calls("honest", HONEST) > most_calls > 1
    assert calls("hostile", {"prompt_tokens": claimed, "completion_tokens": claimed}) == most_calls


def test_e_a_server_that_drips_bytes_is_cut_at_the_limit_of_the_call(tmp_path: Path) -> None:
    def drip(call: Call) -> None:
        call.begin(200, Content_Type="application/json")
        while not server.ending.wait(0.05):
            call.write(b" ")

    with hostile_model(drip) as server:
        received = asked(tmp_path, server.url, 1, timeout_s=0.4, attempts=1)
    assert received.found == ["timeout"]
    assert received.spent == worst()


def failure(url: str) -> Failed:
    """How one call fails."""

    async def one() -> Failed:
        llm = LlmRecipe(base_url=url)
        server = Server(llm)
        try:
            await server.ask(wanted(llm, 1)[0])
        except Failed as error:
            return error
        finally:
            await server.close()
        raise AssertionError("it was answered")

    return asyncio.run(one())


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("inf", 600),
        ("1e308", 600),
        ("999999", 600),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 600),
        ("nan", 0),
        ("-inf", 0),
        ("7", 7),
        ("soon", 0),
    ],
)
def test_e_no_server_makes_a_caller_wait_longer_than_ten_minutes(
    header: str, wait_s: float
) -> None:
    with hostile_model(
        lambda call: call.send({"error": {"message": "slow down"}}, 429, Retry_After=header)
    ) as server:
        assert failure(server.url).wait_s == wait_s


def test_e_a_claim_of_many_tokens_does_not_stall_the_calls_after_it(tmp_path: Path) -> None:
    many = {"prompt_tokens": 900_000_000, "completion_tokens": 1}
    with hostile_model(first(lambda call: call.send(completion(call.body, usage=many)))) as server:
        # a debt of 900 million tokens is 15 hours
        received = asked(tmp_path, server.url, tokens_per_minute=1_000_000)
    assert received.found == [WELL.format(number) for number in range(3)]
    assert received.spent == worst() + 2 * honest()


@pytest.mark.parametrize(
    ("kind", "code"), [("gzip", "bad_reply"), ("plain", "bad_reply"), ("error", "server_error")]
)
def test_e_a_flood_takes_little_memory(kind: str, code: str) -> None:
    with hostile_model(FLOODS[kind]) as server:
        command = [sys.executable, "-c", ONE_CALL, server.url]
        ended = subprocess.run(
            command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=True
        )
    output, mebibytes = ended.stdout.split()
    assert output == code
    assert int(mebibytes) < 100


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_e_captions_are_not_sent_on_to_where_a_server_points(tmp_path: Path, status: int) -> None:
    with hostile_model(lambda call: call.send(completion(call.body))) as other:
        address = f"{other.url.replace('127.0.0.1', 'localhost')}/chat/completions?secret"
        with hostile_model(first(lambda call: call.send(b"", status, Location=address))) as server:
            received = asked(tmp_path, server.url)
            with hostile_model(lambda call: call.send(b"", status, Location=address)) as always:
                output = failure(always.url).message
        assert other.calls == []
        assert len(server.calls) == 3
    assert received.found == ["redirected", WELL.format(1), WELL.format(2)]
    assert output == f"{status}: the server sends us on to localhost; nothing is sent there"


def test_e_a_key_that_is_echoed_with_invisible_signs_in_it_is_masked() -> None:
    echo = {"error": {"message": f"wrong \x1b[2J{KEY[:5]}\u200b{KEY[5:]}"}}
    with hostile_model(lambda call: call.send(echo, 400)) as server:
        assert failure(server.url).message == "400: wrong [2J…"


def by_model(url: str, **llm: object) -> Recipe:
    caption = CaptionRecipe(paraphraser="openai", sentences=(0, 0, 1), paraphrases=2)
    return Recipe(
        caption=caption, llm=LlmRecipe.model_validate({"base_url": url, "budget_usd": 1.0, **llm})
    )


def test_e_what_a_server_calls_itself_reaches_no_sample(tmp_path: Path) -> None:
    name = "\x1b[2J<script>" * 10_000
    with hostile_model(lambda call: call.send(completion(call.body, model=name))) as server:
        [job] = captioned_build(
            str(tmp_path), by_model(server.url), ["A flute plays.", "A drum plays."], buckets=1
        )
        paraphrase_together(STAGE, [job])
    rows = job.store.read_records(f"paraphrases/{job.bucket}.parquet", SampleCaptions)
    assert [[caption.writer for caption in row.captions] for row in rows] == [
        ["gpt-4o-mini"] * 2
    ] * 2
    assert sum(file.stat().st_size for file in (tmp_path / "answers").iterdir()) < 20_000


def test_e_of_half_a_million_texts_few_are_kept(tmp_path: Path) -> None:
    texts = json.dumps({"paraphrases": ["x"] * 500_000})
    with hostile_model(
        lambda call: call.send(completion(call.body, choices=[{"message": {"content": texts}}]))
    ) as server:
        received = asked(tmp_path, server.url, 1)
    assert received.found == ["x"]
    assert sum(file.stat().st_size for file in (tmp_path / "answers").iterdir()) < 20_000


LINES: dict[str, Callable[[dict[str, Any]], object]] = {
    "error a text": lambda line: line_of(line, error="broken"),
    "error a list": lambda line: line_of(line, error=[1]),
    "error yes": lambda line: line_of(line, error=True),
    "response a text": lambda line: line_of(line, response="fine"),
    "response a list": lambda line: line_of(line, response=[]),
    "response null": lambda line: line_of(line, response=None),
    "status a text": lambda line: line_of(
        line, response={"status_code": "200", "body": completion(line["body"])}
    ),
    "status null": lambda line: line_of(line, response={"status_code": None, "body": {}}),
    "no body": lambda line: line_of(line, response={"status_code": 200}),
    "body null": lambda line: line_of(line, response={"status_code": 200, "body": None}),
    "body a text": lambda line: line_of(line, response={"status_code": 500, "body": "broken"}),
    "body's error a text": lambda line: line_of(
        line, response={"status_code": 500, "body": {"error": "broken"}}
    ),
    "infinite usage": lambda line: line_of(
        line,
        response={
            "status_code": 200,
            "body": completion(line["body"], usage={**HONEST, "prompt_tokens": float("inf")}),
        },
    ),
    "usage below nothing": lambda line: line_of(
        line,
        response={
            "status_code": 200,
            "body": completion(line["body"], usage={**HONEST, "prompt_tokens": -(10**9)}),
        },
    ),
    "a list": lambda _line: [1, 2],
    "a name that is none": lambda line: line_of(line, custom_id=7),
}


@pytest.mark.parametrize("kind", LINES)
def test_e_a_line_of_a_batch_in_any_form_costs_itself_at_its_worst_case(
    tmp_path: Path, kind: str
) -> None:
    def outcome(number: int, lines: list[dict[str, Any]]) -> bytes:
        bad = (
            [LINES[kind](lines[0]), *map(line_of, lines[1:])]
            if number == 0
            else map(line_of, lines)
        )
        return "\n".join(map(json.dumps, bad)).encode()

    with hostile_model(Batches(outcome)) as server:
        received = asked(tmp_path, server.url, batch=True)
    assert received.found == [WELL.format(number) for number in range(3)]
    assert (received.counts["batches"], received.counts["calls"], received.counts["bad_reply"]) == (
        2,
        4,
        1,
    )
    assert received.spent == worst(batch=True) + 3 * honest(batch=True)
    assert Answers(Store(str(tmp_path))).batches == ()


def test_e_lines_for_unknown_requests_and_second_lines_for_the_same_are_passed_over(
    tmp_path: Path,
) -> None:
    def outcome(_number: int, lines: list[dict[str, Any]]) -> bytes:
        dear = completion(
            lines[0]["body"], usage={"prompt_tokens": 10**6, "completion_tokens": 10**6}
        )
        more = [
            line_of(lines[0], custom_id="nobody"),
            line_of(lines[0], response={"status_code": 200, "body": dear}),
        ]
        return "\n".join(map(json.dumps, [*map(line_of, lines), *more])).encode()

    with hostile_model(Batches(outcome)) as server:
        received = asked(tmp_path, server.url, batch=True)
    assert received.spent == 3 * honest(batch=True)


@pytest.mark.parametrize(
    "content",
    [b"hello", b"\x00\xff" * 1000, b"[" * 200_000 + b"\n1\n2", b"\n".join([b"null"] * 1000)],
)
def test_e_a_batch_without_a_readable_line_is_paid_and_closed_and_asking_goes_on(
    tmp_path: Path, content: bytes
) -> None:
    with hostile_model(
        Batches(
            lambda number, lines: (
                "\n".join(json.dumps(line_of(line)) for line in lines).encode()
                if number
                else content
            )
        )
    ) as server:
        received = asked(tmp_path, server.url, 1, batch=True)
    assert received.found == [WELL.format(0)]
    assert received.spent == worst(batch=True) + honest(batch=True)
    assert Answers(Store(str(tmp_path))).batches == ()


def test_e_a_batchs_file_without_end_is_cut_in_proportion_to_its_requests_and_paid(
    tmp_path: Path,
) -> None:
    def outcome(number: int, lines: list[dict[str, Any]]) -> bytes:
        # for one request: 4 MB and 32 kB
        return b" " * 8_000_000 if number == 0 else json.dumps(line_of(lines[0])).encode()

    with hostile_model(Batches(outcome)) as server:
        received = asked(tmp_path, server.url, 1, batch=True, attempts=2)
    assert received.found == [WELL.format(0)]
    assert received.spent == worst(batch=True) + honest(batch=True)


@pytest.mark.parametrize(
    "state",
    [None, [1], {"status": 7}, {"output_file_id": "../../secret"}, {"errors": "x"}],
    ids=str,
)
def test_e_a_batch_that_can_never_be_read_is_paid_and_closed_for_later_runs(
    tmp_path: Path, state: object
) -> None:
    good = Batches(
        lambda _number, lines: "\n".join(json.dumps(line_of(line)) for line in lines).encode(),
        lambda n: {} if n else state,
    )
    with hostile_model(good) as server:
        received = asked(tmp_path, server.url, 2, batch=True, attempts=2, batch_wait_s=0)
    assert received.found == [WELL.format(0), WELL.format(1)]
    assert received.spent == 2 * worst(batch=True) + 2 * honest(batch=True)
    assert Answers(Store(str(tmp_path))).batches == ()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/v1?api-key=hunter2",
        "http://me:hunter2@127.0.0.1/v1",
        "http://127.0.0.1/v1#hunter2",
    ],
)
def test_e_an_address_with_a_secret_is_refused_in_one_line_that_does_not_show_it(url: str) -> None:
    with pytest.raises(
        UsageError, match="set such an address in OPENAI_BASE_URL instead"
    ) as received:
        load_recipe(None, [f"llm.base_url={url}"])
    assert "hunter2" not in str(received.value)
    assert "\n" not in str(received.value)


def test_e_a_query_of_an_address_in_the_environment_goes_with_each_call(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with hostile_model(lambda call: call.send(completion(call.body))) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/?api-key=hunter2")
        asked(tmp_path, "", 1)
    assert [call.path for call in server.calls] == ["/v1/chat/completions?api-key=hunter2"]


@pytest.mark.parametrize(
    "text",
    [
        "A flute <img/src=x onerror=alert(1)> sings.",
        "A flute <svg/onload=alert(1) sings.",
        "A flute <\u200bscript sings.",
        "=cmd|' /C calc'!A0 a flute sings.",
        "+cmd|' /C calc'!A0 a flute sings.",
        "@SUM(A1) a flute sings.",
        "\u200b=A1 a flute sings.",
    ],
)
def test_e_markup_and_formulas_do_not_land(text: str) -> None:
    source = captioned("A flute plays.", CaptionKind.CONTROL)
    assert [fault.reason for fault in faults(text, source, labels(0))] == [Reason.MARKUP]
