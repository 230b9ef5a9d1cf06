"""One bucket that is many times the others: how near each engine comes to the shortest possible.

    python -m tests.benchmarks.cluster.skew --out FOLDER [--engine local --engine flink …]
        [--tones 100] [--times 40] [--workers 2]

So many tones of nine seconds, and one so many times as long, are labelled by the real annotators,
about two clips a bucket. No engine is done before the long one's bucket is, nor
before all work is shared out evenly: the longer of these two, of what a build with one worker took,
is the bound. Seconds are those of the command, with starting and ending the engine's servers where
`infra/cluster/run.sh` starts them. Each build is kept in FOLDER and not made again. Prints a
Markdown table.
"""

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Final, NamedTuple

from flows.build.order import order_of
from pipelines.storage.store import Store
from tests.benchmarks.cluster.engines import LOCAL, Job, built, with_recipe
from tests.benchmarks.cluster.estimate import Measured
from tests.support.small_build import SMALL
from tests.support.tone_corpus import TONE_S, Corpus

FINE: Final = SMALL.replaced(ingest=SMALL.ingest.replaced(bucket_clips=2))
MEASURED: Final = (LOCAL, "prism", "flink", "spark")


class Shares(NamedTuple):
    """A build's work in seconds: of all buckets, of the longest, and how many there are."""

    all_s: float
    longest_s: float
    buckets: int


def main() -> None:
    """Build, and print the table."""
    parser = argparse.ArgumentParser(description="One bucket many times the others.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--engine", action="append", choices=MEASURED)
    parser.add_argument("--tones", type=int, default=100)
    parser.add_argument("--times", type=float, default=40.0)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    out = given.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    tones = Corpus(out, songs=given.tones)
    tones.add(given.tones, duration_s=TONE_S * given.times)
    tones.write()
    one = _job(out, LOCAL, 1)
    alone_s = built(LOCAL, one)
    shares = _shares(Store(str(one.folder / "corpus")))
    bound = max(shares.longest_s, shares.all_s / given.workers)
    print(
        f"One worker: {alone_s:.0f} s, of which {shares.all_s:.0f} s are work in {shares.buckets} "
        f"buckets, {shares.longest_s:.0f} s in the longest; bound {bound:.0f} s.\n"
    )
    print("| engine | s | of the bound | of one worker |\n|---|---:|---:|---:|")
    for name in given.engine or MEASURED:
        took = built(name, _job(out, name, given.workers))
        print(f"| {name} | {took:.0f} | {took / bound:.2f} | {took / alone_s:.2f} |", flush=True)


def _job(out: Path, engine: str, workers: int) -> Job:
    return with_recipe(out / "songs.csv", workers, out / f"{engine}-{workers}", FINE)


def _shares(store: Store) -> Shares:
    """What the stages of each bucket took, of the only run of a build."""
    work: dict[str, float] = defaultdict(float)
    for row in Measured.read(store, [stage.name for stage in order_of(FINE)]).rows:
        work[row.bucket] += row.work_s
    return Shares(sum(work.values()), max(work.values()), len(work))


if __name__ == "__main__":
    main()
