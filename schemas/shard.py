"""What stands beside shards: the index of one, and what dataset.json says of all."""

from itertools import pairwise
from typing import Annotated, Any, Final, Self

from pydantic import ConfigDict, Field, model_validator

from schemas.errors import SchemaError
from schemas.identity import Split
from schemas.record import Record, Seconds

BLOCK: Final = 512  # bytes of a tar's block, at whose bounds all headers stand
Count = Annotated[int, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ShardIndex(Record):
    """The JSON beside a shard.

    `offsets` say where each sample's first header stands, and where the last sample ends.
    """

    model_config = ConfigDict(extra="ignore")  # later versions may say more

    count: Count
    bytes: Count
    sha256: Sha256
    keys: tuple[str, ...]
    # none in an index from before it was written, as with `offsets`
    duration_s: Seconds | None = None
    offsets: tuple[int, ...] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.offsets is None:
            return self
        if len(self.offsets) != self.count + 1:
            raise SchemaError(
                f"offsets: {len(self.offsets)} of them for "
                f"{self.count} samples; expected one more than samples"
            )
        if (
            self.offsets[0] < 0
            or self.offsets[-1] > self.bytes
            or any(before >= after for before, after in pairwise(self.offsets))
        ):
            raise SchemaError(
                f"offsets must ascend from 0 on, up to the shard's {self.bytes} bytes"
            )
        if any(offset % BLOCK for offset in self.offsets):
            raise SchemaError(f"offsets must be whole blocks of {BLOCK} bytes")
        return self


class ListedShard(Record):
    """A shard as dataset.json lists it; none for what it does not say."""

    model_config = ConfigDict(extra="ignore")

    file: str
    split: Split | None = None
    count: Count | None = None
    bytes: Count | None = None
    sha256: Sha256 | None = None


class Licences(Record):
    """Clips by the licence of their source, and the licence of each tool that labelled them."""

    model_config = ConfigDict(extra="ignore")

    sources: dict[str, int] = Field(default_factory=dict)
    tools: dict[str, str] = Field(default_factory=dict)


class DatasetFile(Record):
    """What is read of a build's dataset.json by those who did not make it."""

    model_config = ConfigDict(extra="ignore")

    name: str = ""
    obbligato: str = ""
    licences: Licences = Licences()
    latents: dict[str, Any] | None = None
    codes: dict[str, Any] | None = None
    shards: tuple[ListedShard, ...] | None = None
