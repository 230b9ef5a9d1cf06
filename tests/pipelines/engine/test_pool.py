"""The local engine: who is free takes the next bucket, an error ends it, an interruption leaves
nothing behind.
"""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.build.markers import Done
from pipelines.build.outputs import Job, Output
from pipelines.engine import bucket
from pipelines.engine.child_process import Stopped
from pipelines.engine.pool import balanced, exchange_here, run_here, shared_out
from pipelines.engine.stage import Shuffle, Stage
from pipelines.errors import MachineFault, PipelineError, TransientError
from schemas.recipe import LimitsRecipe, Recipe
from tests.support.elsewhere import function_in

NAMES = ("a", "b", "c", "d")
SIZES = {"a": 17, "b": 16, "c": 16, "d": 15, "e": 14, "f": 11, "g": 11, "h": 10}
TRIED = Output(folder="tried", suffix=".json")


def jobs(out: Path) -> list[Job]:
    return [Job(str(out), name, Recipe()) for name in NAMES]


def stage(run: Any) -> Stage:
    return Stage(name="try", version=1, writes=(TRIED,), run=run)


def _written(job: Job) -> Done:
    return Done([job.store.write_json(f"tried/{job.bucket}.json", job.bucket)], {"clips": 1})


@pytest.mark.parametrize("workers", [1, 2, 9])
def test_every_bucket_is_done_and_reported_in_order(tmp_path: Path, workers: int) -> None:
    rows = run_here([stage(_written)], jobs(tmp_path), workers)
    assert [(row.bucket, row.ran, row.unfinished, row.counts) for row in rows] == [
        (name, True, "", {"clips": 1}) for name in NAMES
    ]
    assert [row.ran for row in run_here([stage(_written)], jobs(tmp_path), workers)] == [False] * 4


def test_two_workers_have_two_buckets_in_hand_at_once(tmp_path: Path) -> None:
    both = threading.Barrier(2, timeout=30)

    def meets(job: Job) -> Done:
        both.wait()
        return _written(job)

    assert [row.unfinished for row in run_here([stage(meets)], jobs(tmp_path), 2)] == [""] * 4


@pytest.mark.parametrize("workers", [1, 2])
def test_a_bucket_that_cannot_be_done_now_leaves_the_others_alone(
    tmp_path: Path, workers: int
) -> None:
    def full(job: Job) -> Done:
        if job.bucket == "b":
            raise MachineFault("no space left")
        return _written(job)

    rows = run_here([stage(full)], jobs(tmp_path), workers)
    assert {row.bucket: row.unfinished for row in rows} == {
        "a": "",
        "b": "no space left",
        "c": "",
        "d": "",
    }


@pytest.mark.parametrize("workers", [1, 2])
def test_a_defect_is_one_line_and_no_bucket_is_begun_after_it(tmp_path: Path, workers: int) -> None:
    begun: list[str] = []

    def broken(job: Job) -> Done:
        begun.append(job.bucket)
        raise KeyError("C")

    with pytest.raises(PipelineError) as failed:
        run_here([stage(broken)], jobs(tmp_path), workers)
    assert str(failed.value) in [
        f"stage try, bucket {name}, failed: KeyError: 'C'" for name in begun
    ]
    assert len(begun) <= workers


def _chain() -> list[Stage]:
    """A stage that fails for bucket b, and one that reads what the first has left."""

    def first(job: Job) -> Done:
        if job.bucket == "b":
            raise MachineFault("no space left")
        return _written(job)

    def second(job: Job) -> Done:
        name = job.store.read_json(f"tried/{job.bucket}.json")
        bucket.progress(1)
        return Done([job.store.write_json(f"twice/{job.bucket}.json", name * 2)], {"clips": 2})

    twice = Output(folder="twice", suffix=".json")
    return [
        stage(first),
        Stage(name="again", version=1, writes=(twice,), reads=(TRIED,), run=second),
    ]


@pytest.mark.parametrize("workers", [1, 2])
def test_each_bucket_goes_through_a_chain_as_far_as_it_can(tmp_path: Path, workers: int) -> None:
    told: list[tuple[str, int]] = []
    bucket.listen(lambda name, clips: told.append((name, clips)))
    rows = run_here(_chain(), jobs(tmp_path), workers)
    bucket.listen(None)
    assert [(row.stage, row.bucket, row.unfinished, row.counts) for row in rows] == [
        ("try", "a", "", {"clips": 1}),
        ("again", "a", "", {"clips": 2}),
        ("try", "b", "no space left", {}),
        ("try", "c", "", {"clips": 1}),
        ("again", "c", "", {"clips": 2}),
        ("try", "d", "", {"clips": 1}),
        ("again", "d", "", {"clips": 2}),
    ]
    assert told == [("again", 1)] * 3
    assert jobs(tmp_path)[2].store.read_json("twice/c.json") == "cc"


def test_what_buckets_tell_each_other_reaches_each(tmp_path: Path) -> None:
    def emit(job: Job) -> Iterator[tuple[str, str]]:
        yield ("vowel" if job.bucket == "a" else "consonant"), job.bucket

    def meet(_recipe: Recipe, kind: str, names: list[str]) -> Iterator[tuple[str, str]]:
        for name in names:
            yield name, f"{kind} {len(names)}"

    def receive(job: Job, rows: list[str]) -> Done:
        return Done([job.store.write_json(f"tried/{job.bucket}.json", rows)], {"rows": len(rows)})

    told = Stage(
        name="try",
        version=1,
        writes=(TRIED,),
        shuffle=Shuffle(emit=emit, reduce=meet, receive=receive),
    )
    assert [row.counts for row in exchange_here(told, jobs(tmp_path), 2, "mark")] == [
        {"rows": 1}
    ] * 4
    assert [job.store.read_json(f"tried/{job.bucket}.json") for job in jobs(tmp_path)] == [
        ["vowel 1"],
        *[["consonant 3"]] * 3,
    ]


def test_an_outage_while_buckets_tell_is_worth_another_try(tmp_path: Path) -> None:
    def emit(_job: Job) -> Iterator[tuple[str, str]]:
        raise TransientError("the store is away")

    shuffle = Shuffle(emit=emit, reduce=lambda *_: iter(()), receive=lambda *_: Done([], {}))
    told = Stage(name="try", version=1, writes=(TRIED,), shuffle=shuffle)
    with pytest.raises(TransientError, match="stage try: the store is away"):
        exchange_here(told, jobs(tmp_path), 2, "mark")


def hang(_items: list[Any], _context: Any) -> list[Any]:
    signal.pause()
    return []


def test_an_interruption_kills_the_children_at_work_and_waits_for_their_threads(
    tmp_path: Path,
) -> None:
    """Both workers wait for a child that never answers; the interruption must not."""
    ends: list[type[BaseException]] = []
    waiting = threading.Barrier(2, action=lambda: os.kill(os.getpid(), signal.SIGINT), timeout=30)

    def wait_for_child(_job: Job) -> None:
        with bucket.child(LimitsRecipe()) as child:
            waiting.wait()
            try:
                child.run(function_in("tests.pipelines.engine.test_pool", "hang"), [1], None)
            except Stopped as error:
                ends.append(type(error))
                raise

    with pytest.raises(KeyboardInterrupt):
        shared_out(wait_for_child, jobs(tmp_path)[:2], 2)
    assert ends == [Stopped, Stopped]


def test_two_workers_get_nearly_equal_shares() -> None:
    workers = balanced(SIZES, 2)
    assert [sum(SIZES[name] for name in worker) for worker in workers] == [56, 54]
    assert sorted(name for worker in workers for name in worker) == sorted(SIZES)


def test_the_worker_with_the_least_work_is_given_the_next() -> None:
    assert balanced({"a": 9, "b": 2, "c": 2, "d": 2}, 2) == [["a"], ["b", "c", "d"]]


def test_one_worker_takes_the_largest_first() -> None:
    assert balanced({"h": 10, "g": 11, "a": 17}, 1) == [["a", "g", "h"]]


def test_more_workers_than_buckets_leave_some_empty() -> None:
    assert balanced({"a": 1}, 3) == [["a"], [], []]
