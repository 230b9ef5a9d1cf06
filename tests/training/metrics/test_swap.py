"""The swap test: what follows, what stays, and prompts that differ in one control."""

import pytest

from schemas.chord import Chord
from schemas.pitch import Key
from training.errors import TrainingError
from training.metrics.controls import Control, PromptControls, stated_controls
from training.metrics.swap import changed_control, likeness, swap_report
from training.metrics.swap_judges import Swapped
from training.metrics.swapping import other_value, swapped_prompt, swapped_prompts


def chords(symbols: str) -> tuple[str, ...]:
    return tuple(Chord.parse_symbol(symbol).harte for symbol in symbols.split())


SLOW = PromptControls(bpm=90, key=Key.parse("C major"), meter=4)
FAST = SLOW.replaced(bpm=140)


def test_a_model_that_follows_moves_that_control_alone() -> None:
    estimated = (
        SLOW.replaced(bpm=88, chords=chords("C F G")),
        FAST.replaced(bpm=150, chords=chords("C F G")),
    )
    [row] = swap_report([Swapped((SLOW, FAST), estimated)] * 4).swaps
    assert (row.control, row.pairs, row.followed.value, row.followed.clips) == (
        Control.TEMPO,
        4,
        1.0,
        4,
    )
    assert {one.name: one.value for one in row.stayed} == {"key": 1.0, "chords": 1.0, "meter": 1.0}
    assert row.followed.low == pytest.approx(0.5101, abs=1e-4)  # Wilson's, of four in four


def test_a_model_that_does_not_listen_does_not_pass() -> None:
    same = SLOW.replaced(bpm=95)
    [row] = swap_report([Swapped((SLOW, FAST), (same, same))]).swaps
    assert row.followed.value == 0
    # no chords heard: a miss
    assert {one.name: one.value for one in row.stayed} == {"key": 1.0, "chords": 0.0, "meter": 1.0}


def test_a_model_that_changes_its_key_with_the_tempo_is_told() -> None:
    estimated = (SLOW, FAST.replaced(key=Key.parse("G major")))
    [row] = swap_report([Swapped((SLOW, FAST), estimated)]).swaps
    assert row.followed.value == 1
    assert next(one.value for one in row.stayed if one.name == "key") == 0


def test_chords_follow_by_order_root_and_third() -> None:
    requested = PromptControls(chords=chords("Am F C G")), PromptControls(chords=chords("G C F Am"))
    estimated = (
        PromptControls(chords=chords("Am7 F Cmaj7 G")),
        PromptControls(chords=chords("G C F Am G C")),
    )
    [row] = swap_report([Swapped(requested, estimated)]).swaps
    assert (row.control, row.followed.value) == (Control.CHORDS, 1)
    assert likeness((estimated[0], estimated[0]), Control.CHORDS) == 1
    assert likeness((estimated[0], PromptControls()), Control.CHORDS) == 0


def test_chords_that_nobody_states_have_to_change_with_the_key() -> None:
    requested = PromptControls(key=Key.parse("C major")), PromptControls(key=Key.parse("F# minor"))
    estimated = tuple(
        one.replaced(bpm=90, meter=4, chords=chords(symbols))
        for one, symbols in zip(requested, ("C F", "F#m C#"), strict=True)
    )
    [row] = swap_report([Swapped(requested, (estimated[0], estimated[1]))]).swaps
    assert (row.followed.value, [one.name for one in row.stayed]) == (1, ["tempo", "meter"])
    stated = [one.replaced(chords=chords("C F")) for one in requested]
    [row] = swap_report([Swapped((stated[0], stated[1]), (estimated[0], estimated[1]))]).swaps
    assert {one.name: one.value for one in row.stayed} == {"tempo": 1, "chords": 0, "meter": 1}


def test_pairs_that_differ_in_no_control_or_in_several_are_counted_apart() -> None:
    both = FAST.replaced(meter=3)
    report = swap_report([Swapped((SLOW, both), (SLOW, both)), Swapped((SLOW, SLOW), (SLOW, SLOW))])
    assert (report.swaps, report.unusable) == ((), 2)
    assert changed_control((SLOW, SLOW.replaced(bpm=None))) is None


@pytest.mark.parametrize(
    ("caption", "control", "made"),
    [
        ("A waltz in A minor at 90 BPM.", Control.TEMPO, "A waltz in A minor at 135 BPM."),
        ("A waltz in A minor at 90 BPM.", Control.METER, "A piece in 4/4 in A minor at 90 BPM."),
        ("A waltz in A minor at 90 BPM.", Control.KEY, "A waltz in Eb major at 90 BPM."),
        ("A fast song. The bpm is 126.0.", Control.TEMPO, "A slow song. The bpm is 84."),
        ("There are four beats to the bar!", Control.METER, "There are three beats to the bar!"),
        ("The chords are Am, F and C.", Control.CHORDS, "The chords are C, F, Am."),
    ],
)
def test_a_swapped_prompt_keeps_its_words_but_for_one_control(
    caption: str, control: Control, made: str
) -> None:
    requested = stated_controls(caption)
    value = other_value(requested, control)
    assert value is not None
    swap = swapped_prompt(caption, requested, control, value)
    assert swap.caption == made
    assert stated_controls(made).replaced(tempo_words=()) == swap.requested.replaced(tempo_words=())
    assert (
        changed_control(
            (requested.replaced(tempo_words=()), swap.requested.replaced(tempo_words=()))
        )
        is control
    )


def test_every_control_that_is_stated_is_swapped_but_a_key_beside_its_chords() -> None:
    caption = "Rock in 4/4 at 100 BPM. The chords are Am, F, C. The key is A minor."
    assert [one.control for _, one in swapped_prompts(caption, stated_controls(caption))] == [
        Control.TEMPO,
        Control.CHORDS,
        Control.METER,
    ]
    assert other_value(PromptControls(chords=chords("C G C")), Control.CHORDS) is None


def test_a_control_that_cannot_be_changed_by_itself_is_refused() -> None:
    with pytest.raises(TrainingError, match="cannot be changed by itself"):
        swapped_prompt(
            "A song at 90 BPM in C.",
            PromptControls(),
            Control.TEMPO,
            PromptControls(bpm=140, meter=3),
        )
