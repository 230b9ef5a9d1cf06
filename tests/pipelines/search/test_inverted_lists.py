"""The approximate index finds nearly what the exact search finds, and the same in every build."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.errors import PipelineError
from pipelines.search.exact import Nearest, nearest
from pipelines.search.inverted_lists import build_index, recall, search_index

pytest.importorskip("faiss")
DIMENSIONS = 32


def clustered(seed: int, rows: int) -> npt.NDArray[np.float16]:
    """Unit vectors around 40 centres, at a cosine of about 0.7."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((40, DIMENSIONS))
    points = centres[rng.integers(40, size=rows)] + rng.standard_normal((rows, DIMENSIONS))
    made: np.ndarray = points / np.linalg.norm(points, axis=1, keepdims=True)
    return made.astype(np.float16)


HELD, QUERIES = clustered(1, 6000), clustered(2, 100).astype(np.float32)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("index") / "rows.faiss"
    build_index([HELD[:2500], HELD[2500:]], path, seed=0)
    return path


def test_a_tenth_of_the_lists_hold_most_of_the_nearest_in_clustered_vectors(index: Path) -> None:
    exact = nearest(QUERIES, [HELD], 10)
    few, more = (recall(exact, search_index(index, QUERIES, 10, probes)) for probes in (1, 15))
    assert few < more
    assert more > 0.9


def test_all_lists_together_give_the_exact_result(index: Path) -> None:
    exact, found = nearest(QUERIES, [HELD], 10), search_index(index, QUERIES, 10, probes=10_000)
    assert recall(exact, found) == 1
    np.testing.assert_allclose(found.scores_QK, exact.scores_QK, atol=1e-6)


def test_an_index_built_twice_has_the_same_bytes_and_another_seed_has_others(
    index: Path, tmp_path: Path
) -> None:
    for seed in (0, 1):
        build_index([HELD[:2500], HELD[2500:]], tmp_path / f"{seed}", seed)
    assert (tmp_path / "0").read_bytes() == index.read_bytes() != (tmp_path / "1").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["0", "1"]


def test_an_index_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "rows.faiss"
    for rows in (HELD[:300], HELD[300:1000]):
        build_index([rows], path, seed=0)
        assert search_index(
            path, rows[:5].astype(np.float32), 1, probes=4
        ).ids_QK.ravel().tolist() == [0, 1, 2, 3, 4]


def test_where_the_lists_hold_too_few_rows_the_others_are_looked_into(tmp_path: Path) -> None:
    rows = HELD[:200]
    build_index([rows], tmp_path / "rows.faiss", seed=0)
    found = search_index(tmp_path / "rows.faiss", QUERIES, 190, probes=1)
    assert recall(nearest(QUERIES, [rows], 190), found) == 1
    assert search_index(tmp_path / "rows.faiss", QUERIES, 500, probes=1).ids_QK.shape == (100, 200)


def test_recall_is_the_share_of_exact_rows_that_were_found() -> None:
    def of(*ids: tuple[int, ...]) -> Nearest:
        return Nearest(np.array(ids), np.ones((len(ids), len(ids[0])), np.float32))

    assert recall(of((1, 2), (3, 4)), of((2, 9), (4, 3))) == 0.75
    with pytest.raises(PipelineError, match=r"\(1, 2\) and \(1, 3\) differ"):
        recall(of((1, 2)), of((1, 2, 3)))


def test_values_that_are_not_finite_and_other_dimensions_are_refused(
    index: Path, tmp_path: Path
) -> None:
    spoilt = HELD[:100].copy()
    spoilt[60, 0] = np.nan
    with pytest.raises(PipelineError, match="the rows: row 60 holds a value that is not finite"):
        build_index([spoilt[:50], spoilt[50:]], tmp_path / "rows.faiss", seed=0)
    with pytest.raises(PipelineError, match="the queries: row 60 holds"):
        search_index(index, spoilt.astype(np.float32), 3, probes=1)
    with pytest.raises(PipelineError, match=r"holds 32 dimensions; given: queries \(100, 8\)"):
        search_index(index, QUERIES[:, :8], 3, probes=1)
    with pytest.raises(PipelineError, match="build the index first"):
        search_index(tmp_path / "none.faiss", QUERIES, 3, probes=1)
    with pytest.raises(PipelineError, match="needs rows"):
        build_index([], tmp_path / "rows.faiss", seed=0)
    assert not list(tmp_path.iterdir())
