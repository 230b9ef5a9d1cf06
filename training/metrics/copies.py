"""Is one piece of music a copy of another, and what share of pieces is? Fingerprints that agree, at
other pitches and speeds as well; similarities beside those of music that nobody learned from.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from pipelines.audio.fingerprint import Fingerprint, agreements

# Share of bits: `schemas.label_recipe.NearRecipe` has the sources. Of 19 speeds at 7 pitches the
# best agreement of two demo songs, which share instruments and progressions, is 0.62.
COPY: Final = 0.7
# What corpora are varied by, by default: `schemas.recipe.VaryRecipe`.
SEMITONES: Final = (0, -1, 1, -2, 2, -3, 3)
# 2.5 % apart: over 10 s a copy between two of them drifts by 0.06 s from the middle to the ends,
# where a fingerprint's frame is 0.34 s long.
SPEEDS: Final = (1.0, *(round(1.025**step, 4) for step in range(-9, 10) if step))
_FARTHEST: Final = (
    0.01  # of music that was not learned from: so much lies nearer than the yardstick
)


class CopyProof(NamedTuple):
    """How well two pieces agree, and the change of the first under which they agree best: `speed` ×
    its speed and `semitones` higher; the second then has the same music `shift_s` later.
    """

    agreement: float
    shift_s: float = 0.0
    speed: float = 1.0
    semitones: int = 0

    @property
    def is_copy(self) -> bool:
        """Whether it is one piece of music."""
        return self.agreement >= COPY


def copy_proofs(
    changed: Mapping[tuple[float, int], Fingerprint], others: Sequence[Fingerprint]
) -> list[CopyProof]:
    """For each of some pieces the best agreement of another's fingerprints, by speed and semitones,
    with its own.

    >>> import numpy as np
    >>> bits = np.arange(1, 101, dtype=np.uint32)
    >>> copy_proofs({(1.0, 0): bits}, [bits])[0].is_copy
    True
    """
    best = [CopyProof(0.0)] * len(others)
    rows = agreements(list(changed.values()), others)
    for (speed, semitones), row in zip(changed, rows, strict=True):
        for number, found in enumerate(row):
            if found.share > best[number].agreement:
                best[number] = CopyProof(found.share, found.shift_s, speed, semitones)
    return best


def yardstick(held_out: Sequence[float]) -> float:
    """The similarity that one in a hundred of pieces that were not learned from exceeds; of fewer
    than a hundred the largest. Needs at least one.

    >>> yardstick([0.1, 0.5, 0.2]), yardstick([number / 200 for number in range(200)])
    (0.5, 0.985)
    """
    ranked = sorted(held_out, reverse=True)
    return ranked[min(len(ranked) - 1, int(_FARTHEST * len(ranked)))]
