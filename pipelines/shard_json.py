"""JSON from outside: one object of finite numbers, each name once, in UTF-8."""

import json
from typing import Any, Final

from pipelines.errors import DeadInput

_DEPTH_LIMIT: Final = 64


def json_object(content: bytes) -> dict[str, Any]:
    """The object that some bytes hold. Raises `DeadInput` ("bad_json") for anything else, naming what it is.

    >>> json_object(b'{"caption": "A flute plays."}')
    {'caption': 'A flute plays.'}
    """
    try:
        found = json.loads(
            content.decode("utf-8-sig"), parse_constant=_number, parse_float=_number, parse_int=_whole, object_pairs_hook=_once
        )
    except (ValueError, RecursionError) as error:
        message = f"its JSON cannot be read: {error}".encode("utf-8", "backslashreplace").decode()
        raise DeadInput("bad_json", message) from error
    if not isinstance(found, dict):
        raise DeadInput("bad_json", f"its JSON is no object: {content[:40]!r}")
    if _deeper(found, _DEPTH_LIMIT):
        raise DeadInput("bad_json", f"its JSON is nested more than {_DEPTH_LIMIT} deep")
    return found


def pretty_json(facts: dict[str, Any]) -> str:
    """An object as people read it. Half a Unicode character stays escaped, so that the text can always be encoded."""
    text = json.dumps(facts, indent=1, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode()


def _number(text: str) -> float:
    value = float(text)
    if not abs(value) < float("inf"):
        raise ValueError(f"{text} is no JSON number")
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


def _deeper(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [inner for item in level if isinstance(item, (dict, list)) for inner in (item.values() if isinstance(item, dict) else item)]
    return bool(level)
