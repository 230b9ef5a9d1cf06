"""What Flink's job manager says of its slots and jobs, by REST, and the end of a job there.

Beam's own cancelling has been seen to leave a Flink job running.
"""

import json
import time
import urllib.error
import urllib.request
from typing import Any, Final, NamedTuple

from pipelines.beam import LOG
from pipelines.beam.failures import ClusterUnready
from pipelines.beam.options import Engine, option
from pipelines.errors import PipelineError, WrongArgument

_ANSWERS_WITHIN_S: Final = 10.0
_LOOK_EVERY_S: Final = 0.5
_SAID_AFTER_S: Final = 30.0
_ENDED: Final = frozenset(("FINISHED", "CANCELED", "FAILED", "SUSPENDED"))
_MOST_BYTES: Final = 1 << 24  # of an answer


class ClusterSlots(NamedTuple):
    """Slots of a cluster: in all, free, and of each task manager."""

    total: int
    free: int
    each: int


def on_cluster(engine: Engine) -> Engine:
    """An engine with the parallelism of the cluster that it names, where none was asked for; any
    other engine as it is.

    Raises `PipelineError` where the cluster does not answer or has too few slots.
    """
    address = option(engine, "flink_master")
    if not address or address.startswith("["):  # Beam's "[local]" and "[auto]" are no cluster yet
        return engine
    slots = Flink(address).slots()
    asked = option(engine, "parallelism")
    if not slots.total and not asked:
        raise ClusterUnready(
            f"Flink at {address} has no task manager: start some and run again; one that starts "
            "them as they are needed wants --beam parallelism=…"
        )
    if asked and 0 < slots.total < int(asked):
        raise WrongArgument(
            f"--beam parallelism={asked}, but Flink at {address} has {slots.total} slots: "
            "ask for no more, or start task managers"
        )
    _await_slots(Flink(address), int(asked or slots.total))
    fit = {"parallelism": slots.total, "sdk_worker_parallelism": slots.each}
    added = [f"--{name}={count}" for name, count in fit.items() if not option(engine, name)]
    return engine._replace(options=(*engine.options, *added))


def _await_slots(flink: "Flink", needed: int) -> None:
    """Wait a little for slots, which the step before may just be giving back, then say that they
    are waited for: Flink itself says nothing for five minutes.
    """
    deadline = time.monotonic() + _SAID_AFTER_S
    while (slots := flink.slots()).free < needed:
        if time.monotonic() > deadline:
            LOG.warning(
                "%d of %d slots are free at %s, parallelism is %d: waiting for other jobs to end",
                *(slots.free, slots.total, flink.address, needed),
            )
            return
        time.sleep(_LOOK_EVERY_S)


class Flink:
    """A job manager, at "host:port" or a URL.

    Its methods raise `PipelineError` where it does not answer, or not as Flink does.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._url = (address if "://" in address else f"http://{address}").rstrip("/")

    def slots(self) -> ClusterSlots:
        """How many tasks fit, in all and now."""
        found = self._asked("/overview")
        try:
            total, free = int(found["slots-total"]), int(found["slots-available"])
            return ClusterSlots(total, free, total // max(1, int(found["taskmanagers"])))
        except (KeyError, TypeError, ValueError) as error:
            raise self._strange(error) from error

    def running(self, name: str) -> list[str]:
        """Ids of the jobs of this name that have not ended."""
        try:
            return [
                str(job["jid"])
                for job in self._asked("/jobs/overview")["jobs"]
                if job["name"] == name and job["state"] not in _ENDED
            ]
        except (KeyError, TypeError) as error:
            raise self._strange(error) from error

    def end(self, name: str, within_s: float) -> bool:
        """Cancel the jobs of this name; whether all of them ended in time."""
        deadline = time.monotonic() + within_s
        for job in self.running(name):
            self._asked(f"/jobs/{job}?mode=cancel", "PATCH")
        while self.running(name):
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_EVERY_S)
        return True

    def _asked(self, path: str, method: str = "GET") -> Any:
        request = urllib.request.Request(f"{self._url}{path}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=_ANSWERS_WITHIN_S) as answer:
                return json.loads(answer.read(_MOST_BYTES))
        except (OSError, ValueError, urllib.error.URLError) as error:
            raise ClusterUnready(
                f"Flink's job manager at {self.address} does not answer ({error}); "
                "correct --beam flink_master=…, or start it"
            ) from error

    def _strange(self, error: Exception) -> PipelineError:
        return PipelineError(
            f"what answers at {self.address} is not Flink's job manager "
            f"({type(error).__name__}: {error}); correct --beam flink_master=…"
        )
