"""The files around the assignment: clips in buckets, the inputs' ledger, and where songs stand."""

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

from pipelines.build.markers import (
    Done,
    altered_files,
    marked_fingerprint,
    marker_name,
    publish_marked,
    read_marker,
    remove_others,
    whole_marker,
    write_marker,
)
from pipelines.build.outputs import Job, Partition
from pipelines.build.plans import check_inputs, check_shrinking, sizes_of
from pipelines.build.tables import (
    ASSIGNED,
    BUCKET_PLAN,
    CANDIDATES,
    CLIPS,
    CUT_INPUTS,
    FORGOTTEN_CODE,
    INPUT_LEDGER,
    INPUTS,
    LEDGER,
    PLAN,
    folders_of,
)
from pipelines.engine.stage import BegunBuild, CorpusStep
from pipelines.errors import Damaged, PipelineError
from pipelines.stages.inputs import assign_buckets_sql
from pipelines.storage.arrow import read_table, runs, side_by_side
from pipelines.storage.duckdb_scratch import Scratch, scratch
from pipelines.storage.store import (
    PARQUET,
    FileWriter,
    Published,
    Store,
    arrow_schema,
    digest,
    parquet_bytes,
)
from schemas.build import BucketPlan, FileFacts, InputTotals
from schemas.corpus import Assigned, Clip, LedgerRow
from schemas.recipe import Recipe
from schemas.record import Record

_DIVIDING: Final = {"group", "validation", "test", "bucket_clips", "small_buckets"}
_SONGS: Final = pa.schema([("song_id", pa.string())])
_VERSION: Final = 2  # raised when assignment gives other clips, buckets or ledger rows


def assign_corpus(
    store: Store, slices: Mapping[str, int], recipe: Recipe, *, shrink: bool = False
) -> BucketPlan:
    """Clips in buckets and a ledger row per input, from all slices that were cut; returns the plan.

    Skipped where nothing changed.

    Raises `PipelineError` where nothing usable was found, or an input is not accounted for, and
    `Shrinks` where many songs would go, unless told to `shrink`.
    """
    cut = dict(
        zip(slices, side_by_side(lambda name: read_marker(store, CANDIDATES.folder, name), slices))
    )
    changed = [name for name, marker in cut.items() if marker.counts["rows"] != slices[name]]
    if changed:
        raise PipelineError(
            f"{store.url}: {changed[0]} of the listing has "
            "changed since it was cut; run `obbligato build`"
        )
    dividing = recipe.ingest.model_dump(mode="json", include=_DIVIDING)
    files = {name: marker.hashed_files for name, marker in cut.items()}
    expected = digest([_VERSION, files, dividing, recipe.ingest.max_buckets, recipe.corpus.seed])
    # another way of dividing divides anew
    known_name = ASSIGNED.file(digest([dividing, recipe.corpus.seed])[:16])
    before = BUCKET_PLAN.read_before(store)
    if (
        before is not None
        and before.fingerprint == expected
        and _all_stand(store, before.markers, known_name)
    ):
        return before
    for output in (CLIPS, ASSIGNED, LEDGER):
        store.sweep(output.folder, "")
    with scratch() as found:
        assign_buckets_sql.load(
            found,
            side_by_side(lambda name: CANDIDATES.read_arrow(store, name), slices),
            side_by_side(lambda name: CUT_INPUTS.read_arrow(store, name), slices),
            _known(store, known_name),
        )
        assign_buckets_sql.assign(found, recipe.ingest, recipe.corpus.seed)
        if before is not None and not shrink:
            _check_shrinking(store, found, before.buckets)
        # from here on its files are replaced one by one: if this run ends early, the next must do
        # it all
        if before is not None:
            BUCKET_PLAN.write(store, before.replaced(fingerprint=""))
        ledger, totals = _write_ledger(store, assign_buckets_sql.ledger(found))
        inputs = InputTotals(listed=sum(slices.values()), **totals)
        check_inputs(inputs)
        if not inputs.used:  # an outage of the sources must not cost what was built from them
            raise PipelineError(
                f"none of the {inputs.listed} inputs can be used; "
                f"`obbligato dead ls {store.url}` says why for each. Nothing else was changed"
            )
        store.delete(marker_name(LEDGER.folder, INPUTS))
        known = _write_table(store, known_name, Assigned, assign_buckets_sql.assigned(found))
        markers, counts = _write_buckets(store, assign_buckets_sql.clips(found), recipe)
        disagreeing = assign_buckets_sql.disagreeing_groups(found)
    write_marker(
        LEDGER.folder,
        Job(store.url, INPUTS, recipe),
        expected,
        Done([ledger, known], inputs.counts),
    )
    plan = BucketPlan(
        fingerprint=expected,
        buckets=tuple(counts),
        clips=counts,
        markers=markers,
        inputs=inputs,
        disagreeing_groups=disagreeing,
    )
    _remove_left(store, slices, counts)
    BUCKET_PLAN.write(store, plan)
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
        table = CLIPS.read_arrow(store, bucket, ["song.song_id"])
    except (FileNotFoundError, Damaged):
        return _SONGS.empty_table()
    return pa.table(
        {"song_id": table.column("song").combine_chunks().field("song_id")}, schema=_SONGS
    )


def _remove_left(store: Store, slices: Iterable[str], buckets: Iterable[str]) -> None:
    """Remove what is left of slices and buckets that are no longer in force."""
    for folder in folders_of(Partition.BUCKETS):
        remove_others(store, folder, {*buckets, PLAN, INPUTS, FORGOTTEN_CODE})
    for folder in folders_of(Partition.LISTING):
        remove_others(store, folder, {*slices, PLAN})


def _known(store: Store, name: str) -> list[pa.Table]:
    """Where songs stand, as it was written; where that is damaged, by the clips that stand.

    None where nobody has divided so.
    """
    facts = _vouched(store).get(name)
    if facts is None and not store.exists(name):
        return []
    with suppress(FileNotFoundError, Damaged):
        if facts is None or store.sha256(name) == facts.sha256:
            return [read_table(store, name)]
    return list(_by_clips(store))


def _vouched(store: Store) -> dict[str, FileFacts]:
    """Files that the marker of the inputs' ledger names.

    None in builds from before it was written.
    """
    try:
        return read_marker(store, LEDGER.folder, INPUTS).files
    except (FileNotFoundError, Damaged):
        return {}


def _by_clips(store: Store) -> Iterator[pa.Table]:
    """Where songs stand by the clips of each bucket that are as they were written.

    Songs that went away are not among them.
    """
    for bucket in CLIPS.names(store):
        if not _is_altered(store, bucket):
            with suppress(Damaged):
                yield _songs(
                    CLIPS.read_arrow(store, bucket, ["song.song_id", "group", "split"]), bucket
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
    """Whether clips are not those that their marker names.

    Without one, the checksums of their pages tell, as they are read.
    """
    try:
        return any(altered_files(store, CLIPS.folder, bucket))
    except (FileNotFoundError, Damaged):
        return False


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

    def __init__(self, out: FileWriter) -> None:
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
    job = Job(store.url, name, recipe)
    mark = publish_marked(CLIPS.folder, job, CLIPS.path(job), content, {"clips": table.num_rows})
    return name, mark, table.num_rows


def _all_stand(store: Store, markers: Mapping[str, str], known_name: str) -> bool:
    """Whether the ledger, where songs stand, and every bucket with the fingerprint that the plan
    remembers are there.
    """
    marker = whole_marker(store, LEDGER.folder, INPUTS)
    if marker is None or known_name not in marker.files:
        return False
    standing = side_by_side(partial(marked_fingerprint, store, CLIPS.folder), markers)
    return all(found == mark for found, mark in zip(standing, markers.values()))


def _assign(build: BegunBuild) -> dict[str, int]:
    slices = sizes_of(Partition.LISTING, build.store)
    return assign_corpus(build.store, slices, build.recipe, shrink=build.shrink).inputs.counts


STEP: Final = CorpusStep(
    name="assign_buckets", run=_assign, writes=(CLIPS, LEDGER, ASSIGNED), divides=Partition.BUCKETS
)
