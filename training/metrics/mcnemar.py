"""Whether two systems differ on the same prompts: McNemar's exact test (1947)."""

from collections.abc import Sequence
from math import comb
from typing import NamedTuple


class PairedOutcomes(NamedTuple):
    """How many cases both systems have right, one of them alone, and neither; and the chance of so
    uneven a split, or a more uneven one, of those that one alone has right, were both equally good
    (two-sided, exact).
    """

    both: int
    first_alone: int
    second_alone: int
    neither: int
    p: float


def mcnemar(outcomes: Sequence[tuple[bool, bool]]) -> PairedOutcomes:
    """The test of cases, each right or not for either system.

    >>> mcnemar([(True, True)] * 4 + [(True, False)] * 5).p
    0.0625
    """
    counts = {
        kind: sum(one == kind for one in outcomes)
        for kind in ((True, True), (True, False), (False, True), (False, False))
    }
    first, second = counts[(True, False)], counts[(False, True)]
    return PairedOutcomes(
        both=counts[(True, True)],
        first_alone=first,
        second_alone=second,
        neither=counts[(False, False)],
        p=_sign_test(first, second),
    )


def _sign_test(first: int, second: int) -> float:
    cases = first + second
    ways: int = sum(comb(cases, fewer) for fewer in range(min(first, second) + 1))
    return min(1.0, 2 * (ways / int(2**cases)))
