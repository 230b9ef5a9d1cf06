"""What the plans of a build say: which buckets and slices there are, and how large each is."""

from collections.abc import Callable, Mapping
from typing import Final

from pipelines.build.outputs import Partition
from pipelines.build.tables import (
    BUCKET_PLAN,
    INDEX_PLAN,
    LISTING_PLAN,
    VOCABULARY_INDEXES,
    VOCABULARY_PLAN,
)
from pipelines.errors import PipelineError
from pipelines.storage.store import Store
from schemas.build import BucketPlan, InputTotals, Vocabulary, VocabularyPlan

_MOST: Final = 0.05  # of what is in force may go without `--shrink`


class Shrinks(PipelineError):
    """A run would remove more than it may without `--shrink`."""


def check_shrinking(gone: int, in_force: int, what: str, why: str) -> None:
    """Raise `Shrinks` where more than one and more than 5 % of what is in force would go.

    `what` names it, `why` says how that is seen.

    >>> check_shrinking(5, 100, "songs", ""), check_shrinking(1, 2, "songs", "")
    (None, None)
    """
    if gone > 1 and gone > _MOST * in_force:
        raise Shrinks(
            f"this run would remove {gone} of the {in_force} {what} in force "
            f"({gone / in_force:.0%}): {why}. What is in force stands as it was. Mend the sources "
            "and run again; or, if it is meant, run with --shrink (in a flow: shrink = true)"
        )


def read_plan(store: Store) -> BucketPlan:
    """Where clips were put. Raises `Damaged`, and `FileNotFoundError` before they are."""
    return BUCKET_PLAN.read(store)


def clip_counts(store: Store) -> dict[str, int]:
    """Buckets in order, with their clips. Raises as `read_plan`."""
    return read_plan(store).clips


def read_listing(store: Store) -> dict[str, int]:
    """Slices of the listing that stands, with their rows.

    Raises `Damaged`, and `FileNotFoundError` before anything is listed.
    """
    return LISTING_PLAN.read(store).slices


def gathered(store: Store) -> VocabularyPlan:
    """The vocabularies of a build.

    Raises `Damaged`, and `PipelineError` before they are gathered.
    """
    if not VOCABULARY_PLAN.exists(store):
        raise PipelineError(
            f"{store.url}: its vocabularies are not gathered; run `obbligato label`"
        )
    return VOCABULARY_PLAN.read(store)


def slice_sizes(store: Store) -> dict[str, int]:
    """Slices of all vocabularies in order, with their texts. Raises as `gathered`."""
    return gathered(store).slices


_SIZES: Final[Mapping[Partition, Callable[[Store], dict[str, int]]]] = {
    Partition.LISTING: read_listing,
    Partition.BUCKETS: clip_counts,
    Partition.VOCABULARY: slice_sizes,
}


def sizes_of(partition: Partition, store: Store) -> dict[str, int]:
    """Buckets or slices in order, with their sizes: in inputs, clips or texts.

    Raises `FileNotFoundError` before they are known.
    """
    return _SIZES[partition](store)


def indexed(store: Store) -> dict[str, str]:
    """Files of all indexes, with their SHA-256.

    Raises `Damaged`, and `FileNotFoundError` before they are made.
    """
    return INDEX_PLAN.read(store).files


def index_name(vocabulary: Vocabulary) -> str:
    """File of a vocabulary's index."""
    return VOCABULARY_INDEXES.file(vocabulary.slices[0].rpartition("-")[0])


def check_inputs(totals: InputTotals) -> None:
    """Raise unless in = used + duplicate + rejected + dead + ignored."""
    ended = sum(totals.ended.values())
    if totals.listed != ended:
        mismatch = f"{totals.listed} listed, but {ended} accounted for ({totals.counts})"
        raise PipelineError(f"inputs: {mismatch}; this is a defect, please report it")
