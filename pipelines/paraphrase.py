"""Stage *paraphrase*: other words for each control caption, by rules or by a language model, none with other facts."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from pipelines import clips
from pipelines.captioning.conversation import PROMPT_VERSION, Rewording, landed_caption
from pipelines.captioning.judging import faults
from pipelines.captioning.paraphrase import paraphrased
from pipelines.draws import generator
from pipelines.paraphrase_asking import paraphrase_together
from pipelines.rewording import FOLDER, Work, publish, works
from pipelines.stage import Done, Job, Stage
from schemas.counts import Refusal
from schemas.recipe import Recipe, Writer


def paraphrase_bucket(job: Job) -> Done:
    """Reword a bucket's control captions by rules."""
    count, seed = job.recipe.caption.paraphrases, job.recipe.corpus.seed
    done = publish(job, {work.sample_key: by_rules(work, count, seed) for work in works(job)} if count else {})
    clips.progress(len(clips.read(job)))
    return done


def by_rules(work: Work, count: int, seed: int) -> Rewording:
    """Up to `count` rewordings of a caption that state what it states, in the order in which they were drawn."""
    refused: Counter[Refusal] = Counter()
    landed = []
    for text in paraphrased(work.control, count, generator(seed, work.sample_key, "paraphrase")):
        found = faults(text, work.control, work.labels)
        refused.update(fault.refusal for fault in found)
        if not found:
            landed.append(landed_caption(text, work.control, ""))
    return Rewording(tuple(landed), refused)


def tools(recipe: Recipe) -> Mapping[str, str]:
    """The model and the words that it is asked with; none for rules."""
    return {"model": recipe.llm.model, "prompt": PROMPT_VERSION} if recipe.caption.paraphraser is Writer.OPENAI else {}


STAGE: Final = Stage(
    "paraphrase",
    FOLDER,
    3,
    ("caption.paraphraser", "caption.paraphrases", "llm.model", "llm.temperature", "llm.structured_outputs"),
    ("clips", "annotations", "variants", "captions"),
    paraphrase_bucket,
    tools,
    together=lambda recipe: paraphrase_together if recipe.caption.paraphraser is Writer.OPENAI and recipe.caption.paraphrases else None,
)
