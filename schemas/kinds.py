"""Unions of records that are told apart by their field `kind`."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, Discriminator


def kind_or(default: str) -> Discriminator:
    """Tells records of a union apart; one that names no kind is of the default's."""

    def kind(value: object) -> str:
        if isinstance(value, Mapping):
            return str(value.get("kind", default))
        return str(getattr(value, "kind", default))

    return Discriminator(kind)


def records_of(annotation: Any) -> list[type[BaseModel]]:
    """The records that an annotation names: one, those of a union, or none."""
    if isinstance(annotation, type):
        return [annotation] if issubclass(annotation, BaseModel) else []
    found: list[type[BaseModel]] = []
    for inner in get_args(annotation):
        found += records_of(inner)
    return found


class LocationStep(NamedTuple):
    """A step of the way to a value: its name, and the record that it is a name in, if any."""

    name: str
    inside: type[BaseModel] | None


def located(record: type[BaseModel], location: Sequence[int | str]) -> list[LocationStep]:
    """The way to a problem that pydantic has found in a record, as a user would write it.

    Where records of several kinds may stand, pydantic names the kind as a step: it is left out.
    """
    steps: list[LocationStep] = []
    inside: type[BaseModel] | None = record
    kinds: dict[str, type[BaseModel]] = {}
    for name in map(str, location):
        if name in kinds:
            inside, kinds = kinds[name], {}
            continue
        steps.append(LocationStep(name, inside))
        field = inside.model_fields.get(name) if inside else None
        records = records_of(field.annotation) if field else []
        inside = records[0] if records else None
        if len(records) > 1:
            kinds = {one.model_fields["kind"].default: one for one in records}
    return steps
