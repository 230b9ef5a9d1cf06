"""Windows fill a strip, each in the piece's own time."""

import pytest
import torch

from schemas.pitch import Key
from training.conditions import Condition
from training.conditions.clip_controls import ClipControls, ControlCurves, KeySpan, Span
from training.conditions.rows import FrameGrid, frame_rows
from training.errors import TrainingError
from training.generation.windows import windows
from training.prompt_controls.resolve import resolve_controls
from training.timed_controls.joining import controls_within


def known(*spans: tuple[int, int], frames: int) -> torch.Tensor:
    mask = torch.zeros(frames, dtype=torch.bool)
    for first, last in spans:
        mask[first:last] = True
    return mask


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (known(frames=7), [(0, 7)]),
        (known(frames=24), [(0, 10), (7, 17), (14, 24)]),
        (known((0, 8), frames=20), [(5, 15), (10, 20)]),  # to go on
        (known((0, 10), (12, 22), frames=22), [(6, 16)]),  # a gap in the middle of a window
        (known((0, 2), (4, 22), frames=22), [(0, 10)]),
        (known((0, 10), (20, 30), frames=30), [(7, 17), (14, 24)]),  # longer than a window
    ],
)
def test_windows_go_on_from_what_is_known(
    mask: torch.Tensor, expected: list[tuple[int, int]]
) -> None:
    found = windows(mask, 10, 3)
    assert [(one.start, one.end) for one in found] == expected
    played = mask.clone()
    for one in found:
        assert torch.equal(one.known_T, played[one.start : one.end])
        assert not one.known_T.all()
        played[one.start : one.end] = True
    assert played.all()


def test_joins_are_where_known_and_new_meet() -> None:
    [gap] = windows(known((0, 10), (12, 22), frames=22), 10, 3)
    assert gap.joins == (10, 12)
    assert [one.joins for one in windows(known(frames=17), 10, 3)] == [(), (10,)]


def test_windows_that_would_not_go_on_are_refused() -> None:
    with pytest.raises(TrainingError, match="cannot overlap by 10"):
        windows(known(frames=20), 10, 10)


def test_beats_and_chords_go_on_over_a_join() -> None:
    labels = resolve_controls("", bpm=100, meter=3, chords="Am F C G", duration_s=24).labels
    part = controls_within(ClipControls(labels), 9.125, 19.125).labels
    before = [time for time in labels.beats.times_s if 9.125 <= time < 19.125]
    assert part.beats.times_s == tuple(round(time - 9.125, 3) for time in before)
    first = labels.beats.times_s.index(before[0])
    assert part.beats.numbers == labels.beats.numbers[first : first + len(before)]
    assert part.beats.numbers[:4] == (2, 3, 1, 2)
    assert [one.label[0] for one in part.chords.segments] == list("FCGAFC")
    assert part.chords.segments[0].end_s == pytest.approx(10.8 - 9.125)
    # the frames that both windows have say the same
    groups = (Condition.BEATS, Condition.CHORDS)
    whole = frame_rows(ClipControls(labels), FrameGrid(192, 8.0), groups)
    rows = frame_rows(ClipControls(part), FrameGrid(80, 8.0), groups)
    assert rows[4:76] == pytest.approx(whole[77:149], abs=0.02)


def test_curves_keys_and_spans_keep_their_times() -> None:
    labels = resolve_controls("", bpm=100, duration_s=10).labels
    a, c = Key.parse("A minor"), Key.parse("C major")
    controls = ClipControls(
        labels,
        ControlCurves(dynamics_db=tuple(float(-at) for at in range(100))),
        {Condition.CHORDS: (Span(0.0, 3.0), Span(6.0, 8.0))},
        (KeySpan(0.0, 5.0, a), KeySpan(5.0, 10.0, c)),
    )
    part = controls_within(controls, 4.0, 7.0)
    assert part.known == {Condition.CHORDS: (Span(2.0, 3.0),)}
    assert part.keys == (KeySpan(0.0, 1.0, a), KeySpan(1.0, 3.0, c))
    rows = frame_rows(part, FrameGrid(30, 10.0), [Condition.DYNAMICS])
    assert rows[0, 0] == pytest.approx((-40 + 30) / 15)
