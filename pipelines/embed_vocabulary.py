"""Stage *embed_vocabulary*, over slices of the vocabularies: where each text lies in the embedder's space, computed once."""

from typing import Final

import numpy as np

from pipelines import clips
from pipelines.embed_audio import description, embedder_child, embedder_tools, per_call
from pipelines.isolation import Death
from pipelines.labelling import gathering
from pipelines.stage import Done, Job, Stage
from pipelines.tables import npy_bytes

FOLDER: Final = gathering.VECTORS


def embed_slice(job: Job) -> Done:
    """Vectors of a slice's texts in half precision, as one array that can be mapped into memory.

    A text that the embedder dies on has a vector of zeros, which is near to nothing: it is counted, and never a label.
    """
    recipe = job.recipe.label
    texts = gathering.read_slice(job.store, job.bucket)
    vectors = np.zeros((len(texts), description(job.recipe).dimension), np.float16)
    dead = 0
    with embedder_child(recipe, job.recipe.limits) as child:
        place = 0
        for batch in clips.batches(texts, per_call(recipe)):
            for vector in child.run("pipelines.embedding:embed_texts", batch, recipe):
                if isinstance(vector, Death) or not np.isfinite(vector).all():
                    dead += 1
                else:
                    vectors[place] = vector
                place += 1
            clips.progress(len(batch))
    file = job.store.write_bytes(f"{FOLDER}/{job.bucket}.npy", npy_bytes(vectors))
    return Done([file], {"texts": len(texts), "dead": dead})


STAGE: Final = Stage(
    "embed_vocabulary",
    FOLDER,
    1,
    ("label.embedder", "label.model", "label.device", "label.batch"),
    (gathering.FOLDER,),
    embed_slice,
    embedder_tools,
    asked=lambda recipe: recipe.labels,
)
