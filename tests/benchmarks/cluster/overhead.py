"""What an engine takes beside the work: to start, and for each bucket.

    python -m tests.benchmarks.cluster.overhead --out FOLDER [--engine local --engine flink …]
        [--tones 48] [--workers 2]

So many tones of nine seconds, with annotators that take no time, are built in 3 buckets, in as many
as there are tones, and once more with nothing to do. Seconds are those of the command, with
starting and ending the engine's servers where `infra/cluster/run.sh` starts them. What a bucket
costs is the difference of the first two over that of their buckets. Each build is kept in FOLDER
and not made again. Prints a Markdown table.
"""

import argparse
from pathlib import Path
from typing import Final

from tests.benchmarks.cluster.engines import ENGINES, Job, built, with_recipe
from tests.support.tone_corpus import PLAIN, Corpus

FEW: Final = 3
MEASURED: Final = [name for name in ENGINES if name != "s3"]  # a local build, too


def main() -> None:
    """Build, and print the table."""
    parser = argparse.ArgumentParser(description="What an engine takes beside the work.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--engine", action="append", choices=MEASURED)
    parser.add_argument("--tones", type=int, default=48)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    out = given.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    Corpus(out, songs=given.tones).write()
    print(f"| engine | {FEW} buckets, s | {given.tones} | a bucket | nothing to do |")
    print("|---|---:|---:|---:|---:|")
    for name in given.engine or MEASURED:
        few, many = (
            built(name, _job(out, name, buckets, given.workers), "took")
            for buckets in (FEW, given.tones)
        )
        again = built(name, _job(out, name, FEW, given.workers), "again")
        bucket = (many - few) / (given.tones - FEW)
        print(f"| {name} | {few:.0f} | {many:.0f} | {bucket:.2f} | {again:.0f} |", flush=True)


def _job(out: Path, engine: str, buckets: int, workers: int) -> Job:
    recipe = PLAIN.replaced(ingest=PLAIN.ingest.replaced(small_buckets=buckets))
    return with_recipe(out / "songs.csv", workers, out / engine / str(buckets), recipe)


if __name__ == "__main__":
    main()
