"""The order of the stages, stated once."""

from typing import Final

from pipelines import annotate, caption, cut, distinct, embed_texts, filter, ingest, pack, paraphrase, vary, verify
from pipelines.stage import Stage

BEFORE: Final[tuple[Stage, ...]] = (ingest.STAGE, cut.STAGE)  # over slices of the listing; then clips are settled in buckets
ORDER: Final[tuple[Stage, ...]] = (  # over buckets
    annotate.STAGE,
    filter.STAGE,
    vary.STAGE,
    caption.STAGE,
    paraphrase.STAGE,
    embed_texts.STAGE,
    distinct.STAGE,
    pack.STAGE,
    verify.STAGE,
)
