"""Where the steps of a way lie: evenly, or closer together at one of its ends."""

from enum import StrEnum
from typing import Final

import numpy as np

_RHO: Final = 7.0  # Karras et al. 2022, table 1


class Placement(StrEnum):
    """How steps are shared out between noise and latent."""

    EVEN = "even"
    FRONT = "front"  # many near the noise, where a piece takes its shape
    BACK = "back"  # many near the latent, where it takes its detail: Song et al. 2021, quadratic
    # evenly in the seventh root of noise over latent (Karras et al. 2022): of little use where a
    # schedule leaves nothing of the latent, for then a third of them lie in the last few steps
    KARRAS = "karras"


def reached(placement: Placement, count: int) -> list[float]:
    """The share of the way that lies behind before each of `count` steps, and after the last.

    Karras' steps are not shares of a way: `karras` has them.

    >>> reached(Placement.FRONT, 4)
    [0.0, 0.0625, 0.25, 0.5625, 1.0]
    >>> reached(Placement.BACK, 4)
    [0.0, 0.4375, 0.75, 0.9375, 1.0]
    """
    even = [index / count for index in range(count + 1)]
    match placement:
        case Placement.FRONT:
            return [share**2 for share in even]
        case Placement.BACK:
            return [1 - (1 - share) ** 2 for share in even]
        case _:
            return even


def karras(most: float, least: float, count: int) -> list[float]:
    """`count` ratios of noise to latent, from `most` to `least` (Karras et al. 2022, equation 5).

    >>> [round(ratio, 3) for ratio in karras(80.0, 0.002, 3)]
    [80.0, 2.515, 0.002]
    """
    roots = np.linspace(most ** (1 / _RHO), least ** (1 / _RHO), count)
    return [float(ratio) for ratio in roots**_RHO]
