"""How masked codes are filled in, in rounds: what samplers are to noise, for models of codes."""

from pydantic import Field

from schemas.record import Record


class RoundsConfig(Record):
    """How codes are filled in: in each round the surest of what was drawn stay."""

    coarse_rounds: int = Field(
        24, ge=1, le=1000, description="Rounds for the coarse books. VampNet: 36."
    )
    fine_rounds: int = Field(
        8, ge=1, le=1000, description="Rounds for the finer ones. VampNet: 24 to 36 in all."
    )
    temperature: float = Field(
        1.0, gt=0, le=10, description="Of the entries that are drawn: lower is likelier."
    )
    choice: float = Field(
        4.5,
        ge=0,
        le=100,
        description=(
            "Noise beside the logarithms of chances by which the surest are chosen, which goes "
            "down to none. MaskGIT: 4.5."
        ),
    )
    guidance: float = Field(
        2.0,
        ge=0,
        le=100,
        description="How far away from what is likely without text and controls. 1: no guidance.",
    )
