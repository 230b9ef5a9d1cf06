"""Stages for tests of the engines: they do what no stage of ours should."""

import os
import signal
from pathlib import Path
from typing import Any

from pipelines.beam import run
from pipelines.build.markers import Done
from pipelines.build.outputs import Job, Output
from pipelines.engine.stage import Stage
from pipelines.storage.store import Published, Store


def _raise(job: Job) -> Done:
    raise KeyError(f"no chord in {job.bucket}")


def _die_once(out: str) -> None:
    died = Path(Store(out).path("died"))
    if not died.exists():
        died.write_text("once")
        os.kill(os.getpid(), signal.SIGKILL)


def _write(job: Job) -> Done:
    return Done([job.store.write_json(f"odd/{job.bucket}.json", job.bucket)], {})


def _die_in_bucket(job: Job) -> Done:
    _die_once(job.out)
    return _write(job)


class _DyingStore(Store):
    """Where this process dies as it publishes the stage's summary."""

    def write_json(self, name: str, value: Any) -> Published:
        if name.endswith("/dies-last.json"):
            _die_once(self.url)
        return super().write_json(name, value)


def _die_last(job: Job) -> Done:
    run.Store = _DyingStore  # type: ignore[attr-defined]
    return _write(job)


_ODD = Output(folder="odd", suffix=".json")
RAISES = Stage(name="raises", version=1, writes=(_ODD,), run=_raise)
DIES_ONCE = Stage(name="dies-once", version=1, writes=(_ODD,), run=_die_in_bucket)
DIES_LAST = Stage(name="dies-last", version=1, writes=(_ODD,), run=_die_last)
