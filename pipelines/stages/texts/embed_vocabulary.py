"""Stage *embed_vocabulary*, over slices of the vocabularies: where each text lies in the embedder's
space, computed once.
"""

from typing import Final

import numpy as np

from pipelines.build.markers import Done
from pipelines.build.outputs import Job
from pipelines.build.tables import VOCABULARY, VOCABULARY_VECTORS
from pipelines.embedders.child import embed_texts
from pipelines.embedders.recipe_embedder import (
    TEXTS_VERSION,
    description,
    embedder_child,
    embedder_tools,
    per_call,
)
from pipelines.engine import bucket
from pipelines.engine.child_process import Death
from pipelines.engine.stage import Stage


def embed_slice(job: Job) -> Done:
    """Vectors of a slice's texts in half precision, as one array that can be mapped into memory.

    A text that the embedder dies on has a vector of zeros, which is near to nothing: it is counted,
    and never a label.
    """
    recipe = job.recipe.label
    texts = VOCABULARY.read_column(job.store, job.bucket, "text")
    vectors = np.zeros((len(texts), description(job.recipe).dimension), np.float16)
    dead = 0
    with embedder_child(recipe, job.recipe.limits) as child:
        index = 0
        for batch in bucket.batches(texts, per_call(recipe)):
            for vector in child.run(embed_texts, batch, recipe):
                if isinstance(vector, Death) or not np.isfinite(vector).all():
                    dead += 1
                else:
                    vectors[index] = vector
                index += 1
            bucket.progress(len(batch))
    return Done([VOCABULARY_VECTORS.write(job, vectors)], {"texts": len(texts), "dead": dead})


STAGE: Final = Stage(
    name="embed_vocabulary",
    version=TEXTS_VERSION,
    reads=(VOCABULARY,),
    writes=(VOCABULARY_VECTORS,),
    knobs=("label.embedder", "label.model", "label.device", "label.batch"),
    run=embed_slice,
    tools=embedder_tools,
    enabled=lambda recipe: recipe.labels,
)
