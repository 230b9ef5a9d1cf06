"""Errors of the stages, each with a code that the ledger and the reader both use."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# What is wrong with the machine, whichever file it was found with: no space, no descriptors, no
# memory, a failing or stale disk.
_OF_THE_MACHINE: Final = frozenset(
    (
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.EIO,
        errno.ESTALE,
        errno.EROFS,
        errno.ENOBUFS,
        errno.EAGAIN,
        errno.ETIMEDOUT,
        errno.ENOTCONN,
    )
)


class PipelineError(Exception):
    """Wrong input or settings; the message says what, where, and what to do."""


class WrongArgument(PipelineError):
    """What a caller has named is not there, or not known by that name; nothing was begun.

    A command that ends so has exit status 2.
    """


class DeadInput(PipelineError):
    """One input or clip cannot be used.

    It becomes a dead row of the ledger; nothing else is lost.
    """

    def __init__(self, code: str, message: str, figure: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.figure = code, message, figure


class TransientError(PipelineError):
    """What may pass by itself, such as an outage: trying again is worth it."""


class Damaged(PipelineError):
    """A file is not what was written: bits have flipped, or somebody has changed it."""


class MachineFault(TransientError):
    """The machine could not do its part: nothing is decided about the input in hand, and its bucket
    stays unfinished.
    """


def is_of_the_machine(error: BaseException) -> bool:
    """Whether an error is the machine's fault, never an input's.

    >>> full = OSError(errno.ENOSPC, "No space left on device")
    >>> is_of_the_machine(full), is_of_the_machine(FileNotFoundError())
    (True, False)
    """
    return isinstance(error, OSError) and error.errno in _OF_THE_MACHINE


@contextmanager
def machine_faults(doing: str) -> Iterator[None]:
    """Around work on an input: raise `MachineFault` for what is the machine's; other errors go on
    as they are.
    """
    try:
        yield
    except OSError as error:
        if is_of_the_machine(error):
            raise MachineFault(
                f"{doing}: {error.strerror}; make room or repair it, then run again"
            ) from error
        raise


def readable(name: str) -> str:
    """A file's name as valid text: bytes that are not UTF-8 become ``\\udcXX``."""
    return name.encode("utf-8", "backslashreplace").decode()
