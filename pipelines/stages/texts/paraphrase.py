"""Stage *paraphrase*: other words for each control caption, by rules or by a language model, none
with other facts.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from pipelines.build.markers import Done
from pipelines.build.outputs import Job
from pipelines.build.tables import CAPTIONS, CLIPS, MOVED_LABELS, PARAPHRASES
from pipelines.captioning.judging import faults
from pipelines.captioning.paraphrase import paraphrased
from pipelines.engine import bucket
from pipelines.engine.stage import RunAll, Stage
from pipelines.paraphrasing.by_model import paraphrase_together
from pipelines.paraphrasing.conversation import PROMPT_VERSION, Rewording, landed_caption
from pipelines.paraphrasing.work import Work, publish, works
from schemas.counts import Refusal
from schemas.identity import keyed_rng
from schemas.recipe import Paraphraser, Recipe


def paraphrase_bucket(job: Job) -> Done:
    """Reword a bucket's control captions by rules."""
    count, seed = job.recipe.caption.paraphrases, job.recipe.corpus.seed
    done = publish(
        job, {work.sample_key: by_rules(work, count, seed) for work in works(job)} if count else {}
    )
    bucket.progress(len(CLIPS.read(job)))
    return done


def by_rules(work: Work, count: int, seed: int) -> Rewording:
    """Up to `count` rewordings of a caption that state what it states, in the order in which they
    were sampled.
    """
    refused: Counter[Refusal] = Counter()
    landed = []
    for text in paraphrased(work.control, count, keyed_rng(seed, work.sample_key, "paraphrase")):
        found = faults(text, work.control, work.labels)
        refused.update(fault.refusal for fault in found)
        if not found:
            landed.append(landed_caption(text, work.control, ""))
    return Rewording(tuple(landed), refused)


def tools(recipe: Recipe) -> Mapping[str, str]:
    """The model and the words that it is asked with; none for rules."""
    return (
        {"model": recipe.llm.model, "prompt": PROMPT_VERSION}
        if recipe.caption.paraphraser is Paraphraser.OPENAI
        else {}
    )


def _run_all(recipe: Recipe) -> RunAll | None:
    """One process asks a language model for all buckets."""
    asks = recipe.caption.paraphraser is Paraphraser.OPENAI and recipe.caption.paraphrases
    return paraphrase_together if asks else None


STAGE: Final = Stage(
    name="paraphrase",
    version=3,
    reads=(CLIPS, MOVED_LABELS, CAPTIONS),
    writes=(PARAPHRASES,),
    knobs=(
        "caption.paraphraser",
        "caption.paraphrases",
        "llm.model",
        "llm.temperature",
        "llm.structured_outputs",
    ),
    run=paraphrase_bucket,
    run_all=_run_all,
    tools=tools,
)
