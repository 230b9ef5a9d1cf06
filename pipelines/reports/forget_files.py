"""Files of a build without one song: what stays in each stays as it was, byte for byte where it is
audio, row for row where it is a table.
"""

import json
from collections import Counter
from collections.abc import Iterator
from typing import IO, Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.build.outputs import Job, Output, Partition, Table
from pipelines.build.tables import (
    CODES,
    LATENTS,
    LEDGER,
    MIXES,
    NEAR_DUPLICATES,
    OUTPUTS,
    REFUSED_MIXES,
    SHARDS,
    VARIANTS,
    VERDICTS,
)
from pipelines.samples.audio import encoded_name
from pipelines.stages.labels.mix import NO_GUEST
from pipelines.storage.arrow import read_table
from pipelines.storage.store import Published, Store, arrow_schema, parquet_bytes
from pipelines.storage.tar import TarWriter, read_members, sample_offsets
from schemas.corpus import Augmented, Outcome, Unit
from schemas.sample import audio_name
from schemas.shard import ShardIndex

_KEYS: Final = ("clip_key", "sample_key", "twin", "key", "song_id")  # columns that name a song
_TEXTS: Final = ("figure", "message")  # columns that may speak of one
_OTHER: Final = "a song that was forgotten"
_END: Final = bytes(1024)  # two empty blocks end a tar
_BLOCK: Final = 1 << 20


class Rewritten(NamedTuple):
    """Files that were rewritten, those that are gone, and how many rows or samples went out of
    each kind of file.
    """

    files: dict[str, Published]
    gone: set[str]
    removed: Counter[str]


class Leaving(NamedTuple):
    """A song that goes, and the samples of others in which it sounds."""

    song_id: str
    mixes: frozenset[str] = frozenset()

    def names(self, member: str) -> bool:
        """Whether a sample's key, or a file of it, is one that goes."""
        return member.startswith(self.song_id) or member.partition(".")[0] in self.mixes


def leaving(job: Job, song_id: str) -> Leaving:
    """A song, and the mixes of a bucket whose guest it is."""
    rows = MIXES.read(job) if MIXES.exists(job) else []
    mixes = (row.sample_key for row in rows if row.guest.clip_key.startswith(song_id))
    return Leaving(song_id, frozenset(mixes))


def _looking(job: Job, gone: Leaving) -> int:
    """How many mixes of others look for a guest again, or say how many clips they looked at."""
    left = sum(not key.startswith(gone.song_id) for key in gone.mixes)
    refused = REFUSED_MIXES.read(job) if REFUSED_MIXES.exists(job) else []
    return left + sum(row.rule == NO_GUEST for row in refused)


def without_song(job: Job, song_id: str) -> Rewritten:
    """Rewrite every file of a bucket that names a song, without it."""
    gone = leaving(job, song_id)
    done = Rewritten({}, set(), Counter({"guests": _looking(job, gone)}))
    for output in OUTPUTS:
        if output.partition is not Partition.BUCKETS:
            continue
        if output.folder == SHARDS.folder:
            _shard(job, gone, done)
            continue
        for table in (output, output.dead):
            _table(job.store, table, table.path(job), gone, done)
    for tar in (VARIANTS, MIXES, LATENTS, CODES):
        _tar(job, tar, gone, done)
    return done


def _table(store: Store, output: Output, name: str, gone: Leaving, done: Rewritten) -> None:
    if not output.suffix.endswith(".parquet") or not store.exists(name):
        return
    table = read_table(store, name)
    out_of_it = rows_of(table, gone)
    kept = table.filter(pc.invert(out_of_it))
    out = reworded(kept, gone.song_id)
    if out.num_rows == table.num_rows and out.equals(table):
        return
    _count(output, table.filter(out_of_it), done.removed)
    if out.num_rows == 0 and output.suffix == ".dead.parquet":  # a bucket without any has none
        store.delete(name)
        done.gone.add(name)
        return
    done.files[name] = write_rows(store, output, name, out)


def write_rows(store: Store, output: Output, name: str, rows: pa.Table) -> Published:
    """Publish rows of a table in the very form in which a step would."""
    if isinstance(output, Table):
        schema = arrow_schema(output.record)
        rows = pa.Table.from_pylist(rows.to_pylist(), schema=schema)
    else:  # embeddings: cells of a fixed number, whose inner name a reader makes another
        rows = rows.cast(pa.schema([_as_written(field) for field in rows.schema]))
    return store.write_bytes(name, parquet_bytes(rows))


def _as_written(field: pa.Field) -> pa.Field:
    if not pa.types.is_fixed_size_list(field.type):
        return pa.field(field.name, field.type)
    return pa.field(field.name, pa.list_(field.type.value_type, field.type.list_size))


def _count(output: Output, rows: pa.Table, removed: Counter[str]) -> None:
    """Note what goes, as markers count it."""
    kind = f"{output.folder}{output.suffix.removesuffix('.parquet')}"
    removed[kind] += rows.num_rows
    if output.folder == VERDICTS.folder:
        kept, varied = (pc.sum(rows.column(name)).as_py() or 0 for name in ("keep", "vary"))
        removed["rejected"] += rows.num_rows - kept
        removed["kept"] += kept
        removed["original_only"] += kept - varied
    if output.folder == LEDGER.folder and not output.suffix.startswith(".dead"):
        for row in rows.to_pylist():
            if row["unit"] == Unit.SAMPLE:
                is_rejected = row["outcome"] == Outcome.REJECTED
                removed["samples_rejected" if is_rejected else "samples_dead"] += 1


def rows_of(table: pa.Table, gone: Leaving) -> pa.Array:
    """Which rows are of a song, by the columns that name one, or of a mix that it sounds in."""
    found = pa.array([False] * table.num_rows, pa.bool_())
    mixes = pa.array(sorted(gone.mixes), pa.string())
    for name in _KEYS:
        if name in table.column_names and pa.types.is_string(table.schema.field(name).type):
            column = table.column(name)
            named = pc.or_(pc.starts_with(column, gone.song_id), pc.is_in(column, mixes))
            found = pc.or_(found, named.combine_chunks())
    if "song" in table.column_names:
        ids = pc.struct_field(table.column("song"), "song_id")
        found = pc.or_(found, pc.equal(ids, gone.song_id).combine_chunks())
    return found


def reworded(table: pa.Table, song_id: str) -> pa.Table:
    """Rows of other songs, in whose reasons a song is not named any more."""
    for name in _TEXTS:
        if name in table.column_names:
            column = pc.replace_substring_regex(
                table.column(name), rf"{song_id}-\d+-\d+(-\w+)?", _OTHER
            )
            table = table.set_column(
                table.column_names.index(name), table.schema.field(name), column
            )
    return table


def names_song(job: Job, song_id: str) -> bool:
    """Whether a bucket that does not hold a song speaks of it: as what its clips are copies of."""
    for output in (NEAR_DUPLICATES, VERDICTS, LEDGER):
        if output.exists(job):
            table = read_table(job.store, output.path(job))
            named = pc.any(rows_of(table, Leaving(song_id))).as_py()
            if named or not reworded(table, song_id).equals(table):
                return True
    return False


def _tar(job: Job, output: Any, gone: Leaving, done: Rewritten) -> None:
    """An archive without a song's members, and its table with the new offsets."""
    if output.path(job) not in done.files or not output.archive.exists(job):
        return
    name = output.archive.path(job)
    offsets: dict[str, int] = {}
    with job.store.open(name) as opened, job.store.writer(name) as out:
        tar = TarWriter(out)
        for member in [*read_members(opened)]:
            if not gone.names(member.name):
                opened.seek(member.offset)
                offsets[member.name] = tar.add(member.name, opened.read(member.size))
        tar.close()
    done.files[name] = out.published()
    rows = [_moved(output, row, offsets) for row in output.read(job)]
    done.files[output.path(job)] = output.write(job, rows)


def _moved(output: Any, row: Any, offsets: dict[str, int]) -> Any:
    """A row of an archive's table, with where its bytes stand now."""
    if not isinstance(row, Augmented):
        return row.replaced(offset=offsets[encoded_name(output, row.sample_key)])
    copies = tuple(
        copy.replaced(offset=offsets[audio_name(row.sample_key, copy.rate_hz)])
        for copy in row.copies
    )
    return row.replaced(offset=offsets[audio_name(row.sample_key)], copies=copies)


def _shard(job: Job, gone: Leaving, done: Rewritten) -> None:
    """A shard without a song's samples; the bytes of the others are copied as they stand."""
    name, index_name = SHARDS.path(job), SHARDS.index.path(job)
    if not SHARDS.exists(job) or name in done.files or name in done.gone:
        return
    index = SHARDS.read_index(job)
    kept = [key for key in index.keys if not gone.names(key)]
    if len(kept) == index.count:
        return
    done.removed[SHARDS.folder] += index.count - len(kept)
    if not kept:
        for file in (name, index_name):
            job.store.delete(file)
            done.gone.add(file)
        return
    with job.store.open(name) as opened:
        seconds = _seconds(opened, gone)
        offsets = index.offsets or tuple(sample_offsets(opened))
        spans = zip(index.keys, offsets[:-1], offsets[1:], strict=True)
        own = [(start, end) for key, start, end in spans if not gone.names(key)]
        starts = [0]
        with job.store.writer(name) as out:
            for start, end in own:
                for block in _blocks(opened, start, end):
                    out.write(block)
                starts.append(out.tell())
            out.write(_END)
    shard = out.published()
    done.files[name] = shard
    fresh = ShardIndex(
        count=len(kept),
        bytes=shard.bytes,
        sha256=shard.sha256,
        keys=tuple(kept),
        duration_s=seconds,
        offsets=tuple(starts),
    )
    done.files[index_name] = SHARDS.write_index(job, fresh)


def _seconds(opened: IO[bytes], gone: Leaving) -> float:
    """Length of the samples that stay, as `pack` adds it up."""
    found = 0.0
    for member in [*read_members(opened)]:
        if member.name.endswith(".json") and not gone.names(member.name):
            opened.seek(member.offset)
            found += json.loads(opened.read(member.size))["duration_s"]
    return round(found, 3)


def _blocks(opened: IO[bytes], start: int, end: int) -> Iterator[bytes]:
    opened.seek(start)
    while start < end and (block := opened.read(min(_BLOCK, end - start))):
        start += len(block)
        yield block
