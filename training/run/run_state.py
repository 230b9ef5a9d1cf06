"""What a checkpoint's state.json says of a run: how far it is, and what its weights come from."""

from typing import Any

from pydantic import Field

from schemas.record import Record


class Parent(Record):
    """Weights that a run began with: somebody's published ones, or a checkpoint of another run."""

    name: str
    address: str  # of the folder or checkpoint, as it was then; or an id on a hub
    sha256: str  # of the file that holds the weights
    licence: str = ""  # of the weights, which training does not change; empty for a run of ours
    is_teacher: bool = False  # a student was distilled from it, and began as it


class RunState(Record):
    """What state.json says."""

    step: int = Field(ge=0)
    samples: int = Field(0, ge=0)
    unusable: int = Field(0, ge=0)
    skipped: int = Field(0, ge=0)  # steps that were left out, their losses being no numbers
    order: int = 1  # version of the order that samples came in (`data.order.ORDER_VERSION`)
    torch: str = ""
    obbligato: str = ""
    text: str = ""  # of predictors alone: the encoder whose states they read
    validation: dict[str, Any] = Field({})  # of predictors alone: what they got wrong
    # what the weights come from, the oldest first; none where they began at random
    parents: tuple[Parent, ...] = ()
    # SHA-256 by name, of its own the seal; empty in checkpoints from before they were kept
    files: dict[str, str] = Field({})
