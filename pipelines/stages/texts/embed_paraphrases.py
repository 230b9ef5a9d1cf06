"""Stage *embed_paraphrases*: where a language model's paraphrases lie in MiniLM's space, and how
near to the captions that they reword.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from pipelines.build.embeddings import EmbeddedText
from pipelines.build.markers import Done
from pipelines.build.outputs import Job
from pipelines.build.tables import CAPTIONS, CLIPS, PARAPHRASES, TEXT_EMBEDDINGS
from pipelines.embedders import Vectors, minilm
from pipelines.engine import bucket
from pipelines.engine.child_process import Death
from pipelines.engine.stage import Stage
from pipelines.paraphrasing.work import to_reword
from schemas.recipe import Paraphraser, Recipe

_BATCH: Final = 256  # texts per call of the child


def embed_bucket(job: Job) -> Done:
    """Embed a bucket's paraphrases by a language model.

    Those by rules keep the source's words and need no measure of meaning.
    """
    rows = [
        (row.sample_key, index, caption.text)
        for row in PARAPHRASES.read(job)
        for index, caption in enumerate(row.captions)
        if caption.writer
    ]
    controls = {key: caption.text for key, caption in to_reword(job).items()} if rows else {}
    texts = {text for _, _, text in rows}
    texts |= {controls[key] for key, _, _ in rows}
    vectors = _embedded(job, sorted(texts))
    found = [
        EmbeddedText(
            key, index, round(float(vectors[text] @ vectors[controls[key]]), 3), vectors[text]
        )
        for key, index, text in rows
        if text in vectors and controls[key] in vectors
    ]
    bucket.progress(len(CLIPS.read(job)))
    return Done(
        [TEXT_EMBEDDINGS.write(job, found, minilm.DIMENSION)],
        {"embedded": len(found), "dead": len(rows) - len(found)},
    )


def _embedded(job: Job, texts: Sequence[str]) -> dict[str, Vectors]:
    """Vectors by text, in half precision as stored; a text that kills the child has none."""
    out: dict[str, Vectors] = {}
    if not texts:
        return out
    with bucket.child(job.recipe.limits) as child:
        for batch in bucket.batches(texts, _BATCH):
            for text, vector in zip(batch, child.run(embed, batch, None), strict=True):
                if not isinstance(vector, Death):
                    out[text] = vector.astype(np.float16).astype(np.float32)
    return out


def embed(texts: Sequence[str], _context: None) -> list[Vectors]:
    """One vector per text; runs in a worker's child."""
    return list(minilm.embedded(texts))


def tools(recipe: Recipe) -> dict[str, str]:
    """MiniLM's weights, where there is something to embed."""
    return (
        {minilm.NAME: minilm.checksum()} if recipe.caption.paraphraser is Paraphraser.OPENAI else {}
    )


STAGE: Final = Stage(
    name="embed_paraphrases",
    version=1,
    reads=(CLIPS, CAPTIONS, PARAPHRASES),
    writes=(TEXT_EMBEDDINGS,),
    run=embed_bucket,
    tools=tools,
)
