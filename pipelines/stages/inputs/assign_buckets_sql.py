"""Where clips go: equal ones merged, splits decided by group, buckets by song.

In SQL, so that ten million fit in bounded memory.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any, Final

import pyarrow as pa

from pipelines.inputs.splits import SMALL, by_hash, by_rank
from pipelines.storage.duckdb_scratch import Scratch
from pipelines.storage.store import arrow_schema
from schemas.corpus import Assigned, CandidateClip, Clip, CutInput, LedgerRow
from schemas.identity import Bucket, Split, stable_hash
from schemas.recipe import IngestRecipe

# clips that a bucket of a small corpus should hold: one batch of the annotators
_LEAST_BUCKET: Final = 8
# Equal clips merge into the one that came first; a song follows the group of the input that came
# first: it must not part.
_MERGE: Final = """
create table firsts as
    select clip.clip_key as clip_key, any_value(clip.song.song_id) as song_id,
           min(place) as place, count(*) as times
    from candidates group by all;
create table songs as select song_id, arg_min(clip."group", place) as grp
    from (select clip.song.song_id as song_id, * from candidates) group by song_id;
create table lines as
    select clip_key, place, unnest(clip.captions) as caption,
           generate_subscripts(clip.captions, 1) as number
    from (select clip.clip_key as clip_key, * from candidates)
    where clip_key in (select clip_key from firsts where times > 1);
create table merged as select clip_key, list(caption order by seat) as captions
    from (select clip_key, caption, min({'place': place, 'number': number}) as seat
          from lines group by clip_key, caption)
    group by clip_key;
"""
# A table's word first, the strictest where rows disagree; then what was decided before; null is
# still free.
_GROUPS: Final = """
create table stated as
    select grp, max(list_position(['train', 'validation', 'test'], stated)) as strictness,
           count(distinct stated) as said
    from candidates join songs on clip.song.song_id = song_id where stated is not null group by grp;
create table decided as
    select "group" as grp, arg_max(split, song_id) as split from before group by all;
create table groups as
    select grp, coalesce(['train', 'validation', 'test'][strictness], decided.split) as split
    from (select distinct grp from songs)
    left join stated using (grp) left join decided using (grp);
"""
# Songs that are new, or whose split a table has changed, get buckets of a new generation; all
# others stay where they are.
_NEW: Final = """
create table fresh as select song_id, grp, groups.split as split
    from songs join groups using (grp) left join before using (song_id)
    where before.split is distinct from groups.split;
create table sizes as
    select split, count(*) as clips from fresh join firsts using (song_id) group by split;
"""
_ASSIGN: Final = """
create table placed as select song_id, grp, fresh.split as split, bucket
        from fresh join names on names.split = fresh.split and number = hand(song_id, fresh.split)
    union all select song_id, songs.grp, before.split, bucket
        from songs join before using (song_id) where song_id not in (select song_id from fresh);
"""


def assign(scratch: Scratch, recipe: IngestRecipe, seed: int) -> None:
    """Decide for the tables `candidates`, `inputs` and `before` where each song goes.

    What the scratch then holds is read below.

    What earlier builds of this corpus decided (`before`) stands: songs never move. The same tables
    give the same buckets.
    """
    scratch.run(_MERGE)
    scratch.run(_GROUPS)
    _split_free(scratch, recipe, seed)
    scratch.run(_NEW)
    sizes = {Split(split): clips for split, clips in scratch.rows("select * from sizes")}
    counts = {
        split: bucket_count(clips, sum(sizes.values()), recipe) for split, clips in sizes.items()
    }
    generation = 1 + max(
        (
            Bucket.parse(name).generation
            for (name,) in scratch.rows("select distinct bucket from before")
        ),
        default=-1,
    )
    scratch.run("create table names (split varchar, number bigint, bucket varchar)")
    for split, count in counts.items():
        buckets = [
            Bucket(split=split, generation=generation, number=number) for number in range(count)
        ]
        scratch.load_rows(
            "names",
            [
                {"split": split.value, "number": each.number, "bucket": each.name}
                for each in buckets
            ],
        )
    scratch.function(
        "hand",
        lambda song_id, split: stable_hash("bucket", song_id) % counts[Split(split)],
        ["VARCHAR", "VARCHAR"],
        "BIGINT",
    )
    scratch.run(_ASSIGN)


def _split_free(scratch: Scratch, recipe: IngestRecipe, seed: int) -> None:
    """Give undecided groups a split: in a small corpus by rank, else by hash."""
    [(free,)] = scratch.rows("select count(*) from groups where split is null")
    [(known,)] = scratch.rows("select count(*) from before")
    if free < SMALL and not known:
        ranked = by_rank(
            [group for (group,) in scratch.rows("select grp from groups where split is null")],
            recipe,
            seed,
        )
        scratch.function("free_split", lambda group: ranked[group].value, ["VARCHAR"], "VARCHAR")
    else:
        scratch.function(
            "free_split", lambda group: by_hash(group, recipe, seed).value, ["VARCHAR"], "VARCHAR"
        )
    scratch.run("update groups set split = free_split(grp) where split is null")


def bucket_count(clips_in_split: int, clips_in_all: int, recipe: IngestRecipe) -> int:
    """Buckets of a split: by the size aimed at, a few at least, so that workers can share a small
    corpus, and not without bound.

    >>> [bucket_count(clips, clips, IngestRecipe()) for clips in (16, 6400, 10_000_000)]
    [2, 200, 16367]
    """
    size = max(recipe.bucket_clips, math.ceil(clips_in_all / recipe.max_buckets))
    return max(
        math.ceil(clips_in_split / size),
        min(recipe.small_buckets, math.ceil(clips_in_split / _LEAST_BUCKET)),
        1,
    )


def clips(scratch: Scratch) -> Iterator[pa.Table]:
    """The clips that go on, with their bucket, in order of bucket and key."""
    own = {
        "split": "chosen.split",
        "group": "chosen.grp",
        "captions": "coalesce(chosen.captions, clip.captions)",
    }
    scratch.run(
        """create or replace table chosen as
               select clip_key, firsts.place as place, placed.split as split, grp, bucket, captions
               from firsts join placed using (song_id) left join merged using (clip_key)"""
    )
    yield from scratch.stream(  # one join beside the sort of whole records: two would not fit
        f"""select {_columns(Clip, "clip", own)}, bucket from candidates
            join chosen on candidates.place = chosen.place and clip.clip_key = chosen.clip_key
            order by bucket, chosen.clip_key"""
    )


def assigned(scratch: Scratch) -> Iterator[pa.Table]:
    """Where each song stands, those of earlier builds too, by song_id."""
    yield from scratch.stream(
        """select * from (select song_id, grp as "group", split, bucket from placed
           union all select song_id, "group", split, bucket from before
               where song_id not in (select song_id from placed))
           order by song_id"""
    )


def ledger(scratch: Scratch) -> Iterator[pa.Table]:
    """A ledger row per input, in the listing's order: one all of whose clips came with an earlier
    input is a duplicate.
    """
    own = {
        "stage": "case when repeated then 'assign_buckets' else ledger.stage end",
        "outcome": "case when repeated then 'duplicate' else ledger.outcome end",
        "code": "case when repeated then 'same_audio' else ledger.code end",
        "message": (
            "case when repeated then 'the same audio and window as ' || uri else ledger.message end"
        ),
        "clips": "coalesce(made, 0)",
    }
    scratch.run(
        """create or replace table given as
               select place, count(*) as made from firsts group by place;
           create or replace table repeats as
               select place, arg_min(clip.clip_key, clip.start_s) as clip_key
               from candidates where place not in (select place from given) group by place;
           create or replace table origins as select repeats.place as place, clip.source.uri as uri
               from repeats join firsts using (clip_key)
               join candidates on candidates.place = firsts.place
                   and candidates.clip.clip_key = repeats.clip_key"""
    )
    yield from scratch.stream(
        f"""select {_columns(LedgerRow, "ledger", own)}
            from (select *, origins.uri is not null as repeated from inputs
                  left join given using (place) left join origins using (place))
            order by place"""
    )


def disagreeing_groups(scratch: Scratch) -> int:
    """How many groups' rows disagreed on their split."""
    [(count,)] = scratch.rows("select count(*) from stated where said > 1")
    return int(count)


def load(
    scratch: Scratch,
    candidates: Iterable[pa.Table],
    inputs: Iterable[pa.Table],
    before: Iterable[pa.Table],
) -> None:
    """Fill the three tables that `assign` starts from."""
    scratch.load("candidates", CandidateClip, candidates)
    scratch.load("inputs", CutInput, inputs)
    scratch.load("before", Assigned, before)


def _columns(kind: Any, struct: str, own: dict[str, str]) -> str:
    return ", ".join(
        f'{own.get(name, f"{struct}.{chr(34)}{name}{chr(34)}")} as "{name}"'
        for name in arrow_schema(kind).names
    )
