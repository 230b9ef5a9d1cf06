"""The only module that calls `openai`: one chat completion, and batches of them.

The server is not trusted. The client sends, and hands over each reply unread: a call has one limit
of time and one of bytes, no redirect is followed, nothing is unpacked, each reply is read as a
checked record, and whatever else comes back is a `Failed` in one short line.
"""

import asyncio
import json
import math
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, aclosing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

import httpx2 as httpx  # openai's own
import openai
from pydantic import ValidationError

from pipelines.captioning.splitting import clean_text
from pipelines.errors import MachineFault, PipelineError, is_of_the_machine
from pipelines.llm.received import (
    BatchLine,
    BatchPage,
    BatchState,
    Received,
    Reply,
    Response,
    ServerObject,
    ServerProblem,
    ServerRefusal,
)
from pipelines.llm.request import (
    BAD_REPLY,
    NOT_TAKEN,
    Answer,
    BatchOutcome,
    Failed,
    LlmRequest,
    read_reply,
)
from schemas.recipe import LlmRecipe

KEY: Final = "OPENAI_API_KEY"
_URL: Final = "OPENAI_BASE_URL"
_OPENAI: Final = "https://api.openai.com/v1"
_ENDED: Final = frozenset(["completed", "expired", "cancelled", "failed"])
_LONGEST: Final = 300  # characters of a server's own message
_LONGEST_WAIT_S: Final = 600.0  # that a server can ask for
_MOST_BYTES: Final = 4_000_000  # of a reply; a thousand times an ordinary one
_MOST_ERROR_BYTES: Final = 64_000  # of a reply that is not a success; the rest is not read
_MOST_BYTES_A_LINE: Final = 32_000  # of a batch's files, on average: ten times an ordinary answer
_SLOWEST_BYTES_S: Final = 250_000.0  # at which a batch's files are sent or fetched at the least
_MOST_PAGES: Final = 100  # of a hundred batches each

T = TypeVar("T", bound=Received)
# a call of the client's that is about to be made; entered, it has the reply, unread
Sent = AbstractAsyncContextManager[Any]


class _Packed(Exception):
    """A reply that would have to be unpacked, to nobody knows how many bytes."""


class Server:
    """A server of OpenAI's protocol.

    The key comes from the environment and appears in no message.
    """

    @staticmethod
    def check(recipe: LlmRecipe) -> None:
        """Raise `PipelineError` where nothing can be asked: no key for OpenAI's own server, or an
        address that is none.
        """
        try:
            usable = httpx.URL(_url(recipe)).scheme in ("http", "https")
        except httpx.InvalidURL:
            usable = False
        if not usable:
            raise PipelineError(
                "llm.base_url (or OPENAI_BASE_URL) is not the address "
                "of a server, such as http://127.0.0.1:8000/v1"
            )
        if _url(recipe) == _OPENAI and not os.environ.get(KEY):
            raise PipelineError(
                "caption.paraphraser = openai needs a key in the environment "
                f"variable {KEY}, or llm.base_url of a server of yours"
            )

    def __init__(self, recipe: LlmRecipe) -> None:
        self.check(recipe)
        self.is_own = _url(recipe) != _OPENAI
        self._key, self._timeout_s = os.environ.get(KEY, ""), recipe.timeout_s
        address = httpx.URL(_url(recipe))  # of the environment, it may hold a query
        client = openai.AsyncOpenAI(
            api_key=self._key or "none",
            base_url=address.copy_with(query=None),
            default_query=dict(address.params),
            default_headers={"Accept-Encoding": "identity"},
            max_retries=0,  # ours are paid for
            timeout=None,  # each call has one of its own, around all of it
            http_client=httpx.AsyncClient(
                follow_redirects=False,
                timeout=None,
                limits=httpx.Limits(
                    max_connections=None, max_keepalive_connections=recipe.concurrency
                ),
                event_hooks={"response": [_bounded]},
            ),
        )
        self._client, self._sent = client, client.with_streaming_response

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def ask(self, request: LlmRequest) -> Answer:
        """The answer to one request. Raises `Failed`."""
        reply = _record(
            Reply,
            await self._body(
                self._sent.chat.completions.create(**request.body(own_server=self.is_own))
            ),
        )
        return read_reply(request.hash, reply, self._plain)

    async def submit(self, requests: list[LlmRequest], name: str) -> str:
        """Hand over a batch under our name; returns the server's. Raises `Failed`."""
        lines = (
            {
                "custom_id": request.hash,
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": request.body(own_server=self.is_own),
            }
            for request in requests
        )
        content = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
        file = self._sent.files.create(file=(f"{name}.jsonl", content), purpose="batch")
        made = _record(ServerObject, await self._body(file, sent_bytes=len(content)))
        batch = self._sent.batches.create(
            completion_window="24h",
            endpoint="/v1/chat/completions",
            input_file_id=made.id,
            metadata={"obbligato": name},
        )
        return _record(ServerObject, await self._body(batch)).id

    async def find(self, name: str) -> str:
        """The server's name of a batch that was handed over under ours; "" where it never came.

        Raises `Failed`.
        """
        after: dict[str, Any] = {}
        for _page in range(_MOST_PAGES):
            page = _record(BatchPage, await self._body(self._sent.batches.list(limit=100, **after)))
            for batch in page.data:
                if (batch.metadata or {}).get("obbligato") == name:
                    return batch.id
            if not page.has_more or not page.data:
                return ""
            after = {"after": page.data[-1].id}
        raise Failed(BAD_REPLY, "the server's list of batches does not end")

    async def ended(self, server_id: str, requests: int) -> BatchOutcome | None:
        """What a batch of so many requests has come to; none while it is under way.

        Raises `Failed`.
        """
        batch = _record(BatchState, await self._body(self._sent.batches.retrieve(server_id)))
        if batch.status not in _ENDED:
            return None
        if batch.status == "failed":
            problems = (batch.errors.data if batch.errors else None) or []
            text = self._plain("; ".join(problem.message or "" for problem in problems))
            raise Failed(NOT_TAKEN, f"the server did not take the batch: {text}", fatal=True)
        outcomes: dict[str, Answer | Failed] = {}
        unreadable = 0
        for file_id in (batch.output_file_id, batch.error_file_id):
            for line in await self._lines(file_id, requests) if file_id else []:
                try:
                    named = _record(BatchLine, line)
                except Failed:
                    unreadable += 1
                else:
                    outcomes.setdefault(named.custom_id, self._outcome(named))
        return BatchOutcome(outcomes, unreadable)

    async def _lines(self, file_id: str, requests: int) -> Iterator[bytes]:
        """The lines of a file that a batch of so many requests left."""
        try:
            content = await self._body(
                self._sent.files.content(file_id),
                most_bytes=_MOST_BYTES + requests * _MOST_BYTES_A_LINE,
            )
        except Failed as error:
            # of a batch that is there: it is this batch that is broken, not the address
            if error.code == "not_found":
                raise Failed(BAD_REPLY, f"the batch's file is not there: {error.message}") from None
            raise
        return (line for line in content.split(b"\n") if line.strip())

    def _outcome(self, line: BatchLine) -> Answer | Failed:
        """What a line says of its request."""
        try:
            if line.error is not None:
                return self._batch_error(ServerProblem.model_validate(line.error), None)
            response = Response.model_validate(line.response)
            if response.status_code != 200:
                return self._batch_error(
                    ServerRefusal.model_validate(response.body).error, response.status_code
                )
            return read_reply(line.custom_id, Reply.model_validate(response.body), self._plain)
        except ValidationError:
            return Failed(BAD_REPLY, "the batch's line cannot be read", tokens=None)
        except Failed as error:
            return error

    def _batch_error(self, text: ServerProblem, status: int | None) -> Failed:
        """Why a batch did not answer a request; such ones cost nothing."""
        code = self._plain(str(text.code or "batch_error"))
        again = code == "batch_expired" or status in (None, 408, 409, 429) or status >= 500
        message = f"{code}: {self._plain(text.message or '')}"
        return Failed("expired" if code == "batch_expired" else "batch_error", message, again=again)

    async def _body(
        self, call: Sent, *, sent_bytes: int = 0, most_bytes: int = _MOST_BYTES
    ) -> bytes:
        """The body of the reply to one call, of at most so many bytes; files have longer.

        Raises `Failed`.
        """
        within_s = self._timeout_s + (sent_bytes + most_bytes - _MOST_BYTES) / _SLOWEST_BYTES_S
        try:
            async with asyncio.timeout(within_s), call as reply:
                return await _read(reply.http_response, most_bytes)
        except (Failed, MachineFault):
            raise
        except TimeoutError:
            raise Failed("timeout", "the server did not answer in time", tokens=None) from None
        except openai.APIStatusError as error:
            error_of = self._redirected if error.response.has_redirect_location else self._status
            raise error_of(error.response) from None
        except Exception as error:  # noqa: BLE001
            # whatever the client chokes on was sent by the server, and costs one call, not the run
            raise self._unreachable(error) from None

    def _unreachable(self, error: Exception) -> Exception:
        """Why no reply came, or none that can be read.

        The client wraps what went wrong into errors of its own.
        """
        causes = [error]
        while (inner := causes[-1].__cause__ or causes[-1].__context__) is not None and isinstance(
            inner, Exception
        ):
            causes.append(inner)
        ours = next((cause for cause in causes if is_of_the_machine(cause)), None)
        if ours is not None:
            return MachineFault(
                f"calling the language model: {ours}; make room or repair it, then run again"
            )
        if any(isinstance(cause, _Packed) for cause in causes):
            return Failed(
                BAD_REPLY, "the server packs its replies, though it was asked not to", tokens=None
            )
        failure = next((cause for cause in causes if isinstance(cause, httpx.HTTPError)), error)
        text = self._plain(str(failure) or type(failure).__name__)
        # no connection was made at all, so nothing can be billed
        if isinstance(failure, httpx.ConnectError):
            return Failed("connection", f"the connection failed: {text}")
        return Failed("connection", f"the connection failed or was cut: {text}", tokens=None)

    def _redirected(self, response: httpx.Response) -> Failed:
        """A reply that would have another server read our captions."""
        host = self._plain(_host(response.headers["location"]))[:100]
        return Failed(
            "redirected",
            f"{response.status_code}: the server sends us on to {host}; nothing is sent there",
            again=False,
        )

    def _status(self, response: httpx.Response) -> Failed:
        """A reply that is not a success."""
        status = response.status_code
        try:
            problem = _record(ServerRefusal, response.content).error
        except Failed:
            problem = ServerProblem(message=response.content.decode(errors="replace"))
        text = self._plain(problem.message or "")
        if status == 429 and problem.code == "insufficient_quota":
            return Failed(
                "quota", f"the server's account is out of money: {text}", again=False, fatal=True
            )
        if status == 429:
            return Failed(
                "rate_limited",
                f"429: {text}",
                wait_s=_wait(response.headers.get("retry-after", "")),
            )
        if status in (401, 403):
            return Failed(
                "key",
                f"{status}: the server refuses the key in {KEY}: {text}",
                again=False,
                fatal=True,
            )
        if status == 404:
            return Failed(
                "not_found",
                f"404: the server knows no such model or address: {text}",
                again=False,
                fatal=True,
            )
        if status in (408, 409) or status >= 500:
            return Failed(
                "server_error",
                f"{status}: {text}",
                wait_s=_wait(response.headers.get("retry-after", "")),
            )
        return Failed("bad_request", f"{status}: {text}", again=False)

    def _plain(self, text: str) -> str:
        """A message in one short line that can be printed, without the key."""
        line = clean_text(text[: 10 * _LONGEST], 10 * _LONGEST)
        return (line.replace(self._key, "…") if self._key else line)[:_LONGEST]


async def _bounded(response: httpx.Response) -> None:
    """See to it that of a reply that is not a success, which the client reads whole, no more is
    read than a message may have.
    """
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise _Packed
    if not response.is_success:
        response.stream = _First(response.stream, _MOST_ERROR_BYTES)


class _First(httpx.AsyncByteStream):
    """The first bytes of a stream."""

    def __init__(self, stream: Any, most: int) -> None:
        self._stream, self._most = stream, most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield them."""
        left = self._most
        async for chunk in self._stream:
            yield chunk[:left]
            left -= len(chunk)
            if left <= 0:
                return

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()


async def _read(response: httpx.Response, most_bytes: int) -> bytes:
    """The body of a success. Raises `Failed` for one of more than so many bytes."""
    body = bytearray()
    async with aclosing(response):
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > most_bytes:
                raise Failed(
                    BAD_REPLY, f"the server's reply has more than {most_bytes} bytes", tokens=None
                )
    return bytes(body)


def _url(recipe: LlmRecipe) -> str:
    return (recipe.base_url or os.environ.get(_URL, "") or _OPENAI).rstrip("/")


def _record(kind: type[T], body: bytes) -> T:
    """A body as a checked record. Raises `Failed`."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise Failed(
            BAD_REPLY,
            f"the server's reply cannot be read: {field} {first['msg']}".replace("  ", " "),
            tokens=None,
        ) from None


def _host(location: str) -> str:
    """Where a redirect leads, without its path and query: those may hold anything."""
    try:
        return httpx.URL(location).host or "another path of its own"
    except httpx.InvalidURL:
        return "an address that is none"


def _wait(header: str) -> float:
    """Seconds that a server asks to be left alone: of `Retry-After`, in seconds or as a date, ten
    minutes at the most.

    >>> _wait("7"), _wait("inf"), _wait("-1"), _wait("nan"), _wait("soon")
    (7.0, 600.0, 0.0, 0.0, 0.0)
    >>> _wait("Fri, 31 Dec 9999 23:59:59 GMT")
    600.0
    """
    try:
        wait_s = float(header)
    except ValueError:
        wait_s = _seconds_until(header)
    return 0.0 if math.isnan(wait_s) else min(max(wait_s, 0.0), _LONGEST_WAIT_S)


def _seconds_until(date: str) -> float:
    try:
        then = parsedate_to_datetime(date[:100])
    except (ValueError, OverflowError):
        return 0.0
    return (then.replace(tzinfo=then.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
