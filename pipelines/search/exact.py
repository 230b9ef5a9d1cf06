"""The rows nearest to each query: exact, by blocked matrix products, as captions are found for
clips in pseudo-labelling.

Q. Huang et al., "Noise2Music: Text-conditioned Music Generation with Diffusion Models", 2023 (arXiv
2302.03917).

The product, in the device's fastest precision, only says which rows may be among the best: those
within a bound on its rounding. These few are scored again, each pair by itself, in float64. So a
score depends on its two vectors alone, equal rows score the same, and as rows come by ascending id
and only a higher score displaces an earlier one, the lower id wins a tie: blocks of any size,
threads and devices give the same result.

Shapes: Q queries, B rows of a block, D dimensions, K best rows, C pairs of a query and a row.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from pipelines.errors import PipelineError

Rows = npt.NDArray[np.float16] | npt.NDArray[np.float32] | torch.Tensor


class Nearest(NamedTuple):
    """For each query its K best rows, best first; of equal scores the lower id comes first."""

    ids_QK: npt.NDArray[np.int64]
    scores_QK: npt.NDArray[np.float32]


class _DevicePlan(NamedTuple):
    """How one kind of device works: precision of its products, and how much it takes at once."""

    precision: torch.dtype
    rounding: float  # of the rows and of partial sums, relative to the lengths of the vectors
    block_rows: int
    block_queries: int
    pairs: int  # scored again side by side


# CPU: a quarter to twice as many rows and queries are no faster; fewer steps suffer less where
# threads wait for each other. So few pairs, of 512 dimensions, torch leaves to one thread: where
# other work takes a core, that is three times as fast.
_CPU: Final = _DevicePlan(torch.float32, 0.0, block_rows=4096, block_queries=2048, pairs=63)
# twice as fast as float32, where the CPU has it
_CPU_BFLOAT: Final = _CPU._replace(precision=torch.bfloat16, rounding=2**-8)
# Half precision rounds by 2⁻¹¹: rows in float32, and partial sums where a library splits them, at
# most 8 times in all.
_ACCELERATOR: Final = _DevicePlan(
    torch.float16, 2**-8, block_rows=65_536, block_queries=2048, pairs=16_384
)
_GROUP: Final = 64  # scores whose largest is compared first
_CROWD: Final = 2  # times K pairs of a query pass: then the block's own K best say where to cut


@torch.inference_mode()
def nearest(
    queries_QD: Rows,
    blocks: Iterable[Rows],
    k: int,
    *,
    device: str | torch.device = "cpu",
    block_rows: int | None = None,
    block_queries: int | None = None,
) -> Nearest:
    """The K rows with the largest product with each query: of unit vectors, the most similar by
    cosine. K is `k`, or all rows if fewer.

    `blocks` are matrices with D columns, float16 or float32: arrays, memory-mapped or not, or
    tensors, which are used in place where they lie on `device`. Rows are numbered through from 0.
    Memory holds the queries and one block of rows and scores; by default `block_rows` and
    `block_queries` suit the device, and they never change the result. A score is rounded from
    float64 to float32.

    Raises `PipelineError`, with the row's number, where a value is not finite.

    >>> captions = np.array([[1, 0], [0.6, 0.8], [0, 1], [0.6, 0.8]], np.float16)
    >>> found = nearest(np.array([[0, 1]], np.float32), [captions[:3], captions[3:]], k=3)
    >>> found.ids_QK.tolist(), float(found.scores_QK[0, 0])
    ([[2, 1, 3]], 1.0)
    """
    device = torch.device(device)
    plan = _plan(device)
    plan = plan._replace(
        block_rows=plan.block_rows if block_rows is None else block_rows,
        block_queries=plan.block_queries if block_queries is None else block_queries,
    )
    if min(k, plan.block_rows, plan.block_queries) < 1:
        raise PipelineError(
            "k, block_rows and block_queries are counts from 1; "
            f"given: {k}, {plan.block_rows}, {plan.block_queries}"
        )
    search = _SearchState(_on(device, queries_QD, "the queries").float(), k, plan)
    for block in _blocks(blocks, search.queries_QD.shape[1], plan, device):
        search.look_through(block)
    return search.found()


def _plan(device: torch.device) -> _DevicePlan:
    if device.type != "cpu":
        return _ACCELERATOR
    # not in every torch that we allow
    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return _CPU_BFLOAT if able.get("avx512_bf16") or able.get("amx_bf16") else _CPU


class _RowBlock(NamedTuple):
    """Neighbouring rows on the device."""

    first_id: int
    rows_BD: torch.Tensor  # their exact values
    factor_BD: torch.Tensor  # the same in the product's precision
    longest: torch.Tensor  # length of the longest


class _Pairs(NamedTuple):
    """Queries and rows of a block, by query and then by row."""

    queries_C: torch.Tensor
    rows_C: torch.Tensor


def _blocks(
    pieces: Iterable[Rows], dimensions: int, plan: _DevicePlan, device: torch.device
) -> Iterator[_RowBlock]:
    """Pieces cut to size, moved, and checked; a block is good until the next one is asked for."""
    first_id = 0
    exact_room_BD = torch.empty((plan.block_rows, dimensions), device=device)
    factor_room_BD = exact_room_BD.new_empty(exact_room_BD.shape, dtype=plan.precision)
    for number, piece in enumerate(pieces):
        if piece.ndim != 2 or piece.shape[1] != dimensions:
            raise PipelineError(
                f"rows, piece {number}: shape {tuple(piece.shape)}, "
                f"but the queries have {dimensions} dimensions"
            )
        for start in range(0, len(piece), plan.block_rows):
            rows_BD = _on(device, piece[start : start + plan.block_rows], "the rows")
            exact_BD = (
                rows_BD
                if rows_BD.dtype is plan.precision
                else exact_room_BD[: len(rows_BD)].copy_(rows_BD)
            )
            factor_BD = (
                exact_BD
                if exact_BD.dtype is plan.precision
                else factor_room_BD[: len(rows_BD)].copy_(exact_BD)
            )
            lengths_B = torch.linalg.vector_norm(exact_BD, dim=1, dtype=torch.float32)
            refuse_broken(lengths_B, "the rows", first_id)
            yield _RowBlock(first_id, exact_BD, factor_BD, lengths_B.max())
            first_id += len(rows_BD)


def _on(device: torch.device, rows: Rows, what: str) -> torch.Tensor:
    """A matrix of float16 or float32 on the device."""
    # a copy: a mapped file may be read-only
    tensor = rows if isinstance(rows, torch.Tensor) else torch.from_numpy(np.array(rows))
    if tensor.ndim != 2 or tensor.dtype not in (torch.float16, torch.float32):
        raise PipelineError(
            f"{what}: a matrix of float16 or float32 is wanted, "
            f"not {tensor.ndim} dimensions of {tensor.dtype}"
        )
    return tensor.to(device)


def refuse_broken(lengths_N: torch.Tensor, what: str, first_id: int = 0) -> None:
    """Raise `PipelineError` for the first row whose length is not finite, as where one of its
    values is not.
    """
    broken_N = ~lengths_N.isfinite()
    if broken_N.any():
        row = first_id + int(broken_N.nonzero()[0, 0])
        raise PipelineError(f"{what}: row {row} holds a value that is not finite; embed it again")


class _SearchState:
    """The queries and the best rows that each has so far; ids mean nothing where the score is
    still -inf.
    """

    def __init__(self, queries_QD: torch.Tensor, k: int, plan: _DevicePlan) -> None:
        self.queries_QD, self._k, self._plan, self._seen = queries_QD, k, plan, 0
        self._factor_QD = queries_QD.to(plan.precision)
        refuse_broken(torch.linalg.vector_norm(queries_QD, dim=1), "the queries")
        # A float32 sum of D terms in any order errs by D / 2²⁴ (Higham, "Accuracy and Stability of
        # Numerical Algorithms", section 3.1); twice that, for the few steps that follow. The
        # queries' own rounding is known.
        lengths_Q = torch.linalg.vector_norm(self._factor_QD, dim=1, dtype=torch.float32)
        slips_Q = torch.linalg.vector_norm(queries_QD - self._factor_QD, dim=1)
        self._errors_Q = slips_Q + lengths_Q * (plan.rounding + 2 * queries_QD.shape[1] * 2**-24)
        self._ids_QK = queries_QD.new_zeros((len(queries_QD), k), dtype=torch.int64)
        self._scores_QK = queries_QD.new_full((len(queries_QD), k), -torch.inf)
        self._room = self._factor_QD.new_empty(plan.block_queries * _whole_groups(plan.block_rows))

    def found(self) -> Nearest:
        """What is best of all rows that were looked through."""
        held = min(self._k, self._seen)
        return Nearest(
            self._ids_QK[:, :held].cpu().numpy(), self._scores_QK[:, :held].cpu().numpy()
        )

    def look_through(self, block: _RowBlock) -> None:
        """Let a block's best rows take their places."""
        self._seen += len(block.rows_BD)
        for start in range(0, len(self.queries_QD), self._plan.block_queries):
            self._offer(
                self._candidates(slice(start, start + self._plan.block_queries), block), block
            )

    def _candidates(self, part: slice, block: _RowBlock) -> _Pairs:
        """The pairs of some queries with a block's rows whose scores may be among the K best."""
        factor_QD, errors_Q, rows = (
            self._factor_QD[part],
            self._errors_Q[part] * block.longest,
            len(block.rows_BD),
        )
        scores_QB = self._room[: len(factor_QD) * _whole_groups(rows)].view(len(factor_QD), -1)
        scores_QB[:, rows:] = -torch.inf
        torch.mm(factor_QD, block.factor_BD.T, out=scores_QB[:, :rows])
        # the filling stays below
        floors_Q = (self._scores_QK[part, -1] - errors_Q).clamp(
            min=torch.finfo(self._plan.precision).min
        )
        pairs = _above(scores_QB, floors_Q, errors_Q, self._k)
        return pairs._replace(queries_C=pairs.queries_C + part.start)

    def _offer(self, pairs: _Pairs, block: _RowBlock) -> None:
        """Score pairs exactly and let in those that better a query's K-th.

        An equal score comes too late, its id is higher.
        """
        scores_C = _scored(self.queries_QD, block.rows_BD, pairs, self._plan.pairs)
        better = scores_C > self._scores_QK[:, -1].index_select(0, pairs.queries_C)
        if better.any():
            self._let_in(
                pairs.queries_C[better], pairs.rows_C[better] + block.first_id, scores_C[better]
            )

    def _let_in(self, queries_C: torch.Tensor, ids_C: torch.Tensor, scores_C: torch.Tensor) -> None:
        """Sort rows in among the best of their queries; what falls behind place K is gone."""
        changed_P, row_C, counts_P = torch.unique_consecutive(
            queries_C, return_inverse=True, return_counts=True
        )
        column_C = (
            self._k
            + torch.arange(len(queries_C), device=queries_C.device)
            - (counts_P.cumsum(0) - counts_P)[row_C]
        )
        scores_PN = scores_C.new_full((len(changed_P), self._k + int(counts_P.max())), -torch.inf)
        ids_PN = ids_C.new_zeros(scores_PN.shape)
        scores_PN[:, : self._k], ids_PN[:, : self._k] = (
            self._scores_QK[changed_P],
            self._ids_QK[changed_P],
        )
        scores_PN[row_C, column_C], ids_PN[row_C, column_C] = scores_C, ids_C
        # stable: ids ascend from left to right
        order_PK = scores_PN.sort(dim=1, descending=True, stable=True).indices[:, : self._k]
        self._scores_QK[changed_P], self._ids_QK[changed_P] = (
            scores_PN.gather(1, order_PK),
            ids_PN.gather(1, order_PK),
        )


def _whole_groups(rows: int) -> int:
    return -(-rows // _GROUP) * _GROUP


def _above(
    scores_QB: torch.Tensor, floors_Q: torch.Tensor, errors_Q: torch.Tensor, k: int
) -> _Pairs:
    """Where scores reach their query's floor.

    Where a crowd does, the floor is what the block's own K best allow.
    """
    # scores were rounded too, and rounding keeps the order
    groups_QG = _groups_above(scores_QB, floors_Q.to(scores_QB.dtype))
    queries_P, groups_P = groups_QG.nonzero().unbind(1)  # few, once K good rows are known
    scores_PW = scores_QB.view(-1, _GROUP).index_select(
        0, queries_P * groups_QG.shape[1] + groups_P
    )
    above_C2 = (scores_PW >= floors_Q.to(scores_QB.dtype)[queries_P, None]).nonzero()
    if len(above_C2) > _CROWD * k * len(scores_QB) and k < scores_QB.shape[1]:
        best_Q = scores_QB.topk(k, dim=1, sorted=False).values.amin(dim=1).float()
        raised_Q = best_Q - best_Q.abs() * torch.finfo(scores_QB.dtype).eps - 2 * errors_Q
        above_C2 = (
            scores_PW >= torch.maximum(floors_Q, raised_Q).to(scores_QB.dtype)[queries_P, None]
        ).nonzero()
    passed_C, columns_C = above_C2.unbind(1)
    return _Pairs(queries_P[passed_C], groups_P[passed_C] * _GROUP + columns_C)


def _groups_above(scores_QB: torch.Tensor, floors_Q: torch.Tensor) -> torch.Tensor:
    """Whether any score of a group reaches its query's floor.

    Where that is not above 0, all groups count.

    Numbers above 0 have the order of their bits, and the largest of whole numbers is faster to
    find, in bfloat16 six times.
    """
    whole = torch.int16 if scores_QB.itemsize == 2 else torch.int32
    largest_QG = scores_QB.view(whole).view(len(scores_QB), -1, _GROUP).amax(dim=2)
    return (largest_QG >= floors_Q.view(whole)[:, None]) | (floors_Q <= 0)[:, None]


def _scored(
    queries_QD: torch.Tensor, rows_BD: torch.Tensor, pairs: _Pairs, at_once: int
) -> torch.Tensor:
    """The exact score of each pair, shape C."""
    found: list[torch.Tensor] = []
    for start in range(0, max(1, len(pairs.rows_C)), at_once):
        few = slice(start, start + at_once)
        products_CD = (
            queries_QD.index_select(0, pairs.queries_C[few]).double()
            * rows_BD.index_select(0, pairs.rows_C[few]).double()
        )
        found.append(products_CD.sum(dim=1).float())
    return torch.cat(found)
