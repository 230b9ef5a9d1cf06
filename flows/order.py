"""The order of the stages, stated once."""

from typing import Final

from pipelines import (
    annotate,
    caption,
    cut,
    distinct,
    embed_audio,
    embed_texts,
    embed_vocabulary,
    encode,
    filter,
    ingest,
    label,
    match,
    near,
    pack,
    paraphrase,
    vary,
    verify,
    weigh,
)
from pipelines.labelling import gathering
from pipelines.stage import Stage
from schemas.recipe import Recipe

BEFORE: Final[tuple[Stage, ...]] = (ingest.STAGE, cut.STAGE)  # over slices of the listing; then clips are settled in buckets
ORDER: Final[tuple[Stage, ...]] = (  # over buckets
    annotate.STAGE,
    embed_audio.STAGE,
    near.STAGE,
    filter.STAGE,
    vary.STAGE,
    encode.STAGE,
    caption.STAGE,
    paraphrase.STAGE,
    embed_texts.STAGE,
    distinct.STAGE,
    match.STAGE,
    weigh.STAGE,
    label.STAGE,
    pack.STAGE,
    verify.STAGE,
)
WORDS: Final = embed_vocabulary.STAGE  # over slices of the vocabularies; before clips are matched to them
STAGES: Final = {stage.name: stage for stage in (*BEFORE, *ORDER, WORDS)}
MARKED: Final = (  # folders of a build by any recipe whose buckets or slices have markers
    "listing", *(stage.folder for stage in BEFORE), "clips", "ledger", gathering.FOLDER, WORDS.folder, *(stage.folder for stage in ORDER),
)  # fmt: skip
_BEFORE_MATCH: Final = ("gather", WORDS.name, "index")
STEPS: Final = (
    "list",
    *(stage.name for stage in BEFORE),
    "settle",
    *(name for stage in ORDER for name in ((*_BEFORE_MATCH, stage.name) if stage is match.STAGE else (stage.name,))),
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
    return tuple(name for name in STEPS if wanted.get(name, name not in STAGES or STAGES[name].asked(recipe)))
