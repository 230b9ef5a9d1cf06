"""Stage *embed_vocabulary*, over slices of the vocabularies: where each text lies in the embedder's space, computed once."""

import io
from typing import Final

import numpy as np

from pipelines import clips
from pipelines.embed_audio import description, embedder_child, embedder_tools
from pipelines.isolation import Death
from pipelines.labelling import gathering
from pipelines.stage import Done, Job, Stage

FOLDER: Final = gathering.VECTORS
_CALLS: Final = 4  # batches per call of the child


def embed_slice(job: Job) -> Done:
    """Vectors of a slice's texts in half precision, as one array that can be mapped into memory.

    A text that the embedder dies on has a vector of zeros, which is near to nothing: it is counted, and never a label.
    """
    recipe = job.recipe.label
    texts = gathering.read_slice(job.store, job.bucket)
    vectors = np.zeros((len(texts), description(job.recipe).dimension), np.float16)
    dead = 0
    with embedder_child(recipe, job.recipe.limits) as child:
        for start in range(0, len(texts), _CALLS * recipe.batch):
            batch = texts[start : start + _CALLS * recipe.batch]
            for place, vector in enumerate(child.run("pipelines.embedding:embed_texts", batch, recipe), start=start):
                if isinstance(vector, Death) or not np.isfinite(vector).all():
                    dead += 1
                else:
                    vectors[place] = vector
            clips.progress(len(batch))
    content = io.BytesIO()
    np.save(content, vectors)
    file = job.store.write_bytes(f"{FOLDER}/{job.bucket}.npy", content.getvalue())
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
