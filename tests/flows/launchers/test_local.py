"""The local launcher, with real processes: stopped, cancelled, killed, gone on with."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flows.errors import UsageError
from flows.launchers import JobEnd, Launching, launched
from flows.launchers.local import LocalLauncher, LocalSettings
from tests.flows.launchers.pretending import Listener, alive, break_off, job, stop_all, stop_first
from tests.support.waiting import until

# what is started looks nowhere else
IMPORTING = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
HERE = Launching().made


def test_several_processes_are_told_their_place_and_all_that_they_print_is_told(
    tmp_path: Path,
) -> None:
    listener = Listener()
    assert launched(HERE, job(tmp_path, processes=2), listener) == JobEnd(0)
    assert sorted(listener.lines) == [
        "done",
        "done",
        "turn 0, rank 0 of 2 at 127.0.0.1",
        "turn 0, rank 1 of 2 at 127.0.0.1",
    ]


def test_a_run_that_is_stopped_from_outside_goes_on_until_it_is_done(tmp_path: Path) -> None:
    listener = Listener(stop_first)
    assert launched(HERE, job(tmp_path, "--stops", "2"), listener) == JobEnd(0)
    assert [line for line in listener.lines if "turn" in line] == [
        f"turn {turn}, rank 0 of 1 at home" for turn in range(3)
    ]
    assert listener.lines[-1] == "done"


def test_a_run_goes_on_no_more_often_than_it_may(tmp_path: Path) -> None:
    assert launched(
        HERE, job(tmp_path, "--stops", "9", requeues=1), Listener(stop_first)
    ) == JobEnd(75, requeue=True)
    assert len(list(tmp_path.glob("checkpoint-*"))) == 2


def test_a_signal_to_the_starter_of_several_reaches_each_once_and_their_status_is_theirs(
    tmp_path: Path,
) -> None:
    launcher = LocalLauncher(LocalSettings())
    handle = launcher.submit(job(tmp_path, "--stops", "1", processes=2))
    assert launcher.follow(
        handle, Listener(lambda _: os.kill(int(handle.name), signal.SIGTERM), ranks=2)
    ) == JobEnd(75, requeue=True)
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == [
        "checkpoint-0-0",
        "checkpoint-0-1",
    ]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_stop_before_it_could_listen_for_stops_is_one_too(tmp_path: Path, processes: int) -> None:
    assert launched(
        HERE, job(tmp_path, "--dies", processes=processes), Listener(stop_all, ranks=processes)
    ) == JobEnd(0)
    assert len(list(tmp_path.glob("turn-*"))) == 2 * processes


def test_a_failure_is_told_with_its_words_and_is_not_tried_again(tmp_path: Path) -> None:
    listener = Listener()
    assert launched(HERE, job(tmp_path, "--fails", "3"), listener) == JobEnd(3)
    assert sorted(listener.lines) == ["out of luck", "turn 0, rank 0 of 1 at home"]


def test_peers_of_one_that_failed_are_not_waited_for_for_ever(tmp_path: Path) -> None:
    words = ["--processes", "2", "--", *job(tmp_path, "--fails", "3", "--rank", "1").command()]
    program = f"from flows.launchers import node\nnode._PEERS_S = 0.1\nnode.main({words})"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=IMPORTING,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3
    assert (
        alive(
            [int(line.split()[-1]) for line in done.stdout.splitlines() if line.startswith("works")]
        )
        == []
    )


def test_what_breaks_the_following_off_leaves_a_checkpoint_and_no_process(tmp_path: Path) -> None:
    listener = Listener(break_off, ranks=2)
    with pytest.raises(KeyboardInterrupt):
        launched(HERE, job(tmp_path, "--stops", "1", processes=2), listener)
    assert len(list(tmp_path.glob("checkpoint-0-*"))) == 2
    assert alive(listener.pids) == []


def test_a_run_whose_starter_is_killed_ends_with_it(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path\nfrom flows.launchers import Launching, launched\nfrom "
        "tests.flows.launchers.pretending import job\n"
        f"launched(Launching().made, job(Path({str(tmp_path)!r}), '--stops', '1', processes=2), "
        "lambda line: print(line, flush=True))"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", program], env=IMPORTING, stdout=subprocess.PIPE, text=True
    )
    listener = Listener(lambda _: starter.kill(), ranks=2)
    for line in starter.stdout or ():
        listener(line.rstrip("\n"))
    starter.wait()
    assert len(listener.pids) == 2
    until(lambda: not alive(listener.pids), "end of what the killed starter had started")
    assert not list(tmp_path.glob("checkpoint-*"))


def test_a_command_that_is_stopped_stops_its_run_with_a_checkpoint_and_says_so(
    tmp_path: Path,
) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from flows.launchers import Launching\n"
        "from flows.launchers.command import run_launched\n"
        "from tests.flows.launchers.pretending import job\n"
        f"work = job(Path({str(tmp_path)!r}), '--stops', '1')\n"
        "sys.exit(run_launched(work, Launching(), lambda line: print(line, flush=True)))"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", program], env=IMPORTING, stdout=subprocess.PIPE, text=True
    )
    listener = Listener(lambda _: starter.terminate())
    for line in starter.stdout or ():
        listener(line.rstrip("\n"))
    assert starter.wait() == 75
    assert listener.lines[-1] == "cancelled; the same command goes on from the last checkpoint"
    assert (tmp_path / "checkpoint-0-0").exists()
    assert alive(listener.pids) == []


def test_several_machines_are_refused_with_what_to_write_instead(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one machine, not 2: --nodes 1, or --launcher slurm"):
        launched(HERE, job(tmp_path, nodes=2), print)
    with pytest.raises(UsageError, match=r"s3://b/m: a run is written to a folder of this machine"):
        launched(HERE, job(tmp_path).replaced(out="s3://b/m"), print)


def test_stopping_every_process_by_itself_counts_as_one_stop(tmp_path: Path) -> None:
    assert launched(
        HERE, job(tmp_path, "--stops", "1", processes=2), Listener(stop_all, ranks=2)
    ) == JobEnd(0)
