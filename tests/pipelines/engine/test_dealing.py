"""How buckets are assigned to workers."""

from pipelines.beam.dealing import balanced

SIZES = {"a": 17, "b": 16, "c": 16, "d": 15, "e": 14, "f": 11, "g": 11, "h": 10}


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
