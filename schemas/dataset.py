"""What dataset.json says: the face of a build, which cards, screens, flows and training read."""

from typing import Any

from pydantic import (
    SerializerFunctionWrapHandler,
    field_serializer,
    field_validator,
    model_serializer,
)

from schemas.agreement import KindAgreement
from schemas.build import InputTotals, Remembered
from schemas.codec import CodecFacts, CodeFacts
from schemas.counts import Counts
from schemas.identity import Split
from schemas.record import Record, Seconds
from schemas.shard import Count, Sha256
from schemas.vocabulary import FormCounts


class SampleTotals(Record):
    """Samples that were planned, and how they ended: planned = written + rejected + dead."""

    planned: int = 0
    written: int = 0
    rejected: int = 0
    dead: int = 0


class SplitTotals(Record):
    """What stands in the shards of one split."""

    samples: int
    hours: float
    shards: int


class DatasetShard(Record):
    """A shard in force."""

    file: str
    split: Split
    count: Count
    bytes: Count
    duration_s: Seconds
    sha256: Sha256


class LicenceTotals(Record):
    """Clips by the licence of their source, how many different ones there are, and the licence of
    each tool that labelled them.
    """

    distinct: int
    sources: dict[str, int]
    tools: dict[str, str]


class EmbedderFacts(Record):
    """The embedder that the clips were embedded by."""

    name: str
    version: str
    licence: str
    dimension: int


class PseudoLabelTotals(Record):
    """The embedder, and where clips are labelled, what became of the vocabularies' texts."""

    embedder: EmbedderFacts
    vocabularies: dict[str, dict[str, FormCounts]] | None = None
    texts: int | None = None
    texts_dead: int | None = None

    @model_serializer(mode="wrap")
    def _without_none(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value is not None}


class Dataset(Remembered):
    """What a build holds.

    `stages` has the counts of each step over buckets, by name; `groups` those of each split, and
    the disagreeing.
    """

    name: str
    obbligato: str
    schema_version: int
    inputs: InputTotals
    samples: SampleTotals
    splits: dict[str, SplitTotals]
    stages: dict[str, Counts]
    groups: dict[str, int]
    licences: LicenceTotals
    tools: dict[str, str]
    pseudo_labels: PseudoLabelTotals | None
    latents: CodecFacts | None
    codes: CodeFacts | None = None  # left out where samples have none, as in builds from before
    agreement: dict[str, KindAgreement]
    shards: tuple[DatasetShard, ...]

    @field_serializer("pseudo_labels", "latents")
    def _empty_for_none(self, value: Record | None) -> dict[str, Any]:
        return {} if value is None else value.model_dump(mode="json")

    @field_validator("pseudo_labels", "latents", mode="before")
    @classmethod
    def _none_for_empty(cls, value: Any) -> Any:
        return value or None

    def as_json(self) -> dict[str, Any]:
        """As it is written."""
        return self.model_dump(mode="json", exclude={"codes"} if self.codes is None else None)
