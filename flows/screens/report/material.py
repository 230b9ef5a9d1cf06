"""What a page is made of, gathered from a build or from any shards."""

from typing import Final

from flows.screens.report.write import Material
from pipelines.build.plans import read_plan
from pipelines.build.tables import DATASET, INPUT_LEDGER, VERIFIED
from pipelines.errors import readable
from pipelines.reports.ledger import ledger_rows
from pipelines.shards.find import FoundShards, dataset_file, find_shards
from pipelines.storage.store import Store
from pipelines.trust.build_folder import check_folder
from schemas.agreement import LabelAgreement
from schemas.corpus import Outcome

_UNUSED: Final = (Outcome.DEAD, Outcome.REJECTED)


def of_build(build: str, version: str) -> Material:
    """A build: its shards, what it did not use, and which labels were extracted again.

    Raises `PipelineError` where there is none, and as `check_folder` does.
    """
    store = Store(build)
    check_folder(store)  # the page may go into it
    found = find_shards(build)
    return Material(
        name=_name(store, build),
        version=version,
        found=found,
        unused=ledger_rows(store, _UNUSED),
        heard_again=_heard_again(store),
    )


def of_shards(target: str, version: str) -> Material:
    """Any shards; of a build, with all that `of_build` knows."""
    found: FoundShards = find_shards(target)
    store = Store(target)
    if found.build and store.exists(INPUT_LEDGER):
        return of_build(target, version)
    return Material(name=_last(target), version=version, found=found)


def _name(store: Store, build: str) -> str:
    if store.exists(DATASET):
        return dataset_file(store.read_bytes(DATASET)).name or _last(build)
    return _last(build)


def _last(target: str) -> str:
    return readable(target.rstrip("/").rpartition("/")[2]) or readable(target)


def _heard_again(store: Store) -> dict[str, LabelAgreement]:
    """How far labels agree that `verify` extracted once more, by sample; none where it was not
    run.
    """
    tables = (name for name in read_plan(store).buckets if store.exists(VERIFIED.file(name)))
    rows = (
        row for name in tables for row in store.read_records(VERIFIED.file(name), VERIFIED.record)
    )
    return {row.sample_key: row.agreement for row in rows}
