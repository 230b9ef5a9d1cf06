"""What pods of a Job have to say: why they wait, how they ended, what the first prints."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from flows.build.step_process import ProcessGroup
from flows.launchers.job import STOPPED
from pipelines.engine.child_process import module_command

Pod = Mapping[str, Any]
_ON_THE_WAY: Final = {"ContainerCreating", "PodInitializing"}  # as all pods do


def index(pod: Pod) -> str:
    """Number of the node that a pod is."""
    return str(
        pod["metadata"].get("annotations", {}).get("batch.kubernetes.io/job-completion-index", "0")
    )


def first_failure(pods: Sequence[Pod]) -> int:
    """Status of the pod that failed first: the others fail for want of it. 1 where none has one."""
    ends = [_terminated(pod) for pod in pods]
    failed = [end for end in ends if end.get("exitCode", 0) not in (0, *STOPPED)]
    return (
        int(min(failed, key=lambda end: str(end.get("finishedAt", "")))["exitCode"])
        if failed
        else 1
    )


def waits(pod: Pod) -> str:
    """Why a pod does not start, where it is not merely on its way.

    >>> waiting = {"reason": "ErrImagePull", "message": "no such image"}
    >>> waits({"status": {"containerStatuses": [{"state": {"waiting": waiting}}]}})
    'ErrImagePull: no such image'
    """
    scheduled = [
        one
        for one in pod["status"].get("conditions", [])
        if one["type"] == "PodScheduled" and one["status"] == "False"
    ]
    waiting = [one["state"]["waiting"] for one in _containers(pod) if "waiting" in one["state"]]
    reasons = [one for one in (*scheduled, *waiting) if one.get("reason") not in _ON_THE_WAY]
    return "; ".join(
        ": ".join(filter(None, (one.get("reason"), one.get("message")))) for one in reasons
    )


def failure(pod: Pod) -> str:
    """How a pod failed, in words; none for one that has not.

    >>> ended = {"state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}
    >>> failure({"status": {"phase": "Failed", "containerStatuses": [ended]}})
    'ended with status 137: OOMKilled, it needs more memory (--launch memory=…)'
    """
    if pod["status"].get("phase") != "Failed":
        return ""
    end, reason = _terminated(pod), pod["status"].get("reason", "")
    if end.get("exitCode") in STOPPED and not reason:
        return f"was stopped (status {end['exitCode']})"
    why = [end.get("reason", ""), end.get("message", ""), reason, pod["status"].get("message", "")]
    said = ", ".join(dict.fromkeys(one for one in why if one and one != "Error"))
    status = f"ended with status {end['exitCode']}" if "exitCode" in end else "was ended"
    more = ", it needs more memory (--launch memory=…)" if end.get("reason") == "OOMKilled" else ""
    return f"{status}{': ' if said else ''}{said}{more}"


def _containers(pod: Pod) -> list[Any]:
    found: list[Any] = pod["status"].get("containerStatuses", [])
    return found


def _terminated(pod: Pod) -> Mapping[str, Any]:
    """The end of a pod's container, where it has come to one."""
    return next(
        (one["state"]["terminated"] for one in _containers(pod) if "terminated" in one["state"]), {}
    )


class Failure(NamedTuple):
    """A pod that has failed, and how."""

    pod: Pod
    message: str
    is_own_error: bool  # not a stop


class News:
    """What is new about pods, each word once."""

    def __init__(self) -> None:
        self._reported: set[tuple[str, str]] = set()

    def waiting(self, pods: Sequence[Pod]) -> Iterator[str]:
        """Why pods do not start."""
        for pod in pods:
            if (why := waits(pod)) and self._is_new(pod, why):
                yield f"pod {pod['metadata']['name']} waits: {why}"

    def failed(self, pods: Sequence[Pod]) -> Iterator[Failure]:
        """Pods that have failed."""
        for pod in pods:
            if (how := failure(pod)) and self._is_new(pod, "failed"):
                said = f"pod {pod['metadata']['name']} (node {index(pod)}) {how}"
                yield Failure(pod, said, _terminated(pod).get("exitCode") not in STOPPED)

    def _is_new(self, pod: Pod, word: str) -> bool:
        key = (pod["metadata"]["uid"], word)
        is_new = key not in self._reported
        self._reported.add(key)
        return is_new


class FirstLog:
    """The output of a Job's first pod, and of those that come in its place.

    Each from its beginning, and on where a connection was cut.
    """

    def __init__(self, namespace: str) -> None:
        self._logs = ["kubectl", f"--namespace={namespace}", "logs", "--follow"]
        self._last_line: dict[str, str] = {}  # when the last line of a pod came, by its id
        self._open: tuple[str, ProcessGroup] | None = None  # the pod that is listened to

    def lines(self, pods: Sequence[Pod], pause_s: float) -> Iterator[str]:
        """Lines as they come, until there are none for a while."""
        if self._open is None and (next_one := self._next(pods)) is not None:
            self._open = (next_one["metadata"]["uid"], self._listen(next_one))
        if self._open is None:
            time.sleep(pause_s)
            return
        uid, group = self._open
        self._last_line.setdefault(uid, "")
        try:
            for _, line in group.lines(pause_s):
                self._last_line[uid] = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
                yield line
        except TimeoutError:
            return
        self.close()

    def is_read(self, pods: Sequence[Pod]) -> bool:
        """Whether nothing more is to come of these."""
        return self._open is None and self._next(pods) is None

    def close(self) -> None:
        """Stop reading."""
        if self._open is not None:
            self._open[1].close()
        self._open = None

    def _next(self, pods: Sequence[Pod]) -> Pod | None:
        """The oldest pod that was not read, or that runs on although its connection was cut."""
        begun = [
            pod
            for pod in pods
            if index(pod) == "0"
            and pod["status"].get("phase") in ("Running", "Succeeded", "Failed")
        ]
        return next(
            (
                pod
                for pod in begun
                if pod["metadata"]["uid"] not in self._last_line
                or pod["status"]["phase"] == "Running"
            ),
            None,
        )

    def _listen(self, pod: Pod) -> ProcessGroup:
        tied = module_command("flows.launchers.node", "--parent", str(os.getpid()), "--")
        since = self._last_line.get(pod["metadata"]["uid"], "")
        return ProcessGroup(
            [
                *tied,
                *self._logs,
                *([f"--since-time={since}"] if since else []),
                f"pod/{pod['metadata']['name']}",
            ]
        )
