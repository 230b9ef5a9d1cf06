"""Is one piece of music a copy of another, and what share of pieces is? Fingerprints that agree, at
other pitches and speeds as well; similarities beside those of music that nobody learned from.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from pipelines.audio.fingerprint import Energies, agreements, bits_of
from training.metrics.level_patterns import Change, level_correlations

# Share of bits: `schemas.label_recipe.NearRecipe` has the sources. Of 19 speeds at 7 pitches the
# best agreement of 300 pairs of demo songs, which share instruments and progressions, is 0.68.
COPY: Final = 0.7
UNCHANGED: Final[Change] = (1.0, 0)
# What corpora are varied by, by default: `schemas.recipe.VaryRecipe`.
SEMITONES: Final = (0, -1, 1, -2, 2, -3, 3)
# 2.5 % apart: over 10 s a copy between two of them drifts by 0.06 s from the middle to the ends,
# where a fingerprint's frame is 0.34 s long.
SPEEDS: Final = (1.0, *(round(1.025**step, 4) for step in range(-9, 10) if step))
_FARTHEST: Final = (
    0.01  # of music that was not learned from: so much lies nearer than the yardstick
)


class CopyProof(NamedTuple):
    """How well two pieces agree: equal bits of fingerprints, and correlation of levels; and the
    change of the first under which they agree best: `speed` × its speed and `semitones` higher; the
    second then has the same music `shift_s` later.
    """

    agreement: float
    correlation: float = 0.0
    shift_s: float = 0.0
    speed: float = 1.0
    semitones: int = 0

    @property
    def is_copy(self) -> bool:
        """Whether it is proved to be one recording; what is blurred is told by its levels alone."""
        return self.agreement >= COPY


def copy_proofs(changed: Mapping[Change, Energies], others: Sequence[Energies]) -> list[CopyProof]:
    """For each of some pieces how well another's fingerprints agree with it at any of some changes,
    and its levels unchanged, which `changed` must hold.

    >>> import numpy as np
    >>> energy_TB = np.random.default_rng(0).random((100, 33))
    >>> copy_proofs({(1.0, 0): energy_TB}, [energy_TB])[0][:3]
    (1.0, 1.0, 0.0)
    """
    best = _fingerprint_proofs(changed, others)
    found = []
    # At all changes levels of demo songs (alike in drums and chords) correlate by up to 0.59.
    # Variants that were learned from are samples of their own.
    unchanged = {UNCHANGED: changed[UNCHANGED]}
    for proof, levels in zip(best, level_correlations(unchanged, others), strict=True):
        if proof.is_copy:
            found.append(proof._replace(correlation=levels.correlation))
        else:
            found.append(CopyProof(proof.agreement, *levels))
    return found


def _fingerprint_proofs(
    changed: Mapping[Change, Energies], others: Sequence[Energies]
) -> list[CopyProof]:
    best = [CopyProof(0.0)] * len(others)
    rows = agreements(
        [bits_of(energy_TB) for energy_TB in changed.values()],
        [bits_of(energy_TB) for energy_TB in others],
    )
    for (speed, semitones), row in zip(changed, rows, strict=True):
        for number, found in enumerate(row):
            if found.share > best[number].agreement:
                best[number] = CopyProof(found.share, 0.0, found.shift_s, speed, semitones)
    return best


def yardstick(held_out: Sequence[float]) -> float:
    """The similarity that one in a hundred of pieces that were not learned from exceeds; of fewer
    than a hundred the largest. Needs at least one.

    >>> yardstick([0.1, 0.5, 0.2]), yardstick([number / 200 for number in range(200)])
    (0.5, 0.985)
    """
    ranked = sorted(held_out, reverse=True)
    return ranked[min(len(ranked) - 1, int(_FARTHEST * len(ranked)))]
