"""The shape of a record as plain data, from which column types of other libraries follow."""

import types
from enum import Enum
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from schemas.errors import SchemaError

# "float", ["float"] is a list of them, {"name": …} a record
Shape = str | list["Shape"] | dict[str, "Shape"]
_SCALARS = {float: "float", int: "int", str: "string", bool: "bool"}


def shape_of(annotation: Any) -> Shape:
    """Shape of a type: scalar name, one-item list, or dict of a record's fields.

    >>> from schemas.corpus import Song
    >>> shape_of(Song)
    {'song_id': 'string', 'rate_hz': 'int', 'channels': 'int', 'duration_s': 'float'}
    """
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [arm for arm in get_args(annotation) if arm is not type(None)]
        if len(inner) != 1:
            raise SchemaError(f"{annotation} has no single column type")
        return shape_of(inner[0])
    if hasattr(annotation, "__metadata__"):  # Annotated
        return shape_of(get_args(annotation)[0])
    if get_origin(annotation) is tuple:
        return [shape_of(get_args(annotation)[0])]
    if isinstance(annotation, type):
        if issubclass(annotation, BaseModel):
            return {
                name: shape_of(field.annotation) for name, field in annotation.model_fields.items()
            }
        if issubclass(annotation, Enum):
            return "string"
        if annotation in _SCALARS:
            return _SCALARS[annotation]
    raise SchemaError(f"{annotation} has no column type")


def features_of(annotation: Any) -> Any:
    """The shape as `datasets` writes features: ``{"dtype": "float64", "_type": "Value"}``, …."""
    return _features(shape_of(annotation))


def _features(shape: Shape) -> Any:
    if isinstance(shape, dict):
        return {name: _features(inner) for name, inner in shape.items()}
    if isinstance(shape, list):
        return {"feature": _features(shape[0]), "_type": "List"}
    return {"dtype": {"float": "float64", "int": "int64"}.get(shape, shape), "_type": "Value"}
