"""An approximate index of many rows, as an option: each row lies in the list of its nearest centre,
and a search looks into a few lists.

Rows are kept as float16, as they are stored, so a score is exact; what may be missed are rows in
lists that were not looked into.
"""

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from pipelines.errors import PipelineError
from pipelines.extras import naming_extras
from pipelines.search.exact import Nearest, refuse_broken
from schemas.identity import keyed_rng

# times the root of the number of rows: faiss advises 4 and more, but building takes the square of
# it
_LISTS: Final = 2
# rows a list to find the centres from: faiss warns below 39 and leaves out what is above 256
_SAMPLE: Final = 64
_FEWEST: Final = 39
_ROWS: Final = 16_384  # added at once
Stored = npt.NDArray[np.float16] | npt.NDArray[np.float32]


def build_index(blocks: Sequence[Stored], out_path: Path, seed: int) -> None:
    """Write an index of unit vectors, matrices of float16 or float32 whose rows are numbered
    through from 0.

    The same rows and seed give the same bytes on the same kind of CPU: it runs on one thread. The
    file appears when it is whole. Raises `PipelineError`, with the row's number, where a value is
    not finite, and where there are no rows or faiss is missing.
    """
    faiss = _faiss()
    rows = sum(len(block) for block in blocks)
    if not rows:
        raise PipelineError("an index needs rows, and there are none")
    lists = max(1, min(round(_LISTS * math.sqrt(rows)), rows // _FEWEST))
    with _one_thread(faiss):
        index = _empty(faiss, blocks[0].shape[1], lists, seed)
        index.train(_sample(blocks, min(rows, _SAMPLE * lists), seed))
        for part in _parts(blocks):
            index.add(part)
        _write(faiss, index, out_path)


def search_index(path: Path, queries_QD: npt.NDArray[np.float32], k: int, probes: int) -> Nearest:
    """The K rows most similar to each query among those in the `probes` lists nearest to it; K is
    `k`, or all rows if fewer.

    Where these lists hold fewer than K rows, the query is looked up in all of them. Equal scores
    are in order of their ids, but which of them take the K-th place is left to faiss. Raises
    `PipelineError` where the index is missing or has other dimensions.
    """
    faiss, index = _faiss(), _opened(path)
    queries_QD = np.ascontiguousarray(queries_QD, np.float32)
    if queries_QD.ndim != 2 or queries_QD.shape[1] != index.d or min(k, probes) < 1:
        raise PipelineError(
            f"{path} holds {index.d} dimensions; given: "
            f"queries {queries_QD.shape}, k {k}, probes {probes}"
        )
    _refuse(queries_QD, "the queries", 0)
    k = min(k, index.ntotal)
    scores_QK, ids_QK = index.search(
        queries_QD, k, params=faiss.SearchParametersIVF(nprobe=min(probes, index.nlist))
    )
    short_Q = (ids_QK < 0).any(axis=1)
    if short_Q.any():
        everywhere = faiss.SearchParametersIVF(nprobe=index.nlist)
        scores_QK[short_Q], ids_QK[short_Q] = index.search(
            queries_QD[short_Q], k, params=everywhere
        )
    order_QK = np.lexsort((ids_QK, -scores_QK))
    return Nearest(
        np.take_along_axis(ids_QK, order_QK, 1), np.take_along_axis(scores_QK, order_QK, 1)
    )


def recall(exact: Nearest, approximate: Nearest) -> float:
    """Share of the exact rows that an approximate search found, over all queries.

    >>> def of(*ids): return Nearest(np.array([ids]), np.ones((1, len(ids)), np.float32))
    >>> recall(of(3, 1, 4, 5), of(1, 3, 5, 2))
    0.75
    """
    if exact.ids_QK.shape != approximate.ids_QK.shape:
        raise PipelineError(
            f"recall compares the same queries and K: {exact.ids_QK.shape} and "
            f"{approximate.ids_QK.shape} differ"
        )
    hits = (exact.ids_QK[:, :, None] == approximate.ids_QK[:, None, :]).any(axis=2)
    return float(hits.mean()) if hits.size else 1.0


def _faiss() -> Any:
    with naming_extras():
        import faiss
    return faiss


@contextmanager
def _one_thread(faiss: Any) -> Iterator[None]:
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _empty(faiss: Any, dimensions: int, lists: int, seed: int) -> Any:
    centres = faiss.IndexFlatIP(dimensions)
    index = faiss.IndexIVFScalarQuantizer(
        centres, dimensions, lists, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    index.by_residual = False  # rows as they are, not as differences from their centres
    index.cp.seed, index.cp.max_points_per_centroid = seed % 2**31, _SAMPLE
    return index


def _sample(blocks: Sequence[Stored], count: int, seed: int) -> npt.NDArray[np.float32]:
    """Rows sampled without repeats, in order."""
    sampled = np.sort(
        keyed_rng(seed, "rows", "index").choice(sum(map(len, blocks)), count, replace=False)
    )
    found: list[npt.NDArray[np.float32]] = []
    first_id = 0
    for part in _parts(blocks):
        here = slice(*np.searchsorted(sampled, (first_id, first_id + len(part))))
        found.append(part[sampled[here] - first_id])
        first_id += len(part)
    return np.concatenate(found)


def _parts(blocks: Sequence[Stored]) -> Iterator[npt.NDArray[np.float32]]:
    """All rows, some at a time, checked."""
    first_id = 0
    for block in blocks:
        for start in range(0, len(block), _ROWS):
            part = np.ascontiguousarray(block[start : start + _ROWS], np.float32)
            _refuse(part, "the rows", first_id)
            first_id += len(part)
            yield part


def _refuse(rows_ND: npt.NDArray[np.float32], what: str, first_id: int) -> None:
    refuse_broken(torch.from_numpy(np.linalg.norm(rows_ND, axis=1)), what, first_id)


def _write(faiss: Any, index: Any, out_path: Path) -> None:
    part = out_path.with_name(f".{out_path.name}.part")
    faiss.write_index(index, str(part))
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(out_path)


def _opened(path: Path) -> Any:
    try:
        state = path.stat()
    except OSError as error:
        raise PipelineError(f"{path}: {error.strerror}; build the index first") from None
    return _mapped(str(path), state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=8)
def _mapped(path: str, _modified_ns: int, _size: int) -> Any:
    """An index whose lists stay in the file until they are looked into: workers share them."""
    faiss = _faiss()
    return faiss.read_index(path, faiss.IO_FLAG_MMAP)
