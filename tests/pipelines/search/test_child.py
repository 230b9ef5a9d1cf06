"""A clip's candidates: the nearest texts, none a near copy of a nearer one, none below the floor,
none without a vector.
"""

from pathlib import Path

import numpy as np
import pytest

from pipelines.embedders import unit
from pipelines.search.child import SearchRequest, VectorSpace, match
from pipelines.search.inverted_lists import build_index
from schemas.label_recipe import LabelRecipe

QUERY = np.array([1, 0, 0], np.float32)
# Cosines to the query: 0.9, 0.899 (nearly the same text), 0.5, no vector, -0.2.
ROWS = np.vstack(
    [
        unit(np.array([[0.9, 0.436, 0], [0.9, 0.438, 0.005], [0.5, 0, 0.866]], np.float32)),
        np.zeros((1, 3)),
        [[-0.2, 0.98, 0]],
    ]
)


@pytest.fixture
def space(tmp_path: Path) -> VectorSpace:
    """The rows in two slices."""
    for name, rows in (("a.npy", ROWS[:2]), ("b.npy", ROWS[2:])):
        np.save(tmp_path / name, rows.astype(np.float16))
    return VectorSpace((str(tmp_path / "a.npy"), str(tmp_path / "b.npy")), "", str(tmp_path))


def rows(space: VectorSpace, **knobs: object) -> list[int]:
    [found] = match([QUERY], SearchRequest((space,), LabelRecipe(nearest=3, **knobs)))
    return [near.row for near in found.near[0]]


def test_the_nearest_stand_first_without_near_copies_and_without_what_has_no_vector(
    space: VectorSpace,
) -> None:
    assert rows(space) == [0, 2, 4]


def test_near_copies_stay_where_they_are_wanted(space: VectorSpace) -> None:
    assert rows(space, max_similarity=1) == [0, 1, 2]


def test_what_is_below_the_floor_is_no_candidate(space: VectorSpace) -> None:
    assert rows(space, min_similarity=0.4) == [0, 2]
    assert rows(space, min_similarity=0.95) == []


def test_similarities_are_cosines(space: VectorSpace) -> None:
    [found] = match([QUERY], SearchRequest((space,), LabelRecipe(nearest=3)))
    assert [near.similarity for near in found.near[0]] == pytest.approx([0.9, 0.5, -0.2], abs=2e-3)


def test_each_vocabulary_has_candidates_of_its_own_for_every_clip(space: VectorSpace) -> None:
    found = match([QUERY, -QUERY], SearchRequest((space, space), LabelRecipe(nearest=1)))
    assert [[near.row for near in of_space] for clip in found for of_space in clip.near] == [
        [0],
        [0],
        [4],
        [4],
    ]


def test_an_approximate_search_gives_the_same_and_tells_what_it_missed(
    space: VectorSpace, tmp_path: Path
) -> None:
    pytest.importorskip("faiss")
    many = unit(np.random.default_rng(0).standard_normal((500, 3)).astype(np.float32))
    np.save(tmp_path / "many.npy", many.astype(np.float16))
    build_index([np.load(tmp_path / "many.npy")], tmp_path / "many.faiss", 0)
    request = SearchRequest(
        (VectorSpace((str(tmp_path / "many.npy"),), str(tmp_path / "many.faiss"), "many"),),
        LabelRecipe(nearest=5, search="approximate"),
    )
    exact = request._replace(recipe=LabelRecipe(nearest=5))
    found = match([QUERY, -QUERY], request)
    assert [one.near for one in found] == [one.near for one in match([QUERY, -QUERY], exact)]
    # of a call the first is searched twice
    assert [(one.checked, one.missed) for one in found] == [(5, 0), (0, 0)]
