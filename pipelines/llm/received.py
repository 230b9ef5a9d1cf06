"""What a server of OpenAI's protocol sends, as checked records: what has another form is nobody's
answer, and is paid at its worst case.
"""

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

_MOST_TOKENS: Final = 1_000_000_000  # of one call: what claims more counts nothing

Tokens = Annotated[int, Field(ge=0, le=_MOST_TOKENS)]
# it becomes a part of an address
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.:-]{0,199}$")]


class Received(BaseModel):
    """A record of what was sent: other keys are passed over, other types refused (no number is a
    text, no yes or no a number).
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class Message(Received):
    """What the model said, or why it would not."""

    content: str | None = None
    refusal: str | None = None


class AnswerChoice(Received):
    """One of the answers to a request; we ask for one."""

    message: Message
    finish_reason: str | None = None


class Usage(Received):
    """How many tokens were used, as the server counted them."""

    prompt_tokens: Tokens
    completion_tokens: Tokens


class Reply(Received):
    """A chat completion.

    What the server calls its model is not looked at: it would stand in every published sample.
    """

    choices: list[AnswerChoice] = Field(min_length=1)
    usage: Usage


class ServerProblem(Received):
    """What went wrong, in the server's words."""

    code: str | int | None = None
    message: str | None = None


class ServerRefusal(Received):
    """The body of a reply that is not a success."""

    error: ServerProblem


class Problems(Received):
    """What is wrong with a batch."""

    data: list[ServerProblem] | None = None


class ServerObject(Received):
    """Something that now stands at the server: a file, a batch."""

    id: Id


class BatchState(ServerObject):
    """How far a batch is."""

    status: str
    output_file_id: Id | None = None
    error_file_id: Id | None = None
    errors: Problems | None = None
    metadata: dict[str, Any] | None = None


class BatchPage(Received):
    """Some of the server's batches, the newest first."""

    data: list[BatchState]
    has_more: bool = False


class Response(Received):
    """What one request of a batch was answered with."""

    status_code: int
    body: Any


class BatchLine(Received):
    """What became of one request of a batch."""

    custom_id: str
    response: Any = None
    error: Any = None
