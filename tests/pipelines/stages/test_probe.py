"""Inputs become clips: windows, merged duplicates, groups that never part, and buckets in which
songs stay.
"""

import json
from typing import Any, NamedTuple

import pytest

from pipelines.errors import DeadInput
from pipelines.stages.inputs import assign_buckets_sql
from pipelines.stages.inputs.assign_buckets_sql import bucket_count
from pipelines.stages.inputs.cut import cut, group_of, windows
from pipelines.storage.arrow import runs, table_of
from pipelines.storage.duckdb_scratch import scratch
from schemas.corpus import (
    Assigned,
    CandidateClip,
    Clip,
    CutInput,
    InputRow,
    LedgerRow,
    Outcome,
    Probed,
    Song,
    Source,
)
from schemas.identity import Bucket, Split
from schemas.recipe import Clips, Group, IngestRecipe, WindowMeaning


def song(number: int = 0, duration_s: float = 25.0) -> Song:
    return Song(song_id=f"{number:016x}", rate_hz=44_100, channels=2, duration_s=duration_s)


def row(
    number: int = 0, place: int = 0, *, artist: str = "", album: str = "", **fields: Any
) -> InputRow:
    return InputRow(
        place=place,
        row=f"table.csv#{place}",
        source=Source(uri=f"/music/{number}.wav", artist=artist, album=album),
        **fields,
    )


class Settled(NamedTuple):
    buckets: dict[str, list[Clip]]
    assigned: list[Assigned]
    ledger: list[LedgerRow]
    disagreeing_groups: int


def settled(
    *inputs: tuple[InputRow, Song],
    before: dict[str, Assigned] | None = None,
    seed: int = 0,
    **recipe: Any,
) -> Settled:
    probed = [(listed, Probed(place=listed.place, song=found)) for listed, found in inputs]
    return assign(probed, IngestRecipe(**recipe), seed, before or {})


def assign(
    probed: list[tuple[InputRow, Probed]],
    recipe: IngestRecipe,
    seed: int,
    before: dict[str, Assigned],
) -> Settled:
    made = [(row.place, *cut(row, probe, recipe)) for row, probe in probed]
    inputs = [CutInput(place=place, ledger=ledger) for place, ledger, _ in made]
    candidates = [candidate for _, _, found in made for candidate in found]
    with scratch() as held:
        assign_buckets_sql.load(
            held,
            [table_of(CandidateClip, candidates)],
            [table_of(CutInput, inputs)],
            [table_of(Assigned, list(before.values()))],
        )
        assign_buckets_sql.assign(held, recipe, seed)
        buckets = {
            name: [Clip.model_validate(clip) for clip in table.to_pylist()]
            for name, table in runs(assign_buckets_sql.clips(held), "bucket")
        }
        assigned = [
            Assigned.model_validate(line)
            for table in assign_buckets_sql.assigned(held)
            for line in table.to_pylist()
        ]
        ledger = [
            LedgerRow.model_validate(line)
            for table in assign_buckets_sql.ledger(held)
            for line in table.to_pylist()
        ]
        return Settled(buckets, assigned, ledger, assign_buckets_sql.disagreeing_groups(held))


def clips_of(result: Settled) -> list[Clip]:
    return [clip for found in result.buckets.values() for clip in found]


@pytest.mark.parametrize(
    ("duration_s", "recipe", "expected"),
    [
        (25.0, {}, [(0, 10), (10, 20)]),
        (30.0, {}, [(0, 10), (10, 20), (20, 30)]),
        (25.0, {"keep_last": True}, [(0, 10), (10, 20), (20, 25)]),
        (20.4, {"keep_last": True}, [(0, 10), (10, 20)]),  # what is left is under min_clip_s
        (20.5, {"keep_last": True}, [(0, 10), (10, 20), (20, 20.5)]),
        (7.0, {}, [(0, 7)]),
        (7.0, {"clips": Clips.FIRST}, [(0, 7)]),
        (7.0, {"clips": Clips.SPACED}, [(0, 7)]),
        (95.0, {"clips": Clips.FIRST}, [(0, 10)]),
        (
            100.0,
            {"clips": Clips.SPACED, "spaced_clips": 4},
            [(0, 10), (30, 40), (60, 70), (90, 100)],
        ),
        (25.0, {"clips": Clips.SPACED, "spaced_clips": 6}, [(0, 10), (15, 25)]),
        (15.0, {"clips": Clips.SPACED, "spaced_clips": 6}, [(0, 10)]),
        (100.0, {"clips": Clips.SPACED, "spaced_clips": 1}, [(0, 10)]),
        (25.0, {"clip_s": 5.0}, [(0, 5), (5, 10), (10, 15), (15, 20), (20, 25)]),
    ],
)
def test_windows_of_a_whole_song(
    duration_s: float, recipe: dict[str, Any], expected: list[tuple[float, float]]
) -> None:
    assert windows(row(), song(duration_s=duration_s), IngestRecipe(**recipe)) == expected


@pytest.mark.parametrize(
    ("start_s", "end_s", "expected"),
    [
        (5.0, 15.0, (5, 15)),
        (None, 4.0, (0, 4)),
        (20.0, None, (20, 25)),
        (0.0, 25.04, (0, 25)),
        (14.999, 24.999, (14.999, 24.999)),
    ],
)
def test_a_tables_window_is_cropped_where_it_says(
    start_s: float | None, end_s: float | None, expected: tuple[float, float]
) -> None:
    assert windows(row(start_s=start_s, end_s=end_s), song(), IngestRecipe()) == [expected]


@pytest.mark.parametrize(
    ("start_s", "end_s"), [(20.0, 30.0), (0.0, 25.06), (25.0, None), (30.0, 40.0)]
)
def test_a_window_past_the_end_is_dead_with_both_figures(
    start_s: float, end_s: float | None
) -> None:
    with pytest.raises(DeadInput, match="already_cut") as dead:
        windows(row(start_s=start_s, end_s=end_s), song(), IngestRecipe())
    assert (dead.value.code, dead.value.figure) == (
        "past_end",
        f"window {start_s:g}-{25.0 if end_s is None else end_s:g} s, file 25 s",
    )


def test_files_already_cut_are_whole_windows_and_the_table_stays_in_the_metadata() -> None:
    [clip] = clips_of(
        settled(
            (row(start_s=30.0, end_s=40.0), song(duration_s=9.98)), window=WindowMeaning.ALREADY_CUT
        )
    )
    assert (clip.start_s, clip.end_s, clip.extended_end_s) == (0.0, 9.98, 9.98)
    assert json.loads(clip.source.metadata) == {"start_s": 30.0, "end_s": 40.0}


def test_annotation_reaches_past_a_clip_as_far_as_the_song_goes_and_not_past_a_given_window() -> (
    None
):
    whole = clips_of(settled((row(), song(duration_s=21.0))))
    assert [(clip.start_s, clip.end_s, clip.extended_end_s) for clip in whole] == [
        (0, 10, 12.5),
        (10, 20, 21),
    ]
    [given] = clips_of(settled((row(start_s=0.0, end_s=10.0), song())))
    assert (given.end_s, given.extended_end_s) == (10, 10)


def test_a_window_too_short_to_label_is_dead_with_the_figure() -> None:
    [ledger] = settled((row(start_s=24.6, end_s=25.0), song())).ledger
    assert (ledger.outcome, ledger.code, ledger.figure) == (
        Outcome.DEAD,
        "too_short",
        "0.400 s, limit 0.5 s",
    )


def test_what_probing_killed_is_dead_by_its_code_and_what_was_ignored_stays_so() -> None:
    dead = (row(0, 0), Probed(place=0, code="not_finite", message="has NaN", figure="f"))
    ignored = (
        row(1, 1, outcome=Outcome.IGNORED, code="not_audio"),
        Probed(place=1, code="not_audio"),
    )
    result = assign([dead, ignored], IngestRecipe(), 0, {})
    assert [(entry.outcome, entry.code, entry.figure) for entry in result.ledger] == [
        ("dead", "not_finite", "f"),
        ("ignored", "not_audio", ""),
    ]
    assert result.buckets == {}


def test_the_same_audio_twice_is_one_clip_with_every_caption_in_order_once() -> None:
    result = settled(
        (row(0, 0, captions=("b",), start_s=0.0, end_s=10.0), song()),
        (row(1, 1, captions=("a", "b"), start_s=0.0, end_s=10.0), song()),
        (row(2, 2, captions=("c",), start_s=0.0, end_s=10.0), song()),
    )
    [clip] = clips_of(result)
    assert clip.captions == ("b", "a", "c")
    assert clip.source.uri == "/music/0.wav"
    assert [(entry.outcome, entry.clips) for entry in result.ledger] == [
        ("used", 1),
        ("duplicate", 0),
        ("duplicate", 0),
    ]
    assert "/music/0.wav" in result.ledger[1].message


def test_two_windows_of_one_file_are_two_clips_of_one_song() -> None:
    result = settled(
        (row(0, 0, start_s=0.0, end_s=10.0), song()), (row(0, 1, start_s=5.0, end_s=15.0), song())
    )
    assert [clip.clip_key for clip in clips_of(result)] == [
        f"{song().song_id}-0-10000",
        f"{song().song_id}-5000-10000",
    ]
    assert len(result.buckets) == 1


@pytest.mark.parametrize(
    ("group", "artist", "album", "expected"),
    [
        (Group.SONG, "A", "B", "song:0000000000000000"),
        (Group.ARTIST, " The  Band ", "", "artist:the band"),
        (Group.ARTIST, "", "B", "song:0000000000000000"),
        (Group.ALBUM, "The Band", "First", "album:the band/first"),
        (Group.ALBUM, "", "First", "album:/first"),
        (Group.ALBUM, "The Band", "", "song:0000000000000000"),
    ],
)
def test_groups(group: Group, artist: str, album: str, expected: str) -> None:
    assert group_of(Source(uri="a", artist=artist, album=album), song(), group) == expected


@pytest.mark.parametrize(
    ("group", "key"), [(Group.SONG, "song"), (Group.ALBUM, "album"), (Group.ARTIST, "artist")]
)
def test_a_group_is_in_one_split_only(group: Group, key: str) -> None:
    """150 songs of 30 albums by 10 artists."""
    inputs = [
        (row(n, n, artist=f"artist {n % 10}", album=f"album {n % 30}"), song(n)) for n in range(150)
    ]
    splits: dict[str, set[Split]] = {}
    for clip in clips_of(settled(*inputs, group=group, validation=0.2, test=0.2)):
        number = int(clip.song.song_id, 16)
        name = {"song": number, "album": number % 30, "artist": number % 10}[key]
        splits.setdefault(str(name), set()).add(clip.split)
    assert len(splits) == {"song": 150, "album": 30, "artist": 10}[key]
    assert all(len(found) == 1 for found in splits.values())
    assert set.union(*splits.values()) == set(Split)


def test_a_group_whose_rows_disagree_goes_whole_to_the_strictest_and_is_counted() -> None:
    result = settled(
        (row(0, 0, start_s=0.0, end_s=10.0, split="train"), song()),
        (row(0, 1, start_s=10.0, end_s=20.0, split="test"), song()),
        (row(1, 2, split="train"), song(1)),
    )
    assert {(clip.song.song_id[-1], clip.split) for clip in clips_of(result)} == {
        ("0", "test"),
        ("1", "train"),
    }
    assert result.disagreeing_groups == 1


def test_a_song_never_parts_even_where_two_artists_claim_it() -> None:
    result = settled(
        (row(0, 0, artist="X", start_s=0.0, end_s=10.0, split="test"), song()),
        (row(0, 1, artist="Y", start_s=10.0, end_s=20.0, split="train"), song()),
        group=Group.ARTIST,
    )
    assert len({clip.split for clip in clips_of(result)}) == 1


def test_audio_that_any_row_puts_in_test_is_never_in_train() -> None:
    """The same audio and window under another artist: merged, and still held out."""
    result = settled(
        (row(0, 0, artist="X", start_s=0.0, end_s=10.0, split="train"), song()),
        (row(1, 1, artist="Y", start_s=0.0, end_s=10.0, split="test"), song()),
        group=Group.ARTIST,
    )
    assert [clip.split for clip in clips_of(result)] == [Split.TEST]


def test_clips_of_a_bucket_are_of_its_split_and_a_song_is_in_one_bucket() -> None:
    inputs = [(row(n, n), song(n, 60.0)) for n in range(300)]
    result = settled(*inputs)
    where: dict[str, set[str]] = {}
    for name, found in result.buckets.items():
        assert [clip.clip_key for clip in found] == sorted(clip.clip_key for clip in found)
        for clip in found:
            assert name.startswith(clip.split.value)
            where.setdefault(clip.song.song_id, set()).add(name)
    assert all(len(names) == 1 for names in where.values())
    assert sum(len(found) for found in result.buckets.values()) == 1800


def test_the_order_of_the_rows_changes_no_bucket() -> None:
    inputs = [(row(n, n), song(n)) for n in range(50)]
    assert settled(*inputs).buckets == settled(*inputs[::-1]).buckets


@pytest.mark.parametrize(
    ("clips", "count"), [(1, 1), (8, 1), (9, 2), (64, 8), (256, 8), (257, 9), (3200, 100)]
)
def test_buckets_are_as_many_as_the_size_asks_and_a_small_corpus_can_be_shared(
    clips: int, count: int
) -> None:
    assert bucket_count(clips, clips, IngestRecipe()) == count


def buckets_of(result: Settled) -> dict[str, str]:
    return {clip.clip_key: name for name, found in result.buckets.items() for clip in found}


@pytest.mark.parametrize(
    ("songs", "added"),
    [(250, 150), (40, 10), (150, 100)],
    ids=["by hash", "by rank", "from rank to hash"],
)
def test_songs_that_are_added_move_no_older_song(songs: int, added: int) -> None:
    first = settled(*[(row(n, n), song(n)) for n in range(songs)])
    before = {assigned.song_id: assigned for assigned in first.assigned}
    later = settled(*[(row(n, n), song(n)) for n in range(songs + added)], before=before)
    assert {key: buckets_of(later)[key] for key in buckets_of(first)} == buckets_of(first)
    assert {
        Bucket.parse(name).generation
        for key, name in buckets_of(later).items()
        if key not in buckets_of(first)
    } == {1}


@pytest.mark.parametrize(
    ("duration_s", "recipe"),
    [
        (29.999977, {"clip_s": 30.0}),  # a sample short of 30 s at 44.1 kHz
        (9.999995, {}),  # a sample short of 10 s at 192 kHz
        (59.999979, {"clip_s": 30.0}),
        (25.0006, {"clips": Clips.SPACED}),  # spaced starts are rounded to milliseconds
        (33.33377, {"clips": Clips.SPACED, "spaced_clips": 3}),
        (12.5006, {"clips": Clips.SPACED, "spaced_clips": 2}),
        (25.0006, {"keep_last": True}),
    ],
)
def test_lengths_that_are_no_round_number_give_clips_inside_the_song(
    duration_s: float, recipe: dict[str, Any]
) -> None:
    found = clips_of(settled((row(), song(duration_s=duration_s)), **recipe))
    assert found
    for clip in found:
        assert clip.end_s <= clip.extended_end_s + 1e-6 <= duration_s + 2e-6


def test_a_window_before_the_start_is_dead_and_costs_no_other_row() -> None:
    result = settled((row(0, 0, start_s=-5.0), song()), (row(1, 1), song(1)))
    assert [entry.outcome for entry in result.ledger] == ["dead", "used"]
