"""The order of the stages, stated once."""

from typing import Final

from pipelines import annotate, caption, filter, pack, vary, verify
from pipelines.stage import Stage

ORDER: Final[tuple[Stage, ...]] = (annotate.STAGE, filter.STAGE, vary.STAGE, caption.STAGE, pack.STAGE, verify.STAGE)  # after ingest
