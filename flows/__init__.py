"""Order, settings, schedules and the command line."""

import os

# Prefect reports usage to its makers unless it is switched off; it reads these when it is imported.
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")
