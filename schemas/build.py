"""What a build remembers of itself: the plans that its steps go by, and the markers that say what
is done.
"""

from typing import Any

from pydantic import ConfigDict, Field, model_serializer

from schemas.counts import Counts
from schemas.record import Record
from schemas.shard import Count, Sha256
from schemas.vocabulary import Form, FormCounts


class Remembered(Record):
    """A record that a later version may say more in."""

    model_config = ConfigDict(extra="ignore")


class FileFacts(Remembered):
    """What a marker says of a file.

    One that was `dropped` is gone on purpose: a later step has taken it over.
    """

    bytes: Count
    sha256: Sha256
    dropped: bool = False


class Marker(Remembered):
    """What says that a bucket of a step is done: always the last file written."""

    fingerprint: str
    files: dict[str, FileFacts]  # by their names in the build
    counts: Counts
    # on whose vector instructions the last bits of floats may depend; recorded, never matched
    cpu: str = ""

    def as_json(self) -> dict[str, Any]:
        """As it is written: what is as usual is left out."""
        return self.model_dump(mode="json", exclude_defaults=True)

    @property
    def hashed_files(self) -> dict[str, Any]:
        """Its files as they are written, to be hashed."""
        return {
            name: facts.model_dump(mode="json", exclude_defaults=True)
            for name, facts in self.files.items()
        }


class ListingPlan(Remembered):
    """Slices of the listing, with their rows."""

    slices: dict[str, int]


class InputTotals(Remembered):
    """How many inputs were listed, and how many of them ended how.

    >>> InputTotals(listed=3, used=2, dead=1).model_dump()
    {'in': 3, 'dead': 1, 'used': 2}
    """

    model_config = ConfigDict(extra="ignore", validate_by_name=True, validate_by_alias=True)

    listed: int = Field(0, alias="in")
    dead: int = 0
    duplicate: int = 0
    ignored: int = 0
    rejected: int = 0
    used: int = 0

    @property
    def ended(self) -> dict[str, int]:
        """Inputs by how they ended; nothing of an end that none had."""
        counts = {name: getattr(self, name) for name in type(self).model_fields if name != "listed"}
        return {name: count for name, count in counts.items() if count}

    @property
    def counts(self) -> dict[str, int]:
        """All of it as counts by name, as markers and cards have them."""
        return {"in": self.listed, **self.ended}

    @model_serializer
    def _as_counts(self) -> dict[str, int]:
        return self.counts


class BucketPlan(Remembered):
    """Where clips were put: buckets in order, clips of each, and the fingerprint of each bucket's
    clips.
    """

    fingerprint: str  # empty while files are being replaced: the next run must do it all
    buckets: tuple[str, ...]
    clips: dict[str, int]
    markers: dict[str, str]
    inputs: InputTotals
    disagreeing_groups: int


class Vocabulary(Record):
    """Texts of one form from one file, and the slices that they lie in, in order."""

    name: str
    form: Form
    rows: int
    slices: tuple[str, ...]


class VocabularyPlan(Remembered):
    """The vocabularies of a build: slices with their texts, and what became of the texts of each
    file and form.
    """

    fingerprint: str
    content: str  # a hash of all texts
    counts: dict[str, dict[str, FormCounts]]
    slices: dict[str, int]
    vocabularies: tuple[Vocabulary, ...]


class IndexPlan(Remembered):
    """Approximate indexes of vocabularies: their files with SHA-256, how many there are, and of how
    many texts.
    """

    fingerprint: str
    files: dict[str, Sha256]
    indexes: int
    texts: int


class Beginning(Record):
    """What a build was begun with: its sources and its recipe, by file and SHA-256."""

    files: dict[str, Sha256]
