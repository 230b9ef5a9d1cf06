"""Frame rows: each control in the frames where it holds, and nothing where it is not known."""

import numpy as np
import pytest

from schemas.labels import Beats, Chords, ChordSegment, KeyLabel, Labels
from schemas.pitch import Key
from training.conditions import CONTROLS, Condition
from training.conditions.clip_controls import ClipControls, ControlCurves, Span
from training.conditions.rows import Array, FrameGrid, frame_rows, row_width
from training.prompt_controls.resolve import resolve_controls

GRID = FrameGrid(8, 2.0)  # four seconds
HOW = {"confidence": 0.8, "tool": "t", "version": "1", "licence": "CC0"}
LABELS = resolve_controls("", bpm=60, key="C", chords="C", duration_s=4).labels


def labels(**changed: object) -> Labels:
    return LABELS.replaced(**changed)


def chords(*segments: tuple[float, float, str]) -> Labels:
    joined = tuple(ChordSegment(start_s=a, end_s=b, label=label) for a, b, label in segments)
    return labels(chords=Chords(segments=joined, **HOW))


def rows(of: Labels | ClipControls, condition: Condition, grid: FrameGrid = GRID) -> Array:
    controls = of if isinstance(of, ClipControls) else ClipControls(of)
    return frame_rows(controls, grid, [condition])


def test_a_chord_stands_in_the_share_of_each_frame_that_it_fills() -> None:
    found = rows(chords((0, 1.25, "C:maj"), (1.25, 3, "A:min7/b3"), (3, 4, "N")), Condition.CHORDS)
    sounding, roots, basses = found[:, :12], found[:, 12:24], found[:, 24:36]
    assert roots[:, 0].tolist() == [1, 1, 0.5, 0, 0, 0, 0, 0]
    assert roots[:, 9].tolist() == [0, 0, 0.5, 1, 1, 1, 0, 0]
    assert basses[:, 0].tolist() == [1, 1, 1, 1, 1, 1, 0, 0]  # of A:min7/b3 it is C too
    assert np.flatnonzero(sounding[0]).tolist() == [0, 4, 7]
    assert np.flatnonzero(sounding[4]).tolist() == [0, 4, 7, 9]
    assert found[:, 36].tolist() == [0, 0, 0, 0, 0, 0, 1, 1]  # no chord
    assert found[:, 37].tolist() == [1, 0, 1, 0, 0, 0, 1, 0]  # begins
    assert found[:, 38] == pytest.approx(0.8)


def test_beats_begin_in_their_frame_and_phases_go_round_from_one_to_the_next() -> None:
    waltz = Beats(
        times_s=(0.5, 1.5, 2.5, 3.5), numbers=(3, 1, 2, 3), downbeat_confidence=0.5, **HOW
    )
    grid = FrameGrid(4, 1.0)
    found = rows(labels(beats=waltz), Condition.BEATS, grid)
    assert found[:, 0].tolist() == [1, 1, 1, 1]
    # a frame's centre is where its beat is: at phase 0 its sines are 0, its cosines 1
    assert found[:, 1:5] == pytest.approx(np.tile([0, 0, 1, 1], (4, 1)), abs=1e-6)
    assert found[:, 5] == pytest.approx(0.8)
    assert found[:, 6].tolist() == [0, 1, 0, 0]
    turns = np.array([2, 0, 1, 2]) / 3
    assert found[:, 7] == pytest.approx(np.sin(2 * np.pi * turns), abs=1e-6)
    assert found[:, 10] == pytest.approx(np.cos(4 * np.pi * turns), abs=1e-6)
    assert found[:, 11] == pytest.approx(0.5)


def test_phases_go_on_before_the_first_beat_and_after_the_last() -> None:
    beats = Beats(times_s=(2.0, 3.0), numbers=(1, 2), downbeat_confidence=1, **HOW)
    found = rows(labels(beats=beats), Condition.BEATS, FrameGrid(20, 4.0))
    quarter = np.tile([0.125, 0.375, 0.625, 0.875], 5)
    assert found[:, 1] == pytest.approx(np.sin(2 * np.pi * quarter), abs=1e-5)


def test_a_key_has_its_scale_and_its_tonic_in_all_frames() -> None:
    minor = Key.parse("A minor")
    label = KeyLabel(tonic=minor.tonic, mode=minor.mode, **HOW)
    found = rows(labels(key=label), Condition.KEY)
    assert np.flatnonzero(found[0, :12]).tolist() == [0, 2, 4, 5, 7, 9, 11]  # as C major
    assert np.flatnonzero(found[0, 12:24]).tolist() == [9]
    assert (found == found[0]).all()


def test_a_level_is_given_as_it_is_and_against_the_mean_of_what_is_known() -> None:
    curve = (-30.0,) * 10 + (None,) * 10 + (-15.0,) * 20
    found = rows(ClipControls(LABELS, ControlCurves(dynamics_db=curve)), Condition.DYNAMICS)
    assert found[:, 0] == pytest.approx([0, 0, 0, 0, 1, 1, 1, 1], abs=1e-6)
    mean = 4 / 6
    assert found[:, 1] == pytest.approx([-mean, -mean, 0, 0, *[1 - mean] * 4], abs=1e-6)
    assert found[:, 2].tolist() == [1, 1, 0, 0, 1, 1, 1, 1]


def test_a_melody_has_a_class_or_none_where_it_is_known() -> None:
    curve = (0,) * 10 + (12,) * 10 + (None,) * 20
    found = rows(ClipControls(LABELS, ControlCurves(melody=curve)), Condition.MELODY)
    assert found[:, 0] == pytest.approx([1, 1, 0, 0, 0, 0, 0, 0])
    assert found[:, 12] == pytest.approx([0, 0, 1, 1, 0, 0, 0, 0])
    assert found[:, 13] == pytest.approx([1, 1, 1, 1, 0, 0, 0, 0])


def test_a_curve_that_began_before_the_window_is_moved() -> None:
    curves = ControlCurves(onsets_per_s=(5.0,) * 10 + (10.0,) * 30, start_s=-1.0)
    found = rows(ClipControls(LABELS, curves), Condition.ONSETS)
    assert found[:, 0] == pytest.approx([2, 2, 2, 2, 2, 2, 0, 0])
    assert found[:, 1].tolist() == [1, 1, 1, 1, 1, 1, 0, 0]


@pytest.mark.parametrize("condition", CONTROLS)
def test_what_is_not_known_is_zero(condition: Condition) -> None:
    curves = ControlCurves((-20.0,) * 40, (3,) * 40, (4.0,) * 40)
    controls = ClipControls(LABELS, curves)
    part = rows(controls._replace(known={condition: (Span(1.0, 2.6),)}), condition)
    assert part.any(axis=1).tolist() == [False, False, True, True, True, False, False, False]
    assert not rows(controls.without([condition]), condition).any()
    assert rows(controls, condition).shape == (8, row_width([condition]))


def test_what_is_asked_for_is_known_for_certain() -> None:
    unsure = chords((0, 3, "C:maj"), (3, 4, "N"))
    [sure] = {
        float(one)
        for one in frame_rows(ClipControls(unsure), GRID, [Condition.CHORDS], sure=True)[:, -1]
    }
    assert sure == 1


def test_nothing_is_made_of_labels_that_are_empty() -> None:
    empty = LABELS.replaced(
        beats=Beats(**HOW), chords=Chords(**HOW), key=KeyLabel(tonic=None, mode=None, **HOW)
    )
    assert not frame_rows(ClipControls(empty), GRID, CONTROLS).any()
