"""What of a net is learned, where not all of it is."""

from typing import Final

from pydantic import Field

from schemas.record import Record

LOADED: Final = "loaded"  # among frozen parts: all that a run began with


class AdapterRecipe(Record):
    """A low-rank adapter, and frozen parts, for a run that begins with another's weights."""

    rank: int = Field(
        0,
        ge=0,
        le=4096,
        description=(
            "Rank of the change that is learned of each target, all loaded weights being frozen "
            "(LoRA, Hu et al. 2021). 0: no such change."
        ),
    )
    alpha: float | None = Field(
        None, gt=0, description="The change counts alpha / rank times. None: as the rank, once."
    )
    targets: tuple[str, ...] = Field(
        ("query", "key", "value", "out"),
        min_length=1,
        description=(
            "Linear maps that are changed, by the last parts of their names: of the attention, as "
            "in the paper; widen, narrow for the feed-forward too. A dit's frames look at each "
            "other by self_attention.enter, self_attention.leave; for released transformers: to_q, "
            "to_k, to_v, to_out.0."
        ),
    )
    frozen: tuple[str, ...] = Field(
        (),
        description=(
            "Parts that do not learn: loaded for all that the run began with, so that new frame "
            "rows learn alone; or beginnings of names, such as munet.down."
        ),
    )

    @property
    def is_used(self) -> bool:
        """Whether anything of the net does not learn."""
        return bool(self.rank or self.frozen)

    @property
    def scale(self) -> float:
        """How many times the low-rank change counts.

        >>> AdapterRecipe(rank=8).scale, AdapterRecipe(rank=8, alpha=16).scale
        (1.0, 2.0)
        """
        return self.alpha / self.rank if self.alpha and self.rank else 1.0
