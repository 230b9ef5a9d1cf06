"""How buckets are shared among the workers of the local runner."""

from pipelines.beam.run import shared
from pipelines.stage import Job
from schemas.recipe import Recipe

SIZES = {"a": 17, "b": 16, "c": 16, "d": 15, "e": 14, "f": 11, "g": 11, "h": 10}


def test_two_workers_get_nearly_equal_shares() -> None:
    order = shared([Job("out", name, Recipe()) for name in SIZES], SIZES, 2)
    loads = [sum(SIZES[job.bucket] for job in order[hand::2] if job) for hand in (0, 1)]
    assert loads == [56, 54]
    assert sorted(job.bucket for job in order if job) == sorted(SIZES)


def test_a_worker_without_a_turn_leaves_a_gap() -> None:
    sizes = {"a": 9, "b": 2, "c": 2, "d": 2}
    order = shared([Job("out", name, Recipe()) for name in sizes], sizes, 2)
    assert [job.bucket if job else None for job in order] == ["a", "b", None, "c", None, "d"]


def test_one_worker_takes_the_largest_first() -> None:
    order = shared([Job("out", name, Recipe()) for name in "hga"], SIZES, 1)
    assert [job.bucket for job in order if job] == ["a", "g", "h"]
