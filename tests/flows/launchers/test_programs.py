"""Programs of schedulers, called."""

import signal
import threading
from pathlib import Path

import pytest

from flows.launchers.programs import SchedulerRefusal, answer, called
from tests.support.waiting import until


class Stop(BaseException):
    """A stop signal came."""


def program(folder: Path, *lines: str) -> str:
    made = folder / "program"
    made.write_text("\n".join(("#!/bin/sh", *lines)))
    made.chmod(0o755)
    return str(made)


def test_what_stops_us_does_not_stop_a_program_in_its_midst(tmp_path: Path) -> None:
    slow = program(
        tmp_path,
        f"touch {tmp_path}/begun",
        f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done",
        f"touch {tmp_path}/done",
    )
    came = threading.Event()

    def stop(*_: object) -> None:
        came.set()
        raise Stop

    def stop_in_its_midst() -> None:
        until((tmp_path / "begun").exists, "begin")
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        came.wait()
        (tmp_path / "go").touch()

    before = signal.signal(signal.SIGUSR1, stop)
    other = threading.Thread(target=stop_in_its_midst)
    other.start()
    try:
        with pytest.raises(Stop):
            called(slow, needed="")
        assert (tmp_path / "done").exists()
    finally:
        other.join()
        signal.signal(signal.SIGUSR1, before)


def test_what_a_program_is_given_and_says_is_whole(tmp_path: Path) -> None:
    given = "line\n" * 100_000  # more than a pipe holds
    assert answer(program(tmp_path, "cat"), given=given, needed="") == given


@pytest.mark.parametrize(
    "words",
    [
        'Error from server (NotFound): jobs.batch \\"m\\" not found',
        'error: context \\"x\\" does not exist',
        "slurm_load_jobs error: Invalid job id specified",
        "error: You must be logged in to the server (Unauthorized)",
    ],
)
def test_answers_that_asking_again_does_not_change_are_known(tmp_path: Path, words: str) -> None:
    with pytest.raises(SchedulerRefusal):
        answer(program(tmp_path, f'echo "{words}" >&2', "exit 1"), needed="")


def test_a_program_that_is_missing_is_named_with_what_it_is_for() -> None:
    with pytest.raises(SchedulerRefusal, match="no-such-program is not on PATH: tests ask for it"):
        answer("no-such-program", needed="tests ask for it")
