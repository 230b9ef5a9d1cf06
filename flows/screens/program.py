"""How every program of ours begins and ends: plain streams, and errors meant for the reader in one
line.
"""

import logging
import sys
from collections.abc import Callable
from pathlib import Path

from flows.errors import UsageError
from flows.screens.plain import complain, guard_streams, message


def run_program(program: Callable[[], object]) -> None:
    """Run a program.

    An error meant for the reader is one plain line, and exit status 1; or 2 for what cannot be done
    as it was asked: wrong usage, what is not there, and an extra that is not installed.
    """
    from pipelines.errors import PipelineError, WrongArgument
    from pipelines.extras import MissingExtra, naming_extras
    from schemas.errors import SchemaError
    from training.errors import TrainingError

    guard_streams()
    # Beam warns of cloud libraries that nobody asked for.
    logging.getLogger().setLevel(logging.ERROR)
    try:
        with naming_extras():
            program()
    except (UsageError, MissingExtra, WrongArgument) as error:
        _end(error, 2)
    except (PipelineError, SchemaError, TrainingError, OSError) as error:
        # training says in its own error what its shards' finder said
        _end(error, 2 if isinstance(error.__cause__, WrongArgument) else 1)


def _end(error: Exception, status: int) -> None:
    complain(f"obbligato: {message(error)}")
    sys.exit(status)


def command_name() -> str:
    """Our command as the reader has typed it, for lines that say what to type next."""
    return sys.argv[0] if Path(sys.argv[0]).name == "obbligato" else "obbligato"
