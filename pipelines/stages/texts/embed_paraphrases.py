"""Stage *embed*: where a language model's paraphrases lie in MiniLM's space, and how near to the
captions that they reword.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa

from pipelines.embedders import Vectors, minilm
from pipelines.engine import bucket
from pipelines.engine.child_process import Death
from pipelines.engine.stage import Done, Job, Stage
from pipelines.paraphrasing.work import FOLDER as PARAPHRASES
from pipelines.paraphrasing.work import to_reword
from pipelines.storage.arrow import read_table
from pipelines.storage.store import Published, parquet_bytes
from schemas.corpus import Captioned
from schemas.recipe import Recipe, Writer

FOLDER: Final = "text_embeddings"
_SCHEMA: Final = pa.schema(
    [
        ("sample_key", pa.string()),
        ("place", pa.int32()),
        ("similarity", pa.float32()),
        ("vector", pa.list_(pa.float16(), minilm.DIMENSION)),
    ]
)
_BATCH: Final = 256  # texts per call of the child


class Embedded(NamedTuple):
    """One paraphrase: its sample, its place among the sample's, cosine similarity to the caption
    that it rewords, unit vector.
    """

    sample_key: str
    place: int
    similarity: float
    vector: Vectors


def embed_bucket(job: Job) -> Done:
    """Embed a bucket's paraphrases by a language model; those by rules keep the source's words and
    need no measure of meaning.
    """
    rows = [
        (row.sample_key, place, caption.text)
        for row in job.store.read_records(f"{PARAPHRASES}/{job.bucket}.parquet", Captioned)
        for place, caption in enumerate(row.captions)
        if caption.writer
    ]
    controls = {key: caption.text for key, caption in to_reword(job).items()} if rows else {}
    texts = sorted({text for _, _, text in rows} | {controls[key] for key, _, _ in rows})
    vectors = _embedded(job, texts)
    found = [
        Embedded(key, place, round(float(vectors[text] @ vectors[controls[key]]), 3), vectors[text])
        for key, place, text in rows
        if text in vectors and controls[key] in vectors
    ]
    bucket.progress(len(bucket.read(job)))
    return Done([write(job, found)], {"embedded": len(found), "dead": len(rows) - len(found)})


def _embedded(job: Job, texts: Sequence[str]) -> dict[str, Vectors]:
    """Vectors by text, in half precision as stored; a text that kills the child has none."""
    out: dict[str, Vectors] = {}
    if not texts:
        return out
    with bucket.child(job.recipe.limits) as child:
        for batch in bucket.batches(texts, _BATCH):
            for text, vector in zip(
                batch,
                child.run("pipelines.stages.texts.embed_paraphrases:embed", batch, None),
                strict=True,
            ):
                if not isinstance(vector, Death):
                    out[text] = vector.astype(np.float16).astype(np.float32)
    return out


def embed(texts: Sequence[str], _context: None) -> list[Vectors]:
    """One vector per text; runs in a worker's child."""
    return list(minilm.embedded(texts))


def write(job: Job, rows: Sequence[Embedded]) -> Published:
    """Publish a bucket's embeddings."""
    vectors = (
        np.stack([row.vector for row in rows])
        if rows
        else np.zeros((0, minilm.DIMENSION), np.float32)
    )
    flat = pa.array(vectors.astype(np.float16).reshape(-1))
    columns = [
        pa.array([row.sample_key for row in rows], pa.string()),
        pa.array([row.place for row in rows], pa.int32()),
        pa.array([row.similarity for row in rows], pa.float32()),
        pa.FixedSizeListArray.from_arrays(flat, minilm.DIMENSION),
    ]
    return job.store.write_bytes(
        f"{FOLDER}/{job.bucket}.parquet",
        parquet_bytes(pa.Table.from_arrays(columns, schema=_SCHEMA)),
    )


def read(job: Job) -> list[Embedded]:
    """A bucket's embeddings, in the order in which they were written."""
    table = read_table(job.store, f"{FOLDER}/{job.bucket}.parquet").combine_chunks()
    if not len(table):
        return []
    flat = table.column("vector").chunk(0).flatten().to_numpy().astype(np.float32)
    rest = (table.column(name).to_pylist() for name in ("sample_key", "place", "similarity"))
    return [Embedded(*row) for row in zip(*rest, flat.reshape(-1, minilm.DIMENSION), strict=True)]


def tools(recipe: Recipe) -> dict[str, str]:
    """MiniLM's weights, where there is something to embed."""
    return {minilm.NAME: minilm.checksum()} if recipe.caption.paraphraser is Writer.OPENAI else {}


STAGE: Final = Stage(
    "embed", FOLDER, 1, (), ("clips", "captions", PARAPHRASES), embed_bucket, tools
)
