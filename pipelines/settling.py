"""The files around ingest: the listing in slices before it, clips in buckets and the inputs' ledger after it."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from pipelines.clips import batches
from pipelines.errors import PipelineError
from pipelines.ingest import SLICE, Settled, settle
from pipelines.stage import Done, Job, marker_name, whole_marker, write_marker
from pipelines.store import Store
from schemas.corpus import Assigned, Clip, InputRow, LedgerRow, Probed
from schemas.recipe import Recipe

PLAN: Final = "clips/plan.json"
INPUT_LEDGER: Final = "ledger/inputs.parquet"
_BUCKET_FOLDERS: Final = ("clips", "annotations", "verdicts", "variants", "captions", "shards", "verified", "ledger")


def write_listing(store: Store, rows: Sequence[InputRow], recipe: Recipe) -> list[str]:
    """Publish the listing in slices; returns the slices' names. A slice that has not changed is left alone."""
    names = []
    for number, batch in enumerate(batches(rows, SLICE)):
        job = Job(store.url, f"slice-{number:05d}", recipe)
        names.append(job.bucket)
        expected = _hash([row.model_dump(mode="json") for row in batch])
        if _finished(store, "listing", job.bucket) != expected:
            store.delete(marker_name("listing", job.bucket))
            file = store.write_records(f"listing/{job.bucket}.parquet", InputRow, batch)
            write_marker("listing", job, expected, Done([file], {"rows": len(batch)}))
    for folder in ("listing", "probed"):
        _remove_others(store, folder, set(names))
    return names


def settle_corpus(store: Store, slices: Sequence[str], recipe: Recipe) -> dict[str, Any]:
    """Clips in buckets and a ledger row per input, from all probed slices; returns the plan. Skipped where nothing changed.

    Raises `PipelineError` where nothing usable was found, or an input is not accounted for.
    """
    inputs = {
        f"{folder}/{name}": store.read_json(marker_name(folder, name))["files"] for name in slices for folder in ("listing", "probed")
    }
    expected = _hash([inputs, recipe.ingest.model_dump(mode="json"), recipe.corpus.seed])
    before = store.read_json(PLAN) if store.exists(PLAN) else {}
    if before.get("fingerprint") == expected and all(_finished(store, "clips", name) == mark for name, mark in before["markers"].items()):
        return dict(before)
    known_name = _assigned_name(recipe)
    known = {row.song_id: row for row in store.read_records(known_name, Assigned)} if store.exists(known_name) else {}
    settled = settle(_rows(store, slices), recipe.ingest, recipe.corpus.seed, known)
    totals = Counter(row.outcome.value for row in settled.ledger)
    listed = sum(store.read_json(marker_name("listing", name))["counts"]["rows"] for name in slices)
    inputs_found = {"in": listed, **dict(sorted(totals.items()))}
    check_inputs(inputs_found)
    store.write_records(INPUT_LEDGER, LedgerRow, settled.ledger)
    if not settled.buckets:  # an outage of the sources must not cost what was built from them
        raise PipelineError(
            f"none of the {listed} inputs can be used; `obbligato dead ls {store.url}` says why for each. Nothing else was changed"
        )
    store.write_records(known_name, Assigned, settled.assigned)
    plan: dict[str, Any] = {
        "fingerprint": expected,
        "buckets": list(settled.buckets),
        "clips": {name: len(found) for name, found in settled.buckets.items()},
        "markers": _write_buckets(store, settled, recipe),
        "inputs": inputs_found,
        "disagreeing_groups": settled.disagreeing_groups,
    }
    store.write_json(PLAN, plan)
    return plan


def _assigned_name(recipe: Recipe) -> str:
    """File of where songs stand, one per way of dividing them: another recipe divides anew."""
    deciding = recipe.ingest.model_dump(mode="json", include={"group", "validation", "test", "bucket_clips", "small_buckets"})
    return f"assigned/{_hash([deciding, recipe.corpus.seed])[:16]}.parquet"


def check_inputs(totals: dict[str, int]) -> None:
    """Raise unless in = used + duplicate + rejected + dead + ignored."""
    ended = sum(count for name, count in totals.items() if name != "in")
    if totals["in"] != ended:
        raise PipelineError(f"inputs: {totals['in']} listed, but {ended} accounted for ({totals}); this is a defect, please report it")


def _rows(store: Store, slices: Sequence[str]) -> Iterator[tuple[InputRow, Probed]]:
    for name in slices:
        listed = store.read_records(f"listing/{name}.parquet", InputRow)
        yield from zip(listed, store.read_records(f"probed/{name}.parquet", Probed), strict=True)


def _write_buckets(store: Store, settled: Settled, recipe: Recipe) -> dict[str, str]:
    """Publish clips by bucket and drop what belongs to buckets no longer in force; returns each bucket's fingerprint."""
    marks = {}
    for name, found in settled.buckets.items():
        marks[name] = _hash([clip.model_dump(mode="json") for clip in found])
        if _finished(store, "clips", name) != marks[name]:
            store.delete(marker_name("clips", name))
            file = store.write_records(f"clips/{name}.parquet", Clip, found)
            write_marker("clips", Job(store.url, name, recipe), marks[name], Done([file], {"clips": len(found)}))
    for folder in _BUCKET_FOLDERS:
        _remove_others(store, folder, {*settled.buckets, "plan", "inputs"})
    return marks


def _finished(store: Store, folder: str, bucket: str) -> str:
    """Fingerprint of a marker whose files are there, else empty."""
    marker = whole_marker(store, folder, bucket)
    return str(marker["fingerprint"]) if marker is not None else ""


def _remove_others(store: Store, folder: str, kept: set[str]) -> None:
    """Remove files of buckets that are no longer in force."""
    for name in store.names(folder):
        if name.split(".", 1)[0] not in kept:
            store.delete(f"{folder}/{name}")


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
