"""The base of every record: frozen, strict about its fields, free of NaN and infinity."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

Confidence = Annotated[float, Field(ge=0.0, le=1.0)]
Seconds = Annotated[float, Field(ge=0.0)]
PositiveSeconds = Annotated[float, Field(gt=0.0)]
PitchClass = Annotated[int, Field(ge=0, le=11)]  # 0 = C … 11 = B


class Record(BaseModel):
    """A frozen pydantic model: extra keys are refused, and so are NaN and infinity."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True
    )

    def replaced(self, **fields: object) -> Self:
        """A copy with some fields replaced, validated again (pydantic's copy does not validate)."""
        return type(self).model_validate(
            {**{name: getattr(self, name) for name in type(self).model_fields}, **fields}
        )
