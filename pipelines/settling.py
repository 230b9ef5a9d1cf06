"""The files around ingest: the listing in slices before it, clips in buckets and the inputs' ledger after it."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from pipelines.clips import batches
from pipelines.errors import PipelineError
from pipelines.ingest import SLICE, Before, Settled, bucket_count, settle
from pipelines.stage import Done, Job, marker_name, write_marker
from pipelines.store import Store
from schemas.corpus import Clip, InputRow, LedgerRow, Probed
from schemas.identity import Bucket, Split
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
    inputs = {name: store.read_json(marker_name("probed", name))["files"] for name in slices}
    expected = _hash([inputs, recipe.ingest.model_dump(mode="json"), recipe.corpus.seed])
    before = store.read_json(PLAN) if store.exists(PLAN) else {}
    if before.get("fingerprint") == expected and all(_finished(store, "clips", name) for name in before["buckets"]):
        return dict(before)
    rules = _hash([recipe.ingest.model_dump(mode="json"), recipe.corpus.seed])
    decided = Before(before["bucket_counts"], _splits(store, before["buckets"])) if before.get("rules") == rules else Before()
    settled = settle(_rows(store, slices), recipe.ingest, recipe.corpus.seed, decided)
    totals = Counter(row.outcome.value for row in settled.ledger)
    plan: dict[str, Any] = {
        "fingerprint": expected,
        "rules": rules,
        "buckets": list(settled.buckets),
        "bucket_counts": {**_counts(settled, recipe), **decided.bucket_counts},
        "clips": {name: len(found) for name, found in settled.buckets.items()},
        "inputs": {
            "in": sum(store.read_json(marker_name("listing", name))["counts"]["rows"] for name in slices),
            **dict(sorted(totals.items())),
        },
        "disagreeing_groups": settled.disagreeing_groups,
    }
    check_inputs(plan["inputs"])
    _write_buckets(store, settled, recipe)
    store.write_records(INPUT_LEDGER, LedgerRow, settled.ledger)
    store.write_json(PLAN, plan)
    return plan


def check_inputs(totals: dict[str, int]) -> None:
    """Raise unless in = used + duplicate + rejected + dead + ignored."""
    ended = sum(count for name, count in totals.items() if name != "in")
    if totals["in"] != ended:
        raise PipelineError(f"inputs: {totals['in']} listed, but {ended} accounted for ({totals}); this is a defect, please report it")


def _splits(store: Store, buckets: Sequence[str]) -> dict[str, Split]:
    """Split of every group of an earlier ingest."""
    names = (f"clips/{name}.parquet" for name in buckets)
    return {clip.group: clip.split for name in names if store.exists(name) for clip in store.read_records(name, Clip)}


def _counts(settled: Settled, recipe: Recipe) -> dict[str, int]:
    clips_in: Counter[str] = Counter()
    for name, found in settled.buckets.items():
        clips_in[Bucket.parse(name).split.value] += len(found)
    return {split: bucket_count(count, recipe.ingest) for split, count in clips_in.items()}


def _rows(store: Store, slices: Sequence[str]) -> Iterator[tuple[InputRow, Probed]]:
    for name in slices:
        listed = store.read_records(f"listing/{name}.parquet", InputRow)
        yield from zip(listed, store.read_records(f"probed/{name}.parquet", Probed), strict=True)


def _write_buckets(store: Store, settled: Settled, recipe: Recipe) -> None:
    for name, found in settled.buckets.items():
        job = Job(store.url, name, recipe)
        expected = _hash([clip.model_dump(mode="json") for clip in found])
        if _finished(store, "clips", name) != expected:
            store.delete(marker_name("clips", name))
            file = store.write_records(f"clips/{name}.parquet", Clip, found)
            write_marker("clips", job, expected, Done([file], {"clips": len(found)}))
    for folder in _BUCKET_FOLDERS:
        _remove_others(store, folder, {*settled.buckets, "plan", "inputs"})


def _finished(store: Store, folder: str, bucket: str) -> str:
    """Fingerprint of a marker whose files are there, else empty."""
    name = marker_name(folder, bucket)
    if not store.exists(name):
        return ""
    marker = store.read_json(name)
    whole = all(store.size(file) == facts["bytes"] for file, facts in marker["files"].items())
    return str(marker["fingerprint"]) if whole else ""


def _remove_others(store: Store, folder: str, kept: set[str]) -> None:
    """Remove files of buckets that are no longer in force."""
    for name in store.names(folder):
        if name.split(".", 1)[0] not in kept:
            store.delete(f"{folder}/{name}")


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
