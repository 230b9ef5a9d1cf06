"""The plan of a build whose clips no stage has settled."""

from collections.abc import Mapping

from pipelines.stages.inputs.assign_buckets import PLAN
from pipelines.storage.store import Store


def write_plan(store: Store, clips: Mapping[str, int]) -> None:
    """A plan of these buckets, with the number of clips of each."""
    rest = {"fingerprint": "", "markers": {}, "inputs": {}, "disagreeing_groups": 0}
    store.write_sealed(PLAN, {"buckets": list(clips), "clips": dict(clips), **rest})
