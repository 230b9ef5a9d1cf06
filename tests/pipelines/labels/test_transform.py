"""Labels move with the audio, exactly, and no variant's labels depend on another's."""

import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest

from pipelines.labels.transform import (
    clip_labels,
    cut,
    excerpt,
    sped_up,
    tempo_bpm,
    transposed,
    variant_labels,
)
from schemas.chord import NO_CHORD
from schemas.corpus import Change
from schemas.labels import Beats, Chords, ChordSegment, KeyLabel, Labels, Meter, Origin, Tempo

CLAIM: dict[str, Any] = {"confidence": 0.9, "tool": "t", "version": "1", "licence": "CC0-1.0"}
CHORDS = ((0.0, 2.0, "C:maj/3"), (2.0, 4.0, "N"), (4.0, 8.0, "A:min7"), (8.0, 12.5, "G:7/b7"))
TWELVE = (
    Change(),
    *(
        Change(variant=f"p{'u' if step > 0 else 'd'}{abs(step)}", semitones=step)
        for step in (-3, -2, -1, 1, 2, 3)
    ),
    *(
        Change(variant=f"s{index + 1}", speed=rate)
        for index, rate in enumerate((0.75, 0.9137, 1.0521, 1.25))
    ),
    Change(variant="v1", gain_start=0.2),
)


def extended() -> Labels:
    """100 BPM in 4/4 with a pick-up beat, over 12.5 s: the clip is its first 10 s."""
    times = tuple(round(0.4 + 0.6 * beat, 3) for beat in range(21))
    return Labels(
        duration_s=12.5,
        beats=Beats(
            times_s=times, numbers=tuple((beat + 3) % 4 + 1 for beat in range(21)), **CLAIM
        ),
        meter=Meter(beats_per_bar=4, **CLAIM),
        tempo=Tempo(bpm=100, **CLAIM),
        chords=Chords(
            segments=tuple(
                ChordSegment(start_s=start, end_s=end, label=label) for start, end, label in CHORDS
            ),
            **CLAIM,
        ),
        key=KeyLabel(tonic=9, mode="minor", **CLAIM),
    )


def chords_of(labels: Labels) -> list[tuple[float, float, str]]:
    return [(segment.start_s, segment.end_s, segment.label) for segment in labels.chords.segments]


def test_speed_divides_beat_and_chord_times_and_multiplies_the_tempo() -> None:
    fast = sped_up(extended(), 1.25)
    assert fast.beats.times_s[:4] == (0.32, 0.8, 1.28, 1.76)
    assert fast.beats.numbers == extended().beats.numbers
    assert chords_of(fast) == [
        (0.0, 1.6, "C:maj/3"),
        (1.6, 3.2, "N"),
        (3.2, 6.4, "A:min7"),
        (6.4, 10.0, "G:7/b7"),
    ]
    assert (fast.tempo.bpm, fast.duration_s) == (125.0, 10.0)
    assert (fast.meter, fast.key) == (extended().meter, extended().key)


def test_slowing_down_spreads_them() -> None:
    slow = sped_up(extended(), 0.8)
    assert slow.beats.times_s[:3] == (0.5, 1.25, 2.0)
    assert chords_of(slow)[2] == (5.0, 10.0, "A:min7")
    assert (slow.tempo.bpm, slow.duration_s) == (80.0, 15.625)


def test_stored_times_are_whole_milliseconds() -> None:
    odd = sped_up(extended(), 1.0521)
    times = [
        *odd.beats.times_s,
        *(time for start, end, _ in chords_of(odd) for time in (start, end)),
    ]
    assert all(time == round(time, 3) for time in times)
    assert odd.beats.times_s[1] == 0.95  # 1.0 / 1.0521 = 0.95048
    assert odd.tempo.bpm == 105.21


def test_pitch_moves_key_roots_and_basses_and_no_time() -> None:
    up = transposed(extended(), 3)
    assert chords_of(up) == [
        (0.0, 2.0, "Eb:maj/3"),
        (2.0, 4.0, "N"),
        (4.0, 8.0, "C:min7"),
        (8.0, 12.5, "Bb:7/b7"),
    ]
    # G under Eb, Ab under Bb7
    assert [
        segment.chord.bass
        for segment in up.chords.segments
        if segment.chord and segment.chord.bass is not None
    ] == [
        7,
        8,
    ]
    assert (up.key.tonic, up.key.mode) == (0, "minor")
    assert (up.beats, up.tempo, up.meter, up.duration_s) == (
        extended().beats,
        extended().tempo,
        extended().meter,
        12.5,
    )


@pytest.mark.parametrize("step", [-3, -2, -1, 1, 2, 3])
def test_pitch_there_and_back_is_where_it_was(step: int) -> None:
    assert transposed(transposed(extended(), step), -step) == extended()
    assert transposed(extended(), step).key.tonic == (9 + step) % 12


def test_labels_without_a_key_or_chords_move_too() -> None:
    bare = extended().replaced(
        key=KeyLabel(**CLAIM), chords=Chords(**CLAIM), tempo=Tempo(**CLAIM), beats=Beats(**CLAIM)
    )
    assert transposed(bare, 2) == bare
    assert sped_up(bare, 1.25) == bare.replaced(duration_s=10.0)


def test_cut_drops_later_beats_and_closes_the_last_chord() -> None:
    own = cut(extended(), 10.0)
    assert own.beats.times_s[-1] == 9.4
    assert len(own.beats.numbers) == len(own.beats.times_s) == 16
    assert chords_of(own)[-1] == (8.0, 10.0, "G:7/b7")
    assert own.duration_s == 10.0


def test_cut_drops_the_beat_that_falls_on_the_cut_and_the_chord_that_starts_there() -> None:
    own = cut(extended(), 4.0)
    assert own.beats.times_s[-1] == 3.4
    assert chords_of(own) == [(0.0, 2.0, "C:maj/3"), (2.0, 4.0, "N")]
    assert 4.0 in cut(extended(), 4.001).beats.times_s


def test_cut_past_the_end_changes_nothing() -> None:
    assert cut(extended(), 99.0) == extended()


def test_cut_leaves_a_chord_that_ended_before_alone() -> None:
    labels = extended().replaced(
        chords=Chords(segments=(ChordSegment(start_s=0, end_s=3, label="C:maj"),), **CLAIM)
    )
    assert chords_of(cut(labels, 10.0)) == [(0.0, 3.0, "C:maj")]


def test_excerpt_counts_times_from_its_own_start() -> None:
    part = excerpt(extended(), 3.0, 9.0)
    assert part.duration_s == 6.0
    assert part.beats.times_s == (0.4, 1.0, 1.6, 2.2, 2.8, 3.4, 4.0, 4.6, 5.2, 5.8)
    assert part.beats.numbers[:3] == extended().beats.numbers[5:8]
    assert chords_of(part) == [(0.0, 1.0, "N"), (1.0, 5.0, "A:min7"), (5.0, 6.0, "G:7/b7")]


def test_excerpt_from_zero_is_the_cut() -> None:
    assert excerpt(extended(), 0.0, 10.0) == cut(extended(), 10.0)


@pytest.mark.parametrize(
    ("times_s", "bpm"),
    [
        ((), None),
        ((1.0, 1.5), None),
        ((0.0, 0.5, 1.0), 120.0),
        ((0.0, 0.75, 1.5, 2.25), 80.0),
        # one missed beat in the middle does not count
        ((0.0, 0.5, 1.0, 1.5, 2.9, 3.4, 3.9), 120.0),
        ((0.0, 0.5, 1.0, 1.6, 2.2), 110.0),  # two gaps of 120, two of 100
    ],
)
def test_tempo_is_the_mean_over_smoothed_intervals(
    times_s: tuple[float, ...], bpm: float | None
) -> None:
    assert tempo_bpm(times_s) == bpm


def test_a_clips_own_tempo_comes_from_its_own_beats_alone() -> None:
    times = (0.5, 1.0, 1.5, 2.0, 2.5, 3.5, 4.5, 5.5, 6.5)  # 120 BPM, then 60
    labels = extended().replaced(
        beats=Beats(times_s=times, numbers=(1,) * 9, **CLAIM), tempo=Tempo(bpm=90, **CLAIM)
    )
    own = clip_labels(labels, 2.6)
    assert (own.tempo.bpm, own.beats.times_s) == (120.0, times[:5])


def derived(labels: Labels, change: Change) -> Labels:
    return variant_labels(labels, 10.0, change, 10.0)


def test_a_full_length_fast_variant_has_labels_from_beyond_the_clip() -> None:
    fast = derived(extended(), Change(variant="s4", speed=1.25))
    assert fast.duration_s == 10.0
    assert fast.beats.times_s[-1] == 9.92  # 12.4 s of the original
    assert chords_of(fast)[-1] == (6.4, 10.0, "G:7/b7")
    assert fast.tempo.bpm == 125.0


def test_a_slow_variant_is_cut_and_closes_its_last_chord() -> None:
    slow = derived(extended(), Change(variant="s1", speed=0.75))
    assert chords_of(slow) == [
        (0.0, 2.667, "C:maj/3"),
        (2.667, 5.333, "N"),
        (5.333, 10.0, "A:min7"),
    ]
    assert (slow.beats.times_s[0], slow.tempo.bpm) == (0.533, 75.0)


def test_a_volume_variant_keeps_every_value() -> None:
    own, loud = (
        clip_labels(extended(), 10.0),
        derived(extended(), Change(variant="v1", gain_start=0.2)),
    )
    assert (loud.beats.times_s, chords_of(loud), loud.key.tonic, loud.tempo.bpm) == (
        own.beats.times_s,
        chords_of(own),
        own.key.tonic,
        own.tempo.bpm,
    )


def test_moved_labels_say_so_and_the_originals_do_not() -> None:
    def origins(labels: Labels) -> set[Origin]:
        return {
            label.origin
            for label in (labels.beats, labels.meter, labels.tempo, labels.chords, labels.key)
        }

    assert origins(derived(extended(), Change())) == {Origin.EXTRACTED}
    assert all(origins(derived(extended(), change)) == {Origin.MOVED} for change in TWELVE[1:])


def depends_on_order(
    derive: Callable[[Any, Change], list[float]], fresh: Callable[[], Any]
) -> bool:
    """Whether chord times of a variant depend on which variants were derived from the same
    annotation before.
    """
    alone = {change.variant: derive(fresh(), change) for change in TWELVE}
    shuffled = random.Random(0)
    orders = [TWELVE, TWELVE[::-1], *(tuple(shuffled.sample(TWELVE, 12)) for _ in range(20))]
    for order in orders:
        shared = fresh()
        if any(derive(shared, change) != alone[change.variant] for change in order):
            return True
    return False


def test_chord_times_of_a_variant_never_depend_on_another_variant() -> None:
    def our_times(labels: Labels, change: Change) -> list[float]:
        return [
            time for start, end, _ in chords_of(derived(labels, change)) for time in (start, end)
        ]

    assert not depends_on_order(our_times, extended)


def test_the_published_edit_in_place_is_what_the_test_above_catches() -> None:
    """MusicBench divides the times of one shared list once per speed variant, so that they
    compound.
    """

    def published_times(segments: list[list[float]], change: Change) -> list[float]:
        for segment in segments:
            segment[0] /= change.speed
            segment[1] /= change.speed
        return [time for segment in segments for time in segment]

    assert depends_on_order(published_times, lambda: [[start, end] for start, end, _ in CHORDS])


def test_labels_of_all_twelve_variants_are_equal_in_any_order_and_leave_the_annotation_alone() -> (
    None
):
    alone = {change.variant: derived(extended(), change).model_dump_json() for change in TWELVE}
    assert len(alone) == 12
    shared = extended()
    before = shared.model_dump_json()
    for first, second in itertools.permutations(TWELVE, 2):
        derived(shared, first)
        assert derived(shared, second).model_dump_json() == alone[second.variant], (
            first.variant,
            second.variant,
        )
    assert shared.model_dump_json() == before


@pytest.mark.parametrize("change", TWELVE, ids=lambda change: change.variant)
def test_chords_of_a_variant_join_from_its_start_to_its_end_and_beats_lie_inside(
    change: Change,
) -> None:
    labels = derived(extended(), change)
    chords = chords_of(labels)
    assert (chords[0][0], chords[-1][1]) == (0.0, 10.0)
    assert all(earlier[1] == later[0] for earlier, later in itertools.pairwise(chords))
    assert 0 <= labels.beats.times_s[0] < labels.beats.times_s[-1] < 10.0


@pytest.mark.parametrize("rate", [1.0521, 1.1, 1.15, 1.2, 1.25])
def test_a_chord_of_one_millisecond_does_not_break_a_faster_variant(rate: float) -> None:
    """madmom's last chord may start on the last frame, a millisecond before the wave ends."""
    for index in range(20):
        start_s = round(9.0 + 0.1 * index, 3)
        segments = (
            ChordSegment(start_s=0, end_s=start_s, label="C:maj"),
            ChordSegment(start_s=start_s, end_s=round(start_s + 0.001, 3), label=NO_CHORD),
        )
        labels = extended().replaced(
            chords=Chords(segments=segments, **CLAIM), duration_s=start_s + 0.001
        )
        moved = sped_up(labels, rate)
        assert moved.chords.segments[0].label == "C:maj"
        assert moved.chords.segments[0].end_s == pytest.approx(start_s / rate, abs=0.0011)
