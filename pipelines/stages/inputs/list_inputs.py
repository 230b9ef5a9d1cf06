"""The listing in slices: the unit that ingest works on.

Inputs keep their slice and number for as long as they are listed.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.build.markers import Done, marker_name, whole_marker, write_marker
from pipelines.build.outputs import Job, Partition
from pipelines.build.plans import check_shrinking, read_listing
from pipelines.build.tables import LISTING, LISTING_PLAN
from pipelines.engine.stage import BegunBuild, CorpusStep
from pipelines.errors import Damaged
from pipelines.inputs.listing import list_sources
from pipelines.storage.addresses import Addresses, published_rows
from pipelines.storage.arrow import runs, side_by_side, tables_of
from pipelines.storage.duckdb_scratch import Scratch, scratch
from pipelines.storage.store import Store, arrow_schema
from schemas.build import ListingPlan
from schemas.corpus import InputRow
from schemas.recipe import Recipe

_SLICE: Final = 64  # input rows of a slice
_MOST_SLICES: Final = 4096  # of one listing; beyond, they grow
_IDENTITY: Final = "uri, member_offset, row"
_SEATED: Final = pa.schema(
    [
        ("source", pa.struct([("uri", pa.string()), ("member_offset", pa.int64())])),
        ("row", pa.string()),
        ("place", pa.int64()),
        ("outcome", pa.string()),
        ("captioned", pa.bool_()),
        ("slice", pa.int64()),
    ]
)


def write_listing(
    store: Store, rows: Iterable[InputRow], recipe: Recipe, *, shrink: bool = False
) -> dict[str, int]:
    """Publish the listing in slices; returns the number of rows of each.

    A slice that has not changed is left alone.

    Rows listed before stay in their slices, new ones follow in slices of their own, sorted: so a
    corpus that grows is not probed again, and a duplicate that comes later stays the duplicate.
    Raises `Shrinks` where far fewer inputs are usable than were, unless told to `shrink`; nothing
    is written then.
    """
    before = _slices_before(store)
    store.sweep(LISTING.folder, "")
    addresses = Addresses()
    with scratch() as found:
        found.load(
            "rows",
            InputRow,
            _numbered(tables_of(InputRow, published_rows(rows, recipe.ingest, addresses), _size)),
        )
        found.fill(
            "old", chain([_SEATED.empty_table()], side_by_side(partial(_seated, store), before))
        )
        if not shrink:
            _check_shrinking(found)
        addresses.keep(store)
        counts = dict(
            side_by_side(
                lambda run: _write(store, _name(run[0]), run[1], recipe),
                runs(_placed(found), "slice"),
            )
        )
    LISTING_PLAN.write(store, ListingPlan(slices=counts))
    return counts


def _slices_before(store: Store) -> list[str]:
    """Slices of the listing that stands.

    Where its plan is damaged, those whose files are there: none of their inputs may move.
    """
    try:
        return list(read_listing(store))
    except FileNotFoundError:
        return []
    except Damaged:
        return LISTING.names(store)


def _check_shrinking(found: Scratch) -> None:
    """Sources that have another name now are as many new ones; rows that stood twice may go.

    A caption that changes is none that goes.
    """
    own = "source.uri as uri, source.member_offset as member_offset"
    same = "using (uri, member_offset)"
    [(held, gone, new, captioned, silent)] = found.rows(
        f"""with usable as (select {own}, bool_or(len(captions) > 0) as captioned
                            from rows where outcome is null group by all),
                 was as (select {own}, bool_or(captioned) as captioned
                         from old where outcome is null group by all)
            select (select count(*) from was), (select count(*) from was anti join usable {same}),
                   (select count(*) from usable anti join was {same}),
                   (select count(*) from was where captioned),
                   (select count(*) from was join usable {same}
                    where was.captioned and not usable.captioned)"""
    )
    check_shrinking(
        gone - new,
        held,
        "sources",
        "they are no longer listed, or can no longer be read from their table",
    )
    check_shrinking(
        silent,
        captioned,
        "captions",
        "their rows have none any more; perhaps their column has another name",
    )


def _placed(found: Scratch) -> Iterator[pa.Table]:
    """All rows with their slice and number, in order.

    Of rows that are listed twice the last counts.
    """
    found.run(
        f"""create table listed as
                select source.uri as uri, source.member_offset as member_offset, "row",
                       max(place) as seat
                from rows group by all;
            create table held as
                select source.uri as uri, source.member_offset as member_offset, "row",
                       place, slice
                from old;
            create table fresh as
                select *, row_number() over (order by {_IDENTITY}) - 1 as rank
                from (select uri, member_offset, "row" from listed)
                anti join held using ({_IDENTITY})"""
    )
    [(count, next_place, slice_number)] = found.rows(
        """select (select count(*) from fresh), (select coalesce(max(place), -1) + 1 from held),
                  (select coalesce(max(slice), -1) + 1 from held)"""
    )
    size = max(_SLICE, -(-count // _MOST_SLICES))
    names = ", ".join(f'rows."{name}"' for name in arrow_schema(InputRow).names if name != "place")
    yield from found.stream(
        f"""select seats.place as place, {names}, slice
            from rows join listed on rows.place = listed.seat
            join (select {_IDENTITY}, place, slice from held
                  union all
                  select {_IDENTITY}, {next_place} + rank, {slice_number} + rank // {size}
                  from fresh) as seats
                on seats.uri = listed.uri and seats.member_offset = listed.member_offset
                    and seats."row" = listed."row"
            order by slice, seats.place"""
    )


def _write(store: Store, name: str, table: pa.Table, recipe: Recipe) -> tuple[str, int]:
    """Publish a slice unless it stands there already; returns its name and number of rows."""
    content = table.select(arrow_schema(InputRow).names).cast(arrow_schema(InputRow))
    if whole_marker(store, LISTING.folder, name) is None or not _stands(store, name, content):
        job = Job(store.url, name, recipe)
        store.delete(marker_name(LISTING.folder, name))
        published = LISTING.write_arrow(job, content)
        write_marker(
            LISTING.folder, job, published.sha256, Done([published], {"rows": content.num_rows})
        )
    return name, int(content.num_rows)


def _stands(store: Store, name: str, content: pa.Table) -> bool:
    """Whether a slice holds just this."""
    try:
        return bool(LISTING.read_arrow(store, name).equals(content))
    except Damaged:
        return False


def _size(row: InputRow) -> int:
    """About how many bytes a row takes."""
    return len(row.source.metadata) + sum(map(len, row.captions))


def _numbered(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Tables whose rows are numbered through, in `next_place`."""
    start = 0
    for table in tables:
        numbers = pa.array(range(start, start + table.num_rows), pa.int64())
        yield table.set_column(table.schema.get_field_index("place"), "place", numbers)
        start += table.num_rows


def _seated(store: Store, name: str) -> pa.Table:
    """Which inputs a slice holds, and where, also one whose marker a killed run took away.

    None where the file is damaged.
    """
    try:
        table = LISTING.read_arrow(
            store,
            name,
            ["source.uri", "source.member_offset", "row", "place", "outcome", "captions"],
        )
    except (FileNotFoundError, Damaged):
        return _SEATED.empty_table()
    captioned = pc.greater(pc.list_value_length(table.column("captions")), 0)
    slices = pa.array([_number(name)] * table.num_rows, pa.int64())
    return (
        table.append_column("captioned", captioned)
        .append_column("slice", slices)
        .select(_SEATED.names)
        .cast(_SEATED)
    )


def _name(number: int) -> str:
    return f"slice-{number:05d}"


def _number(name: str) -> int:
    return int(name.removeprefix("slice-"))


def _list(build: BegunBuild) -> dict[str, int]:
    rows = list_sources(build.sources, build.store, build.recipe)
    slices = write_listing(build.store, rows, build.recipe, shrink=build.shrink)
    return {"inputs": sum(slices.values()), "slices": len(slices)}


STEP: Final = CorpusStep(
    name="list_inputs", run=_list, writes=(LISTING,), divides=Partition.LISTING
)
