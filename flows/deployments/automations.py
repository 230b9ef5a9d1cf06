"""Automations for scheduled builds, made by `python -m flows.deployments.automations`.

A run whose process or machine is gone is marked as crashed when its heartbeats stop, and started
again: it resumes where it was. With a notification block, runs that fail and builds with too many
dead inputs are reported.
"""

import argparse
import importlib
import pkgutil
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from prefect import Flow
from prefect.automations import Automation
from prefect.blocks.core import Block
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound

import flows
from flows.deployments.build_corpus import DEAD_EVENT
from pipelines.storage.lock import LEASE_S

# of heartbeats, which come every 30 s: by then the dead run's lock has lapsed too
SILENCE_S: Final = LEASE_S + 60
_TRIES: Final = 3  # of a run: one that crashes each time, for want of memory say, is left to people
_RUNS: Final = ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"})


def our_flows() -> list[str]:
    """Names of the flows of this package that write into a folder `out` and can be run there again.

    >>> our_flows()
    ['backfill', 'build-corpus', 'encode', 'label', 'nightly', 'pipeline', 'train']
    """
    names = [
        module.name
        for module in pkgutil.walk_packages(flows.__path__, "flows.")
        if not _is_program(module.name)
    ]
    values = [value for name in names for value in vars(importlib.import_module(name)).values()]
    found = [value for value in values if isinstance(value, Flow)]
    return sorted({flow.name for flow in found if "out" in flow.parameters.properties})


def _is_program(name: str) -> bool:
    """Whether a module is of the command line, or runs as soon as it is imported."""
    return name.startswith("flows.cli") or name.endswith("__main__")


def automations(block: str = "", silence_s: float = SILENCE_S) -> list[Automation]:
    """The automations of our flows; `block` names a notification block, as ``type/name``."""
    ours = [
        ResourceSpecification(
            {"prefect.resource.role": "flow", "prefect.resource.name": our_flows()}
        )
    ]
    vanished = Automation(
        name="obbligato: a run that vanished has crashed",
        trigger=EventTrigger(
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.*"},
            match=_RUNS,
            match_related=ours,
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=silence_s),
        ),
        actions=[
            ChangeFlowRunState(state=StateType.CRASHED, message="its heartbeats have stopped")
        ],
    )
    again = Automation(
        name="obbligato: a crashed run starts again",
        trigger=_on(
            ours, {"prefect.flow-run.Crashed"}, runs=[str(number) for number in range(_TRIES)]
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.SCHEDULED,
                name="AwaitingRetry",
                message="starts again where it was",
                force=True,
            )
        ],
    )
    if not block:
        return [vanished, again]
    # both kinds of call have one name; outside an event loop it answers at once
    loaded: Any = Block.load(block)
    block_id = loaded._block_document_id
    if block_id is None:
        raise ValueError(f"block {block} is not stored on the server")
    failed = Automation(
        name="obbligato: a run failed",
        trigger=_on(
            ours,
            {"prefect.flow-run.Failed", "prefect.flow-run.Crashed", "prefect.flow-run.TimedOut"},
        ),
        actions=[
            SendNotification(
                block_document_id=block_id,
                subject="{{ flow_run.name }}: {{ flow_run.state.name }}",
                body="{{ flow_run.state.message }}",
            )
        ],
    )
    dead = Automation(
        name="obbligato: too many dead inputs",
        trigger=EventTrigger(
            expect={DEAD_EVENT}, posture=Posture.Reactive, threshold=1, within=timedelta(0)
        ),
        actions=[
            SendNotification(
                block_document_id=block_id,
                subject="{{ event.resource.name }}: too many dead inputs",
                body=(
                    "Share {{ event.payload.share }} of {{ event.payload.out }}, limit {{ "
                    "event.payload.limit }}: obbligato dead ls"
                ),
            )
        ],
    )
    return [vanished, again, failed, dead]


def _on(
    ours: list[ResourceSpecification], events: set[str], runs: Sequence[str] = ()
) -> EventTrigger:
    """States of our flows' runs; `runs` limits them to these counts of earlier tries."""
    which = (
        ResourceSpecification({**_RUNS.root, "prefect.run-count": list(runs)}) if runs else _RUNS
    )
    return EventTrigger(
        expect=events,
        match=which,
        match_related=ours,
        posture=Posture.Reactive,
        threshold=1,
        within=timedelta(0),
        for_each={"prefect.resource.id"},
    )


def publish(automations: Sequence[Automation]) -> list[str]:
    """Create automations on the server, or bring those of the same name up to date.

    Returns their names.
    """
    for automation in automations:
        try:
            standing: Any = Automation.read(name=automation.name)
            automation.id = standing.id
            automation.update()
        except (ObjectNotFound, ValueError):
            automation.create()
    return [automation.name for automation in automations]


def main() -> None:
    """Entry point of `python -m flows.deployments.automations`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--block", default="", help="notification block as type/name, such as slack-webhook/alerts"
    )
    for name in publish(automations(parser.parse_args().block)):
        print(name)  # noqa: T201  the answer of a program


if __name__ == "__main__":
    main()
