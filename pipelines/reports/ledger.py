"""The dead: inputs and samples that a build could not use, and doing them again."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.build.markers import marker_name
from pipelines.build.outputs import Output
from pipelines.build.plans import read_plan
from pipelines.build.tables import INPUT_LEDGER, LEDGER, LISTING, PROBED
from pipelines.engine.stage import Stage
from pipelines.errors import WrongArgument
from pipelines.storage.arrow import read_table, side_by_side
from pipelines.storage.store import Store
from schemas.corpus import LedgerRow, Outcome, Unit
from schemas.recipe import Recipe


def ledger_rows(store: Store, outcomes: Sequence[Outcome]) -> list[LedgerRow]:
    """Rows of the whole ledger with one of these outcomes, inputs first."""
    if not store.exists(INPUT_LEDGER):
        raise WrongArgument(f"{store.url} holds no ledger: build something there first")
    names = [INPUT_LEDGER, *map(LEDGER.file, read_plan(store).buckets)]
    values = pa.array([outcome.value for outcome in outcomes])
    tables = (read_table(store, name) for name in names if store.exists(name))
    found = (table.filter(pc.is_in(table.column("outcome"), values)) for table in tables)
    return [LedgerRow.model_validate(row) for table in found for row in table.to_pylist()]


def mark_for_retry(
    store: Store, recipe: Recipe, stages: Sequence[Stage], keys: Sequence[str]
) -> list[str]:
    """Make the next build do the dead again: all, or those with these keys.

    Returns what will be done again.

    Raises `PipelineError` for a key that is not dead.
    """
    dead = {row.key: row for row in ledger_rows(store, [Outcome.DEAD])}
    unknown = [key for key in keys if key not in dead]
    if unknown:
        raise WrongArgument(
            f"{unknown[0]} is not dead in {store.url}; `obbligato dead ls` lists what is"
        )
    rows = [dead[key] for key in keys] if keys else list(dead.values())
    again = []
    inputs = {row.key for row in rows if row.unit is Unit.INPUT}
    again += _invalidate(store, PROBED.folder, _slices_of(store, inputs))
    samples = {row.key for row in rows if row.unit is not Unit.INPUT}
    either = samples | {
        key.rpartition("-")[0] for key in samples
    }  # a stage's dead are samples, or clips with all their samples
    buckets = read_plan(store).buckets if samples else ()
    for stage in stages:
        again += _invalidate(
            store, stage.folder, _holding(store, stage.writes[0].dead, buckets, "key", either)
        )
    return again


def _slices_of(store: Store, inputs: set[str]) -> list[str]:
    """Slices of the listing that hold these inputs."""
    slices = LISTING.names(store) if inputs else []
    return _holding(store, LISTING, slices, "row", inputs)


def _holding(
    store: Store, output: Output, names: Sequence[str], column: str, sought: set[str]
) -> list[str]:
    """Which tables have one of the values sought in a column, which alone is read."""
    values = pa.array(sorted(sought), pa.string())

    def holds(name: str) -> bool:
        file = output.file(name)
        return store.exists(file) and bool(
            pc.any(pc.is_in(read_table(store, file, [column]).column(column), values)).as_py()
        )

    return [name for name, found in zip(names, side_by_side(holds, names)) if found]


def _invalidate(store: Store, folder: str, buckets: Sequence[str]) -> list[str]:
    for bucket in buckets:
        store.delete(marker_name(folder, bucket))
    return [f"{folder}/{bucket}" for bucket in buckets]
