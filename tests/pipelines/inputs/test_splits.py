"""Every group goes to one split: as stated, or by hash, and every share that is asked for is
filled.
"""

from collections import Counter

import pytest

from pipelines.inputs.splits import SMALL, by_hash, by_rank
from schemas.identity import Split
from schemas.recipe import IngestRecipe

TRAIN, VALIDATION, TEST = Split.TRAIN, Split.VALIDATION, Split.TEST


def split_groups(groups: list[str], recipe: IngestRecipe, seed: int) -> dict[str, Split]:
    return (
        by_rank(groups, recipe, seed)
        if len(groups) < SMALL
        else {group: by_hash(group, recipe, seed) for group in groups}
    )


def named(count: int) -> list[str]:
    return [f"song:{index:04d}" for index in range(count)]


def shares(count: int, seed: int = 0, **recipe: float) -> Counter[Split]:
    return Counter(split_groups(named(count), IngestRecipe(**recipe), seed).values())


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (1, (1, 0, 0)),
        (2, (1, 0, 1)),
        (3, (1, 1, 1)),
        (10, (8, 1, 1)),
        (12, (10, 1, 1)),
        (40, (32, 4, 4)),
        (199, (159, 20, 20)),
    ],
)
def test_below_200_groups_each_share_gets_its_rounded_part_and_at_least_one(
    groups: int, expected: tuple[int, int, int]
) -> None:
    found = shares(groups)
    assert (found[TRAIN], found[VALIDATION], found[TEST]) == expected


def test_a_share_of_zero_gets_none_and_shares_of_one_leave_no_train() -> None:
    assert shares(50, validation=0, test=0) == {TRAIN: 50}
    assert shares(50, validation=0, test=0.1) == {TRAIN: 45, TEST: 5}
    assert shares(50, validation=0.5, test=0.5) == {VALIDATION: 25, TEST: 25}
    assert shares(400, validation=0, test=1) == {TEST: 400}


@pytest.mark.parametrize("seed", range(3))
def test_from_200_groups_on_shares_are_near_what_was_asked(seed: int) -> None:
    """Within four standard deviations of a fair draw: 4 · √(4000 · 0.1 · 0.9) = 76."""
    found = shares(4000, seed)
    assert abs(found[TEST] - 400) < 76
    assert abs(found[VALIDATION] - 400) < 76


def test_from_200_groups_on_a_groups_split_does_not_depend_on_the_others() -> None:
    few = split_groups(named(200), IngestRecipe(), 0)
    many = split_groups(named(3000), IngestRecipe(), 0)
    assert all(many[group] is split for group, split in few.items())


def test_order_of_groups_changes_nothing_and_the_seed_does() -> None:
    forward = split_groups(named(60), IngestRecipe(), 0)
    assert split_groups(named(60)[::-1], IngestRecipe(), 0) == forward
    assert split_groups(named(60), IngestRecipe(), 1) != forward
