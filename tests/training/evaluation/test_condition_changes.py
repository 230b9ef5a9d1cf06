"""Wrong conditions: in the wrong order, at the wrong time, in the wrong key, and nothing else."""

import pytest

from tests.training.data.shards import sample_of
from training.conditions.clip_controls import ClipControls, ControlCurves
from training.evaluation.condition_changes import (
    distant_key,
    late_beats,
    later_chords,
    reversed_chords,
    wrong_conditions,
)
from training.munet.config import preset

SAMPLE = sample_of(1)


def test_chords_are_reversed_and_moved_without_their_times() -> None:
    chords = SAMPLE.chords
    labels = ["N", "A:min", "N", "A:min", "Ab:dim7"]
    assert [one.label for one in chords.segments] == labels
    for change, wanted in (
        (reversed_chords, labels[::-1]),
        (later_chords, [labels[-1], *labels[:-1]]),
    ):
        changed = change(chords)
        assert [one.label for one in changed.segments] == wanted
        assert [(one.start_s, one.end_s) for one in changed.segments] == [
            (one.start_s, one.end_s) for one in chords.segments
        ]


def test_beats_come_half_a_beat_late_with_their_numbers() -> None:
    late = late_beats(SAMPLE.beats)
    assert late.times_s == (0.75, 1.25, 1.75)
    assert late.numbers == SAMPLE.beats.numbers
    one = SAMPLE.beats.replaced(times_s=(0.5,), numbers=(1,))
    assert late_beats(one) == one


def test_a_key_is_moved_by_a_tritone() -> None:
    moved = distant_key(SAMPLE.key_label).key
    assert moved is not None
    assert moved.name == "Eb minor"


@pytest.mark.parametrize("preset_name", ["tiny", "base"])
def test_each_way_changes_one_condition_alone(preset_name: str) -> None:
    config = preset(preset_name)
    ways = wrong_conditions(config)
    assert {way.condition for way in ways} >= {*config.controls, *config.rows}
    other = sample_of(2)
    curves = ControlCurves((-20.0,), (3,), (1.0,)), ControlCurves((-10.0,), (5,), (2.0,))
    strange = other.labels.replaced(
        beats=late_beats(other.beats),
        chords=reversed_chords(other.chords),
        key=distant_key(other.key_label),
    )
    right, wrong = ClipControls(SAMPLE.labels, curves[0]), ClipControls(strange, curves[1])
    for way in ways:
        if way.change is not None:
            changed = way.change(right, wrong)
            assert len(_differing(changed, right)) == 1, (way.condition, way.how)


def _differing(one: ClipControls, other: ClipControls) -> list[str]:
    labels = [
        name
        for name in ("beats", "chords", "key", "tempo", "meter")
        if getattr(one.labels, name) != getattr(other.labels, name)
    ]
    pairs = zip(one.curves._fields, one.curves, other.curves, strict=True)
    return labels + [name for name, mine, theirs in pairs if mine != theirs]
