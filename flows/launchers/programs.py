"""Programs of schedulers, called."""

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

from flows.errors import UsageError
from flows.launchers.job import ReportLine

_OUTAGE_S: Final = 600.0  # of a scheduler's controller: an upgrade, a full queue of requests
# that a program gets to end by itself when this process is stopped
_SUBMITTING_S: Final = 60.0
_FINAL: Final = re.compile(
    (
        r"\bnot ?found\b|does not exist|invalid (job id|user)"
        r"|forbidden|unauthorized|(access|permission).* denied|certificate"
    ),
    re.IGNORECASE,
)

T = TypeVar("T")


class SchedulerRefusal(UsageError):
    """A scheduler's answer that asking again does not change."""


def answer(program: str, *arguments: str, given: str = "", needed: str) -> str:
    """What a program prints.

    Raises `UsageError` where it fails, with its own words; `SchedulerRefusal` where it is not
    there, or for good.
    """
    done = called(program, *arguments, given=given, needed=needed)
    if done.returncode:
        raise failure(done)
    return done.stdout


def failure(done: "subprocess.CompletedProcess[str]") -> UsageError:
    """The error that a program's failure is.

    >>> command = ["kubectl", "--namespace=n", "get", "pods"]
    >>> failure(subprocess.CompletedProcess(command, 1, "", "Error from server (Forbidden)"))
    SchedulerRefusal('kubectl get failed with status 1: Error from server (Forbidden)')
    """
    words = (done.stderr or done.stdout).strip() or "without a word"
    verb = (
        next((word for word in done.args[1:] if not word.startswith("-")), "")
        if done.args[0] == "kubectl"
        else ""
    )
    kind = SchedulerRefusal if _FINAL.search(words) else UsageError
    return kind(
        f"{done.args[0]}{' ' if verb else ''}{verb} failed with status {done.returncode}: {words}"
    )


def called(
    program: str, *arguments: str, given: str = "", needed: str
) -> "subprocess.CompletedProcess[str]":
    """A program that has run, whatever its status.

    Raises `SchedulerRefusal` where it is not there (`needed` says for what).

    What stops this process does not stop the program in its midst: a submission is seen by whoever
    looks for it afterwards, or was none.
    """
    require(program, needed=needed)
    with (
        tempfile.TemporaryFile("w+") as stdin,
        tempfile.TemporaryFile("w+") as stdout,
        tempfile.TemporaryFile("w+") as errors,
    ):
        stdin.write(given)
        stdin.seek(0)
        # in a session of its own, which no Ctrl-C reaches
        process = subprocess.Popen(
            [program, *arguments], stdin=stdin, stdout=stdout, stderr=errors, start_new_session=True
        )
        try:
            process.wait()
        except BaseException:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_SUBMITTING_S)
            raise
        stdout.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(
            [program, *arguments], process.returncode, stdout.read(), errors.read()
        )


def require(*programs: str, needed: str) -> None:
    """Raises `SchedulerRefusal` for a program that is not there."""
    for program in programs:
        if shutil.which(program) is None:
            raise SchedulerRefusal(f"{program} is not on PATH: {needed}")


def patient(query: Callable[[], T], pause_s: float, report: ReportLine) -> T:
    """What a query of a job gives, tried again while its scheduler is out of reach.

    The job runs on meanwhile.

    Raises `SchedulerRefusal` at once, and `UsageError` once the rest has lasted for ten minutes.
    """
    deadline, is_reported = time.monotonic() + _OUTAGE_S, False
    while True:
        try:
            return query()
        except SchedulerRefusal:
            raise
        except UsageError as error:
            if time.monotonic() > deadline:
                raise
            if not is_reported:
                report(
                    f"the scheduler is out of reach, and asked again for {_OUTAGE_S / 60:.0f} "
                    f"minutes; the job is left alone: {error}"
                )
            is_reported = True
            time.sleep(pause_s)
