"""Stage *ingest*: probe and hash each input, merge exact duplicates, cut clips, and give each its split and bucket.

Probing works on slices of the sorted listing; settling needs them all, and is the only step that does.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from pipelines import audio, clips
from pipelines.audio import probe
from pipelines.errors import DeadInput
from pipelines.isolation import Death
from pipelines.splits import split_groups
from pipelines.stage import Done, Job, Stage
from schemas.corpus import Assigned, Clip, InputRow, LedgerRow, Outcome, Probed, Song, Source, Unit
from schemas.identity import Bucket, Split, clip_key, stable_hash
from schemas.recipe import Clips, Group, IngestRecipe, Window

SLICE: Final = 64  # input rows per slice
_PROBE_BATCH: Final = 16
_TOLERANCE_S: Final = 0.05  # a window may end this far past the file: tables round
_LEAST_BUCKET: Final = 8  # clips that a bucket of a small corpus should hold: one batch of the annotators


class Settled(NamedTuple):
    """What settling gives: clips by bucket, where each song stands, a row per input, and how many groups' rows disagreed on their split."""

    buckets: dict[str, list[Clip]]
    assigned: list[Assigned]  # songs of earlier ingests too, by song_id
    ledger: list[LedgerRow]
    disagreeing_groups: int


def probe_slice(job: Job) -> Done:
    """Probe the inputs of a slice; what cannot be used is dead by name."""
    rows = job.store.read_records(f"listing/{job.bucket}.parquet", InputRow)
    waiting = [row for row in rows if row.outcome is None]
    probed = [Probed(place=row.place, code=row.code, message=row.message, figure=row.figure) for row in rows if row.outcome is not None]
    with clips.local_files() as local, clips.child(job.recipe.limits) as child:
        for batch in clips.batches(waiting, _PROBE_BATCH):
            paths = [_path_or_death(local, row, job.recipe.ingest) for row in batch]
            found = iter(child.run("pipelines.ingest:probe_files", [path for path in paths if isinstance(path, str)], job.recipe.ingest))
            for row, path in zip(batch, paths, strict=True):
                probed.append(_probed(row, path if isinstance(path, Death) else next(found)))
            clips.progress(len(batch))
    probed.sort(key=lambda row: row.place)
    file = job.store.write_records(f"probed/{job.bucket}.parquet", Probed, probed)
    return Done([file], {"rows": len(rows)})


def _path_or_death(local: Any, row: InputRow, recipe: IngestRecipe) -> str | Death:
    if row.size > recipe.max_file_mb * 2**20:
        return Death("too_large", "raise ingest.max_file_mb to use it", f"{row.size / 2**20:.0f} MiB, limit {recipe.max_file_mb:g} MiB")
    try:
        path: str = local(row.source)
    except (OSError, ValueError) as error:
        return Death("unreadable", f"cannot be fetched: {error}")
    return path


def probe_files(paths: Sequence[str], recipe: IngestRecipe) -> list[Any]:
    """A `Probe` or `Death` per path; runs in a worker's child. A path that repeats is probed once."""
    found: dict[str, Any] = {}
    for path in paths:
        if path not in found:
            try:
                found[path] = probe(path, recipe)
            except DeadInput as error:
                found[path] = Death(error.code, error.message, error.figure)
    return [found[path] for path in paths]


def _probed(row: InputRow, result: Any) -> Probed:
    if isinstance(result, Death):
        return Probed(place=row.place, code=result.code, message=result.message, figure=result.figure)
    song = Song(song_id=result.sha256[:16], rate_hz=result.rate_hz, channels=result.channels, duration_s=round(result.duration_s, 6))
    return Probed(place=row.place, song=song)


def windows(row: InputRow, song: Song, recipe: IngestRecipe) -> list[tuple[float, float]]:
    """Windows (start_s, end_s) that an input gives. Raises `DeadInput` where its own window lies past the file's end."""
    if row.start_s is not None or row.end_s is not None:
        if recipe.window is Window.ALREADY_CUT:
            return [(0.0, song.duration_s)]
        start_s = row.start_s or 0.0
        end_s = song.duration_s if row.end_s is None else row.end_s
        if start_s < 0 or end_s > song.duration_s + _TOLERANCE_S or start_s >= song.duration_s:
            figure = f"window {start_s:g}-{end_s:g} s, file {song.duration_s:g} s"
            raise DeadInput(
                "past_end",
                "the window lies outside the file; if the file is that window already, set ingest.window = 'already_cut'",
                figure,
            )
        return [(start_s, min(end_s, song.duration_s))]
    return [(start_s, min(end_s, song.duration_s)) for start_s, end_s in _cut_song(song.duration_s, recipe)]  # windows are rounded


def _cut_song(duration_s: float, recipe: IngestRecipe) -> list[tuple[float, float]]:
    """Windows of a whole song. One shorter than a window is one clip.

    >>> _cut_song(25.0, IngestRecipe()), _cut_song(25.0, IngestRecipe(keep_last=True))[-1]
    ([(0.0, 10.0), (10.0, 20.0)], (20.0, 25.0))
    """
    size = recipe.clip_s
    whole = int(duration_s / size + 1e-6)
    if whole == 0:
        return [(0.0, duration_s)]
    if recipe.clips is Clips.FIRST:
        return [(0.0, size)]
    if recipe.clips is Clips.SPACED:
        count = min(recipe.spaced_clips, whole)
        step = (duration_s - size) / max(1, count - 1)
        return [(round(place * step, 3), round(place * step + size, 3)) for place in range(count)]
    found = [(place * size, place * size + size) for place in range(whole)]
    rest = duration_s - whole * size
    return [*found, (whole * size, duration_s)] if recipe.keep_last and rest >= recipe.min_clip_s else found


def settle(rows: Iterable[tuple[InputRow, Probed]], recipe: IngestRecipe, seed: int, before: Mapping[str, Assigned]) -> Settled:
    """Merge duplicates, decide splits by group and buckets by song. Pure: the same rows give the same buckets.

    What earlier ingests of this corpus decided (`before`, by song_id) stands: songs never move. New ones get buckets of their own.
    """
    found: dict[str, Clip] = {}
    groups: dict[str, str] = {}
    ledger: list[LedgerRow] = []
    stated: dict[str, set[Split]] = defaultdict(set)
    for row, probed in rows:
        outcome, new_clips = _clips_of(row, probed, recipe, found, groups)
        ledger.append(outcome)
        for clip in new_clips:
            if row.split is not None:
                stated[found[clip.clip_key].group].add(row.split)
    known = {assigned.group: assigned.split for assigned in before.values()}
    splits = split_groups({clip.group for clip in found.values()}, stated, known, recipe, seed)
    placed = [clip.replaced(split=splits[clip.group]) for clip in found.values()]
    assigned = {**before, **_assigned(placed, recipe, before)}
    buckets: dict[str, list[Clip]] = defaultdict(list)
    for clip in placed:
        buckets[assigned[clip.song.song_id].bucket].append(clip)
    ordered = {name: sorted(buckets[name], key=lambda clip: clip.clip_key) for name in sorted(buckets)}
    return Settled(ordered, [assigned[name] for name in sorted(assigned)], ledger, sum(len(said) > 1 for said in stated.values()))


def _clips_of(
    row: InputRow, probed: Probed, recipe: IngestRecipe, found: dict[str, Clip], groups: dict[str, str]
) -> tuple[LedgerRow, list[Clip]]:
    """Clips of one input, added to `found`; the same audio and window merge and keep every caption.

    A song that two rows put into different groups follows the first: it must not part.
    """
    if probed.song is None:
        outcome = row.outcome or Outcome.DEAD
        return _ledger(row, outcome, probed.code, probed.message, probed.figure), []
    try:
        spans = windows(row, probed.song, recipe)
        if spans[0][1] - spans[0][0] < recipe.min_clip_s:
            raise DeadInput(
                "too_short", "shorter than ingest.min_clip_s", f"{spans[0][1] - spans[0][0]:.3f} s, limit {recipe.min_clip_s:g} s"
            )
    except DeadInput as error:
        return _ledger(row, Outcome.DEAD, error.code, error.message, error.figure), []
    group = groups.setdefault(probed.song.song_id, group_of(row.source, probed.song, recipe.group))
    made = [_clip(row, probed.song, start_s, end_s, group, recipe) for start_s, end_s in spans]
    fresh = sum(clip.clip_key not in found for clip in made)
    for clip in made:
        known = found.get(clip.clip_key)
        found[clip.clip_key] = clip if known is None else known.replaced(captions=tuple(dict.fromkeys((*known.captions, *clip.captions))))
    if not fresh:
        return _ledger(row, Outcome.DUPLICATE, "same_audio", f"the same audio and window as {found[made[0].clip_key].source.uri}", ""), made
    return _ledger(row, Outcome.USED, "", "", "", fresh), made


def _ledger(row: InputRow, outcome: Outcome, code: str, message: str, figure: str, clips_made: int = 0) -> LedgerRow:
    return LedgerRow(
        unit=Unit.INPUT,
        key=row.row,
        uri=row.source.uri,
        stage="ingest",
        outcome=outcome,
        code=code,
        message=message,
        figure=figure,
        clips=clips_made,
    )


def _clip(row: InputRow, song: Song, start_s: float, end_s: float, group: str, recipe: IngestRecipe) -> Clip:
    given = row.start_s is not None or row.end_s is not None
    reach_s = end_s if given else min(song.duration_s, start_s + (end_s - start_s) * recipe.extend)
    return Clip(
        clip_key=clip_key(song.song_id, start_s, end_s - start_s), song=song, source=_with_window(row), start_s=start_s, end_s=end_s,
        extended_end_s=round(reach_s, 6), split=Split.TRAIN, group=group, captions=row.captions,
    )  # fmt: skip


def _with_window(row: InputRow) -> Source:
    """The source, with the window that a table gave it kept among its metadata."""
    if row.start_s is None and row.end_s is None:
        return row.source
    metadata = {**json.loads(row.source.metadata), "start_s": row.start_s, "end_s": row.end_s}
    return row.source.replaced(metadata=json.dumps(metadata, sort_keys=True, ensure_ascii=False))


def group_of(source: Source, song: Song, group: Group) -> str:
    """What must not part between splits; a song without the album or artist asked for stands alone."""
    artist = " ".join(source.artist.lower().split())
    album = " ".join(source.album.lower().split())
    if group is Group.ARTIST and artist:
        return f"artist:{artist}"
    if group is Group.ALBUM and album:
        return f"album:{artist}/{album}"
    return f"song:{song.song_id}"


def _assigned(placed: Sequence[Clip], recipe: IngestRecipe, before: Mapping[str, Assigned]) -> dict[str, Assigned]:
    """Songs that are new, or whose split a manifest has changed, in buckets of a new generation."""
    generation = 1 + max((Bucket.parse(assigned.bucket).generation for assigned in before.values()), default=-1)
    new = [clip for clip in placed if (known := before.get(clip.song.song_id)) is None or known.split != clip.split]
    counts = {split: bucket_count(sum(clip.split is split for clip in new), recipe) for split in Split}
    found: dict[str, Assigned] = {}
    for clip in new:
        song_id = clip.song.song_id
        bucket = Bucket(split=clip.split, generation=generation, number=stable_hash("bucket", song_id) % counts[clip.split])
        found[song_id] = Assigned(song_id=song_id, group=clip.group, split=clip.split, bucket=bucket.name)
    return found


def bucket_count(clips_in_split: int, recipe: IngestRecipe) -> int:
    """Buckets of a split: by the size aimed at, and a few at least, so that workers can share a small corpus.

    >>> bucket_count(16, IngestRecipe()), bucket_count(6400, IngestRecipe())
    (2, 200)
    """
    return max(math.ceil(clips_in_split / recipe.bucket_clips), min(recipe.small_buckets, math.ceil(clips_in_split / _LEAST_BUCKET)), 1)


STAGE: Final = Stage("ingest", "probed", 1, ("ingest",), ("listing",), probe_slice, lambda _: audio.tools())
