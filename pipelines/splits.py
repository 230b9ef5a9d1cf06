"""Which split a group goes to: a manifest's word first, else by the hash of its name."""

from collections.abc import Collection, Mapping
from typing import Final

from schemas.identity import Split, stable_hash
from schemas.recipe import IngestRecipe

SplitOf = dict[str, Split]
_STRICTEST: Final = (Split.TEST, Split.VALIDATION, Split.TRAIN)
_SMALL: Final = 200  # groups: below this, shares are filled by rank, so that each gets its own


def split_groups(
    groups: Collection[str], stated: Mapping[str, Collection[Split]], before: Mapping[str, Split], recipe: IngestRecipe, seed: int
) -> SplitOf:
    """Split of every group. A group whose rows disagree goes whole to the strictest: test, validation, train.

    Groups whose split was decided before keep it; new ones beside them are decided by hash, whatever their number.

    >>> split_groups(["a"], {"a": [Split.TRAIN, Split.TEST]}, {}, IngestRecipe(), 0)["a"].value
    'test'
    """
    splits = {group: next(split for split in _STRICTEST if split in said) for group, said in stated.items() if said}
    splits = {**{group: split for group, split in before.items() if group in groups}, **splits}
    free = [group for group in groups if group not in splits]
    ranked = sorted(free, key=lambda group: stable_hash(seed, "split", group))
    return splits | (
        _by_rank(ranked, recipe) if len(ranked) < _SMALL and not before else {group: _by_hash(group, recipe, seed) for group in ranked}
    )


def _by_rank(ranked: list[str], recipe: IngestRecipe) -> SplitOf:
    """Each non-zero share gets at least one group, train first."""
    most = len(ranked) - 1 if recipe.test + recipe.validation < 1 else len(ranked)
    test = min(most, max(1, round(len(ranked) * recipe.test))) if recipe.test else 0
    validation = min(most - test, max(1, round(len(ranked) * recipe.validation))) if recipe.validation else 0
    return {
        group: Split.TEST if place < test else Split.VALIDATION if place < test + validation else Split.TRAIN
        for place, group in enumerate(ranked)
    }


def _by_hash(group: str, recipe: IngestRecipe, seed: int) -> Split:
    place = stable_hash(seed, "split", group) / 2**64
    return Split.TEST if place < recipe.test else Split.VALIDATION if place < recipe.test + recipe.validation else Split.TRAIN
