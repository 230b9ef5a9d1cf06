"""One run at a time in an output folder: refused while another lives, taken over when it is gone,
never held by two.
"""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import fsspec
import pytest

from pipelines.errors import PipelineError
from pipelines.storage import lock, lock_file
from pipelines.storage.lock import Holder, Lock, Turn, break_lock, held_by, hold
from pipelines.storage.lock_file import NAME
from pipelines.storage.store import Store
from tests.support.waiting import until

pytest_plugins = ["tests.support.servers.object_store"]
ROOT = Path(__file__).parents[3]
WITHIN_S = 30


@pytest.fixture(params=["local", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "s3":
        yield Store(f"s3://{request.getfixturevalue('bucket')}/out")
        return
    if request.param == "local":
        yield Store(str(tmp_path / "out"))
        return
    made = Store(f"memory://{uuid.uuid4().hex}")
    yield made
    fsspec.filesystem("memory").rm(made.root, recursive=True)


def own(**changes: object) -> Holder:
    """This process as a holder, with some facts changed."""
    with hold(store := Store(f"memory://{uuid.uuid4().hex}"), "build"):
        holder = held_by(store)
    assert holder is not None
    return holder.replaced(holder_id=uuid.uuid4().hex, **changes)


def write(store: Store, holder: Holder) -> None:
    store.write_json(NAME, holder.model_dump())


def gone_pid() -> int:
    """Number of a process that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def refused(store: Store, match: str) -> None:
    with pytest.raises(PipelineError, match=match), hold(store, "second"):
        pass


def test_a_second_run_is_refused_and_told_who_holds_the_folder_and_what_to_do(store: Store) -> None:
    with hold(store, "build") as held:
        holder = held_by(store)
        assert holder == held.holder
        assert (holder.purpose, holder.pid, holder.lease_s) == ("build", os.getpid(), 120)
        refused(
            store,
            (
                rf"in use by build \(host {holder.host}, process {os.getpid()}, "
                rf"since {holder.taken}, .*obbligato unlock {store.url}`"
            ),
        )
        held.check()
        assert held_by(store) == holder
    assert held_by(store) is None


def test_the_lock_is_given_back_when_the_block_fails(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), hold(store, "build"):
        raise ZeroDivisionError
    with hold(store, "build"):
        pass
    assert not store.exists(NAME)


@pytest.mark.parametrize(
    "facts",
    [{"pid": 0}, {"process_start": 1}],
    ids=["no such process", "a later process of that number"],
)
def test_a_run_that_was_killed_here_is_replaced_at_once(
    store: Store, facts: dict[str, int]
) -> None:
    write(store, own(**(facts | ({"pid": gone_pid()} if "pid" in facts else {}))))
    with hold(store, "again") as held:
        assert held_by(store) == held.holder
        assert held.holder.purpose == "again"
    assert held_by(store) is None


def test_a_killed_run_that_nobody_has_buried_is_gone(store: Store) -> None:
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    start = lock._process_start(zombie.pid)
    until(lambda: lock._process_start(zombie.pid) == 0, "zombie", WITHIN_S)
    write(store, own(pid=zombie.pid, process_start=start))
    with hold(store, "again"):
        pass
    zombie.wait()


OTHERS = [
    {"host": "node-2", "boot_id": "other"},
    {"pid_namespace": 1},
    {"boot_id": ""},
    {"boot_id": "before"},
]


@pytest.mark.parametrize(
    "facts",
    OTHERS,
    ids=[
        "another host",
        "another container",
        "a host without a boot id",
        "another host of the same name, or this one before a restart",
    ],
)
def test_a_run_elsewhere_is_replaced_only_after_its_lease(
    store: Store, monkeypatch: pytest.MonkeyPatch, facts: dict[str, object]
) -> None:
    write(store, own(lease_s=60, pid=gone_pid(), **facts))
    refused(store, "in use by build")
    age_s = lock._age_s
    monkeypatch.setattr(lock, "_age_s", lambda store: age_s(store) + 59)
    refused(store, "in use by build")
    monkeypatch.setattr(lock, "_age_s", lambda store: age_s(store) + 61)
    with hold(store, "again") as held:
        assert held_by(store) == held.holder


def test_a_locks_age_is_told_by_the_stores_own_clock(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    write(store, own(renewed="1999-01-01T00:00:00Z"))  # a host whose clock is wrong
    assert lock._age_s(store) == pytest.approx(0, abs=5)
    os.utime(tmp_path / NAME, (time.time() - 300,) * 2)
    assert lock._age_s(store) == pytest.approx(300, abs=5)
    assert store.names("runs") == []
    store.delete(NAME)
    assert lock._age_s(store) == float("inf")


def test_a_lock_file_that_cannot_be_read_is_respected_and_can_be_unlocked(store: Store) -> None:
    store.write_bytes(NAME, b'{"holder_id": ')
    refused(
        store,
        r"in use by an unknown run, whose run\.lock this version cannot read .*obbligato unlock",
    )
    removed = break_lock(store)
    assert removed is not None
    assert removed.host == "unknown"
    assert break_lock(store) is None


def test_a_renewed_lock_stays_its_holders_and_shows_when(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "_now", lambda: "2026-11-21T12:00:00Z")
    with hold(store, "build", lease_s=0.3) as held:  # renewed every 0.05 s
        monkeypatch.setattr(lock, "_now", lambda: "2026-11-21T12:00:20Z")
        until(
            lambda: (
                (standing := held_by(store)) is not None
                and standing.renewed == "2026-11-21T12:00:20Z"
            ),
            "renewal",
            WITHIN_S,
        )
        standing = held_by(store)
        assert standing is not None
        assert (standing.holder_id, standing.taken) == (
            held.holder.holder_id,
            "2026-11-21T12:00:00Z",
        )
    assert held_by(store) is None


def lose(held: Lock) -> None:
    """Renew as the holder's thread does, then ask as the run does."""
    held.renew()
    assert held.lost
    with pytest.raises(
        PipelineError, match="was taken over by another run, or unlocked; this run stops"
    ):
        held.check()


def test_a_lock_that_another_run_took_is_lost_and_not_taken_back(store: Store) -> None:
    other = own(purpose="other")
    with hold(store, "build") as held:
        write(store, other)
        lose(held)
        held.renew()
        assert held_by(store) == other
    assert held_by(store) == other


def test_a_loss_that_nobody_noticed_yet_costs_the_other_run_nothing(store: Store) -> None:
    other = own(purpose="other")
    with hold(store, "build"):
        write(store, other)
    assert held_by(store) == other


def test_what_was_replaced_after_it_was_read_is_not_removed(store: Store) -> None:
    first, other = own(), own(purpose="other")
    write(store, first)
    seen = lock_file.read(store)
    assert seen is not None
    write(store, other)
    assert not lock_file.remove(store, seen)
    assert held_by(store) == other


def test_workers_elsewhere_go_on_while_their_run_holds_the_folder_and_stop_after_it(
    store: Store,
) -> None:
    Turn(store, "").check()  # of a run without a lock
    with hold(store, "build") as held:
        turn = Turn(store, held.holder.holder_id)
        turn.check()
        with pytest.raises(PipelineError, match="has ended; its workers stop"):
            Turn(store, "another's").check()
    with pytest.raises(PipelineError, match="has ended; its workers stop"):
        turn.check()


def test_workers_elsewhere_stop_when_their_run_was_killed(store: Store) -> None:
    killed = own(pid=gone_pid())
    write(store, killed)
    with pytest.raises(PipelineError, match=r"is gone \(build \(host .*its workers stop"):
        Turn(store, killed.holder_id).check()


def test_a_lock_that_was_unlocked_is_lost_and_not_made_again(store: Store) -> None:
    with hold(store, "build") as held:
        removed = break_lock(store)
        assert removed is not None
        assert removed.holder_id == held.holder.holder_id
        lose(held)
        assert held_by(store) is None


def test_the_renewing_thread_finds_the_loss_by_itself(store: Store) -> None:
    with hold(store, "build", lease_s=0.3) as held:
        break_lock(store)
        until(lambda: held.lost, "loss", WITHIN_S)


def test_a_run_whose_machine_slept_asks_again_before_it_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hold(store, "build") as held:
        write(store, own(purpose="other"))
        held.check()  # not yet noticed: the last renewal is fresh
        clock_s = lock._clock_s
        monkeypatch.setattr(lock, "_clock_s", lambda: clock_s() + 100)
        with pytest.raises(PipelineError, match="this run stops"):
            held.check()


def test_renewals_that_fail_cost_the_lock_only_with_the_lease(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*_: object) -> None:
        raise PipelineError("no network")

    clock_s = lock._clock_s
    with hold(store, "build") as held, monkeypatch.context() as away:
        away.setattr(lock, "swap", no_network)
        away.setattr(lock, "_clock_s", lambda: clock_s() + 119)
        held.check()
        away.setattr(lock, "_clock_s", lambda: clock_s() + 121)
        with pytest.raises(PipelineError, match="this run stops"):
            held.check()


def test_child_processes_of_a_run_hold_its_lock_with_it_and_leave_it_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hold(store, "flow") as held:
        ((name, value),) = held.environment().items()
        monkeypatch.setenv(name, value)
        with hold(store, "stage") as childs:
            assert childs.environment() == held.environment()
            childs.check()
            assert held_by(store) == held.holder
        assert held_by(store) == held.holder
        with hold(store, "stage") as childs:
            break_lock(store)
            with pytest.raises(PipelineError, match="this run stops"):
                childs.check()


def test_the_lock_of_another_folder_does_not_help(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hold(Store(str(tmp_path / "else")), "flow") as elsewhere, hold(store, "build"):
        monkeypatch.setenv(*next(iter(elsewhere.environment().items())))
        refused(store, "in use by build")


def test_of_many_threads_that_find_a_dead_run_or_no_run_one_takes_over(store: Store) -> None:
    pid = gone_pid()
    for dead in (True, False):
        if dead:
            write(store, own(pid=pid))
        start, all_tried = threading.Barrier(8), threading.Barrier(8)

        def rival(
            _: int, start: threading.Barrier = start, all_tried: threading.Barrier = all_tried
        ) -> bool:
            with ExitStack() as stack:
                start.wait()
                try:
                    stack.enter_context(hold(store, "rival"))
                    won = True
                except PipelineError:
                    won = False
                all_tried.wait()
                return won

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(rival, range(8))) == 1
        assert held_by(store) is None


RIVAL = """
import sys
from pipelines.errors import PipelineError
from pipelines.storage.lock import hold
from pipelines.storage.store import Store
sys.stdin.readline()
try:
    with hold(Store(sys.argv[1]), "rival"):
        print("won", flush=True)
        sys.stdin.readline()
except PipelineError as error:
    print("refused" if "in use by rival" in str(error) else error, flush=True)
"""


def rival_process(store: Store) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", RIVAL, store.url],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )


def say(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("\n")


def hear(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("store", ["local", "s3"], indirect=True)
def test_of_processes_one_wins_and_after_a_kill_the_next_wins_at_once(store: Store) -> None:
    write(store, own(pid=gone_pid()))
    rivals = [rival_process(store) for _ in range(4)]
    try:
        for rival in rivals[:3]:
            say(rival)
        outcomes = [hear(rival) for rival in rivals[:3]]
        assert sorted(outcomes) == ["refused", "refused", "won"]
        winner = rivals[outcomes.index("won")]
        winner.send_signal(signal.SIGKILL)
        winner.wait()
        say(rivals[3])
        assert hear(rivals[3]) == "won"
        say(rivals[3])
        assert rivals[3].wait(WITHIN_S) == 0
        assert held_by(store) is None
    finally:
        for rival in rivals:
            rival.kill()
            rival.communicate()


class _LastWriterWins:
    """A file system that knows no conditions: the same files, but a second creation is not
    refused.
    """

    def __init__(self, inner: object) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def pipe_file(self, path: str, content: bytes, mode: str = "overwrite") -> None:
        self._inner.pipe_file(path, content)  # type: ignore[attr-defined]


def test_where_creation_cannot_be_refused_the_last_word_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lock_file, "_SETTLE_S", 0.3)
    store = Store(f"memory://{uuid.uuid4().hex}")
    monkeypatch.setattr(store, "_fs", _LastWriterWins(store._fs))
    for standing in (own(pid=gone_pid()), None):
        if standing is not None:
            write(store, standing)
        with ExitStack() as stack:

            def rival(_: int, stack: ExitStack = stack) -> bool:
                try:
                    stack.enter_context(hold(store, "rival"))
                except PipelineError:
                    return False
                return True

            with ThreadPoolExecutor(4) as pool:
                assert sum(pool.map(rival, range(4))) == 1
            refused(store, "in use by rival")


def test_a_bucket_that_is_not_there_is_told(object_store: str) -> None:
    refused(
        Store("s3://no-such-bucket/out"),
        "s3://no-such-bucket/out cannot be written: .*create the bucket first",
    )


def test_a_disk_without_hard_links_is_locked_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr(os, "link", no_links)
    store = Store(str(tmp_path))
    with hold(store, "build") as held:
        assert held_by(store) == held.holder
        refused(store, "in use by build")
    assert os.listdir(tmp_path) == ["runs"]


def test_a_folder_that_was_made_for_a_lock_goes_with_it_where_nothing_was_written(
    tmp_path: Path,
) -> None:
    store = Store(str(tmp_path / "out"))
    with hold(store, "build"):
        assert (tmp_path / "out" / NAME).exists()
    assert not (tmp_path / "out").exists()
    with hold(store, "build"):
        store.write_bytes("runs/one.json", b"{}")
    assert (tmp_path / "out/runs/one.json").exists()


def test_a_folder_that_was_there_stays_though_it_is_empty(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with hold(Store(str(tmp_path / "out")), "build"):
        pass
    assert (tmp_path / "out").is_dir()


def test_a_lock_is_taken_though_its_folder_goes_at_that_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, makedirs, gone = Store(str(tmp_path / "out")), os.makedirs, [True, True, False]

    def made_and_removed(path: str, exist_ok: bool = False) -> None:
        makedirs(path, exist_ok=exist_ok)
        if gone and gone.pop(0):
            lock_file.remove_unused_folder(store)

    monkeypatch.setattr(os, "makedirs", made_and_removed)
    with hold(store, "build") as held:
        assert held_by(store) == held.holder
    assert gone == []
