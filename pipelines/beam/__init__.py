"""The only place that knows Apache Beam."""

import logging

# Beam warns, through the root logger, of cloud libraries that nobody asked for.
_level = logging.getLogger().level
logging.getLogger().setLevel(logging.ERROR)
import apache_beam  # noqa: E402, F401

logging.getLogger().setLevel(_level)
