"""The order of the stages, stated once."""

from typing import Final

from pipelines import annotate, caption, cut, filter, ingest, pack, vary, verify
from pipelines.stage import Stage

BEFORE: Final[tuple[Stage, ...]] = (ingest.STAGE, cut.STAGE)  # over slices of the listing; then clips are settled in buckets
ORDER: Final[tuple[Stage, ...]] = (annotate.STAGE, filter.STAGE, vary.STAGE, caption.STAGE, pack.STAGE, verify.STAGE)  # over buckets
