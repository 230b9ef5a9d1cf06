"""A stage whose buckets must know of each other: what each holds is grouped by key, and what
follows goes back to the buckets.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from pipelines.beam.quiet_import import beam
from pipelines.build.outputs import Job
from pipelines.engine.pool import BucketRun, reported
from pipelines.engine.stage import Shuffle, Stage, check_inputs, do_bucket
from schemas.recipe import Recipe


class Emit(beam.DoFn):  # type: ignore[misc]  # Beam has no types
    """Gives what a bucket holds, under keys."""

    def __init__(self, stage: Stage, shuffle: Shuffle, out: str, recipe: Recipe) -> None:
        self._stage, self._shuffle, self._out, self._recipe = stage, shuffle, out, recipe

    def process(self, bucket: str) -> Iterator[tuple[Any, Any]]:
        """Yield the bucket's keys and values.

        Raises `Damaged` where what it reads is not what was written.
        """
        job = Job(self._out, bucket, self._recipe)
        check_inputs(self._stage, job)
        return self._shuffle.emit(job)


class Reduce(beam.DoFn):  # type: ignore[misc]
    """Gives rows to buckets, of all that has come under one key."""

    def __init__(self, shuffle: Shuffle, recipe: Recipe) -> None:
        self._shuffle, self._recipe = shuffle, recipe

    def process(self, group: tuple[Any, Iterable[Any]]) -> Iterator[tuple[str, Any]]:
        """Yield buckets and rows; the order of values is Beam's, and decides nothing."""
        key, values = group
        return self._shuffle.reduce(self._recipe, key, list(values))


class Receive(beam.DoFn):  # type: ignore[misc]
    """Writes what a bucket was given; one that cannot be written now is reported."""

    def __init__(
        self, stage: Stage, shuffle: Shuffle, out: str, recipe: Recipe, whole: str
    ) -> None:
        self._stage, self._shuffle, self._out, self._recipe, self._whole = (
            stage,
            shuffle,
            out,
            recipe,
            whole,
        )

    def process(self, group: tuple[str, Iterable[Any]]) -> Iterator[BucketRun]:
        """Yield what became of the bucket."""
        bucket, rows = group
        given = [row for row in rows if row is not None]
        job = Job(self._out, bucket, self._recipe)
        yield reported(
            self._stage,
            bucket,
            lambda: do_bucket(
                self._stage, job, self._whole, lambda of: self._shuffle.receive(of, given)
            ),
        )


def exchanged(
    buckets: Any, stage: Stage, shuffle: Shuffle, out: str, recipe: Recipe, whole: str
) -> Any:
    """What became of each bucket: every one receives, also where nothing was given to it."""
    given = (
        buckets
        | "Emit" >> beam.ParDo(Emit(stage, shuffle, out, recipe))
        | "Group" >> beam.GroupByKey()
        | "Reduce" >> beam.ParDo(Reduce(shuffle, recipe))
    )
    all_buckets = buckets | "All" >> beam.Map(lambda bucket: (bucket, None))
    return (
        (given, all_buckets)
        | "Both" >> beam.Flatten()
        | "To buckets" >> beam.GroupByKey()
        | stage.name >> beam.ParDo(Receive(stage, shuffle, out, recipe, whole))
    )
