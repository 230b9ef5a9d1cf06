"""The only module that calls `openai`: one chat completion, and batches of them, with every error in our own terms."""

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import openai

from pipelines.errors import PipelineError
from pipelines.writers.request import NOT_TAKEN, Failed, Reply, Request, reply_of
from schemas.recipe import LlmRecipe

KEY: Final = "OPENAI_API_KEY"
_URL: Final = "OPENAI_BASE_URL"
_OPENAI: Final = "https://api.openai.com/v1"
_ENDED: Final = frozenset(["completed", "expired", "cancelled", "failed"])
_LONGEST: Final = 300  # characters of a server's own message


class Server:
    """A server of OpenAI's protocol. The key comes from the environment and appears in no message."""

    @staticmethod
    def check(recipe: LlmRecipe) -> None:
        """Raise `PipelineError` where nothing can be asked: no key for OpenAI's own server, or a password in a URL that is stored."""
        if "@" in recipe.base_url:
            raise PipelineError(f"llm.base_url holds a password, which would be stored with the build; the key comes from {KEY}")
        if _url(recipe) == _OPENAI and not os.environ.get(KEY):
            raise PipelineError(
                f"caption.paraphraser = openai needs a key in the environment variable {KEY}, or llm.base_url of a server of yours"
            )

    def __init__(self, recipe: LlmRecipe) -> None:
        self.check(recipe)
        self.is_own = _url(recipe) != _OPENAI
        self._key = os.environ.get(KEY, "")
        self._client = openai.AsyncOpenAI(api_key=self._key or "none", base_url=_url(recipe), max_retries=0, timeout=recipe.timeout_s)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def ask(self, request: Request) -> Reply:
        """Send one request. Raises `Failed`."""
        with self._failures():
            return reply_of((await self._client.chat.completions.create(**request.body(own_server=self.is_own))).model_dump())

    async def submit(self, requests: list[Request], name: str) -> str:
        """Hand over a batch under our name; returns the server's. Raises `Failed`."""
        lines = (
            {"custom_id": request.hash, "method": "POST", "url": "/v1/chat/completions", "body": request.body(own_server=self.is_own)}
            for request in requests
        )
        content = io.BytesIO("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode())
        with self._failures():
            file = await self._client.files.create(file=(f"{name}.jsonl", content), purpose="batch")
            batch = await self._client.batches.create(
                completion_window="24h", endpoint="/v1/chat/completions", input_file_id=file.id, metadata={"obbligato": name}
            )
        return batch.id

    async def find(self, name: str) -> str:
        """The server's name of a batch that was handed over under ours; "" where it never came."""
        with self._failures():
            async for batch in self._client.batches.list(limit=100):
                if (batch.metadata or {}).get("obbligato") == name:
                    return batch.id
        return ""

    async def lines(self, server_id: str) -> list[dict[str, Any]] | None:
        """What a batch has come to, a line per request that was answered or failed; none while it is under way. Raises `Failed`."""
        with self._failures():
            batch = await self._client.batches.retrieve(server_id)
            if batch.status not in _ENDED:
                return None
            if batch.status == "failed":
                said = "; ".join(str(error.message) for error in (batch.errors.data or [])) if batch.errors else ""
                raise Failed(NOT_TAKEN, f"the server did not take the batch: {self._plain(said)}", fatal=True)
            out: list[dict[str, Any]] = []
            for file_id in (batch.output_file_id, batch.error_file_id):
                if file_id:
                    content = (await self._client.files.content(file_id)).text
                    out += [json.loads(line) for line in content.split("\n") if line.strip()]
        return out

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """The client's errors as `Failed`."""
        try:
            yield
        except openai.APITimeoutError:
            raise Failed("timeout", "the server did not answer in time", tokens=None) from None
        except openai.APIConnectionError as error:
            cause = self._plain(str(error.__cause__ or error))
            raise Failed("connection", f"the connection failed or was cut: {cause}", tokens=(0, 0) if _refused(error) else None) from None
        except openai.APIStatusError as error:
            raise self._status(error) from None
        except (openai.OpenAIError, ValueError) as error:  # half a JSON, a body that ends early
            raise Failed("bad_reply", f"the server's reply cannot be read: {self._plain(str(error))}", tokens=None) from None

    def _status(self, error: openai.APIStatusError) -> Failed:
        status, said = error.status_code, self._plain(error.message)
        if status == 429 and error.code == "insufficient_quota":
            return Failed("quota", f"the server's account is out of money: {said}", again=False, fatal=True)
        if status == 429:
            return Failed("rate_limited", f"429: {said}", wait_s=_wait(error.response.headers.get("retry-after", "")))
        if status in (401, 403):
            return Failed("key", f"{status}: the server refuses the key in {KEY}: {said}", again=False, fatal=True)
        if status == 404:
            return Failed("not_found", f"404: the server knows no such model or address: {said}", again=False, fatal=True)
        if status in (408, 409) or status >= 500:
            return Failed("server_error", f"{status}: {said}", wait_s=_wait(error.response.headers.get("retry-after", "")))
        return Failed("bad_request", f"{status}: {said}", again=False)

    def _plain(self, said: str) -> str:
        """A message in one short line, without the key."""
        line = " ".join((said.replace(self._key, "…") if self._key else said).split())
        return line[:_LONGEST]


def _url(recipe: LlmRecipe) -> str:
    return (recipe.base_url or os.environ.get(_URL, "") or _OPENAI).rstrip("/")


def _wait(header: str) -> float:
    try:
        return max(0.0, float(header))
    except ValueError:
        return 0.0


def _refused(error: openai.APIConnectionError) -> bool:
    """Whether no connection was made at all, so that nothing can be billed."""
    return type(error.__cause__).__name__ in ("ConnectError", "ConnectTimeout")
