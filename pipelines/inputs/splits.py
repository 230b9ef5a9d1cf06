"""Which split a group goes to where no table says it: by rank in a small corpus, else by the hash
of its name.
"""

from collections.abc import Sequence
from typing import Final

from schemas.identity import Split, stable_hash
from schemas.recipe import IngestRecipe

SMALL: Final = 200  # groups: below this, shares are filled by rank, so that each gets its own


def by_rank(groups: Sequence[str], recipe: IngestRecipe, seed: int) -> dict[str, Split]:
    """Splits of a small corpus's groups: each non-zero share gets at least one, train first.

    >>> sorted(by_rank(["a", "b", "c"], IngestRecipe(), 0).values())
    [<Split.TEST: 'test'>, <Split.TRAIN: 'train'>, <Split.VALIDATION: 'validation'>]
    """
    ranked = sorted(groups, key=lambda group: stable_hash(seed, "split", group))
    most = len(ranked) - 1 if recipe.test + recipe.validation < 1 else len(ranked)
    test = min(most, max(1, round(len(ranked) * recipe.test))) if recipe.test else 0
    validation = (
        min(most - test, max(1, round(len(ranked) * recipe.validation))) if recipe.validation else 0
    )
    return {group: _split_of(rank, test, validation) for rank, group in enumerate(ranked)}


def by_hash(group: str, recipe: IngestRecipe, seed: int) -> Split:
    """Split of one group, whatever others there are."""
    return _split_of(stable_hash(seed, "split", group) / 2**64, recipe.test, recipe.validation)


def _split_of(rank: float, test: float, validation: float) -> Split:
    """Test has the lowest ranks, validation those that follow."""
    if rank < test:
        return Split.TEST
    return Split.VALIDATION if rank < test + validation else Split.TRAIN
