"""The files around settling: clips in buckets, the inputs' ledger, and where songs stand."""

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ConfigDict

from pipelines.build.shrinking import check_shrinking
from pipelines.engine.stage import (
    Done,
    Job,
    altered_files,
    digest,
    marked_fingerprint,
    marker_name,
    publish_marked,
    read_marker,
    remove_others,
    whole_marker,
    write_marker,
)
from pipelines.errors import Damaged, PipelineError
from pipelines.stages.inputs import assign_buckets_sql
from pipelines.storage.arrow import read_table, runs, side_by_side
from pipelines.storage.duckdb_scratch import Scratch, scratch
from pipelines.storage.store import PARQUET, Published, Store, Writer, arrow_schema, parquet_bytes
from schemas.corpus import Assigned, Clip, LedgerRow
from schemas.recipe import Recipe
from schemas.record import Record

PLAN: Final = "clips/plan.json"
INPUT_LEDGER: Final = "ledger/inputs.parquet"
# folder and name of the marker that vouches for that ledger, and for where songs stand
MARKED: Final = ("ledger", "inputs")
_BUCKET_FOLDERS: Final = (
    "clips",
    "annotations",
    "embeddings",
    "twins",
    "verdicts",
    "variants",
    "latents",
    "captions",
    "paraphrases",
    "text_embeddings",
    "texts",
    "matches",
    "frequencies",
    "labels",
    "shards",
    "verified",
    "ledger",
)
_SLICE_FOLDERS: Final = ("listing", "probed", "cut")
_DIVIDING: Final = {"group", "validation", "test", "bucket_clips", "small_buckets"}
_SONGS: Final = pa.schema([("song_id", pa.string())])
_VERSION: Final = 1  # raised when settling gives other clips, buckets or ledger rows


class _Plan(Record):
    """The form of a plan."""

    model_config = ConfigDict(extra="ignore")

    fingerprint: str
    buckets: tuple[str, ...]
    clips: dict[str, int]
    markers: dict[str, str]
    inputs: dict[str, int]
    disagreeing_groups: int


def read_plan(store: Store) -> dict[str, Any]:
    """The plan that stands: buckets in order, clips of each.

    Raises `Damaged`, and `FileNotFoundError` before anything is settled.
    """
    return store.read_stated(PLAN, _Plan)


def clip_counts(store: Store) -> dict[str, int]:
    """Buckets in order, with their clips. Raises as `read_plan`."""
    return dict(read_plan(store)["clips"])


def settle_corpus(
    store: Store, slices: Mapping[str, int], recipe: Recipe, *, shrink: bool = False
) -> dict[str, Any]:
    """Clips in buckets and a ledger row per input, from all slices that were cut; returns the plan.

    Skipped where nothing changed.

    Raises `PipelineError` where nothing usable was found, or an input is not accounted for, and
    `Shrinks` where many songs would go, unless told to `shrink`.
    """
    cut = dict(zip(slices, side_by_side(lambda name: read_marker(store, "cut", name), slices)))
    changed = [name for name, marker in cut.items() if marker["counts"]["rows"] != slices[name]]
    if changed:
        raise PipelineError(
            f"{store.url}: {changed[0]} of the listing has "
            "changed since it was cut; run `obbligato build`"
        )
    dividing = recipe.ingest.model_dump(mode="json", include=_DIVIDING)
    files = {name: marker["files"] for name, marker in cut.items()}
    expected = digest([_VERSION, files, dividing, recipe.ingest.max_buckets, recipe.corpus.seed])
    # another way of dividing divides anew
    known_name = f"assigned/{digest([dividing, recipe.corpus.seed])[:16]}.parquet"
    before = store.stated_before(PLAN, _Plan)
    if before.get("fingerprint") == expected and _all_stand(store, before["markers"], known_name):
        return before
    for folder in ("clips", "assigned", "ledger"):
        store.sweep(folder, "")
    with scratch() as found:
        assign_buckets_sql.load(
            found,
            side_by_side(lambda name: read_table(store, f"cut/{name}.parquet"), slices),
            side_by_side(lambda name: read_table(store, f"cut/{name}.inputs.parquet"), slices),
            _known(store, known_name),
        )
        assign_buckets_sql.settle(found, recipe.ingest, recipe.corpus.seed)
        if before and not shrink:
            _check_shrinking(store, found, before["buckets"])
        # from here on its files are replaced one by one: if this run ends early, the next must do
        # it all
        if before:
            store.write_sealed(PLAN, {**before, "fingerprint": ""})
        ledger, totals = _write_ledger(store, assign_buckets_sql.ledger(found))
        inputs = {"in": sum(slices.values()), **totals}
        check_inputs(inputs)
        # an outage of the sources must not cost what was built from them
        if not inputs.get("used"):
            raise PipelineError(
                f"none of the {inputs['in']} inputs can be used; "
                f"`obbligato dead ls {store.url}` says why for each. Nothing else was changed"
            )
        store.delete(marker_name(*MARKED))
        known = _write_table(store, known_name, Assigned, assign_buckets_sql.assigned(found))
        markers, counts = _write_buckets(store, assign_buckets_sql.clips(found), recipe)
        disagreeing = assign_buckets_sql.disagreeing_groups(found)
    write_marker(
        MARKED[0], Job(store.url, MARKED[1], recipe), expected, Done([ledger, known], inputs)
    )
    plan = {
        "fingerprint": expected,
        "buckets": list(counts),
        "clips": counts,
        "markers": markers,
        "inputs": inputs,
        "disagreeing_groups": disagreeing,
    }
    _remove_left(store, slices, counts)
    store.write_sealed(PLAN, plan)
    return plan


def _check_shrinking(store: Store, found: Scratch, buckets: Sequence[str]) -> None:
    """Hold the songs that the standing tables have against those that are left."""
    standing = side_by_side(partial(_songs_in_force, store), buckets)
    found.fill("in_force", chain([_SONGS.empty_table()], standing))
    [(held, gone)] = found.rows(
        """select count(distinct song_id),
                  count(distinct song_id) filter (song_id not in (select song_id from songs))
           from in_force"""
    )
    if gone:
        worst = found.rows(
            """select ledger.code, count(*) as times from inputs where ledger.outcome = 'dead'
               group by all order by times desc, ledger.code limit 1"""
        )
        why = (
            f"{worst[0][1]} inputs are dead, most of them {worst[0][0]}"
            if worst
            else "their inputs are no longer listed"
        )
        check_shrinking(gone, held, "songs", why)


def _songs_in_force(store: Store, bucket: str) -> pa.Table:
    """Songs of a bucket's clips; none where its table is damaged or gone."""
    try:
        table = read_table(store, f"clips/{bucket}.parquet", ["song.song_id"])
    except (FileNotFoundError, Damaged):
        return _SONGS.empty_table()
    return pa.table(
        {"song_id": table.column("song").combine_chunks().field("song_id")}, schema=_SONGS
    )


def _remove_left(store: Store, slices: Iterable[str], buckets: Iterable[str]) -> None:
    """Remove what is left of slices and buckets that are no longer in force."""
    for folder in _BUCKET_FOLDERS:
        remove_others(store, folder, {*buckets, "plan", MARKED[1]})
    for folder in _SLICE_FOLDERS:
        remove_others(store, folder, {*slices, "plan"})


def _known(store: Store, name: str) -> list[pa.Table]:
    """Where songs stand, as it was written; where that is damaged, as the clips that stand tell.

    None where nobody has divided so.
    """
    facts = _vouched(store).get(name, {})
    if not facts and not store.exists(name):
        return []
    with suppress(FileNotFoundError, Damaged):
        if not facts or store.sha256(name) == facts["sha256"]:
            return [read_table(store, name)]
    return list(_by_clips(store))


def _vouched(store: Store) -> dict[str, Any]:
    """Files that the marker of the inputs' ledger names; none in builds from before it."""
    try:
        return dict(read_marker(store, *MARKED)["files"])
    except (FileNotFoundError, Damaged):
        return {}


def _by_clips(store: Store) -> Iterator[pa.Table]:
    """Where songs stand by the clips of each bucket that are as they were written.

    Songs that went away are not among them.
    """
    for file in store.names("clips"):
        bucket, ending = file.split(".", 1)
        if ending == "parquet" and not _is_altered(store, bucket):
            with suppress(Damaged):
                yield _songs(
                    read_table(store, f"clips/{file}", ["song.song_id", "group", "split"]), bucket
                )


def _songs(clips: pa.Table, bucket: str) -> pa.Table:
    """Each song of some clips once, and the bucket that it stands in."""
    columns = {name: clips.column(name) for name in ("group", "split")}
    songs = pa.table({"song_id": pc.struct_field(clips.column("song"), "song_id"), **columns})
    songs = songs.group_by(songs.column_names, use_threads=False).aggregate([])
    return songs.append_column("bucket", pa.array([bucket] * songs.num_rows)).cast(
        arrow_schema(Assigned)
    )


def _is_altered(store: Store, bucket: str) -> bool:
    """Whether clips are not those that their marker names; without one, the checksums of their
    pages tell, as they are read.
    """
    try:
        return any(altered_files(store, "clips", bucket))
    except (FileNotFoundError, Damaged):
        return False


def check_inputs(totals: Mapping[str, int]) -> None:
    """Raise unless in = used + duplicate + rejected + dead + ignored."""
    ended = sum(count for name, count in totals.items() if name != "in")
    if totals["in"] != ended:
        raise PipelineError(
            f"inputs: {totals['in']} listed, but {ended} accounted "
            f"for ({totals}); this is a defect, please report it"
        )


def _write_ledger(store: Store, tables: Iterable[pa.Table]) -> tuple[Published, dict[str, int]]:
    """Publish the inputs' ledger; returns it, and how many ended how."""
    totals: Counter[str] = Counter()

    def counted() -> Iterable[pa.Table]:
        for table in tables:
            totals.update(
                {
                    row["values"]: row["counts"]
                    for row in table.column("outcome").value_counts().to_pylist()
                }
            )
            yield table

    published = _write_table(store, INPUT_LEDGER, LedgerRow, counted())
    return published, dict(sorted(totals.items()))


class _Sink(io.RawIOBase):
    """A store's writer as the kind of file that Arrow writes to."""

    def __init__(self, out: Writer) -> None:
        super().__init__()
        self._out = out

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, content: Any) -> int:
        """Pass bytes on."""
        self._out.write(bytes(content))
        return len(content)


def _write_table(
    store: Store, name: str, kind: type[Record], tables: Iterable[pa.Table]
) -> Published:
    """Publish any number of rows as one parquet file, a piece at a time."""
    schema = arrow_schema(kind)
    with store.writer(name) as out, pq.ParquetWriter(_Sink(out), schema, **PARQUET) as parquet:
        for table in tables:
            parquet.write_table(table.cast(schema))
    return out.published()


def _write_buckets(
    store: Store, tables: Iterable[pa.Table], recipe: Recipe
) -> tuple[dict[str, str], dict[str, int]]:
    """Publish clips by bucket; returns each bucket's fingerprint and its number of clips."""
    marks, counts = {}, {}
    for name, mark, count in side_by_side(
        lambda run: _write_bucket(store, *run, recipe), runs(tables, "bucket")
    ):
        marks[name], counts[name] = mark, count
    return marks, counts


def _write_bucket(store: Store, name: str, table: pa.Table, recipe: Recipe) -> tuple[str, str, int]:
    """Publish a bucket's clips unless they stand there already; returns its name, fingerprint and
    number of clips.
    """
    content = parquet_bytes(table.cast(arrow_schema(Clip)))
    mark = publish_marked(
        "clips", Job(store.url, name, recipe), f"{name}.parquet", content, {"clips": table.num_rows}
    )
    return name, mark, table.num_rows


def _all_stand(store: Store, markers: Mapping[str, str], known_name: str) -> bool:
    """Whether the ledger, where songs stand, and every bucket with the fingerprint that the plan
    remembers are there.
    """
    marker = whole_marker(store, *MARKED)
    if marker is None or known_name not in marker["files"]:
        return False
    return all(
        found == mark
        for found, mark in zip(
            side_by_side(partial(marked_fingerprint, store, "clips"), markers), markers.values()
        )
    )
