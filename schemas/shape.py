"""The shape of a record as plain data, from which column types of other libraries follow."""

import types
from collections.abc import Sequence
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from schemas.errors import SchemaError

# "float", ["float"] is a list of them, {"name": …} a record
Shape = str | list["Shape"] | dict[str, "Shape"]
_SCALARS = {float: "float", int: "int", str: "string", bool: "bool"}


def shape_of(annotation: Any) -> Shape:
    """Shape of a type: scalar name, one-item list, or dict of the fields of a record, or of all
    records of a union.

    >>> from schemas.corpus import Song
    >>> shape_of(Song)
    {'song_id': 'string', 'rate_hz': 'int', 'channels': 'int', 'duration_s': 'float'}
    """
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [arm for arm in get_args(annotation) if arm is not type(None)]
        if len(inner) == 1:
            return shape_of(inner[0])
        return _side_by_side([shape_of(arm) for arm in inner], str(annotation))
    if hasattr(annotation, "__metadata__"):  # Annotated
        return shape_of(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        return shape_of(type(get_args(annotation)[0]))
    if get_origin(annotation) is tuple:
        return [shape_of(get_args(annotation)[0])]
    if isinstance(annotation, type):
        return _shape_of_class(annotation)
    raise SchemaError(f"{annotation} has no column type")


def _shape_of_class(kind: type) -> Shape:
    if issubclass(kind, BaseModel):
        return {name: shape_of(field.annotation) for name, field in kind.model_fields.items()}
    if issubclass(kind, Enum):
        return "string"
    if kind not in _SCALARS:
        raise SchemaError(f"{kind} has no column type")
    return _SCALARS[kind]


def _side_by_side(shapes: Sequence[Shape], name: str) -> Shape:
    """The columns of all records of a union; null in a row where they are another record's."""
    out: dict[str, Shape] = {}
    for shape in shapes:
        if not isinstance(shape, dict):
            raise SchemaError(f"{name} has no single column type")
        for field, inner in shape.items():
            if out.setdefault(field, inner) != inner:
                raise SchemaError(f"{name} has no single column type: records differ in `{field}`")
    return out


def features_of(annotation: Any) -> Any:
    """The shape as `datasets` writes features: ``{"dtype": "float64", "_type": "Value"}``, …."""
    return _features(shape_of(annotation))


def _features(shape: Shape) -> Any:
    if isinstance(shape, dict):
        return {name: _features(inner) for name, inner in shape.items()}
    if isinstance(shape, list):
        return {"feature": _features(shape[0]), "_type": "List"}
    return {"dtype": {"float": "float64", "int": "int64"}.get(shape, shape), "_type": "Value"}
