"""Programs of schedulers, called."""

import shutil
import subprocess
import time
from collections.abc import Callable
from typing import Final, TypeVar

from flows.errors import UsageError

_OUTAGE_S: Final = 600.0  # of a scheduler's controller: an upgrade, a full queue of requests

T = TypeVar("T")


def answer(program: str, *arguments: str, given: str = "", needed: str) -> str:
    """What a program prints. Raises `UsageError` where it is not there (`needed` says for what) or fails, with its own words."""
    done = called(program, *arguments, given=given, needed=needed)
    if done.returncode:
        words = (done.stderr or done.stdout).strip() or "without a word"
        raise UsageError(f"{program} {arguments[0] if arguments else ''} failed with status {done.returncode}: {words}")
    return done.stdout


def called(program: str, *arguments: str, given: str = "", needed: str) -> "subprocess.CompletedProcess[str]":
    """A program that has run, whatever its status. Raises `UsageError` where it is not there."""
    if shutil.which(program) is None:
        raise UsageError(f"{program} is not on PATH: {needed}")
    return subprocess.run([program, *arguments], input=given, capture_output=True, text=True, check=False)


def patient(look: Callable[[], T], pause_s: float) -> T:
    """What a look at a job gives, tried again while its scheduler is out of reach; the job runs on meanwhile.

    Raises `UsageError` once that has lasted for ten minutes.
    """
    deadline = time.monotonic() + _OUTAGE_S
    while True:
        try:
            return look()
        except UsageError:
            if time.monotonic() > deadline:
                raise
            time.sleep(pause_s)
