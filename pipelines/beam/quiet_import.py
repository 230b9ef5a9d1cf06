"""Apache Beam, imported without its warnings, through the root logger, of cloud libraries that
nobody asked for.
"""

import logging

_level = logging.getLogger().level
logging.getLogger().setLevel(logging.ERROR)
import apache_beam as beam  # noqa: E402
from apache_beam.options.pipeline_options import PipelineOptions  # noqa: E402

logging.getLogger().setLevel(_level)

__all__ = ["PipelineOptions", "beam"]
