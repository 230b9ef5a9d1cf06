"""Stage *embed_vocabulary*, over slices of the vocabularies: where each text lies in the embedder's
space, computed once.
"""

from typing import Final

import numpy as np

from pipelines.engine import bucket
from pipelines.engine.child_process import Death
from pipelines.engine.stage import Done, Job, Stage
from pipelines.stages.labels.embed_audio import (
    description,
    embedder_child,
    embedder_tools,
    per_call,
)
from pipelines.stages.texts import gather_vocabulary
from pipelines.storage.arrow import npy_bytes

FOLDER: Final = gather_vocabulary.VECTORS


def embed_slice(job: Job) -> Done:
    """Vectors of a slice's texts in half precision, as one array that can be mapped into memory.

    A text that the embedder dies on has a vector of zeros, which is near to nothing: it is counted,
    and never a label.
    """
    recipe = job.recipe.label
    texts = gather_vocabulary.read_slice(job.store, job.bucket)
    vectors = np.zeros((len(texts), description(job.recipe).dimension), np.float16)
    dead = 0
    with embedder_child(recipe, job.recipe.limits) as child:
        place = 0
        for batch in bucket.batches(texts, per_call(recipe)):
            for vector in child.run("pipelines.embedders.child:embed_texts", batch, recipe):
                if isinstance(vector, Death) or not np.isfinite(vector).all():
                    dead += 1
                else:
                    vectors[place] = vector
                place += 1
            bucket.progress(len(batch))
    file = job.store.write_bytes(f"{FOLDER}/{job.bucket}.npy", npy_bytes(vectors))
    return Done([file], {"texts": len(texts), "dead": dead})


STAGE: Final = Stage(
    "embed_vocabulary",
    FOLDER,
    1,
    ("label.embedder", "label.model", "label.device", "label.batch"),
    (gather_vocabulary.FOLDER,),
    embed_slice,
    embedder_tools,
    asked=lambda recipe: recipe.labels,
)
