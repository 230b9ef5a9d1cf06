"""The order of the stages, stated once."""

from typing import Final

from pipelines.engine.stage import Stage
from pipelines.stages.inputs import cut, probe
from pipelines.stages.labels import annotate, embed_audio, filter, near_duplicates, vary
from pipelines.stages.output import encode, pack, verify
from pipelines.stages.texts import (
    caption,
    dedup_paraphrases,
    embed_paraphrases,
    embed_vocabulary,
    gather_vocabulary,
    label,
    match_texts,
    paraphrase,
    text_frequencies,
)
from schemas.recipe import Recipe

# over slices of the listing; then clips are settled in buckets
BEFORE: Final[tuple[Stage, ...]] = (probe.STAGE, cut.STAGE)
ORDER: Final[tuple[Stage, ...]] = (  # over buckets
    annotate.STAGE,
    embed_audio.STAGE,
    near_duplicates.STAGE,
    filter.STAGE,
    vary.STAGE,
    encode.STAGE,
    caption.STAGE,
    paraphrase.STAGE,
    embed_paraphrases.STAGE,
    dedup_paraphrases.STAGE,
    match_texts.STAGE,
    text_frequencies.STAGE,
    label.STAGE,
    pack.STAGE,
    verify.STAGE,
)
# over slices of the vocabularies; before clips are matched to them
WORDS: Final = embed_vocabulary.STAGE
STAGES: Final = {stage.name: stage for stage in (*BEFORE, *ORDER, WORDS)}
MARKED: Final = (  # folders of a build by any recipe whose buckets or slices have markers
    "listing",
    *(stage.folder for stage in BEFORE),
    "clips",
    "ledger",
    gather_vocabulary.FOLDER,
    WORDS.folder,
    *(stage.folder for stage in ORDER),
)
_BEFORE_MATCH: Final = ("gather", WORDS.name, "index")
STEPS: Final = (
    "list",
    *(stage.name for stage in BEFORE),
    "settle",
    *(
        name
        for stage in ORDER
        for name in ((*_BEFORE_MATCH, stage.name) if stage is match_texts.STAGE else (stage.name,))
    ),
    "close",
)


def order_of(recipe: Recipe) -> tuple[Stage, ...]:
    """The stages over buckets that a recipe asks for."""
    return tuple(stage for stage in ORDER if stage.asked(recipe))


def steps_of(recipe: Recipe) -> tuple[str, ...]:
    """The steps of a build by a recipe.

    >>> "match" in steps_of(Recipe()), steps_of(Recipe())[:5]
    (False, ('list', 'ingest', 'cut', 'settle', 'annotate'))
    """
    wanted = {"gather": recipe.labels, "index": recipe.indexes}
    return tuple(
        name for name in STEPS if wanted.get(name, name not in STAGES or STAGES[name].asked(recipe))
    )
