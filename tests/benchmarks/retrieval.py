"""Nearest captions: exactness, pace against the bare matrix product and faiss, memory at 4 million
rows, misses of an approximate index.

    python -m tests.benchmarks.retrieval [--parts exact pace large index] [--threads 1 2]
                                         [--rows 200000] [--large 4000000] [--queries 2048]
                                         [--folder DIR] [--device cuda]

Captions are random unit vectors of 512 dimensions as float16, queries as float32, K is 10. The bare
product is the search's own products, block by block into one buffer, without conversion and
selection, in float32 and in the precision that the search takes on this CPU; it is timed in turns
with the search. `large` writes 4 GB in four files. `index` takes vectors around centres that are
made up (cosine 0.8; captions lie in such clusters) and plain random ones, the worst case. Prints
Markdown tables; the exit status is 1 and the last line begins with FAILED where a claim does not
hold.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch

from pipelines.search.exact import Nearest, _plan, nearest

DIMENSIONS = 512
K = 10
ROUNDS = 5
FILES = 4
ROWS_AT_ONCE = 50_000  # rows at once
CHECKED = 16  # queries of the large search that are compared with brute force
GOAL = 0.8  # of the bare product's pace
GOAL_GIB = 8.0
PROBES = (1, 4, 16, 64)
PLAN = _plan(torch.device("cpu"))
Result = TypeVar("Result")


def units(seed: int, rows: int) -> np.ndarray:
    vectors = np.random.Generator(np.random.SFC64(seed)).standard_normal(
        (rows, DIMENSIONS), np.float32
    )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def clustered(seed: int, rows: int, centres: int) -> np.ndarray:
    """Unit vectors around centres, at a cosine of 0.8."""
    rng = np.random.default_rng(seed)
    around = units(0, centres)[rng.integers(centres, size=rows)]
    drawn: np.ndarray = 0.8 * around + 0.6 * units(seed, rows)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return drawn


def brute_force(queries: np.ndarray, pieces: Sequence[np.ndarray]) -> Nearest:
    """All products in float64, rounded to float32; the lower id first where they are equal."""
    ids, scores = np.zeros((len(queries), 0), np.int64), np.zeros((len(queries), 0), np.float32)
    first_id = 0
    for piece in pieces:
        for start in range(0, len(piece), ROWS_AT_ONCE):
            block = piece[start : start + ROWS_AT_ONCE].astype(np.float64)
            found = (queries.astype(np.float64) @ block.T).astype(np.float32)
            scores = np.concatenate([scores, found], axis=1)
            ids = np.concatenate(
                [ids, np.broadcast_to(np.arange(first_id, first_id + len(block)), found.shape)],
                axis=1,
            )
            first_id += len(block)
            order = np.stack([_first(line) for line in scores])
            ids, scores = np.take_along_axis(ids, order, 1), np.take_along_axis(scores, order, 1)
    return Nearest(ids, scores)


def _first(line: np.ndarray) -> np.ndarray:
    """Places of the K highest scores; they are by ascending id, so a stable order gives ties to the
    lower.
    """
    high = np.flatnonzero(line >= np.partition(line, -K)[-K])
    return high[np.argsort(-line[high], kind="stable")][:K]


class Compared(NamedTuple):
    """How a search differs from brute force."""

    other_ids: int
    apart: float  # largest difference of scores


def compared(found: Nearest, wanted: Nearest) -> Compared:
    return Compared(
        int((found.ids_QK != wanted.ids_QK).sum()),
        float(np.abs(found.scores_QK - wanted.scores_QK).max()),
    )


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def bare(queries_QD: torch.Tensor, rows_ND: torch.Tensor) -> None:
    """The products of the search, nothing else."""
    room = queries_QD.new_empty(PLAN.block_queries * PLAN.block_rows)
    for first in range(0, len(rows_ND), PLAN.block_rows):
        block_DB = rows_ND[first : first + PLAN.block_rows].T
        for start in range(0, len(queries_QD), PLAN.block_queries):
            part_QD = queries_QD[start : start + PLAN.block_queries]
            torch.mm(
                part_QD,
                block_DB,
                out=room[: len(part_QD) * block_DB.shape[1]].view(len(part_QD), -1),
            )


def exact_lines(arguments: argparse.Namespace) -> list[str]:
    rows, queries = arguments.rows, arguments.queries
    queries_QD, held = units(1, queries), units(2, rows).astype(np.float16)
    agreement = compared(nearest(queries_QD, [held], K), brute_force(queries_QD, [held]))
    print(
        "| rows | queries | K | other ids than brute force | largest difference of scores |\n"
        + "|---:" * 5
        + "|"
    )
    print(
        f"| {rows:,} | {queries:,} | {K} | {agreement.other_ids} | {agreement.apart:.1e} |\n",
        flush=True,
    )
    return (
        []
        if agreement.other_ids == 0 and agreement.apart <= 1e-4
        else ["the search equals brute force"]
    )


class Pace(NamedTuple):
    """Seconds of each round."""

    bare_s: list[float]  # in float32
    own_s: list[float]  # in the precision of the search
    ours_s: list[float]
    flat_s: list[float]


def pace(rows: int, queries: int, threads: int) -> Pace:
    """The bare products, the search and faiss's flat index by turns."""
    import faiss

    torch.set_num_threads(threads)
    faiss.omp_set_num_threads(threads)
    queries_QD, held = units(1, queries), units(2, rows).astype(np.float16)
    converted = held.astype(np.float32)
    tensor_QD, rows_ND = torch.from_numpy(queries_QD), torch.from_numpy(converted)
    own_QD, own_ND = tensor_QD.to(PLAN.precision), rows_ND.to(PLAN.precision)
    flat = faiss.IndexFlatIP(DIMENSIONS)
    flat.add(converted)
    works = (
        partial(bare, tensor_QD, rows_ND),
        partial(bare, own_QD, own_ND),
        partial(nearest, queries_QD, [held], K),
        partial(flat.search, queries_QD, K),
    )
    rounds = [[timed(work) for work in works] for _ in range(ROUNDS + 1)][1:]  # the first warms up
    return Pace(*(list(found) for found in zip(*rounds, strict=True)))


def written(folder: Path, rows: int) -> list[Path]:
    """Files of random unit vectors, made some at a time."""
    paths = [folder / f"captions-{number}.npy" for number in range(FILES)]
    for number, path in enumerate(paths):
        held = np.lib.format.open_memmap(path, "w+", np.float16, (rows // FILES, DIMENSIONS))
        for start in range(0, len(held), ROWS_AT_ONCE):
            held[start : start + ROWS_AT_ONCE] = units(
                1000 * number + start // ROWS_AT_ONCE + 10, len(held[start : start + ROWS_AT_ONCE])
            )
    return paths


class Large(NamedTuple):
    """A search through mapped files, and the bare product in turns with it."""

    ours_s: float
    bare_s: float
    peak_gib: float
    agreement: Compared


def large(paths: Sequence[Path], queries: int, threads: int) -> Large:
    torch.set_num_threads(threads)
    queries_QD = units(1, queries)
    pieces = [np.load(path, mmap_mode="r") for path in paths]
    turns = Turns(queries_QD)
    nearest(queries_QD, [pieces[0][:10_000]], K)  # warms up
    began = time.perf_counter()
    found = nearest(queries_QD, turns.taken(pieces), K)
    ours_s = time.perf_counter() - began - turns.bare_s
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    few = Nearest(found.ids_QK[:CHECKED], found.scores_QK[:CHECKED])
    return Large(
        ours_s, turns.bare_s, peak_gib, compared(few, brute_force(queries_QD[:CHECKED], pieces))
    )


class Turns:
    """Hands out rows, and before each piece times the bare product over as many, so that both meet
    the same machine.
    """

    def __init__(self, queries_QD: np.ndarray) -> None:
        self.bare_s = 0.0
        self._queries_QD, self._rows_ND = (
            torch.from_numpy(queries_QD),
            torch.from_numpy(units(2, 10 * PLAN.block_rows)),
        )

    def taken(self, pieces: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
        for piece in pieces:
            for start in range(0, len(piece), len(self._rows_ND)):
                part = piece[start : start + len(self._rows_ND)]
                self.bare_s += timed(partial(bare, self._queries_QD, self._rows_ND[: len(part)]))
                yield part


def on_device(paths: Sequence[Path], queries: int, device: str) -> tuple[float, Compared]:
    """Queries a second where the rows lie on the device, and how the result differs from brute
    force.
    """
    held = [torch.from_numpy(np.load(path)).to(device) for path in paths]
    queries_QD = units(1, queries)
    # warms up; results come back as arrays, so each call ends when all is done
    found = nearest(queries_QD, held, K, device=device)
    fastest_s = min(
        timed(lambda: nearest(queries_QD, held, K, device=device)) for _ in range(ROUNDS)
    )
    few = Nearest(found.ids_QK[:CHECKED], found.scores_QK[:CHECKED])
    return queries / fastest_s, compared(
        few, brute_force(queries_QD[:CHECKED], [np.load(path, mmap_mode="r") for path in paths])
    )


class Indexed(NamedTuple):
    """An approximate index: seconds to build, its size, and for each number of probes the recall
    and how much faster it is.
    """

    build_s: float
    mib: float
    by_probes: dict[int, tuple[float, float]]


def indexed(kind: str, rows: int, queries: int) -> Indexed:
    """On one thread."""
    import faiss

    from pipelines.search.inverted_lists import build_index, recall, search_index

    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    held, queries_QD = (
        (units(2, rows), units(1, queries))
        if kind == "random"
        else (clustered(2, rows, rows // 50), clustered(1, queries, rows // 50))
    )
    held = held.astype(np.float16)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.faiss"
        build_s = timed(lambda: build_index([held], path, seed=0))
        wanted, by_probes = nearest(queries_QD, [held], K), {}
        exact_s = min(timed(lambda: nearest(queries_QD, [held], K)) for _ in range(3))
        for probes in PROBES:
            found = search_index(path, queries_QD, K, probes)
            fastest_s = min(
                timed(partial(search_index, path, queries_QD, K, probes)) for _ in range(3)
            )
            by_probes[probes] = (recall(wanted, found), exact_s / fastest_s)
        return Indexed(build_s, path.stat().st_size / 2**20, by_probes)


def pace_lines(arguments: argparse.Namespace) -> list[str]:
    print(
        f"{arguments.rows:,} x {DIMENSIONS}, {arguments.queries:,} queries, fastest of {ROUNDS} "
        "rounds by turns (middle of the rounds' ratios)\n"
    )
    heads = (
        "float32 product",
        f"{str(PLAN.precision).removeprefix('torch.')} product",
        "search",
        "faiss flat",
    )
    print(
        "| threads | "
        + " | ".join(f"{head} queries/s" for head in heads)
        + " | search : float32 | : own product | : faiss |"
    )
    print("|---:" * 8 + "|")
    failed: list[str] = []
    for threads in arguments.threads:
        found = afresh(pace, arguments.rows, arguments.queries, threads)
        per_s = [arguments.queries / min(seconds) for seconds in found]
        others = ((per_s[0], found.bare_s), (per_s[1], found.own_s), (per_s[3], found.flat_s))
        ratios = [
            f"{per_s[2] / fastest:.2f} ({np.median(np.array(other) / found.ours_s):.2f})"
            for fastest, other in others
        ]
        print(
            f"| {threads} | "
            + " | ".join([*(f"{number:.0f}" for number in per_s), *ratios])
            + " |",
            flush=True,
        )
        failed += (
            []
            if per_s[2] >= GOAL * per_s[0]
            else [f"{threads} threads: {GOAL:.0%} of the float32 product"]
        )
        failed += [] if per_s[2] >= per_s[3] else [f"{threads} threads: as fast as faiss"]
    return failed


def large_lines(arguments: argparse.Namespace) -> list[str]:
    failed: list[str] = []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        made_s = timed(lambda: written(Path(folder), arguments.large))
        paths = sorted(Path(folder).glob("*.npy"))
        print(
            f"\n{arguments.large:,} x {DIMENSIONS} float16 in {FILES} mapped files (made in "
            f"{made_s:.0f} s), {arguments.queries:,} queries\n"
        )
        if arguments.device != "cpu":
            per_s, agreement = on_device(paths, arguments.queries, arguments.device)
            print(
                f"| {arguments.device} queries/s | other ids | apart |\n|---:|---:|---:|\n| "
                f"{per_s:.0f} | {agreement.other_ids} | {agreement.apart:.1e} |"
            )
            return (
                []
                if agreement.other_ids == 0
                else [f"{arguments.device}: the search equals brute force"]
            )
        print(
            (
                "| threads | s | queries/s | float32 product queries/s | search : "
                "float32 | peak GiB | other ids | apart |\n"
            )
            + "|---:" * 8
            + "|"
        )
        for threads in arguments.threads:
            found = afresh(large, paths, arguments.queries, threads)
            paces = (
                f"{found.ours_s:.1f} | {arguments.queries / found.ours_s:.1f} | "
                f"{arguments.queries / found.bare_s:.1f}"
            )
            ratio, agreement = found.bare_s / found.ours_s, found.agreement
            print(
                (
                    f"| {threads} | {paces} | {ratio:.2f} | {found.peak_gib:.2f} "
                    f"| {agreement.other_ids} | {agreement.apart:.1e} |"
                ),
                flush=True,
            )
            claims = {
                f"{GOAL:.0%} of the float32 product": ratio >= GOAL,
                "8 GiB": found.peak_gib <= GOAL_GIB,
                "brute force": agreement.other_ids == 0,
            }
            failed += [
                f"{threads} threads: {claim}" for claim, holds in claims.items() if not holds
            ]
    return failed


def index_lines(arguments: argparse.Namespace) -> list[str]:
    print(
        f"\n{arguments.rows:,} x {DIMENSIONS}, {arguments.queries:,} queries, one thread: "
        f"recall@{K} (times as fast as the exact search)\n"
    )
    print(
        "| vectors | build s | MiB | "
        + " | ".join(f"{probes} probes" for probes in PROBES)
        + " |\n"
        + "|---:" * (3 + len(PROBES))
        + "|"
    )
    for kind in ("clustered, made up", "random"):
        found = afresh(indexed, kind, arguments.rows, arguments.queries)
        cells = [f"{hit:.3f} ({faster:.1f})" for hit, faster in found.by_probes.values()]
        print(
            f"| {kind} | {found.build_s:.1f} | {found.mib:.0f} | " + " | ".join(cells) + " |",
            flush=True,
        )
    return []


def afresh(work: Callable[..., Result], *arguments: object) -> Result:
    """Run in a process of its own, so that threads and peaks are its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--rows", type=int, default=200_000, help="of all parts but large")
    parser.add_argument("--large", type=int, default=4_000_000, help="rows of the mapped files")
    parser.add_argument("--queries", type=int, default=2048)
    parser.add_argument(
        "--folder", type=Path, help="where the mapped files lie while they are needed"
    )
    parser.add_argument("--device", default="cpu", help="of the part large")
    arguments = parser.parse_args()
    failed: list[str] = []
    for name in arguments.parts:
        failed += PARTS[name](arguments)
    if failed:
        raise SystemExit("FAILED: " + "; ".join(failed))


PARTS = {"exact": exact_lines, "pace": pace_lines, "large": large_lines, "index": index_lines}


if __name__ == "__main__":
    main()
