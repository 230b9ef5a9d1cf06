"""One bad item costs itself and nothing else, whatever it does to the process it runs in."""

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipelines.engine.child_process import Child, ChildPool, Death, Limits, Unfinished
from pipelines.errors import PipelineError
from tests.support.elsewhere import function_in
from tests.support.waiting import until

MODULE = "isolation_deeds"
DEEDS = '''
"""What items may do to a child."""

import ctypes
import os
import select
import signal
import time
from pathlib import Path


def work(items, context):
    return [act(item, context) for item in items]


def act(item, context):
    if item == "segfault":
        ctypes.string_at(0)
    if item == "exit":
        os._exit(3)
    if item == "abort":
        os.abort()
    while item == "spin":
        pass
    if item == "eat":
        eaten = []
        while True:
            eaten.append(bytearray(1 << 26))
    if item == "sleep":
        select.select([], [], [])
    if item == "raise":
        raise ValueError("broken by design")
    if item == "killed once" and not Path(context).exists():
        Path(context).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if item == "pid":
        return os.getpid()
    if item == "wait for kill":
        Path(context).write_text(str(os.getpid()))
        if not Path(context + ".killed").exists():
            select.select([], [], [])
    return f"did {item}"


def burn(items, context):
    for cpu_s in items:
        end = time.process_time() + cpu_s
        while time.process_time() < end:
            pass
    return items


def threads(items, context):
    return [os.environ["OMP_NUM_THREADS"] for _ in items]
'''
LIMITS = Limits(cpu_s=0.5, memory_mb=600, wall_s=5)
GOOD = ["a", "b", "c"]


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    (tmp_path / f"{MODULE}.py").write_text(DEEDS)
    monkeypatch.syspath_prepend(str(tmp_path))
    made = Child(LIMITS)
    yield made
    made.close()


def run(child: Child, items: list[str], context: str = "") -> list[object]:
    return child.run(function_in(MODULE, "work"), items, context)


def check_only(child: Child, deed: str, code: str) -> Death:
    """The deed's item is dead with its code; those before and behind it have their results."""
    results = run(child, [*GOOD[:2], deed, *GOOD[2:]])
    dead = results.pop(2)
    assert results == ["did a", "did b", "did c"]
    assert isinstance(dead, Death)
    assert dead.code == code, dead
    assert run(child, GOOD) == ["did a", "did b", "did c"]
    return dead


def test_good_items_have_their_results_in_order_from_one_persistent_child(child: Child) -> None:
    assert run(child, GOOD) == ["did a", "did b", "did c"]
    [first], [second] = run(child, ["pid"]), run(child, ["pid"])
    assert first == second != os.getpid()
    assert run(child, []) == []


def test_a_child_that_nobody_calls_ends_and_the_next_call_has_another(child: Child) -> None:
    idle = Child(LIMITS, idle_s=0.01)
    try:
        [first] = run(idle, ["pid"])
        assert isinstance(first, int)
        until(partial(_has_ended, first), "end of an idle child", 10)
        [second] = run(idle, ["pid"])
        assert second != first
    finally:
        idle.close()


def _has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize(
    ("deed", "figure"), [("segfault", "SIGSEGV"), ("abort", "SIGABRT"), ("exit", "exit status 3")]
)
def test_a_crash_kills_its_item_only(child: Child, deed: str, figure: str) -> None:
    assert check_only(child, deed, "crashed").figure == figure


def test_an_endless_loop_kills_its_item_only(child: Child) -> None:
    assert "limit 0.5 s" in check_only(child, "spin", "cpu_limit").figure


def test_an_endless_appetite_kills_its_item_only(child: Child) -> None:
    child.limits = LIMITS._replace(cpu_s=30, wall_s=60)  # touching the memory takes CPU seconds too
    assert "600 MiB" in check_only(child, "eat", "memory_limit").figure


def test_sleeping_forever_kills_its_item_only(child: Child) -> None:
    """Starting the child costs CPU too; that must not pass for work."""
    child.limits = LIMITS._replace(wall_s=1.5)
    check_only(child, "sleep", "hung")


def test_a_library_that_raises_kills_its_item_only(child: Child) -> None:
    assert "broken by design" in check_only(child, "raise", "raised").message


def test_two_kinds_of_bad_items_in_one_batch_are_both_found(child: Child) -> None:
    results = run(child, ["a", "segfault", "b", "spin", "c"])
    assert [result.code if isinstance(result, Death) else result for result in results] == [
        "did a",
        "crashed",
        "did b",
        "cpu_limit",
        "did c",
    ]


def test_a_child_that_was_killed_from_within_by_sigkill_is_replaced_and_the_batch_completes(
    child: Child, tmp_path: Path
) -> None:
    assert run(child, ["a", "killed once", "b"], str(tmp_path / "mark")) == [
        "did a",
        "did killed once",
        "did b",
    ]


def test_a_child_that_somebody_kills_in_mid_work_is_replaced_and_the_batch_completes(
    child: Child, tmp_path: Path
) -> None:
    path = tmp_path / "pid"
    os.mkfifo(path)

    def kill_the_first() -> None:
        victim = int(path.read_text())  # the FIFO opens when the child writes its process id
        Path(f"{path}.killed").touch()
        os.kill(victim, signal.SIGKILL)
        path.read_text()  # what replaced it

    killer = threading.Thread(target=kill_the_first)
    killer.start()
    assert run(child, ["a", "wait for kill", "b"], str(path)) == [
        "did a",
        "did wait for kill",
        "did b",
    ]
    killer.join(timeout=5)
    assert not killer.is_alive()


def test_a_child_that_dies_between_calls_is_replaced(child: Child) -> None:
    [pid] = run(child, ["pid"])
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGKILL)
    assert run(child, GOOD) == ["did a", "did b", "did c"]
    assert run(child, ["pid"]) != [pid]


def test_busy_at_the_wall_clock_decides_nothing(tmp_path: Path, child: Child) -> None:
    """An item that still works when the clock runs out may be honest on a slow machine."""
    child.limits = Limits(cpu_s=60, memory_mb=600, wall_s=0.7)
    with pytest.raises(Unfinished, match=r"raise limits\.wall_s"):
        run(child, ["spin"])


def test_a_cpu_limit_counts_one_call_and_not_the_childs_life(child: Child) -> None:
    pids = {run(child, ["pid"])[0]}
    for _ in range(4):
        assert child.run(function_in(MODULE, "burn"), [0.4], None) == [0.4]
        pids.add(run(child, ["pid"])[0])
    assert len(pids) == 1


def test_a_child_works_with_one_thread(child: Child) -> None:
    assert child.run(function_in(MODULE, "threads"), ["x"], None) == ["1"]


def test_a_module_that_does_not_exist_is_named(child: Child) -> None:
    [result] = child.run(function_in("isolation_nowhere", "work"), ["x"], None)
    assert isinstance(result, Death)
    assert "isolation_nowhere" in result.message


def test_closing_ends_the_child(child: Child) -> None:
    [pid] = run(child, ["pid"])
    assert isinstance(pid, int)
    child.close()
    assert not psutil.pid_exists(pid)


def test_a_pool_hands_out_a_warm_child_with_the_new_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{MODULE}.py").write_text(DEEDS)
    monkeypatch.syspath_prepend(str(tmp_path))
    pool = ChildPool()
    first, other = pool.take(LIMITS), pool.take(LIMITS)
    assert first is not other
    [pid] = run(first, ["pid"])
    pool.give_back(first)
    again = pool.take(Limits(5, 700, 9))
    assert (again.limits, run(again, ["pid"])) == ((5, 700, 9), [pid])
    again.close()


def _inner() -> Any:
    def inside(items: Sequence[str], _context: None) -> list[str]:
        return list(items)

    return inside


@pytest.mark.parametrize(
    "function", [lambda items, _context: list(items), _inner(), Child.close, partial(_inner)]
)
def test_what_no_other_process_can_import_is_refused(child: Child, function: Any) -> None:
    with pytest.raises(
        PipelineError,
        match="only a function that stands by itself in a module can be imported there",
    ):
        child.run(function, ["x"], None)
