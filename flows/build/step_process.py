"""Steps in a process of their own, which ends with the one that started it, whatever ends that.

It stays warm for the next step.
"""

import json
import math
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import IO, Any, Final, NamedTuple

import psutil

from pipelines.engine.child_process import module_command, spawn

_LOOK_EVERY_S: Final = 1.0  # whether a silent process is still there
_LAST_LINES: Final = 5  # of the error output of a process that died, for the message


class StepFailed(Exception):
    """A step ended without success.

    `final` says that trying again is of no use, `unanswered` that its process never answered.
    """

    def __init__(self, message: str, *, final: bool = False, unanswered: bool = False) -> None:
        super().__init__(message)
        self.final, self.unanswered = final, unanswered


class StepOrder(NamedTuple):
    """The order for a step's process: the build, the run's folder in it, the engine, the lock's id.

    Also how long it may take, and what its recipe names that this run's caller has trusted.
    """

    out: str
    run_folder: str
    workers: int
    runner: str
    beam: tuple[str, ...]
    lock: str  # id of its holder
    timeout_s: float
    trusted: tuple[str, ...] = ()
    shrink: bool = False  # whether many songs may go


class ProcessGroup:
    """A process with a group of its own, whose lines are read as they come; `close` ends the group.

    Its program ties itself to this process (`pipelines.engine.child_process.die_with`), so that it
    ends with it, whatever ends that.
    """

    def __init__(
        self, command: Sequence[str], stdin: int = subprocess.DEVNULL, **environment: str
    ) -> None:
        self._process = spawn(
            command,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # a group of its own, which `close` ends with all that is in it
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                **environment,
            },
        )
        self._heard: queue.SimpleQueue[tuple[str, str | None]] = queue.SimpleQueue()
        for name in ("stdout", "stderr"):
            threading.Thread(target=self._listen, args=(name,), daemon=True).start()

    def _listen(self, name: str) -> None:
        stream: IO[str] = getattr(self._process, name)
        with suppress(ValueError):  # closed while it was read
            for line in stream:
                self._heard.put((name, line.rstrip("\n")))
        self._heard.put((name, None))

    def lines(self, timeout_s: float = math.inf) -> Iterator[tuple[str, str]]:
        """Lines as they come, until both streams have ended, or the process has and no more comes.

        Others may hold its streams open.

        Raises `TimeoutError` when time is up and it is silent.
        """
        deadline, ended = time.monotonic() + timeout_s, 0
        while ended < 2:
            alive = self.alive
            try:
                name, line = self._heard.get(
                    timeout=max(0.0, min(_LOOK_EVERY_S, deadline - time.monotonic()))
                )
            except queue.Empty:
                if not alive:
                    return
                if time.monotonic() >= deadline:
                    raise TimeoutError from None
                continue
            if line is None:
                ended += 1
            else:
                yield name, line

    def stop(self, patience_s: float) -> None:
        """Ask the process to end (SIGTERM); end its group then, or when `patience_s` is over."""
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(patience_s)
        self.close()

    def ended(self) -> int:
        """Its status, once it has ended by itself; nothing of its group is left then.

        128 and the signal's number where one ended it.
        """
        status = self._process.wait()
        self.close()
        return status if status >= 0 else 128 - status

    @property
    def pid(self) -> int:
        """Its process id, which is its group's too."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def close(self) -> None:
        """Kill the process and all that it started, and wait until they are gone."""
        group = [member for member in psutil.process_iter() if _group_of(member.pid) == self.pid]
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        psutil.wait_procs(group, timeout=10)


class StepProcess(ProcessGroup):
    """A process that takes one step after the other."""

    def __init__(self) -> None:
        super().__init__(
            module_command("flows.cli", "serve-steps", "--parent", str(os.getpid())),
            stdin=subprocess.PIPE,
        )

    def take(
        self,
        step: str,
        share: str,
        order: StepOrder,
        on_progress: Callable[[str, int, int], None],
        on_line: Callable[[str], None],
    ) -> Any:
        """Take a step, or several of a chain with commas between, or a share of them.

        Returns their reports. Raises `StepFailed`.
        """
        stdin: IO[str] = self._process.stdin  # type: ignore[assignment]  # a pipe
        try:
            stdin.write(json.dumps({"step": step, "share": share, **order._asdict()}) + "\n")
            stdin.flush()
        except BrokenPipeError:
            raise StepFailed(
                f"step {step}: its process ended before it began", unanswered=True
            ) from None
        errors: list[str] = []
        has_answered = False
        for name, line in self._lines(step, order.timeout_s):
            has_answered = True
            if name == "stderr":
                errors = [*errors, line][-_LAST_LINES:]
                on_line(line)
                continue
            answer = json.loads(line)
            if "progress" in answer:
                state = answer["progress"]
                on_progress(state["step"], state["done"], state["total"])
            if "error" in answer:
                raise StepFailed(f"step {step}: {answer['error']}", final=answer["final"])
            if "reports" in answer:
                return answer["reports"]
        reason = "; ".join(errors) or "without a word"
        raise StepFailed(
            f"step {step}: its process died with status {self._process.poll()}: {reason}",
            unanswered=not has_answered,
        )

    def _lines(self, step: str, timeout_s: float) -> Iterator[tuple[str, str]]:
        try:
            yield from self.lines(timeout_s)
        except TimeoutError:
            message = (
                f"step {step} took longer than {timeout_s:g} s and was ended; raise "
                "step_timeout_s, or give it more workers"
            )
            raise StepFailed(message, final=True) from None


def _group_of(pid: int) -> int:
    with suppress(ProcessLookupError):
        return os.getpgid(pid)
    return 0


class StepProcesses:
    """Idle step processes of this process."""

    def __init__(self) -> None:
        self._idle: list[StepProcess] = []

    def take(
        self,
        step: str,
        share: str,
        order: StepOrder,
        on_progress: Callable[[str, int, int], None],
        on_line: Callable[[str], None],
    ) -> Any:
        """Take a step, or several of a chain, in an idle process or a new one; one in which it
        failed is not used again.
        """
        while True:
            process, is_new = self._ready()
            try:
                reports = process.take(step, share, order, on_progress, on_line)
            except StepFailed as failed:
                process.close()
                if failed.unanswered and not is_new:  # it was idle for too long, and went just now
                    continue
                raise
            except BaseException:
                process.close()
                raise
            self._idle.append(process)
            return reports

    def _ready(self) -> tuple[StepProcess, bool]:
        """A process, and whether it is a new one."""
        while True:
            try:
                process = self._idle.pop()
            except IndexError:
                return StepProcess(), True
            if process.alive:
                return process, False
            process.close()

    def close(self) -> None:
        """End all idle processes."""
        while self._idle:
            self._idle.pop().close()


PROCESSES: Final = StepProcesses()
