"""The only place that knows Apache Beam.

Importing it costs a second, so what can do without is in modules of its own.
"""

import logging
from typing import Final

LOG: Final = logging.getLogger(__name__)
"""What the reader should know while a job runs: plain lines on standard error, whatever the root
logger was told.
"""
LOG.propagate = False
LOG.setLevel(logging.WARNING)
if logging.lastResort is not None:
    LOG.addHandler(logging.lastResort)
