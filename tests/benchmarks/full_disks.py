"""Builds on disks that fill up: a matrix of file systems, disks, room, sources and workers.

Needs root, to mount.

    python -m tests.benchmarks.full_disks [--tree TREE] [--quick] [--kinds ext4]

For each, a build that runs out of room must end with exit status 1 and one line, without any dead
row that the undisturbed build does not have; with room again the same command must give all files
of the undisturbed build. `--tree` runs another checkout's command.
"""

import argparse
import csv
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import soundfile

from flows.build.recipe_files import recipe_toml
from tests.support.building import ROOT, digests
from tests.support.disks import Disk, FileSystem, mounted
from tests.support.tone_corpus import PLAIN

_COMMAND: Final = "from flows.cli import main; main()"
_KINDS: Final[tuple[FileSystem, ...]] = ("tmpfs", "ext4")
_SECONDS: Final = (9, 30, 14, 21)  # of the songs
_RATE_HZ: Final = 44_100
_OUT_FREE: Final = (0, 200 << 10, 700 << 10, 1400 << 10)
_TMP_FREE: Final = (8 << 10, 300 << 10, 1 << 20, 3 << 20)
_PLENTY: Final = 64 << 20


class Case(NamedTuple):
    """One build: the file system of its disks, bytes free for the output and for temporary files,
    its source and workers.
    """

    kind: FileSystem
    out_free: int
    tmp_free: int
    source: str
    workers: int

    @property
    def full(self) -> str:
        """Which disk is short of room."""
        short = [
            name
            for name, free in (("output", self.out_free), ("TMPDIR", self.tmp_free))
            if free < _PLENTY
        ]
        return " and ".join(short)


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    said: str


class Found(NamedTuple):
    """What became of a case."""

    case: Case
    first: Ended
    dead: int  # rows that the undisturbed build does not have
    again: Ended
    equal: bool

    @property
    def good(self) -> bool:
        """Whether all that is promised held."""
        stopped = (
            self.first.status == 1
            and self.first.said.startswith("obbligato: ")
            and "\n" not in self.first.said
        )
        return (
            (stopped or self.first == Ended(0, ""))
            and not self.dead
            and self.again == Ended(0, "")
            and self.equal
        )


def write_sources(work: Path) -> dict[str, str]:
    """A folder of two FLAC and two .m4a, a shard of four FLAC, and a manifest of all, by name."""
    folder = work / "folder"
    folder.mkdir()
    members: list[tuple[str, bytes]] = []
    for number, seconds in enumerate(_SECONDS):
        times = np.arange(seconds * _RATE_HZ) / _RATE_HZ
        rough = np.random.default_rng(number).uniform(-0.02, 0.02, len(times))
        flac = folder / f"{number}.flac"
        soundfile.write(
            flac, 0.3 * np.sin(2 * np.pi * (200 + 10 * number) * times) + rough, _RATE_HZ
        )
        members += [
            (f"{number}.flac", flac.read_bytes()),
            (f"{number}.json", f'{{"caption": "Tone {number}."}}'.encode()),
        ]
        if number % 2:
            subprocess.run(
                [
                    "ffmpeg",
                    "-v",
                    "error",
                    "-i",
                    str(flac),
                    "-c:a",
                    "aac",
                    str(folder / f"{number}.m4a"),
                ],
                check=True,
            )
            flac.unlink()
    with tarfile.open(work / "songs.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    with (work / "songs.csv").open("w", newline="") as out:
        csv.writer(out).writerows(
            [
                ("uri", "caption"),
                *((f"folder/{path.name}", "A tone.") for path in sorted(folder.iterdir())),
            ]
        )
    return {
        "folder": str(folder),
        "shard": str(work / "songs.tar"),
        "manifest": str(work / "songs.csv"),
    }


def built(tree: Path, source: str, recipe: Path, out: Path, temporary: Path, workers: int) -> Ended:
    """`obbligato build` with a TMPDIR of its own."""
    call = [
        sys.executable,
        "-P",
        "-c",
        _COMMAND,
        "build",
        source,
        "--out",
        str(out),
        "--recipe",
        str(recipe),
        "--workers",
        str(workers),
    ]
    environment = {**os.environ, "PYTHONPATH": str(tree), "TMPDIR": str(temporary)}
    done = subprocess.run(
        call,
        cwd=tree,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    return Ended(done.returncode, done.stderr.strip())


def dead_rows(out: Path) -> set[tuple[str, str, str]]:
    """What a build calls dead: table, place or key, code."""
    found = set()
    for path in [
        *out.rglob("*.dead.parquet"),
        *(out / "probed").glob("*.parquet"),
        *(out / "ledger").glob("*.parquet"),
    ]:
        for row in pq.read_table(path).to_pylist():
            if row.get("code"):
                found.add(
                    (path.name, str(row.get("place", row.get("key", row.get("row")))), row["code"])
                )
    return found


def cases(kinds: Sequence[FileSystem], *, quick: bool) -> Iterator[Case]:
    """All of some file systems."""
    rooms = (
        [(free, _PLENTY) for free in _OUT_FREE]
        + [(_PLENTY, free) for free in _TMP_FREE]
        + [(700 << 10, 1 << 20)]
    )
    for kind in kinds:
        for source in ("folder", "shard", "manifest"):
            for number, (out_free, tmp_free) in enumerate(rooms):
                yield Case(kind, out_free, tmp_free, source, 1 + number % 2)
                if not quick:
                    yield Case(kind, out_free, tmp_free, source, 2 - number % 2)


def tried(case: Case, tree: Path, source: str, recipe: Path, work: Path, whole: Path) -> Found:
    """One case, on new disks."""
    with ExitStack() as stack:
        out_disk, tmp_disk = (
            stack.enter_context(mounted(work / name, kind=case.kind))
            for name in ("out-disk", "tmp-disk")
        )
        _leave(out_disk, case.out_free)
        _leave(tmp_disk, case.tmp_free)
        out = out_disk.folder / "build"
        first = built(tree, source, recipe, out, tmp_disk.folder, case.workers)
        dead = dead_rows(out) - dead_rows(whole)
        out_disk.empty()
        tmp_disk.empty()
        again = built(tree, source, recipe, out, tmp_disk.folder, case.workers)
        found = Found(case, first, len(dead), again, digests(out) == digests(whole))
    for name in ("out-disk", "tmp-disk"):
        (work / name).rmdir()
    return found


def _leave(disk: Disk, free: int) -> None:
    if free < _PLENTY:
        disk.leave(free)


def run(work: Path, tree: Path, kinds: Sequence[FileSystem], *, quick: bool) -> list[Found]:
    """All cases, each told as it ends."""
    recipe = work / "recipe.toml"
    recipe.write_text(recipe_toml(PLAIN, comments=False))
    sources = write_sources(work)
    whole = {name: work / f"whole-{name}" for name in sources}
    for name, source in sources.items():
        ended = built(tree, source, recipe, whole[name], work, 2)
        print(f"undisturbed, {name}: {ended}, dead: {sorted(dead_rows(whole[name]))}", flush=True)
    found = []
    for case in cases(kinds, quick=quick):
        found.append(tried(case, tree, sources[case.source], recipe, work, whole[case.source]))
        print("good" if found[-1].good else "BAD ", found[-1], flush=True)
    return found


def table(found: list[Found]) -> None:
    """The results by file system, disk and source."""
    print(
        "\n"
        "| file system | full | source | builds | exit 1, "
        "one line | exit 0 at once | new dead rows | then equal |"
    )
    print("|---|---|---|---:|---:|---:|---:|---:|")
    groups: dict[tuple[str, str, str], list[Found]] = {}
    for one in found:
        groups.setdefault((one.case.kind, one.case.full, one.case.source), []).append(one)
    for group, members in groups.items():
        count = Counter(one.first.status for one in members)
        row = [
            len(members),
            count[1],
            count[0],
            sum(one.dead for one in members),
            sum(one.equal for one in members),
        ]
        print(f"| {' | '.join(group)} | {' | '.join(map(str, row))} |")
    print(f"\n{sum(one.good for one in found)} of {len(found)} as promised")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--tree", type=Path, default=ROOT, help="another checkout whose command is run"
    )
    parser.add_argument(
        "--quick", action="store_true", help="half of the matrix: one worker and two in turn"
    )
    parser.add_argument("--kinds", nargs="+", choices=_KINDS, default=_KINDS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="full-disks-") as work:
        table(run(Path(work), arguments.tree.resolve(), arguments.kinds, quick=arguments.quick))


if __name__ == "__main__":
    main()
