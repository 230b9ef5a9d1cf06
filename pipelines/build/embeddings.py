"""Tables of embeddings: unit vectors in half precision, a fixed number of cells each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.build.outputs import Job, Output
from pipelines.storage.arrow import read_table
from pipelines.storage.store import Published, parquet_bytes

Float32Array = npt.NDArray[np.float32]


class ClipEmbedding(NamedTuple):
    """A clip's unit vector, in half precision as it is stored, and its fingerprint."""

    clip_key: str
    vector: Float32Array
    fingerprint: npt.NDArray[np.uint32]


class EmbeddedText(NamedTuple):
    """One paraphrase: its sample, its index among the sample's, cosine similarity to the caption
    that it rewords, unit vector.
    """

    sample_key: str
    place: int
    similarity: float
    vector: Float32Array


@dataclass(frozen=True, kw_only=True)
class ClipEmbeddings(Output):
    """Where each clip lies in an embedder's space, and its fingerprint."""

    suffix: str = ".parquet"

    def read(self, job: Job, bucket: str = "") -> list[ClipEmbedding]:
        """Embeddings of a job's bucket, or another's, in key order."""
        table = read_table(job.store, self.file(bucket or job.bucket)).combine_chunks()
        if not len(table):
            return []
        prints = (np.frombuffer(cell, "<u4") for cell in table.column("fingerprint").to_pylist())
        return [
            ClipEmbedding(*row)
            for row in zip(
                table.column("clip_key").to_pylist(), _vectors(table), prints, strict=True
            )
        ]

    def write(self, job: Job, rows: Sequence[ClipEmbedding], dimension: int) -> Published:
        """Publish a bucket's embeddings, which have so many cells each."""
        keys = [row.clip_key for row in rows]
        vectors = [row.vector for row in rows]
        fingerprints = [row.fingerprint.astype("<u4").tobytes() for row in rows]
        columns = {
            "clip_key": pa.array(keys, pa.string()),
            "vector": _cells(vectors, dimension),
            "fingerprint": pa.array(fingerprints, pa.binary()),
        }
        return job.store.write_bytes(self.path(job), parquet_bytes(pa.table(columns)))


@dataclass(frozen=True, kw_only=True)
class TextEmbeddings(Output):
    """Where each paraphrase by a language model lies, and how near to what it rewords."""

    suffix: str = ".parquet"

    def read(self, job: Job) -> list[EmbeddedText]:
        """A bucket's embeddings, in the order in which they were written."""
        table = read_table(job.store, self.path(job)).combine_chunks()
        if not len(table):
            return []
        rest = (table.column(name).to_pylist() for name in ("sample_key", "place", "similarity"))
        return [EmbeddedText(*row) for row in zip(*rest, _vectors(table), strict=True)]

    def write(self, job: Job, rows: Sequence[EmbeddedText], dimension: int) -> Published:
        """Publish a bucket's embeddings, which have so many cells each."""
        keys = [row.sample_key for row in rows]
        places = [row.place for row in rows]
        similarities = [row.similarity for row in rows]
        vectors = [row.vector for row in rows]
        columns = [
            pa.array(keys, pa.string()),
            pa.array(places, pa.int32()),
            pa.array(similarities, pa.float32()),
            _cells(vectors, dimension),
        ]
        cells = pa.list_(pa.float16(), dimension)
        kinds = {
            "sample_key": pa.string(),
            "place": pa.int32(),
            "similarity": pa.float32(),
            "vector": cells,
        }
        return job.store.write_bytes(
            self.path(job),
            parquet_bytes(pa.Table.from_arrays(columns, schema=pa.schema(list(kinds.items())))),
        )


def _cells(vectors: Iterable[Float32Array], dimension: int) -> Any:
    """Vectors as a column."""
    held = list(vectors)
    stacked = np.stack(held) if held else np.zeros((0, dimension), np.float32)
    return pa.FixedSizeListArray.from_arrays(
        pa.array(stacked.astype(np.float16).reshape(-1)), dimension
    )


def _vectors(table: pa.Table) -> Float32Array:
    """The vectors of a table that has rows."""
    flat: Float32Array = table.column("vector").chunk(0).flatten().to_numpy().astype(np.float32)
    return flat.reshape(len(table), -1)
