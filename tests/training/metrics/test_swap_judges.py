"""Swaps judged by the asked timeline: ties, chance, and kinds."""

import pytest

from schemas.pitch import Key
from tests.support.heard_labels import heard_labels, laid_out
from training.metrics.controls import Control, PromptControls, estimated_controls, stated_controls
from training.metrics.swap import swap_report
from training.metrics.swap_judges import Judge, Swapped, judgement
from training.metrics.swap_kinds import SwapKind, one_replaced, swap_kind, transposed_chords
from training.metrics.swapping import swapped_prompts
from training.metrics.timing import timing_of

FOUR = ("C:maj", "A:min", "F:maj", "G:maj")
BACK = FOUR[::-1]


def chord_pair(heard: tuple[str, ...], other_heard: tuple[str, ...]) -> Swapped:
    """FOUR and the same in reverse were asked for."""
    asked = [heard_labels(laid_out(chords)) for chords in (FOUR, BACK)]
    sounding = [heard_labels(laid_out(chords)) for chords in (heard, other_heard)]
    return Swapped(
        (PromptControls(chords=FOUR), PromptControls(chords=BACK)),
        (estimated_controls(sounding[0]), estimated_controls(sounding[1])),
        (timing_of(asked[0]), timing_of(asked[1])),
        (sounding[0], sounding[1]),
    )


@pytest.mark.parametrize(
    ("heard", "other_heard", "followed", "chance"),
    [
        (FOUR, BACK, 1.0, 0.5),  # exchanged, both are nearer to the other
        (BACK, FOUR, 0.0, 0.5),
        (FOUR, FOUR, 0.0, 0.0),  # the same twice: one of them is wrong either way
        (FOUR, ("D:maj",) * 4, 0.5, 0.25),  # the second is a tie
        (("D:maj",) * 4, ("E:maj",) * 4, 0.25, 0.25),
        # half of the time right: C and F in their places
        (("C:maj", "D:maj", "F:maj", "D:maj"), BACK, 1.0, 0.5),
    ],
)
def test_a_pair_follows_by_its_own_timeline_and_a_tie_is_half(
    heard: tuple[str, ...], other_heard: tuple[str, ...], followed: float, chance: float
) -> None:
    [row] = swap_report([chord_pair(heard, other_heard)]).swaps
    assert (row.followed.value, row.followed.chance) == (followed, chance)
    assert (row.swap, row.by_order) == (SwapKind.CHORDS_REVERSED, 0)


def test_chords_with_another_third_follow_by_root_alone() -> None:
    minor = ("C:min", "A:maj", "F:min", "G:min")
    [row] = swap_report([chord_pair(minor, minor[::-1])]).swaps
    assert row.followed.value == 0.25  # two ties
    assert {one.name: one.value for one in row.also} == {
        "by root": 1.0,
        "by root, third and seventh": 0.25,
        "by order": 0.25,
    }
    assert (row.own.value, row.other.value) == (0.0, 0.0)


def test_nothing_heard_is_a_miss_and_not_a_tie() -> None:
    [row] = swap_report([chord_pair(FOUR, ())]).swaps
    assert (row.followed.value, row.followed.chance) == (0.0, 0.0)


def test_chords_without_asked_times_are_judged_by_order_and_counted() -> None:
    pair = chord_pair(FOUR, BACK)
    [row] = swap_report([Swapped(pair.requested, pair.estimated)]).swaps
    assert (row.followed.name, row.followed.value, row.by_order) == ("by order", 1.0, 1)
    assert row.also == ()


def tempo_pair(*bpm: float | None, grids: bool = False) -> Swapped:
    """90 and 135 BPM were asked for."""
    requested = PromptControls(bpm=90), PromptControls(bpm=135)
    heard = [heard_labels((), _beats(one), bpm=one) for one in bpm]
    asked = [timing_of(heard_labels((), _beats(one.bpm))) for one in requested]
    pair = Swapped(requested, (estimated_controls(heard[0]), estimated_controls(heard[1])))
    if not grids:
        return pair
    return pair._replace(timings=(asked[0], asked[1]), labels=(heard[0], heard[1]))


def _beats(bpm: float | None) -> list[float]:
    return [at * 60 / bpm for at in range(int(8 * bpm / 60))] if bpm else []


def test_a_tempo_heard_at_twice_the_asked_one_follows_with_octaves_apart() -> None:
    [row] = swap_report([tempo_pair(180, 135, grids=True)]).swaps
    assert (row.followed.name, row.followed.value) == ("by tempo, octaves apart", 1.0)
    # 180 is nearer to 135 than to 90; its grid, with every other beat right, is nearer to 90
    assert {one.name: one.value for one in row.also} == {"by tempo": 0.0, "by beats": 1.0}


def test_a_tempo_that_is_not_heard_is_a_miss() -> None:
    [row] = swap_report([tempo_pair(90, None)]).swaps
    assert row.followed.value == 0
    assert [one.name for one in row.also] == ["by tempo"]  # no grid was asked for


@pytest.mark.parametrize(
    ("heard", "followed", "chance"),
    [
        (("C major", "F# minor"), 1.0, 0.5),
        (("C major", "D major"), 0.5, 0.25),
        (("D major", "D major"), 0.25, 0.25),
        (("C major", "C major"), 0.0, 0.0),
    ],
)
def test_a_key_equal_to_neither_is_a_tie(
    heard: tuple[str, str], followed: float, chance: float
) -> None:
    keys = [PromptControls(key=Key.parse(name)) for name in ("C major", "F# minor", *heard)]
    found = judgement(Swapped((keys[0], keys[1]), (keys[2], keys[3])), Judge.KEY)
    assert found is not None
    assert (found.followed, found.chance) == (followed, chance)


def test_each_graded_swap_of_chords_is_a_kind_of_its_own() -> None:
    caption = "A calm song. The chords are C, Am, F, G."
    requested = stated_controls(caption)
    made = dict(swapped_prompts(caption, requested, graded=True))
    assert {kind: swap.requested.chords for kind, swap in made.items()} == {
        SwapKind.CHORDS_REVERSED: BACK,
        SwapKind.CHORDS_TRANSPOSED: ("Eb:maj", "C:min", "Ab:maj", "Bb:maj"),
        SwapKind.CHORD_REPLACED: ("C:maj", "B:min", "F:maj", "G:maj"),
    }
    for kind, swap in made.items():
        assert swap_kind((requested, swap.requested), Control.CHORDS) is kind
    assert [kind for kind, _ in swapped_prompts(caption, requested)] == [SwapKind.CHORDS_REVERSED]
    keyed = "A calm song in C major. The chords are C, Am, F, G."
    kinds = [kind for kind, _ in swapped_prompts(keyed, stated_controls(keyed), graded=True)]
    assert kinds == [SwapKind.CHORDS_REVERSED, SwapKind.CHORD_REPLACED]  # the key stays true


def test_one_chord_can_be_transposed_or_replaced_but_not_reversed() -> None:
    one = stated_controls("A drone. The only chord is C.")
    assert one.chords == ("C:maj",)
    assert transposed_chords(one.chords) == ("Eb:maj",)
    assert one_replaced(one.chords) == ("D:maj",)
    assert one_replaced(("C:maj", "D:maj", "Bb:maj")) == ("C:maj", "E:maj", "Bb:maj")
    assert one_replaced(()) is transposed_chords(()) is None


def test_where_chords_change_the_key_may_unless_the_prompts_state_it() -> None:
    other = tuple(transposed_chords(FOUR) or ())
    requested = PromptControls(chords=FOUR), PromptControls(chords=other)
    keyed = tuple(
        one.replaced(bpm=90, meter=4, key=Key.parse(name))
        for one, name in zip(requested, ("C major", "Eb major"), strict=True)
    )
    [row] = swap_report([Swapped(requested, (keyed[0], keyed[1]))]).swaps
    assert row.swap is SwapKind.CHORDS_TRANSPOSED
    assert [one.name for one in row.stayed] == ["tempo", "meter"]
