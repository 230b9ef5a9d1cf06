"""A run that would make a corpus much smaller stops: more often than not a disk is away, or a table
was damaged.
"""

from typing import Final

from pipelines.errors import PipelineError

_MOST: Final = 0.05  # of what is in force may go without `--shrink`


class Shrinks(PipelineError):
    """A run would remove more than it may without `--shrink`."""


def check_shrinking(gone: int, in_force: int, what: str, why: str) -> None:
    """Raise `Shrinks` where more than one and more than 5 % of what is in force would go.

    `what` names it, `why` says how that is seen.

    >>> check_shrinking(5, 100, "songs", ""), check_shrinking(1, 2, "songs", "")
    (None, None)
    """
    if gone > 1 and gone > _MOST * in_force:
        raise Shrinks(
            f"this run would remove {gone} of the {in_force} {what} in force "
            f"({gone / in_force:.0%}): {why}. What is in force stands as it was. Mend the sources "
            "and run again; or, if it is meant, run with --shrink (in a flow: shrink = true)"
        )
