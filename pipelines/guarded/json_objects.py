"""JSON from outside: one object, finite numbers, names once, UTF-8, bounded size and depth."""

import json
from collections.abc import Callable
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from pipelines.errors import DeadInput
from schemas.record import Record

R = TypeVar("R", bound=Record)

JSON_LIMIT: Final = 8 << 20  # bytes: what is read of them takes up to twenty times as much memory
_DEPTH_LIMIT: Final = 64


def json_object(
    content: bytes | str, not_a_number: Callable[[str], Any] | None = None, limit: int = JSON_LIMIT
) -> dict[str, Any]:
    """The object that some bytes or a text hold.

    Raises `DeadInput` ("bad_json") for anything else, naming what it is.

    `not_a_number` says what "NaN" and "Infinity" stand for; without it, they are refused. More than
    `limit` bytes are, too.

    >>> json_object(b'{"caption": "A flute plays."}')
    {'caption': 'A flute plays.'}
    """
    if len(content) > limit:
        raise too_large(len(content), limit)
    try:
        text = content if isinstance(content, str) else content.decode("utf-8-sig")
        found = json.loads(
            text,
            parse_constant=not_a_number or _number,
            parse_float=_number,
            parse_int=_whole,
            object_pairs_hook=_once,
        )
    except (ValueError, RecursionError) as error:
        message = f"its JSON cannot be read: {error}".encode("utf-8", "backslashreplace").decode()
        raise DeadInput("bad_json", message) from error
    if not isinstance(found, dict):
        raise DeadInput("bad_json", f"its JSON is not an object: {content[:40]!r}")
    _check_values(found, text)
    return found


def json_record(kind: type[R], content: bytes, limit: int = JSON_LIMIT) -> R:
    """The record that some bytes hold as JSON.

    Raises `DeadInput` ("bad_json") as `json_object`, and for what is not such a record.
    """
    found = json_object(content, limit=limit)
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        message = (
            f"its JSON is not a {kind.__name__}: {where + ': ' if where else ''}{first['msg']}"
        )
        raise DeadInput("bad_json", message.encode("utf-8", "backslashreplace").decode()) from error


def too_large(size: int, limit: int = JSON_LIMIT) -> DeadInput:
    """What is said of JSON of more than `limit` bytes, which need not be read for that."""
    return DeadInput(
        "bad_json", f"its JSON has {size / 2**20:.0f} MiB, limit {limit / 2**20:g} MiB"
    )


def pretty_json(facts: dict[str, Any]) -> str:
    """An object as people read it.

    Half a Unicode character stays escaped, so that the text can always be encoded.
    """
    text = json.dumps(facts, indent=1, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode()


def _number(text: str) -> float:
    value = float(text)
    if not abs(value) < float("inf"):
        raise ValueError(f"{text[:40]} is not a JSON number")
    return value


def _whole(text: str) -> int:
    if len(text) > 20 or not -(1 << 63) <= int(text) < 1 << 63:
        raise ValueError(f"a whole number of {len(text)} signs is more than 64 bits hold")
    return int(text)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _check_values(found: dict[str, Any], text: str) -> None:
    """Refuse what is nested too deep, and half Unicode characters, which only an escape can name
    and nothing can write.
    """
    if _deeper(found, _DEPTH_LIMIT):
        raise DeadInput("bad_json", f"its JSON is nested more than {_DEPTH_LIMIT} deep")
    if "\\u" not in text:
        return
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise DeadInput(
            "bad_json", "its JSON holds half a Unicode character (a lone surrogate)"
        ) from error


def _deeper(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            inner
            for item in level
            if isinstance(item, (dict, list))
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return bool(level)
