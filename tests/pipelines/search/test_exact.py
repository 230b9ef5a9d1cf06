"""The nearest rows are exactly those of brute force, however rows and queries are cut into
blocks.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from pipelines.errors import PipelineError
from pipelines.search import exact
from pipelines.search.exact import Nearest, Rows, nearest


def units(
    seed: int, rows: int, dimensions: int, kind: type[np.floating] = np.float16
) -> npt.NDArray[np.floating]:
    normal = np.random.default_rng(seed).standard_normal((rows, dimensions))
    made: np.ndarray = normal / np.linalg.norm(normal, axis=1, keepdims=True)
    return made.astype(kind)


def brute_force(
    queries: npt.NDArray[np.floating], rows: npt.NDArray[np.floating], k: int
) -> Nearest:
    """All products, one at a time in float64, rounded to float32.

    The lower id first where they are equal.
    """
    products = [
        [np.float32((query * row).sum()) for row in rows.astype(np.float64)]
        for query in queries.astype(np.float64)
    ]
    scores = np.array(products, np.float32).reshape(len(queries), len(rows))
    ids = np.array(
        [np.lexsort((np.arange(len(rows)), -row))[:k] for row in scores], np.int64
    ).reshape(len(queries), -1)
    return Nearest(ids, np.take_along_axis(scores, ids, axis=1))


def same(found: Nearest, expected: Nearest) -> bool:
    assert found.ids_QK.dtype == np.int64
    assert found.scores_QK.dtype == np.float32
    np.testing.assert_array_equal(found.ids_QK, expected.ids_QK)
    np.testing.assert_array_equal(found.scores_QK, expected.scores_QK)
    return True


@pytest.mark.parametrize("kind", [np.float16, np.float32])
@pytest.mark.parametrize(
    ("queries", "rows", "dimensions", "k"),
    [(1, 1, 1, 1), (1, 300, 8, 5), (40, 1, 16, 3), (7, 130, 512, 10), (33, 700, 24, 1)],
)
def test_nearest_rows_are_those_of_brute_force(
    queries: int, rows: int, dimensions: int, k: int, kind: type[np.floating]
) -> None:
    query_rows, held = units(1, queries, dimensions, np.float32), units(2, rows, dimensions, kind)
    assert same(nearest(query_rows, [held], k), brute_force(query_rows, held, k))


@pytest.mark.parametrize(
    ("block_rows", "block_queries"), [(1, 20), (7, 3), (64, 5), (65, 16), (100, 1000), (1000, 1)]
)
def test_blocks_of_any_size_give_the_same_ids_and_scores(
    block_rows: int, block_queries: int
) -> None:
    query_rows, held = units(3, 20, 48, np.float32), units(4, 200, 48)
    found = nearest(query_rows, [held], 6, block_rows=block_rows, block_queries=block_queries)
    assert same(found, brute_force(query_rows, held, 6))


@pytest.mark.parametrize("block_rows", [1, 3, 16, 64, 100, 500])
def test_of_equal_rows_the_lowest_ids_win_in_and_across_blocks(block_rows: int) -> None:
    different = units(5, 20, 32)
    held = different[np.random.default_rng(0).integers(20, size=333)]  # each stands about 17 times
    found = nearest(different.astype(np.float32), [held], 25, block_rows=block_rows)
    assert same(found, brute_force(different, held, 25))
    for query, ids in enumerate(found.ids_QK):
        copies = np.flatnonzero((held == different[query]).all(axis=1))
        assert ids[: len(copies)].tolist() == copies.tolist()[:25]


def test_where_all_rows_are_equal_the_first_are_the_nearest() -> None:
    held = np.repeat(units(6, 1, 64), 3000, axis=0)
    found = nearest(units(7, 4, 64, np.float32), [held], 3, block_rows=500)
    assert found.ids_QK.tolist() == [[0, 1, 2]] * 4


def test_rows_that_come_from_the_farthest_to_the_nearest_end_with_the_last() -> None:
    angles = np.linspace(np.pi, 0.1, 2000)
    held = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    found = nearest(np.array([[1, 0]], np.float32), [held], 4, block_rows=128)
    assert found.ids_QK.tolist() == [[1999, 1998, 1997, 1996]]
    assert found.scores_QK[0, 0] == np.float32(np.cos(0.1))


def test_fewer_rows_than_asked_for_all_come_in_order() -> None:
    query_rows, held = units(8, 3, 16, np.float32), units(9, 4, 16)
    assert same(nearest(query_rows, [held[:1], held[1:]], 10), brute_force(query_rows, held, 4))


def test_no_rows_or_no_queries_give_empty_results() -> None:
    held = units(10, 5, 16)
    assert nearest(held, [], 3).ids_QK.shape == (5, 0)
    assert nearest(held[:0], [held], 3).scores_QK.shape == (0, 3)
    assert same(nearest(held, [held[:0], held], 2), brute_force(held, held, 2))


def test_mapped_files_whose_borders_lie_across_blocks_read_as_one(tmp_path: Path) -> None:
    query_rows, held = units(11, 9, 32, np.float32), units(12, 500, 32)
    pieces = []
    for number, part in enumerate(np.split(held, [1, 90, 91, 333])):
        np.save(tmp_path / f"{number}.npy", part)
        pieces.append(np.load(tmp_path / f"{number}.npy", mmap_mode="r"))
    assert same(
        nearest(query_rows, iter(pieces), 7, block_rows=64), brute_force(query_rows, held, 7)
    )


def test_tensors_are_searched_like_arrays() -> None:
    query_rows, held = units(13, 5, 16, np.float32), units(14, 200, 16)
    tensors: Sequence[Rows] = [
        torch.from_numpy(held[:70]),
        torch.from_numpy(held[70:].astype(np.float32)),
    ]
    assert same(nearest(torch.from_numpy(query_rows), tensors, 4), brute_force(query_rows, held, 4))


@pytest.mark.parametrize("plan", [exact._CPU, exact._CPU_BFLOAT, exact._ACCELERATOR])
def test_the_precision_of_the_products_changes_nothing(
    plan: exact._DevicePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact, "_plan", lambda device: plan)
    # rows crowd around the queries: half precision alone would mix them up
    around = units(15, 30, 64, np.float32)
    held = np.repeat(around, 40, axis=0) + 0.02 * np.random.default_rng(16).standard_normal(
        (1200, 64)
    ).astype(np.float32)
    held /= np.linalg.norm(held, axis=1, keepdims=True)
    for rows in (held, held.astype(np.float16)):
        assert same(
            nearest(around, [rows], 10, block_rows=256, block_queries=16),
            brute_force(around, rows, 10),
        )


@pytest.mark.parametrize("plan", [exact._CPU, exact._CPU_BFLOAT])
def test_rows_that_all_point_away_are_ranked_too(
    plan: exact._DevicePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact, "_plan", lambda device: plan)
    held = np.abs(units(24, 300, 32))
    query_rows = -np.abs(units(25, 5, 32, np.float32))
    query_rows[0] = 0
    assert same(nearest(query_rows, [held], 6, block_rows=70), brute_force(query_rows, held, 6))


def test_vectors_that_are_not_of_length_one_are_ranked_by_their_products() -> None:
    scales = np.random.default_rng(17).uniform(0, 20, (300, 1)).astype(np.float32)
    query_rows, held = 5 * units(18, 6, 16, np.float32), scales * units(19, 300, 16, np.float32)
    assert same(nearest(query_rows, [held], 8, block_rows=50), brute_force(query_rows, held, 8))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused_with_its_row(value: float) -> None:
    query_rows, held = units(20, 4, 16, np.float32), units(21, 100, 16)
    spoilt = held.copy()
    spoilt[77, 3] = value
    with pytest.raises(PipelineError, match="the rows: row 77 holds a value that is not finite"):
        nearest(query_rows, [spoilt[:50], spoilt[50:]], 3, block_rows=16)
    query_rows[2, 0] = value
    with pytest.raises(PipelineError, match="the queries: row 2 holds a value that is not finite"):
        nearest(query_rows, [held], 3)


def test_what_is_no_list_of_matrices_of_the_same_width_is_refused() -> None:
    query_rows, held = units(22, 4, 16, np.float32), units(23, 10, 16)
    with pytest.raises(PipelineError, match=r"piece 1: shape \(10, 8\), but the queries have 16"):
        nearest(query_rows, [held, held[:, :8]], 3)
    with pytest.raises(PipelineError, match=r"piece 0: shape \(16,\)"):
        nearest(query_rows, held, 3)
    with pytest.raises(PipelineError, match="float16 or float32 is wanted, not 2 dimensions"):
        nearest(query_rows, [held.astype(np.float64)], 3)  # type: ignore[list-item]
    with pytest.raises(PipelineError, match="counts from 1; given: 0, 4096"):
        nearest(query_rows, [held], 0)
