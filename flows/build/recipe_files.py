"""Recipes as files, ready ones by name, and flags: read, overridden, printed with comments."""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from enum import Enum
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from flows.errors import UsageError
from schemas.kinds import located, records_of
from schemas.recipe import Recipe
from schemas.record import Record

_READY: Final = files("flows") / "recipes"
_SECTION: Final = re.compile(r"\[(\w+)\]")
_KEY: Final = re.compile(r"(\w+)\s*=")

R = TypeVar("R", bound=Record)


def load_recipe(path: Path | None, settings: list[str]) -> Recipe:
    """The recipe of a file or of a ready one's name (or the default), with `settings` laid over it.

    A file that exists wins over a ready recipe of the same name. Raises `UsageError` where there is
    neither, and for a file that is not TOML, an unknown key or a value out of range, naming each.

    >>> load_recipe(Path("musicbench"), []).ingest.extend
    1.0
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(recipe_text(path))
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"recipe {path}: {error}") from error
    return validated(with_settings(values, settings))


def recipe_text(path: Path) -> str:
    """The TOML of a recipe's file, or of a ready recipe by its name.

    Raises `UsageError` where there is neither.
    """
    ready = ready_recipes()
    # a folder of that name holds the data, as like as not
    if str(path) in ready and (path.is_dir() or not path.exists()):
        return (_READY / f"{path}.toml").read_text(encoding="utf-8")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not text"
        raise UsageError(
            f"recipe {path}: {reason}; ready recipes are {', '.join(ready)}"
        ) from error


def ready_recipes() -> dict[str, str]:
    """Recipes that come with Obbligato, by name, each with its first line.

    >>> list(ready_recipes())
    ['attm', 'fmacaps', 'musicbench', 'noise2music', 'stable']
    """
    found = sorted(
        (file for file in _READY.iterdir() if file.name.endswith(".toml")),
        key=lambda file: file.name,
    )
    return {
        file.name.removesuffix(".toml"): file.read_text(encoding="utf-8")
        .partition("\n")[0]
        .lstrip("# ")
        for file in found
    }


def recipe_notes(text: str) -> dict[str, list[str]]:
    """Comments of a recipe's TOML right above each knob, by ``section.key``; of the file, by "".

    >>> recipe_notes("# For testing.\\n\\n[vary]\\n# No copies.\\nspeeds = 0\\n")
    {'': ['# For testing.'], 'vary.speeds': ['# No copies.']}
    """
    out: dict[str, list[str]] = {}
    section, above = "", list[str]()
    for line in text.splitlines():
        if line.startswith("#"):
            above.append(line)
            continue
        if found := _SECTION.match(line):
            section = found[1]
        name = f"{section}.{key[1]}" if (key := _KEY.match(line)) else ""
        if above and (key or not section):
            out[name] = above
        above = []
    return out


def overridden(recipe: Recipe, settings: list[str]) -> Recipe:
    """A recipe with ``section.key=value`` settings laid over it."""
    return validated(with_settings(recipe.model_dump(mode="json"), settings))


def with_settings(values: dict[str, Any], settings: list[str]) -> dict[str, Any]:
    """Plain values with ``section.key=value`` settings laid over them.

    Raises `UsageError` for any other form.
    """
    for setting in settings:
        name, equals, text = setting.partition("=")
        section, dot, key = name.strip().partition(".")
        if not equals or not dot:
            raise UsageError(
                f"--set {setting}: expected section.key=value, such as ingest.clip_s=10"
            )
        values.setdefault(section, {})[key] = _value(text.strip())
    return values


def of_chosen_kinds(
    recipe: type[Record], values: dict[str, Any], ready: Mapping[str, Any]
) -> dict[str, Any]:
    """Sections without those of the `ready` recipe's own knobs that a record of another kind,
    chosen in its place (``bottleneck.kind=rvq``), does not have.
    """
    return {
        name: _of_its_kind(recipe, name, knobs, ready.get(name)) for name, knobs in values.items()
    }


def _of_its_kind(recipe: type[Record], section: str, knobs: Any, ready: Any) -> Any:
    if not isinstance(knobs, dict) or not ready or knobs.get("kind") == ready.get("kind"):
        return knobs
    for record in records_of(recipe.model_fields[section].annotation):
        fields = record.model_fields
        if "kind" in fields and fields["kind"].default == knobs.get("kind"):
            kept = (name for name in knobs if name in fields or knobs[name] != ready.get(name, ...))
            return {name: knobs[name] for name in kept}
    return knobs


def validated(values: dict[str, Any]) -> Recipe:
    """A recipe from plain values."""
    return validated_as(Recipe, values, "`obbligato recipe` prints every knob")


def validated_as(kind: type[R], values: dict[str, Any], advice: str) -> R:
    """A record from plain values.

    Raises `UsageError` that names each problem, and says where to look.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(_problem(kind, problem) for problem in error.errors())
        stop = "" if problems.endswith("?") else "."
        raise UsageError(f"recipe: {problems}{stop} {advice}") from error


def _problem(kind: type[Record], problem: ErrorDetails) -> str:
    """What is wrong with one knob, in words."""
    steps = located(kind, problem["loc"])
    name = ".".join(step.name for step in steps)
    if problem["type"] != "extra_forbidden":
        return f"{name}: {problem['msg']}" if name else problem["msg"]
    *sections, wrong = steps
    known = wrong.inside.model_fields if wrong.inside else {}
    holds_sections = any(records_of(field.annotation) for field in known.values())
    what = "section" if holds_sections else "knob"
    meant = get_close_matches(wrong.name, known, 1)
    if not meant:
        return f"{name} is not a {what}"
    right = ".".join([*(step.name for step in sections), *meant])
    return f"{name} is not a {what}; did you mean {right}?"


def _value(text: str) -> Any:
    """A TOML value, or the bare text where it is none."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def recipe_toml(
    recipe: Record, *, comments: bool, notes: Mapping[str, Sequence[str]] | None = None
) -> str:
    """A recipe as TOML that `load_recipe` reads back, with what each knob means above it.

    `notes` are those of the file that it came from.
    """
    noted = notes or {}
    lines = [*noted.get("", ()), *([""] if "" in noted else [])]
    for section in type(recipe).model_fields:
        inner: BaseModel = getattr(recipe, section)
        lines += [
            *([f"# {' '.join((type(inner).__doc__ or '').split())}"] if comments else []),
            f"[{section}]",
        ]
        for name, field in type(inner).model_fields.items():
            meant = f"# {field.description}"
            lines += [
                *([meant] if comments else []),
                *(note for note in noted.get(f"{section}.{name}", ()) if note != meant),
            ]
            value = getattr(inner, name)
            lines.append(f"# {name} is left out" if value is None else f"{name} = {_toml(value)}")
        lines.append("")
    return "\n".join(lines)


def _toml(value: Any) -> str:
    if isinstance(value, BaseModel):
        return _toml(dict(value))
    if isinstance(value, dict):
        return (
            "{"
            + ", ".join(f"{json.dumps(key)} = {_toml(inner)}" for key, inner in value.items())
            + "}"
        )
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml(inner) for inner in value) + "]"
    return json.dumps(value.value if isinstance(value, Enum) else value, ensure_ascii=False)
