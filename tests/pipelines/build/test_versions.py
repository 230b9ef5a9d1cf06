"""Versions: each change of inputs, recipe or dataset adds one, and it says what changed."""

from typing import Any

import pytest

from pipelines.build.tables import LISTING_PLAN
from pipelines.build.versions import last_version, publish_version, what_changed
from pipelines.storage.store import Store
from schemas.build import ListingPlan
from schemas.dataset import Dataset
from schemas.recipe import Recipe
from tests.support.small_dataset import listed_shard, small_dataset


def dataset(written: int = 2, **inputs: int) -> Dataset:
    shards = [listed_shard(number, f"{number:064x}") for number in range(written)]
    samples = {"planned": written, "written": written, "rejected": 0, "dead": 0}
    return small_dataset(
        inputs={"in": sum(inputs.values()), **inputs}, samples=samples, shards=shards
    )


@pytest.fixture
def store(tmp_path: Any) -> Store:
    made = Store(str(tmp_path))
    LISTING_PLAN.write(made, ListingPlan(slices={}))
    return made


def test_the_same_state_is_the_same_version(store: Store) -> None:
    first = publish_version(store, dataset(used=2), Recipe())
    assert publish_version(store, dataset(used=2), Recipe()) == first == last_version(store)
    assert (first.number, first.parent, len(first.added)) == (1, None, 2)


def test_a_recipe_that_changes_no_byte_is_a_version_of_its_own(store: Store) -> None:
    publish_version(store, dataset(used=2), Recipe())
    other = Recipe(limits=Recipe().limits.replaced(wall_s=777))
    second = publish_version(store, dataset(used=2), other)
    assert (second.number, second.parent, second.added, second.changed, second.removed) == (
        2,
        1,
        (),
        (),
        (),
    )
    assert publish_version(store, dataset(used=2), other).number == 2


def test_what_came_and_what_went_is_told_also_where_nothing_is_left_of_it(store: Store) -> None:
    first = publish_version(store, dataset(used=2, dead=1), Recipe())
    second = publish_version(store, dataset(1, used=3), Recipe())
    text = what_changed(second, first)
    assert text.startswith("# Version 2, after version 1, the same recipe")
    assert "| inputs: dead | 1 | 0 | -1 |" in text
    assert "| inputs: used | 2 | 3 | +1 |" in text
    assert text.endswith("- shards added: 0\n- shards changed: 0\n- shards removed: 1\n")
