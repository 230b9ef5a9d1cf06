"""Recipes as files and flags: reading, overriding, and printing with a comment per knob."""

import json
import tomllib
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from flows.errors import UsageError
from schemas.recipe import Recipe


def load_recipe(path: Path | None, settings: list[str]) -> Recipe:
    """The recipe of a file (or the defaults), with ``section.key=value`` settings laid over it.

    Raises `UsageError` for a file that is no TOML, an unknown key or a value out of range, naming each.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text())
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"recipe {path}: {error}") from error
    return validated(_laid_over(values, settings))


def overridden(recipe: Recipe, settings: list[str]) -> Recipe:
    """A recipe with ``section.key=value`` settings laid over it."""
    return validated(_laid_over(recipe.model_dump(mode="json"), settings))


def _laid_over(values: dict[str, Any], settings: list[str]) -> dict[str, Any]:
    for setting in settings:
        name, equals, text = setting.partition("=")
        section, dot, key = name.strip().partition(".")
        if not equals or not dot:
            raise UsageError(f"--set {setting}: expected section.key=value, such as ingest.clip_s=10")
        values.setdefault(section, {})[key] = _value(text.strip())
    return values


def validated(values: dict[str, Any]) -> Recipe:
    """A recipe from plain values."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}" for problem in error.errors())
        raise UsageError(f"recipe: {problems}. `obbligato recipe` prints every knob") from error


def _value(text: str) -> Any:
    """A TOML value, or the bare text where it is none."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def recipe_toml(recipe: Recipe, *, comments: bool) -> str:
    """A recipe as TOML that `load_recipe` reads back, with what each knob means above it."""
    lines: list[str] = []
    for section in Recipe.model_fields:
        inner: BaseModel = getattr(recipe, section)
        lines += [*([f"# {type(inner).__doc__}"] if comments else []), f"[{section}]"]
        for name, field in type(inner).model_fields.items():
            lines += [f"# {field.description}"] if comments else []
            lines.append(f"{name} = {_toml(getattr(inner, name))}")
        lines.append("")
    return "\n".join(lines)


def _toml(value: Any) -> str:
    if isinstance(value, BaseModel):
        return _toml(dict(value))
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml(inner) for inner in value) + "]"
    return json.dumps(value.value if isinstance(value, Enum) else value, ensure_ascii=False)
