"""What the guards cost: hashing inputs, page checksums, whole builds before and after, and the
memory that bombs take.

    python -m tests.benchmarks.guards pairs --before TREE [--pairs 3] [--workers 2]
    python -m tests.benchmarks.guards hashing [--workers 2]
    python -m tests.benchmarks.guards pages BUILD
    python -m tests.benchmarks.guards bombs

`pairs` builds and verifies the demo's dozen pieces with this tree and with another (`--before`: a
checkout of an earlier one), in turn. `hashing` builds them once and counts the CPU seconds of
reading inputs again to hash them. `pages` reads and writes a build's tables with and without page
checksums. `bombs` measures the memory of a whole process tree, beyond that of the same command on a
good input. CPU seconds are those of all processes of a build.
"""

import argparse
import io
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from flows.build.local import build, verify_build
from pipelines.beam.options import Engine
from pipelines.build.markers import check_files
from pipelines.engine import stage
from pipelines.storage.store import PARQUET, Store
from pipelines.synthesis.songs import write_songs
from schemas.recipe import Recipe
from tests.attacks.hostile_model import FLOODS, ONE_CALL, hostile_model
from tests.support.building import ROOT
from tests.support.lying_tars import SAMPLE, claiming, looping, tar_of

_COMMAND: Final = "from flows.cli import main; main()"
_MEMORY_GOAL_MB: Final = 300
_GIB: Final = 1 << 30


class Cost(NamedTuple):
    """Seconds of a command and its processes."""

    wall_s: float
    cpu_s: float


def command(tree: Path, *arguments: str | Path) -> subprocess.Popen[bytes]:
    """`obbligato` of a tree, in a process of its own."""
    call = [sys.executable, "-P", "-c", _COMMAND, *map(str, arguments)]
    return subprocess.Popen(
        call,
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def cost(tree: Path, *arguments: str | Path) -> Cost:
    """What one command costs. Raises `RuntimeError` where it fails."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    if command(tree, *arguments).wait():
        raise RuntimeError(f"obbligato {' '.join(map(str, arguments))} failed in {tree}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(
        time.perf_counter() - began,
        after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
    )


def pairs(work: Path, before: Path, count: int, workers: int) -> None:
    """Whole builds and verifications of the demo's pieces, before and now in turn."""
    songs = write_songs(work / "songs")
    found: dict[str, list[Cost]] = {}
    for number in range(count):
        for name, tree in (("before", before), ("now", ROOT)):
            out = work / f"{name}-{number}"
            found.setdefault(f"build, {name}", []).append(
                cost(tree, "build", songs, "--out", out, "--workers", str(workers))
            )
            found.setdefault(f"verify, {name}", []).append(
                cost(tree, "verify", out, "--workers", str(workers))
            )
            shutil.rmtree(out)
    print(f"{workers} workers\n\n| | wall s | CPU s | each |\n|---|---:|---:|---|")
    for name, costs in sorted(found.items()):
        each = ", ".join(f"{one.wall_s:.1f}/{one.cpu_s:.1f}" for one in costs)
        wall_s, cpu_s = (statistics.median(values) for values in zip(*costs, strict=True))
        print(f"| {name} | {wall_s:.1f} | {cpu_s:.1f} | {each} |", flush=True)


class Counter:
    """CPU seconds that calls of some functions took, by the thread that made them, and how often
    they were called.
    """

    def __init__(self) -> None:
        self.cpu_s, self.calls, self._lock = 0.0, 0, threading.Lock()

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, counted."""

        def counted(*arguments: Any) -> Any:
            began = time.thread_time()
            try:
                return function(*arguments)
            finally:
                with self._lock:
                    self.cpu_s += time.thread_time() - began
                    self.calls += 1

        return counted


def hashing(work: Path, workers: int) -> None:
    """CPU seconds of a build, and of its verification, that go into holding files against their
    hashes.
    """
    songs, out, engine = write_songs(work / "songs"), str(work / "out"), Engine(workers=workers)
    inputs, whole = Counter(), Counter()
    vars(stage)["check_files"] = inputs.around(check_files)
    print(f"{workers} workers\n\n| | calls | CPU s | of CPU s | share |\n|---|---:|---:|---:|---:|")
    used_s = _used_s()
    build([str(songs)], out, Recipe(), engine, lambda _: None)
    built_s, read_s = _used_s() - used_s, inputs.cpu_s
    print(
        (
            f"| build: inputs of stages | {inputs.calls} | {read_s:.3f} "
            f"| {built_s:.1f} | {100 * read_s / built_s:.2f} % |"
        ),
        flush=True,
    )
    used_s = _used_s()
    Store.sha256 = whole.around(Store.sha256)  # type: ignore[method-assign]
    verify_build(out, engine, lambda _: None)
    checked_s = _used_s() - used_s
    print(
        (
            f"| verify: every file | {whole.calls} | {whole.cpu_s:.3f} | {checked_s:.1f} | "
            f"{100 * whole.cpu_s / checked_s:.2f} % |"
        ),
        flush=True,
    )


def _used_s() -> float:
    """CPU seconds of this process, and of those below it that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def pages(out: Path, rounds: int = 20) -> None:
    """CPU seconds to write and read all tables of a build, with page checksums and without."""
    tables = {path: pq.read_table(path) for path in sorted(out.rglob("*.parquet"))}
    plain = {path: _parquet(table, checksums=False) for path, table in tables.items()}
    summed = {path: _parquet(table, checksums=True) for path, table in tables.items()}
    print(
        f"{len(tables)} tables, {sum(map(len, plain.values())):,} bytes, "
        f"{sum(map(len, summed.values())):,} with checksums\n"
    )
    print("| | without ms | with ms |\n|---|---:|---:|")
    written = [
        _cpu_ms_of_both(lambda on: [_parquet(one, checksums=on) for one in tables.values()])
        for _ in range(rounds)
    ]
    contents = {False: plain.values(), True: summed.values()}
    read = [
        _cpu_ms_of_both(lambda on: [_parsed(one, checked=on) for one in contents[on]])
        for _ in range(rounds)
    ]
    for name, both in (("write all", written), ("read all", read)):
        medians = [statistics.median(values) for values in zip(*both, strict=True)]
        print(f"| {name} | {medians[0]:.1f} | {medians[1]:.1f} |")


def _parquet(table: pa.Table, *, checksums: bool) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **{**PARQUET, "write_page_checksum": checksums})
    return buffer.getvalue()


def _parsed(content: bytes, *, checked: bool) -> list[dict[str, Any]]:
    with pq.ParquetFile(io.BytesIO(content), page_checksum_verification=checked) as parquet:
        return list(parquet.read(use_threads=False).to_pylist())


def _cpu_ms_of_both(work: Callable[[bool], object]) -> tuple[float, float]:
    """CPU milliseconds of work without checksums, and with them."""
    began = time.process_time()
    work(False)
    between = time.process_time()
    work(True)
    return 1000 * (between - began), 1000 * (time.process_time() - between)


def tree_peak_mb(process: "subprocess.Popen[bytes]") -> float:
    """Peak resident memory of a process and all below it, together, sampled a hundred times a
    second.
    """
    peak, root = 0.0, psutil.Process(process.pid)
    while process.poll() is None:
        total = 0
        for member in _members(root):
            try:
                total += member.memory_info().rss
            except psutil.Error:
                continue
        peak = max(peak, total / 2**20)
        time.sleep(0.01)
    return peak


def _members(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def _flac(path: Path, minutes: int, rate_hz: int = 16_000) -> bytes:
    """Silence, as FLAC in two channels."""
    with soundfile.SoundFile(path, "w", rate_hz, 2, format="FLAC", subtype="PCM_16") as file:
        for _ in range(minutes):
            file.write(np.zeros((60 * rate_hz, 2), np.int16))
    return path.read_bytes()


def _gzip(path: Path) -> Path:
    """A few MB that unpack to 3 GiB, as a tar with one member would."""
    start = tar_of(("a.flac", b"x"))[:1024]
    with path.open("wb") as out:
        packer = subprocess.Popen(["gzip", "-1"], stdin=subprocess.PIPE, stdout=out)
        assert packer.stdin is not None  # asked for
        packer.stdin.write(start)
        for _ in range(3 * _GIB >> 20):
            packer.stdin.write(bytes(1 << 20))
        packer.stdin.close()
        packer.wait()
    return path


def _bombs(work: Path) -> Iterator[tuple[str, str, Path, Path]]:
    """Each bomb: what it is, the command that opens it, the bomb, and a good input of its kind."""
    good = work / "good.tar"
    good.write_bytes(tar_of(*SAMPLE))
    yield "PAX header of 6 GiB", "plan", claiming(work / "pax.tar"), good
    yield "the same", "shards verify", work / "pax.tar", good
    (work / "loop.tar").write_bytes(looping())
    yield "tar that leads back", "plan", work / "loop.tar", good
    yield "the same", "shards verify", work / "loop.tar", good
    texts = [(f"{number}.json", b"[" + b"[]," * 5_000_000 + b"[]]") for number in range(6)]
    (work / "json.tar").write_bytes(tar_of(*SAMPLE, *texts))
    small = [
        (f"{number}{ending}", content)
        for number in range(8)
        for ending, content in ((".flac", b"x"), (".json", _nested()))
    ]
    (work / "many.tar").write_bytes(tar_of(*small))
    yield "six JSON of 15 MB", "plan", work / "json.tar", good
    yield "the same", "shards verify", work / "json.tar", good
    yield "eight JSON of 1.8 MB, 600,000 lists each", "plan", work / "many.tar", good
    yield "the same", "shards verify", work / "many.tar", good
    table = pa.DictionaryArray.from_arrays(
        pa.array([0] * 2000, pa.int32()), pa.array(["x" * (60 << 20)])
    )
    pq.write_table(
        pa.table({"uri": ["a.wav"] * 2000, "caption": table}),
        work / "bomb.parquet",
        compression="zstd",
    )
    pq.write_table(
        pa.table({"uri": ["a.wav"] * 2000, "caption": ["x"] * 2000}),
        work / "good.parquet",
        compression="zstd",
    )
    yield (
        "Parquet, 60 MB 2,000 times by dictionary",
        "plan",
        work / "bomb.parquet",
        work / "good.parquet",
    )
    yield "gzip of 3 GiB", "shards verify", _gzip(work / "bomb.tar.gz"), good
    minute = [("m.flac", _flac(work / "minute.flac", 1)), ("m.json", b'{"caption": "x"}')]
    (work / "minute.tar").write_bytes(tar_of(*minute))
    (work / "flac.tar").write_bytes(
        tar_of(*minute, ("z.flac", _flac(work / "long.flac", 24 * 60)), ("z.json", b"{}"))
    )
    yield "FLAC of 24 hours in a shard", "shards verify", work / "flac.tar", work / "minute.tar"
    yield "the same", "build", work / "flac.tar", work / "minute.tar"


def _nested() -> bytes:
    return b'{"a": [' + b"[]," * 600_000 + b"[]]}"


def bombs(work: Path) -> None:
    """Peak memory of each bomb's process tree, beyond that of the same command on a good input."""
    print(
        f"| bomb | read by | idle MiB | peak MiB | above idle (goal < {_MEMORY_GOAL_MB}) | s |\n"
        "|---|---|---:|---:|---:|---:|"
    )
    idle: dict[tuple[str, Path], float] = {}
    for what, reader, bomb, good in _bombs(work):
        if (reader, good) not in idle:
            idle[reader, good] = tree_peak_mb(_reading(work, reader, good))
        began = time.perf_counter()
        peak = tree_peak_mb(_reading(work, reader, bomb))
        _row(what, reader, idle[reader, good], peak, time.perf_counter() - began)
    for kind in FLOODS:
        with hostile_model(FLOODS[kind]) as server:
            began = time.perf_counter()
            peak = tree_peak_mb(
                subprocess.Popen(
                    [sys.executable, "-c", ONE_CALL, server.url],
                    cwd=ROOT,
                    stdout=subprocess.DEVNULL,
                )
            )
            _row(
                f"a language model's answer: {kind}",
                "a call",
                _server_idle_mb(),
                peak,
                time.perf_counter() - began,
            )


def _reading(work: Path, reader: str, source: Path) -> "subprocess.Popen[bytes]":
    out = ["--out", str(work / f"out-{source.name}")] if reader == "build" else []
    return command(ROOT, *reader.split(), source, *out)


def _server_idle_mb() -> float:
    """Memory of a call that nobody answers."""
    return tree_peak_mb(
        subprocess.Popen(
            [sys.executable, "-c", ONE_CALL, "http://127.0.0.1:9"],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
        )
    )


def _row(what: str, reader: str, idle_mb: float, peak_mb: float, wall_s: float) -> None:
    print(
        (
            f"| {what} | {reader} | {idle_mb:.0f} | {peak_mb:.0f} "
            f"| {peak_mb - idle_mb:.0f} | {wall_s:.1f} |"
        ),
        flush=True,
    )


@contextmanager
def _work() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="guards-") as folder:
        yield Path(folder)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("pairs", "hashing", "pages", "bombs"))
    parser.add_argument("build", nargs="?", type=Path, help="of pages: a finished build")
    parser.add_argument("--before", type=Path, help="of pairs: a checkout to compare with")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    with _work() as work:
        if arguments.what == "pairs":
            pairs(work, arguments.before, arguments.pairs, arguments.workers)
        elif arguments.what == "hashing":
            hashing(work, arguments.workers)
        elif arguments.what == "pages":
            pages(arguments.build)
        else:
            bombs(work)


if __name__ == "__main__":
    main()
