"""Texts and replies that nobody thought of: drawn by hypothesis, the same in every run; minutes, so
for the nightly target.
"""

import asyncio
import json
from typing import Any

import httpx2 as httpx
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.captioning.facts import parse_facts
from pipelines.captioning.judging import faults
from pipelines.captioning.paraphrase import captioned
from pipelines.captioning.splitting import MAX_CHARS, clean_text, split_sentences
from pipelines.llm.money import cost, owed
from pipelines.llm.openai_server import Server, _bounded
from pipelines.llm.request import Answer, BatchOutcome, Failed, request_of
from pipelines.paraphrasing.conversation import landed_caption
from schemas.caption import Caption, CaptionKind
from schemas.recipe import LlmRecipe, Price
from tests.attacks.hostile_model import HONEST, completion, line_of
from tests.support.captioned_build import labels

pytestmark = pytest.mark.slow
PRICE, ASIDE = Price(prompt=1, answer=1), 500_000
LLM = LlmRecipe(base_url="http://127.0.0.1:9/v1")
ASKED = request_of(LLM, "Reword.", '{"caption": "A flute plays.", "count": 2}', "paraphrases", 200)
SERVER = Server(LLM)  # its certificates load for long; it calls nobody
BODY = ASKED.body(own_server=True)

GOOD = line_of({"custom_id": "0a", "body": BODY})
FAILED = {
    "custom_id": "0b",
    "response": {"status_code": 500, "body": {"error": {"code": "x", "message": "y"}}},
    "error": None,
}

bounded = settings(
    max_examples=2000,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
numbers = (
    st.integers()
    | st.floats()
    | st.sampled_from([-1, 0, 10**9, 10**10, 10**400, -(10**400), True, float("nan"), float("inf")])
)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def paths(value: Any) -> list[tuple[Any, ...]]:
    """The place of each part of a value."""
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [(), *((key, *rest) for key, part in inner for rest in paths(part))]


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A value with one part replaced."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy


@st.composite
def spoilt(draw: st.DrawFn, good: Any) -> bytes:
    """Something good as JSON, with parts replaced, cut off, or bytes put in between."""
    value = good
    for _change in range(draw(st.integers(0, 3))):
        value = changed(value, draw(st.sampled_from(paths(value))), draw(values))
    raw = json.dumps(value).encode()
    if draw(st.booleans()):
        return raw
    at = draw(st.integers(0, len(raw)))
    return raw[:at] + draw(st.binary(max_size=6)) + (raw[at:] if draw(st.booleans()) else b"")


def served(replies: dict[str, httpx.Response]) -> Server:
    """A server whose replies are given by the last part of what is asked for."""
    transport = httpx.MockTransport(lambda request: replies[request.url.path.rpartition("/")[2]])
    client = openai.AsyncOpenAI(
        api_key="none",
        base_url=LLM.base_url,
        max_retries=0,
        timeout=None,
        http_client=httpx.AsyncClient(
            transport=transport, trust_env=False, event_hooks={"response": [_bounded]}
        ),
    )
    SERVER._client, SERVER._sent = client, client.with_streaming_response
    return SERVER


def test_what_is_served_is_what_is_read() -> None:
    """Whatever is fuzzed below reaches what reads it."""
    body = json.dumps(completion(BODY)).encode()
    reply = httpx.Response(200, stream=httpx.ByteStream(body))
    answer = asyncio.run(served({"completions": reply}).ask(ASKED))
    assert answer.texts == tuple(f"Listen, number {number}: A flute plays." for number in (0, 1))


def is_sound(outcome: Answer | Failed) -> bool:
    """Whether an outcome can be stored, told and paid for."""
    if isinstance(outcome, Failed):
        return outcome.message.isprintable() and 0 <= owed(ASIDE, PRICE, outcome.tokens) <= ASIDE
    assert Answer.model_validate_json(outcome.model_dump_json()) == outcome
    return 0 < owed(ASIDE, PRICE, outcome.counted) <= ASIDE


@bounded
@given(
    spoilt(completion(BODY)) | st.binary(max_size=200),
    st.sampled_from([200, 200, 200, 204, 302, 400, 404, 429, 500, 999]),
    st.dictionaries(
        st.sampled_from(["retry-after", "location", "content-encoding"]),
        st.text("0123456789einfa-:/.gzp ", max_size=12),
    ),
)
def test_a_reply_of_any_form_is_an_answer_or_a_failure(
    body: bytes, status: int, headers: dict[str, str]
) -> None:
    async def ask() -> Answer | Failed:
        server = served(
            {"completions": httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))}
        )
        try:
            return await server.ask(ASKED)
        except Failed as error:
            return error

    outcome = asyncio.run(ask())
    assert is_sound(outcome)
    assert isinstance(outcome, Answer) or 0 <= outcome.wait_s <= 600


@bounded
@given(
    spoilt(
        {
            "id": "batch-0",
            "status": "completed",
            "output_file_id": "out",
            "error_file_id": None,
            "errors": None,
            "metadata": {},
        }
    ),
    st.lists(
        spoilt(line_of({"custom_id": "0a", "body": BODY}))
        | spoilt(line_of({"custom_id": "0a", "body": BODY}, response=None, error={})),
        max_size=4,
    ),
)
def test_a_batch_of_any_form_comes_to_something_or_fails(state: bytes, lines: list[bytes]) -> None:
    async def ended() -> BatchOutcome | Failed | None:
        content = httpx.Response(200, stream=httpx.ByteStream(b"\n".join(lines)))
        server = served(
            {"batch-0": httpx.Response(200, stream=httpx.ByteStream(state)), "content": content}
        )
        try:
            return await server.ended("batch-0", 3)
        except Failed as error:
            return error

    found = asyncio.run(ended())
    if isinstance(found, BatchOutcome):
        assert all(map(is_sound, found.outcomes.values()))
    elif found is not None:
        assert found.message.isprintable()


WORDS = (
    "A flute plays",
    "the tempo is",
    "92",
    "120.5",
    "BPM",
    "beats per minute",
    "in the key of",
    "A minor",
    "C# major",
    "Bbm7",
    "Am",
    "F/A",
    "chords",
    "are",
    "at",
    "0 s",
    "2.5 seconds",
    "4/4",
    "3/4 time",
    "waltz",
    "Allegro",
    "slow",
    "crescendo",
    "Mr.",
    "e.g.",
    "J.",
    "Nos. 3",
    ".",
    "...",
    "!",
    "?",
    "…",
    ",",
    ";",
    ":",
    "-",
    "–",
    "|",
    "→",
    "(",
    ")",
    '"',
    "“",
    "\n",
    "\t",
    "\u200b",
    "\u2028",
    "\x1b[2J",
    "<b",
    "{",
    "İ",
    "one hundred and",
    "twenty",
    "either",
    "or",
    "and",
    "minor",
    "major",
    "♭",
    "♯",
    "٣",
    "1" * 40,
    "feat.",
    "C",
    "=1+",
)
texts = st.lists(st.sampled_from(WORDS) | st.text(max_size=6), max_size=40).flatmap(
    lambda words: st.sampled_from(["", " "]).map(lambda joint: joint.join(words))
)
SOURCES = tuple(
    captioned(text, CaptionKind.CONTROL)
    for text in (
        "A flute plays.",
        "The tempo is 92 BPM. It is in A minor, in 3/4.",
        "Am at 0 s, F at 2.5 s and C at 5 s.",
    )
)


@bounded
@given(texts)
def test_sentences_and_facts_of_any_text(text: str) -> None:
    assert " ".join(split_sentences(text)) == " ".join(" ".join(text.split()).split())
    plain = clean_text(text)
    assert len(plain) <= MAX_CHARS
    assert clean_text(plain) == plain
    assert not plain or plain.isprintable()
    assert all(fact.text for fact in parse_facts(text))
    read = captioned(plain, CaptionKind.SOURCE)
    assert all(0 <= fact.sentence < len(read.sentences) for fact in read.facts)
    assert Caption.model_validate_json(read.model_dump_json()) == read


@bounded
@given(texts, st.sampled_from(SOURCES), st.integers(0, 5))
def test_what_lands_of_any_rewording_states_what_its_source_states(
    text: str, source: Caption, seed: int
) -> None:
    if not faults(text, source, labels(seed)):
        made = landed_caption(clean_text(text), source, "m")
        assert made.writer == "m"
        assert faults(made.text, source, labels(seed)) == ()


def test_honest_figures_are_believed() -> None:
    tokens = (HONEST["prompt_tokens"], HONEST["completion_tokens"])
    assert owed(ASIDE, PRICE, tokens) == cost(PRICE, *tokens)
