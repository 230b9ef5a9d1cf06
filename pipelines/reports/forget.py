"""One song taken out of a build for good: its clips, variants, latents, labels and texts, what
tables and indexes say of it, and what versions name. An entry in the ledger keeps it from coming
back; nothing else changes.

The entry is written first: if a run ends early, the next one goes on. Markers of the steps that had
done the song's bucket are renewed with it, so that nothing of it is stale.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.build.corrections import corrections_file
from pipelines.build.markers import check_files, marker_name, read_marker
from pipelines.build.outputs import Job, Partition
from pipelines.build.plans import read_listing, read_plan
from pipelines.build.tables import (
    ASSIGNED,
    BEGUN,
    BUCKET_PLAN,
    CANDIDATES,
    CLIPS,
    CUT_INPUTS,
    FORGOTTEN,
    FORGOTTEN_CODE,
    INPUT_LEDGER,
    INPUTS,
    LEDGER,
    LISTING,
    LISTING_PLAN,
    PROBED,
    RECIPE,
    SOURCES,
    VERIFIED,
    folders_of,
)
from pipelines.build.versions import (
    read_version,
    seal_beginning,
    version_file,
    version_names,
)
from pipelines.engine.stage import Stage
from pipelines.errors import Damaged, WrongArgument
from pipelines.reports.forget_files import (
    Leaving,
    Rewritten,
    names_song,
    rows_of,
    without_song,
    write_rows,
)
from pipelines.reports.forget_marks import Marks
from pipelines.reports.traces import all_files, traces
from pipelines.storage.arrow import read_table
from pipelines.storage.lock_file import RUNS
from pipelines.storage.store import Published, Store
from schemas.build import FileFacts, ListingPlan
from schemas.corpus import Forgotten, ForgottenSong, LedgerRow, Outcome
from schemas.recipe import Recipe

_ID: Final = 16


class SoughtSong(NamedTuple):
    """What a build knows a song by: its id, the inputs that gave it, and the names of files that
    no other song has.
    """

    song_id: str
    inputs: tuple[str, ...]
    names: tuple[str, ...]


class Taken(NamedTuple):
    """What was taken out: songs, clips and samples, and files that still name one of them, which
    are not the build's.
    """

    songs: int
    clips: int
    samples: int
    left: tuple[str, ...]


def forget(
    store: Store, recipe: Recipe, stages: Sequence[Stage], songs: Sequence[str], by: ForgottenSong
) -> Taken:
    """Take songs out of a build, each by its id, the key of a clip or sample, or its file.

    `stages` are all that a build may have, over slices and over buckets, in order. Raises
    `WrongArgument` for a song that is not there, and where nothing would be left.
    """
    known = [_known(store, song) for song in songs]
    ids = {one.song_id for one in known}
    _check_some_stay(store, ids)
    _check_sources(store, known)
    total: Counter[str] = Counter()
    for one in known:
        _enter(store, one, by)
        total += _without(store, recipe, stages, one)
    names = [name for one in known for name in (one.song_id, *one.names)]
    _clean_runs(store, names)
    searched = [file for file in all_files(store) if not file.startswith(f"{LEDGER.folder}/")]
    left = tuple(traces(store, names, searched))
    return Taken(len(ids), total["clips"], total["shards"], left)


def let_in(store: Store, songs: Sequence[str]) -> int:
    """Take back that songs were forgotten: the next build that finds their files takes them in.

    Raises `WrongArgument` for one that was not.
    """
    entries = dict(FORGOTTEN.read(store).songs) if FORGOTTEN.exists(store) else {}
    for song in songs:
        if entries.pop(song[:_ID], None) is None:
            raise WrongArgument(f"{song} is not among the forgotten of {store.url}")
    FORGOTTEN.write(store, Forgotten(songs=entries))
    for name in LISTING.names(store):
        file = PROBED.file(name)
        if not store.exists(file):
            continue
        codes = read_table(store, file, ["code"]).column("code")
        if FORGOTTEN_CODE in codes.to_pylist():
            store.delete(marker_name(PROBED.folder, name))
    return len(songs)


def forgotten_now(who: str, reason: str) -> ForgottenSong:
    """An entry of this moment."""
    return ForgottenSong(
        when=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), who=who, reason=reason
    )


# -- which song


def _known(store: Store, song: str) -> SoughtSong:
    song_id = song[:_ID] if _is_key(song) else ""
    rows = list(_inputs(store, song_id, song))
    ids = {row["song_id"] for row in rows}
    entries = FORGOTTEN.read(store).songs if FORGOTTEN.exists(store) else {}
    if len(ids) > 1:
        raise WrongArgument(
            f"{song} gave {len(ids)} songs: name them by their ids, {', '.join(sorted(ids))}"
        )
    if not ids and song_id not in entries and not _in_clips(store, song_id):
        raise WrongArgument(f"{store.url} holds no song {song}: name an id, a key, or its file")
    song_id = song_id or next(iter(ids))
    before = entries[song_id].inputs if song_id in entries else ()
    names = {row["member"] or row["uri"] for row in rows}
    shared, taken = _of_others(store, names, song_id)
    own = sorted(name for name in names - shared if name)
    files = {_file_of(name) for name in own} - taken
    inputs = tuple(dict.fromkeys([*before, *(row["row"] for row in rows)]))
    return SoughtSong(song_id, inputs, tuple(dict.fromkeys([*own, *sorted(files)])))


def _is_key(song: str) -> bool:
    head = song.partition("-")[0]
    return len(head) == _ID and all(sign in "0123456789abcdef" for sign in head)


def _listed(store: Store) -> Iterator[dict[str, str]]:
    """Every input that gave a song."""
    for name in LISTING.names(store):
        if not store.exists(PROBED.file(name)):
            continue
        songs = {
            row["place"]: row["song"]["song_id"]
            for row in read_table(store, PROBED.file(name), ["place", "song"]).to_pylist()
            if row["song"]
        }
        columns = ["place", "row", "source.uri", "source.member"]
        for row in read_table(store, LISTING.file(name), columns).to_pylist():
            if row["place"] in songs:
                yield {
                    "song_id": songs[row["place"]],
                    "row": row["row"],
                    "uri": row["source"]["uri"],
                    "member": row["source"]["member"],
                }


def _inputs(store: Store, song_id: str, name: str) -> Iterator[dict[str, str]]:
    for row in _listed(store):
        is_named = name in (row["uri"], row["row"], row["member"])
        if row["song_id"] == song_id or (not song_id and is_named):
            yield row


def _of_others(store: Store, names: set[str], song_id: str) -> tuple[set[str], set[str]]:
    """Which of these names other songs come from, too, such as a shard's; and of the names of files
    in them, which files of others have.
    """
    files = {_file_of(name) for name in names}
    shared, taken = set[str](), set[str]()
    for row in _listed(store):
        if row["song_id"] != song_id:
            name = row["member"] or row["uri"]
            shared |= names & {name}
            taken |= files & {_file_of(name)}
    return shared, taken


def _file_of(name: str) -> str:
    """The last part of a path or a URL.

    >>> _file_of("s3://music/a/song.flac")
    'song.flac'
    """
    return name.rpartition("/")[2]


def _in_clips(store: Store, song_id: str) -> bool:
    return bool(song_id) and any(_holds(store, name, song_id) for name in read_plan(store).buckets)


def _holds(store: Store, bucket: str, song_id: str) -> bool:
    table = CLIPS.read_arrow(store, bucket, ["clip_key"])
    return bool(pc.any(rows_of(table, Leaving(song_id))).as_py())


def _check_some_stay(store: Store, ids: set[str]) -> None:
    for name in read_plan(store).buckets:
        keys = CLIPS.read_arrow(store, name, ["clip_key"]).column("clip_key").to_pylist()
        if any(key.partition("-")[0] not in ids for key in keys):
            return
    raise WrongArgument(f"{store.url} holds no other song: remove the folder instead")


def _check_sources(store: Store, known: Sequence[SoughtSong]) -> None:
    names = {name for one in known for name in one.names}
    sources = store.read_json(SOURCES)
    if sources and all(source in names for source in sources):
        raise WrongArgument(f"{store.url} is built from nothing else: remove the folder instead")


# -- the entry


def _enter(store: Store, one: SoughtSong, by: ForgottenSong) -> None:
    """The ledger's entry; an earlier one of the same song stands."""
    entries = dict(FORGOTTEN.read(store).songs) if FORGOTTEN.exists(store) else {}
    entries.setdefault(one.song_id, by.replaced(inputs=one.inputs))
    FORGOTTEN.write(store, Forgotten(songs=dict(sorted(entries.items()))))


# -- the files


def _without(
    store: Store, recipe: Recipe, stages: Sequence[Stage], one: SoughtSong
) -> Counter[str]:
    marks = Marks(store, recipe, stages)
    removed: Counter[str] = Counter()
    for name in read_listing(store):
        _slice(store, marks, name, one.song_id)
    plan = read_plan(store)
    for bucket in plan.buckets:
        job = Job(store.url, bucket, recipe)
        if _holds(store, bucket, one.song_id) or names_song(job, one.song_id):
            for stage in marks.over(Partition.BUCKETS):
                check_files(store, stage.folder, bucket)
            marks.open(Partition.BUCKETS, bucket)
            done = without_song(job, one.song_id)
            removed += done.removed
            marks.close(Partition.BUCKETS, bucket, done)
    marks.renew_shuffles()
    _whole(store, one)
    _plan(store)
    return removed


def _slice(store: Store, marks: Marks, name: str, song_id: str) -> None:
    """The files of a slice of the listing without a song's inputs."""
    probed = read_table(store, PROBED.file(name))
    gone = {
        row["place"]
        for row in probed.select(["place", "song"]).to_pylist()
        if row["song"] and row["song"]["song_id"] == song_id
    }
    if not gone:
        return
    marks.open(Partition.LISTING, name)
    done = Rewritten({}, set(), Counter())
    for output in (LISTING, PROBED, CANDIDATES, CUT_INPUTS):
        if store.exists(output.file(name)):
            table = read_table(store, output.file(name))
            out = pc.is_in(table.column("place"), pa.array(sorted(gone), pa.int64()))
            kept = table.filter(pc.invert(out))
            file = output.file(name)
            done.files[file] = write_rows(store, output, file, kept)
            done.removed[f"{output.folder}{output.suffix}"] += table.num_rows - kept.num_rows
    slices = read_listing(store)
    LISTING_PLAN.write(store, ListingPlan(slices={**slices, name: slices[name] - len(gone)}))
    marks.close(Partition.LISTING, name, done)


def _whole(store: Store, one: SoughtSong) -> None:
    """What is written once for the whole build: where songs stand, the inputs' ledger, corrections,
    what versions name, and sources that are the song's own files.
    """
    marker = read_marker(store, LEDGER.folder, INPUTS)
    store.delete(marker_name(LEDGER.folder, INPUTS))
    files = dict(marker.files)
    for name in ASSIGNED.names(store):
        file = ASSIGNED.file(name)
        table = read_table(store, file)
        kept = table.filter(pc.invert(rows_of(table, Leaving(one.song_id))))
        if kept.num_rows < table.num_rows:
            files |= _vouched(write_rows(store, ASSIGNED, file, kept), files)
    rows = [
        _left_out(row) if row.key in one.inputs else row
        for row in store.read_records(INPUT_LEDGER, LedgerRow)
    ]
    files |= _vouched(store.write_records(INPUT_LEDGER, LedgerRow, rows), files)
    store.write_sealed(marker_name(LEDGER.folder, INPUTS), marker.replaced(files=files).as_json())
    store.delete(corrections_file(one.song_id))
    for name in version_names(store):
        with suppress(Damaged):
            version = read_version(store, name)
            kept_files = {
                file: tip
                for file, tip in version.corrections.items()
                if file != corrections_file(one.song_id)
            }
            if kept_files != version.corrections:
                renewed = version.replaced(corrections=kept_files)
                store.write_sealed(version_file(name), renewed.model_dump(mode="json"))
    _sources(store, one)


def _vouched(published: Published, files: Mapping[str, FileFacts]) -> dict[str, FileFacts]:
    """What a marker says of a file, if it did say anything of it."""
    if published.name not in files:
        return {}
    return {published.name: FileFacts(bytes=published.bytes, sha256=published.sha256)}


def _left_out(row: LedgerRow) -> LedgerRow:
    return row.replaced(
        stage="forget",
        outcome=Outcome.REJECTED,
        code=FORGOTTEN_CODE,
        figure="",
        message="taken out for good; its entry is in ledger/forgotten.json",
        clips=0,
    )


def _sources(store: Store, one: SoughtSong) -> None:
    """Sources that name the song's own file are named no more."""
    sources = store.read_json(SOURCES)
    kept = [source for source in sources if source not in one.names]
    if kept == sources:
        return
    store.delete(BEGUN.name)
    written = store.write_json(SOURCES, kept)
    recipe = store.read_bytes(RECIPE)
    seal_beginning(store, [written, store.write_bytes(RECIPE, recipe)])


def _plan(store: Store) -> None:
    """The plan of buckets, for clips as they are now; a bucket that holds none is gone."""
    plan = read_plan(store)
    clips, markers = {}, {}
    for bucket in plan.buckets:
        count = CLIPS.read_arrow(store, bucket, ["clip_key"]).num_rows
        if not count:
            _remove_bucket(store, bucket)
            continue
        clips[bucket] = count
        markers[bucket] = read_marker(store, CLIPS.folder, bucket).fingerprint
    rows = store.read_records(INPUT_LEDGER, LedgerRow)
    ended = Counter(row.outcome.value for row in rows)
    inputs = type(plan.inputs).model_validate({"in": len(rows), **ended})
    if len(clips) < len(plan.buckets):  # `verify` shares its work out over buckets
        for bucket in clips:
            store.delete(marker_name(VERIFIED.folder, bucket))
    BUCKET_PLAN.write(
        store,
        plan.replaced(buckets=tuple(clips), clips=clips, markers=markers, inputs=inputs),
    )


def _remove_bucket(store: Store, bucket: str) -> None:
    for folder in folders_of(Partition.BUCKETS):
        for name in store.names(folder):
            if name.split(".", 1)[0] == bucket:
                store.delete(f"{folder}/{name}")


def _clean_runs(store: Store, names: Sequence[str]) -> None:
    """Messages of runs, and answers of language models, name the song no more."""
    files = [file for file in all_files(store) if file.startswith(f"{RUNS}/")]
    for file in traces(store, names, files):
        text = store.read_bytes(file).decode("utf-8", "surrogateescape")
        for name in names:
            for form in (name, json.dumps(name)[1:-1]):
                text = text.replace(form, FORGOTTEN_CODE)
        store.write_bytes(file, text.encode("utf-8", "surrogateescape"))
