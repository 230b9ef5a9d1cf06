"""Every output of a build, once: its folder, the kind of its files, and the record that a row of it
is.
"""

from typing import Final

import pyarrow as pa

from pipelines.build.embeddings import ClipEmbeddings, TextEmbeddings
from pipelines.build.outputs import Arrays, Document, Output, Partition, Shards, Table, Tar, Texts
from schemas.agreement import Relabelled
from schemas.build import Beginning, BucketPlan, IndexPlan, ListingPlan, VocabularyPlan
from schemas.corpus import (
    Assigned,
    Augmented,
    CandidateClip,
    Clip,
    CutInput,
    Encoded,
    Forgotten,
    InputRow,
    LedgerRow,
    Mixed,
    Probed,
    RefusedMix,
    SampleCaptions,
    Verdict,
)
from schemas.labels import Annotation, MovedLabels
from schemas.pseudo_label import Frequency, Labelled, Matched, NearDuplicate

# ending of the file that says that a bucket or slice of a folder is done
MARKER: Final = ".done.json"

# Over slices of the listing.
LISTING: Final = Table(folder="listing", record=InputRow, partition=Partition.LISTING)
PROBED: Final = Table(folder="probed", record=Probed, partition=Partition.LISTING)
CANDIDATES: Final = Table(folder="cut", record=CandidateClip, partition=Partition.LISTING)
CUT_INPUTS: Final = Table(
    folder="cut", suffix=".inputs.parquet", record=CutInput, partition=Partition.LISTING
)

# Over buckets of clips.
CLIPS: Final = Table(folder="clips", record=Clip)
ANNOTATIONS: Final = Table(folder="annotations", record=Annotation)
EMBEDDINGS: Final = ClipEmbeddings(folder="embeddings")
NEAR_DUPLICATES: Final = Table(folder="twins", record=NearDuplicate)
VERDICTS: Final = Table(folder="verdicts", record=Verdict)
VARIANTS: Final = Tar(folder="variants", record=Augmented)
MIXES: Final = Tar(folder="mixes", record=Mixed)
REFUSED_MIXES: Final = Table(folder="mixes", suffix=".refused.parquet", record=RefusedMix)
MOVED_LABELS: Final = Table(folder="moved_labels", record=MovedLabels)
LATENTS: Final = Tar(folder="latents", record=Encoded)
# apart from the latents: who reads these does not read past codes, and builds without codes are
# what they were
CODES: Final = Tar(folder="codes", record=Encoded)
CAPTIONS: Final = Table(folder="captions", record=SampleCaptions)
PARAPHRASES: Final = Table(folder="paraphrases", record=SampleCaptions)
TEXT_EMBEDDINGS: Final = TextEmbeddings(folder="text_embeddings")
TEXTS: Final = Table(folder="texts", record=SampleCaptions)
MATCHES: Final = Table(folder="matches", record=Matched)
FREQUENCIES: Final = Table(folder="frequencies", record=Frequency)
LABELS: Final = Table(folder="labels", record=Labelled)
SHARDS: Final = Shards(folder="shards")
LEDGER: Final = Table(folder="ledger", record=LedgerRow)
VERIFIED: Final = Table(folder="verified", record=Relabelled)

# Over slices of the vocabularies.
_TEXT_COLUMNS: Final = pa.schema(
    [("text", pa.string()), ("source", pa.string()), ("licence", pa.string())]
)
VOCABULARY: Final = Texts(folder="vocabulary", partition=Partition.VOCABULARY, schema=_TEXT_COLUMNS)
VOCABULARY_VECTORS: Final = Arrays(folder="vocabulary_vectors", partition=Partition.VOCABULARY)

# Of the whole build.
# one for each way of dividing songs
ASSIGNED: Final = Table(folder="assigned", record=Assigned, partition=Partition.WHOLE)
VOCABULARY_INDEXES: Final = Output(
    folder="vocabulary_index", suffix=".faiss", partition=Partition.WHOLE
)
VERSIONS: Final = Output(folder="versions", suffix=".json", partition=Partition.WHOLE)
# what people set right, a file a song: an input, which no step writes
CORRECTIONS: Final = "corrections"
# what `obbligato review --refit` fitted to them, a file each: an input as well
CALIBRATIONS: Final = "calibrations"
# the ledger's table of inputs, and the marker that vouches for it and for where songs stand
INPUTS: Final = "inputs"
INPUT_LEDGER: Final = LEDGER.file(INPUTS)

LISTING_PLAN: Final = Document(name="listing/plan.json", record=ListingPlan)
BUCKET_PLAN: Final = Document(name="clips/plan.json", record=BucketPlan)
VOCABULARY_PLAN: Final = Document(name="vocabulary/plan.json", record=VocabularyPlan)
INDEX_PLAN: Final = Document(name="vocabulary_index/plan.json", record=IndexPlan)
# songs that were taken out for good: no build brings them back
FORGOTTEN: Final = Document(name="ledger/forgotten.json", record=Forgotten)
FORGOTTEN_CODE: Final = "forgotten"  # in the ledger, and what its file's name begins with
# vouches for the sources and the recipe that a build was begun with
BEGUN: Final = Document(name="begun.json", record=Beginning)
PLAN: Final = "plan"  # what a plan's name begins with, beside the files of buckets or slices
SOURCES: Final = "sources.json"
RECIPE: Final = "recipe.toml"
DATASET: Final = "dataset.json"  # of a build: its totals, versions, and shards in force
CARD: Final = "README.md"

OUTPUTS: Final[tuple[Output, ...]] = tuple(
    value for value in list(globals().values()) if isinstance(value, Output)
)
# folders that hold what others have dropped
TAKEN_OVER: Final = {SHARDS.folder: (VARIANTS.folder, MIXES.folder)}


def folders_of(partition: Partition) -> tuple[str, ...]:
    """Folders with files of each bucket, or each slice."""
    return tuple(
        dict.fromkeys(output.folder for output in OUTPUTS if output.partition is partition)
    )
