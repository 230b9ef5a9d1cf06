"""Calls that may crash, hang or eat memory, run in one persistent child process that is replaced
when it dies.

The caller hands over a function by name and a list of items. A child that dies takes the batch with
it; the batch is tried again whole, then each item alone, so that one bad item costs itself and
nothing else.
"""

import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import psutil

from pipelines.errors import MachineFault, PipelineError, TransientError, is_of_the_machine
from pipelines.extras import MissingExtra, naming_extras

T = TypeVar("T")
C = TypeVar("C")
R = TypeVar("R")
KILLS: Final = frozenset(
    (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
)
_OUTSIDE_KILLS = 5  # a child that somebody else killed is simply replaced, this many times in a row
_NOT_INSTALLED: Final = "not_installed"  # an optional package, as a child says it
_STALLS: Final = frozenset(("request_wait_answer",))  # FUSE's, which looks like an idle wait
IDLE_S: Final = 300.0  # a child that nobody has called for so long gives its memory back
_WAS_IDLE: Final = 113  # its exit status: no library's
_LOOKS = 10  # at what a silent child is doing, before it is given up
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
# A child is set to die with the thread that started it, so one thread that lives as long as the
# process starts them all.
_LIBC = ctypes.CDLL(None)
_STARTER = [ThreadPoolExecutor(1, thread_name_prefix="child-starter")]


def _start_anew() -> None:
    """A forked process has none of its parent's threads."""
    _STARTER[0] = ThreadPoolExecutor(1, thread_name_prefix="child-starter")


os.register_at_fork(after_in_child=_start_anew)


def spawn(command: Sequence[str], **options: Any) -> "subprocess.Popen[Any]":
    """A process that may ask to die with this one (`die_with`); options of `subprocess.Popen`."""
    process: subprocess.Popen[Any] = (
        _STARTER[0].submit(lambda: subprocess.Popen(command, **options)).result()
    )
    return process


def module_command(module: str, *arguments: str, python: str = "") -> list[str]:
    """The command that runs a module of ours by this interpreter, or another.

    Nothing is imported from the folder it is run in.
    """
    return [python or sys.executable, "-P", "-m", module, *arguments]


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it is gone, whatever ends
    that; holds through exec.
    """
    _LIBC.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def die_with(parent: int) -> None:
    """Tie this process to the one that started it, also where that is gone already."""
    die_with_parent()
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


class Limits(NamedTuple):
    """What one call may use: CPU seconds, private memory in MiB, wall-clock seconds."""

    cpu_s: float
    memory_mb: float
    wall_s: float


class Death(NamedTuple):
    """Why an item has no result: an error code, what to do, and the figure behind it."""

    code: str
    message: str
    figure: str = ""


class Unfinished(TransientError):
    """A call ran into the wall-clock limit twice while it worked or waited for the machine, or
    somebody kept killing its child.

    That says nothing of the input, so nothing is decided.
    """


class Stopped(TransientError):
    """The run was stopped while a call was under way; nothing is decided."""

    def __init__(self) -> None:
        super().__init__("the run was stopped; run again to go on")


class _Died(Exception):
    def __init__(
        self,
        code: str,
        message: str,
        figure: str = "",
        *,
        busy: bool = False,
        outside: bool = False,
    ) -> None:
        super().__init__(message)
        self.death, self.busy, self.outside = Death(code, message, figure), busy, outside

    @property
    def advice(self) -> str:
        """What may help against a death that is not the input's."""
        return (
            "give the machine more memory, or fewer workers"
            if self.outside
            else "raise limits.wall_s"
        )


def importable_name(function: Callable[..., Any]) -> str:
    """Module and name by which another process imports a function.

    Raises `PipelineError` for a lambda, and for what stands inside a function, a class or a script.

    >>> importable_name(module_command)
    'pipelines.engine.child_process:module_command'
    """
    module, name = getattr(function, "__module__", ""), getattr(function, "__qualname__", "")
    if not module or module == "__main__" or not name.isidentifier():
        raise PipelineError(
            f"{name or function!r} cannot be run in a child: only a function that stands by "
            "itself in a module can be imported there"
        )
    return f"{module}:{name}"


class Child:
    """A child process that runs a function on a list of items, under limits.

    `python` names the interpreter of another environment ("" for this one), where Obbligato must be
    installed too. One that was not called for `idle_s` ends, and the next call starts another.
    """

    def __init__(self, limits: Limits, python: str = "", idle_s: float = IDLE_S) -> None:
        self.limits, self.python, self._idle_s = limits, python, idle_s
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None
        self._stopped = False

    def run(
        self,
        function: Callable[[Sequence[T], C], Sequence[R | Death]],
        items: Sequence[T],
        context: C,
    ) -> list[R | Death]:
        """One result or `Death` per item: ``function(items, context)``.

        The child imports the function by its module and name.

        Raises `Unfinished` when the wall clock ran out on a busy child, alone and twice, and
        `PipelineError` for a function that no other process can import.
        """
        name = importable_name(function)
        try:
            return self._try(name, items, context, tries=2 if len(items) > 1 else 1)
        except _Died as died:
            _reraise_refused(died)
        return [self._alone(name, item, context) for item in items]

    def _alone(self, function: str, item: Any, context: Any) -> Any:
        try:
            return self._try(function, [item], context, tries=2)[0]
        except _Died as died:
            if died.busy or died.outside:
                raise Unfinished(
                    f"{died.death.message}; the bucket stays "
                    f"unfinished: run again, or {died.advice}"
                ) from died
            _reraise_refused(died)
            return died.death

    def _try(self, function: str, items: Sequence[Any], context: Any, tries: int) -> list[Any]:
        deaths = kills = 0
        while True:
            try:
                return self._call(function, items, context)
            except _Died as died:
                if self._stopped:
                    raise Stopped from died
                if died.outside and kills < _OUTSIDE_KILLS:
                    kills += 1
                    continue
                deaths += 1
                if deaths >= tries or died.death.code in (
                    "cpu_limit",
                    "memory_limit",
                    "raised",
                    "refused",
                    _NOT_INSTALLED,
                ):
                    raise

    def _call(self, function: str, items: Sequence[Any], context: Any) -> list[Any]:
        pipe = self._started()
        assert self._process is not None  # started just above
        watched = psutil.Process(self._process.pid)
        began = time.perf_counter()
        try:
            pipe.send((function, list(items), context, self.limits))
            if not pipe.poll(self.limits.wall_s / 2):
                self._watch(pipe, watched)
            kind, value, worked_s = pipe.recv()
        except (EOFError, ConnectionError, BrokenPipeError):
            raise self._ended() from None
        if kind == "done":
            WAITED.seconds += time.perf_counter() - began - worked_s
            return list(value)
        self.close()
        if kind == "machine":
            raise MachineFault(value)
        raise _Died(
            kind, value, f"limit {self.limits.memory_mb:g} MiB" if kind == "memory_limit" else ""
        )

    def _watch(self, pipe: Connection, watched: psutil.Process) -> None:
        """The second half of the wall-clock limit.

        Raises `_Died` where it passes without an answer.
        """
        half_s = _cpu_s(watched)  # what it uses from here on is no longer starting up
        held_up = ""
        for _ in range(_LOOKS):
            if pipe.poll(self.limits.wall_s / 2 / _LOOKS):
                return
            held_up = _held_up(watched) or held_up
        raise self._hung(_cpu_s(watched) - half_s, held_up)

    def _hung(self, used_s: float, held_up: str) -> _Died:
        """A child that let the wall-clock limit pass: hung where it idled by itself, busy where it
        worked or was held up.
        """
        self.close()
        limit_s = self.limits.wall_s
        message = (
            f"no answer within limits.wall_s = {limit_s:g} s{f', {held_up}' if held_up else ''}"
        )
        return _Died(
            "hung", message, f"limit {limit_s:g} s", busy=bool(held_up) or used_s > 0.01 * limit_s
        )

    def _started(self) -> Connection:
        if self._stopped:
            raise Stopped
        if self._pipe is not None and self._process is not None and self._process.poll() is None:
            return self._pipe
        self.close()
        ours, theirs = socket.socketpair()
        command = module_command(
            "pipelines.engine.child_process",
            str(theirs.fileno()),
            str(os.getpid()),
            str(self._idle_s),
            python=self.python,
        )
        # our packages are not the other one's
        paths = "" if self.python else os.pathsep.join(path for path in sys.path if path)
        try:
            self._process = spawn(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **_ONE_THREAD, "PYTHONPATH": paths},
            )
        except OSError as error:
            theirs.close()
            ours.close()
            raise PipelineError(
                f"interpreter {command[0]} cannot be started: {error.strerror}"
            ) from error
        theirs.close()
        self._pipe = Connection(ours.detach())
        if self._stopped:  # while it was started, when there was nothing to kill yet
            self.close()
            raise Stopped
        return self._pipe

    def _ended(self) -> _Died:
        assert self._process is not None  # only a started child can die
        code = self._process.wait()
        self.close()
        if code == -signal.SIGXCPU:
            return _Died(
                "cpu_limit",
                f"used more than limits.cpu_s = {self.limits.cpu_s:g} CPU seconds",
                f"limit {self.limits.cpu_s:g} s",
            )
        name = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        # idle, it may end as it is called: that says nothing of the call
        outside = code == _WAS_IDLE or -code in KILLS
        return _Died("crashed", f"the worker's child died of {name}", name, outside=outside)

    def stop(self) -> None:
        """Kill the child; a thread that waits for it gets `Stopped`, and no other is started."""
        self._stopped = True
        if (process := self._process) is not None:
            process.kill()

    def close(self) -> None:
        """End the child."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None


def _reraise_refused(died: _Died) -> None:
    """Wrong settings are not the fault of an item: they go to the reader as they are."""
    if died.death.code == _NOT_INSTALLED:
        raise MissingExtra(died.death.message) from died
    if died.death.code == "refused":
        raise PipelineError(died.death.message) from died


class _Waited(threading.local):
    """Seconds that this thread has waited for children beyond their work: starting them, and
    handing things over.
    """

    seconds = 0.0


WAITED = _Waited()


def _cpu_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def _held_up(process: psutil.Process) -> str:
    """What somebody else than a silent process keeps it from: a disk that does not answer, a signal
    that stopped it; else empty.
    """
    try:
        members = [process, *process.children(recursive=True)]
    except psutil.Error:
        return ""
    threads = [
        thread for member in members for thread in Path(f"/proc/{member.pid}/task").glob("*")
    ]
    states = {_content(thread / "stat").rpartition(") ")[2][:1] for thread in threads}
    if "D" in states or any(_content(thread / "wchan") in _STALLS for thread in threads):
        return "waiting for a disk"
    return "stopped from outside" if states & {"T", "t"} else ""


def _content(file: Path) -> str:
    """What the kernel says in a file; nothing where it does not."""
    with suppress(OSError):
        return file.read_text()
    return ""


class ChildPool:
    """Children of this process, handed out one per caller."""

    def __init__(self) -> None:
        self._idle: list[Child] = []
        self._taken: list[Child] = []
        self._stopped = False
        self._lock = threading.Lock()

    def take(self, limits: Limits, python: str = "") -> Child:
        """A child with these limits and interpreter, a warm one if there is."""
        with self._lock:
            if self._stopped:
                raise Stopped
            warm = next((child for child in reversed(self._idle) if child.python == python), None)
            if warm is not None:
                self._idle.remove(warm)
            child = warm or Child(limits, python)
            self._taken.append(child)
        child.limits = limits
        return child

    def give_back(self, child: Child) -> None:
        """Hand a child back for the next caller; one that was stopped is of no use to anybody."""
        with self._lock:
            self._taken.remove(child)
            if not self._stopped:
                self._idle.append(child)
                return
        child.close()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """While the block lasts no child works: those that are handed out are killed, and whoever
        waits for one gets `Stopped`.
        """
        with self._lock:
            self._stopped = True
            for child in self._taken:
                child.stop()
        try:
            yield
        finally:
            with self._lock:
                self._stopped = False

    def close(self) -> None:
        """End all idle children."""
        with self._lock:
            idle, self._idle = self._idle, []
        for child in idle:
            child.close()


CHILDREN = ChildPool()


def _serve(descriptor: int, parent: int, idle_s: float) -> None:
    """The child's loop: receive a call, answer it, until the parent goes or calls no more."""
    import importlib
    import resource
    import traceback

    die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pipe = Connection(descriptor)
    while select.select([pipe], [], [], idle_s)[0]:
        try:
            function, items, context, limits = pipe.recv()
        except EOFError:
            return
        used_s = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
        resource.setrlimit(
            resource.RLIMIT_CPU, (int(used_s + limits.cpu_s) + 1, resource.RLIM_INFINITY)
        )
        resource.setrlimit(
            resource.RLIMIT_DATA, (int(limits.memory_mb * 2**20), resource.RLIM_INFINITY)
        )
        began = time.perf_counter()
        try:
            module, _, name = function.partition(":")
            with naming_extras():
                answer = ("done", getattr(importlib.import_module(module), name)(items, context))
        except MemoryError:
            answer = (
                "memory_limit",
                f"needed more than limits.memory_mb = {limits.memory_mb:g} MiB",
            )
        except MachineFault as error:
            answer = ("machine", str(error))
        except MissingExtra as error:
            answer = (_NOT_INSTALLED, str(error))
        except PipelineError as error:  # wrong settings: the message is for the reader
            answer = ("refused", str(error))
        except Exception as error:  # noqa: BLE001  a library's error on this input, or the machine's
            if is_of_the_machine(error):
                answer = (
                    "machine",
                    f"the worker's child: {error}; make room or repair it, then run again",
                )
            else:
                answer = ("raised", traceback.format_exc(limit=-1).strip().replace("\n", "; "))
        pipe.send((*answer, time.perf_counter() - began))
    sys.exit(_WAS_IDLE)


if __name__ == "__main__":
    # the importable module, so that what is pickled has its name
    from pipelines.engine.child_process import _serve as serve

    serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
