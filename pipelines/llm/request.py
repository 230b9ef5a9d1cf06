"""One question to a language model, and its answer: plain data, the same for calls one by one and
for batches.
"""

import hashlib
import json
from collections.abc import Callable
from functools import cached_property
from typing import Any, Final, NamedTuple

from pydantic import Field

from pipelines.llm.received import Reply
from schemas.recipe import LlmRecipe
from schemas.record import Record

BAD_REPLY: Final = "bad_reply"  # code of what a server sent that cannot be read
NOT_TAKEN: Final = "batch_failed"  # code of a batch that a server refused as a whole
_FRAME_TOKENS: Final = 64  # what a server's chat template may add around two messages
_MOST_TEXTS: Final = 100  # in one answer; fewer are ever asked for
_LONGEST_TEXT: Final = 20_000  # characters; ten times what a caption may have


class LlmRequest(Record):
    """A system message, a user message, and the longest answer that is paid for.

    The answer is a JSON list of texts under `field`.
    """

    model: str
    system: str
    user: str
    field: str
    max_tokens: int = Field(gt=0)
    temperature: float
    structured: bool

    @cached_property
    def hash(self) -> str:
        """What the request is known by: the same question has the same hash in every run."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:32]

    def body(self, *, own_server: bool) -> dict[str, Any]:
        """The request as the chat completions endpoint takes it.

        Servers other than OpenAI's know the older name of the token limit.
        """
        form: dict[str, Any] = {"response_format": self._schema()} if self.structured else {}
        return {
            "model": self.model,
            "messages": [
                {"role": "system", "content": self.system},
                {"role": "user", "content": self.user},
            ],
            "temperature": self.temperature,
            "max_tokens" if own_server else "max_completion_tokens": self.max_tokens,
            **form,
        }

    def _schema(self) -> dict[str, Any]:
        texts = {"type": "array", "items": {"type": "string"}}
        schema = {
            "type": "object",
            "properties": {self.field: texts},
            "required": [self.field],
            "additionalProperties": False,
        }
        return {
            "type": "json_schema",
            "json_schema": {"name": self.field, "strict": True, "schema": schema},
        }

    @cached_property
    def most_prompt_tokens(self) -> int:
        """No tokenizer makes more tokens than there are bytes."""
        return (
            len(json.dumps(self.body(own_server=False), ensure_ascii=False).encode())
            + _FRAME_TOKENS
        )

    @property
    def likely_prompt_tokens(self) -> int:
        """About four bytes of English make a token."""
        return self.most_prompt_tokens // 4


class Answer(Record):
    """The texts that a model gave to a request, with the tokens that they took."""

    request: str  # its hash
    # what the server called itself, in answers that earlier versions stored; nobody uses it
    model: str = ""
    texts: tuple[str, ...]
    prompt_tokens: int
    answer_tokens: int

    @property
    def counted(self) -> tuple[int, int] | None:
        """Tokens of prompt and answer, as the server counted them.

        None where it counted none at all, which cannot be.
        """
        return _counted(self.prompt_tokens, self.answer_tokens)


def _counted(prompt: int, answer: int) -> tuple[int, int] | None:
    return (prompt, answer) if prompt + answer else None


class Failed(Exception):
    """A call that gave no answer: a code for the ledger, a message for the reader, and what may be
    done about it.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        again: bool = True,
        fatal: bool = False,
        wait_s: float = 0.0,
        tokens: tuple[int, int] | None = (0, 0),
    ) -> None:
        super().__init__(message)
        self.code, self.message = code, message
        self.again = again  # trying again may help
        self.fatal = fatal  # no other call can succeed either: a wrong key, an unknown model
        self.wait_s = wait_s  # how long the server asks to be left alone
        # of prompt and answer, as the server counted them; none: nobody knows, and the worst case
        # is paid
        self.tokens = tokens


class BatchOutcome(NamedTuple):
    """What a batch came to: of each request that a line names its answer, or why there is none; and
    how many lines name none.
    """

    outcomes: dict[str, Answer | Failed]
    unreadable: int


def read_reply(request: str, reply: Reply, plain: Callable[[str], str] = str) -> Answer:
    """The texts of a reply to the request with this hash.

    Raises `Failed` where it was refused, cut off, or is not a list of texts.

    `plain` makes a line for the reader of what the model said.

    >>> usage = {"prompt_tokens": 9, "completion_tokens": 5}
    >>> message = {"content": 'Sure: {"texts": ["A flute plays."]}'}
    >>> reply = Reply.model_validate({"choices": [{"message": message}], "usage": usage})
    >>> read_reply("0f", reply).texts
    ('A flute plays.',)
    """
    message, finish = reply.choices[0].message, reply.choices[0].finish_reason
    prompt, answer = reply.usage.prompt_tokens, reply.usage.completion_tokens
    counted = _counted(prompt, answer)
    if message.refusal or finish == "content_filter":
        raise Failed(
            "refused",
            f"the model refused: {plain(message.refusal or '')[:200] or 'content filter'}",
            tokens=counted,
        )
    if finish == "length":
        raise Failed("cut_off", f"the answer was cut off after {answer} tokens", tokens=counted)
    content = message.content or ""
    try:
        [found] = json.loads(_inner(content)).values()
    except (ValueError, AttributeError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise Failed(
            "not_json",
            f"the answer is not a JSON object with one list of texts: {plain(content)[:80]!r}",
            tokens=counted,
        )
    texts = (
        text[:_LONGEST_TEXT].encode("utf-8", "replace").decode() for text in found[:_MOST_TEXTS]
    )
    return Answer(request=request, texts=tuple(texts), prompt_tokens=prompt, answer_tokens=answer)


def _inner(content: str) -> str:
    """The JSON object in an answer: small models wrap it in words or in a code block."""
    return content[content.find("{") : content.rfind("}") + 1]


def request_of(
    recipe: LlmRecipe, system: str, user: str, field: str, max_tokens: int
) -> LlmRequest:
    """A request to the recipe's model."""
    return LlmRequest(
        model=recipe.model,
        system=system,
        user=user,
        field=field,
        max_tokens=max_tokens,
        temperature=recipe.temperature,
        structured=recipe.structured_outputs,
    )
