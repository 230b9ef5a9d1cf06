"""Frame rows: what a clip is conditioned on, laid out at the frame rate of its latent.

A control that stands in the frame where it holds has not to be looked up: chords whose order and
qualities tokens taught late and inexactly are learned so with a fraction of the samples. Chord rows
as in MusiConGen (arXiv 2407.15060), curves and their masks in time as in Music ControlNet (arXiv
2311.07069).

Each group of rows ends with *known*: 0 where the control is not known, else the chance that it is
right. Where it is not known all its rows are zero. What is asked for is known for certain.

Shapes: B clips, T latent frames, W rows of a group, R rows in all, N segments.
"""

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from schemas.chord import NO_CHORD, Chord
from schemas.controls import NO_PITCH
from schemas.labels import Beats
from schemas.pitch import Key, Mode
from training.conditions import Condition
from training.conditions.clip_controls import ClipControls, ControlCurves, Span

Array = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.floating]
_CLASSES: Final = 12
_MAJOR: Final = (0, 2, 4, 5, 7, 9, 11)  # semitones above the tonic
_CHORD_WIDTH: Final = 3 * _CLASSES + 1  # sounding classes, root, bass; no chord
_PHASES: Final = 4  # sine and cosine, once and twice in a turn
# A level of -30 dB is 0, and 15 dB are 1: recordings lie within about -1 and 1.
_MIDDLE_DB: Final = -30.0
_UNIT_DB: Final = 15.0
_USUAL_ONSETS: Final = 5.0  # a second
_MOST_TURNS: Final = 1e6  # of a phase: nothing is learned from more


class FrameGrid(NamedTuple):
    """The frames of a latent: how many, and how many a second."""

    frames: int
    per_s: float

    @property
    def edges_s(self) -> Numbers:
        """Where frames begin, and where the last one ends."""
        return np.arange(self.frames + 1, dtype=float) / self.per_s

    @property
    def centres_s(self) -> Numbers:
        """The middle of each frame."""
        return (np.arange(self.frames, dtype=float) + 0.5) / self.per_s

    def shares(self, starts_s: Sequence[float], ends_s: Sequence[float]) -> Numbers:
        """The share of each frame that lies within each segment: (N, T).

        >>> FrameGrid(3, 2.0).shares([0.25], [1.0]).tolist()
        [[0.5, 1.0, 0.0]]
        """
        edges_s = self.edges_s
        starts_N1, ends_N1 = (
            np.asarray(times, float).reshape(-1, 1) for times in (starts_s, ends_s)
        )
        overlap_NT = np.minimum(ends_N1, edges_s[1:]) - np.maximum(starts_N1, edges_s[:-1])
        shares_NT: Numbers = overlap_NT.clip(min=0) * self.per_s
        return shares_NT

    def marks(self, times_s: Sequence[float]) -> Array:
        """One in the frames in which something begins: (T, 1)."""
        marked = np.zeros((self.frames, 1), np.float32)
        places = (np.asarray(times_s, float) * self.per_s + 1e-6).astype(int)
        marked[places[(places >= 0) & (places < self.frames)]] = 1
        return marked


class RowGroup(NamedTuple):
    """The rows of one control: how many, *known* included; what fills them, with none where nothing
    is known; which of them are *known*.
    """

    width: int
    fill: Callable[[ClipControls, FrameGrid], Array | None]
    known: tuple[int, ...] = (-1,)


def row_width(groups: Collection[Condition]) -> int:
    """How many rows these groups have together.

    >>> row_width([Condition.CHORDS, Condition.KEY])
    64
    """
    return sum(_GROUPS[group].width for group in groups)


def frame_rows(
    controls: ClipControls, grid: FrameGrid, groups: Collection[Condition], *, sure: bool = False
) -> Array:
    """The rows of a clip, (T, R), group by group in the order of `Condition`.

    With `sure`, as for what is asked for, all that is known is known for certain.

    >>> from training.prompt_controls.resolve import resolve_controls
    >>> labels = resolve_controls("", bpm=60, chords="C Am", duration_s=8).labels
    >>> rows = frame_rows(ClipControls(labels), FrameGrid(8, 1.0), [Condition.CHORDS])
    >>> rows[:, 12 + 9].tolist()  # the root is A
    [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]
    """
    parts = [np.zeros((grid.frames, 0), np.float32)]
    for condition in Condition:
        if condition in groups:
            parts.append(_group_rows(controls, grid, condition, sure=sure))
    return np.concatenate(parts, axis=1)


def batched_rows(
    controls: Sequence[ClipControls | None],
    grid: FrameGrid,
    groups: Collection[Condition],
    *,
    sure: bool = False,
) -> torch.Tensor | None:
    """The rows of several clips, (B, T, R), zeros for a clip that is none; none where no group is
    wanted.
    """
    if not groups:
        return None
    nothing = np.zeros((grid.frames, row_width(groups)), np.float32)
    rows = [
        nothing if one is None else frame_rows(one, grid, groups, sure=sure) for one in controls
    ]
    return torch.from_numpy(np.stack(rows))


def _group_rows(
    controls: ClipControls, grid: FrameGrid, condition: Condition, *, sure: bool
) -> Array:
    group = _GROUPS[condition]
    rows_TW = group.fill(controls, grid) if controls.is_known(condition) else None
    if rows_TW is None:
        return np.zeros((grid.frames, group.width), np.float32)
    if sure:
        rows_TW[:, group.known] = rows_TW[:, group.known] > 0
    spans = controls.known.get(condition)
    if spans is not None:
        rows_TW *= _within(spans, grid)
    return rows_TW


def _within(spans: Sequence[Span], grid: FrameGrid) -> npt.NDArray[np.bool_]:
    """Frames of which more than half lies within spans: (T, 1)."""
    shares_NT = grid.shares([span.start_s for span in spans], [span.end_s for span in spans])
    within_T1: npt.NDArray[np.bool_] = shares_NT.sum(0)[:, None] > 0.5
    return within_T1


def _laid_out(shares_NT: Numbers, vectors_NW: Array, *beside_T1: Array, sure: float = 1) -> Array:
    """What segments hold, each for its share of a frame; rows beside it; for how much of the frame
    any of it is known.
    """
    known_T1 = shares_NT.sum(0)[:, None].clip(max=1) * sure
    return np.concatenate(
        [shares_NT.T @ vectors_NW, *beside_T1, known_T1], axis=1, dtype=np.float32
    )


def _chord_rows(controls: ClipControls, grid: FrameGrid) -> Array | None:
    chords = controls.labels.chords
    if not chords.segments:
        return None
    starts_s = [one.start_s for one in chords.segments]
    return _laid_out(
        grid.shares(starts_s, [one.end_s for one in chords.segments]),
        np.stack([_chord_vector(one.label) for one in chords.segments]),
        grid.marks(starts_s),
        sure=chords.confidence,
    )


@lru_cache(maxsize=4096)  # a closed vocabulary
def _chord_vector(label: str) -> Array:
    """Sounding pitch classes, root, bass, and whether there is no chord."""
    vector = np.zeros(_CHORD_WIDTH, np.float32)
    if label == NO_CHORD:
        vector[-1] = 1
        return vector
    chord = Chord.parse(label)
    bass = chord.root if chord.bass is None else chord.bass
    vector[sorted(chord.pitches)] = 1
    vector[[_CLASSES + chord.root, 2 * _CLASSES + bass]] = 1
    return vector


def _beat_rows(controls: ClipControls, grid: FrameGrid) -> Array | None:
    """A beat begins, its phase, known; a downbeat begins, the phase in the bar, known."""
    beats = controls.labels.beats
    if len(beats.times_s) < 2:
        return None
    known_T1 = np.ones((grid.frames, 1), np.float32)
    return np.concatenate(
        [
            grid.marks(beats.times_s),
            _phases(beats.times_s, np.arange(len(beats.times_s), dtype=float), grid),
            known_T1 * beats.confidence,
            grid.marks(beats.downbeats_s),
            _phases(beats.times_s, _bar_positions(beats), grid),
            known_T1 * beats.downbeat_confidence,
        ],
        axis=1,
        dtype=np.float32,
    )


def _bar_positions(beats: Beats) -> Numbers:
    """Where each beat stands, counted in bars: of 3/4 from its second beat 1/3, 2/3, 1, 4/3 …"""
    per_bar, bars, positions = max(beats.numbers), 0, []
    for index, number in enumerate(beats.numbers):
        bars += index > 0 and number == 1
        positions.append(bars + (number - 1) / per_bar)
    return np.array(positions)


def _phases(times_s: Sequence[float], positions: Numbers, grid: FrameGrid) -> Numbers:
    """The place in its turn of each frame's centre, as sines and cosines: (T, 4).

    Between beats by interpolation; before the first and after the last in the tempo that is there.
    """
    at = np.asarray(times_s, float)
    early = positions[0] + (grid.centres_s - at[0]) * _slope(at[:2], positions[:2])
    late = positions[-1] + (grid.centres_s - at[-1]) * _slope(at[-2:], positions[-2:])
    turns = np.interp(grid.centres_s, at, positions)
    turns = np.where(grid.centres_s < at[0], early, turns)
    turns = np.where(grid.centres_s > at[-1], late, turns).clip(-_MOST_TURNS, _MOST_TURNS)
    angles = 2 * np.pi * np.stack([turns, 2 * turns], axis=1)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def _slope(times_s: Numbers, positions: Numbers) -> float:
    return float((positions[1] - positions[0]) / max(times_s[1] - times_s[0], 1e-3))


def _key_rows(controls: ClipControls, grid: FrameGrid) -> Array | None:
    """The key of the clip in all frames, or keys where each holds."""
    label, keys = controls.labels.key, controls.keys
    if keys:
        return _laid_out(
            grid.shares([one.start_s for one in keys], [one.end_s for one in keys]),
            np.stack([_key_vector(one.key) for one in keys]),
            sure=label.confidence,
        )
    if label.key is None:
        return None
    return _laid_out(np.ones((1, grid.frames)), _key_vector(label.key)[None], sure=label.confidence)


def _key_vector(key: Key) -> Array:
    """The seven classes of the scale (of minor the natural one), and the tonic."""
    major = key.tonic if key.mode is Mode.MAJOR else key.relative().tonic
    vector = np.zeros(2 * _CLASSES, np.float32)
    vector[[(major + step) % _CLASSES for step in _MAJOR]] = 1
    vector[_CLASSES + key.tonic] = 1
    return vector


def _dynamics_rows(controls: ClipControls, grid: FrameGrid) -> Array:
    """The level, the same against the mean of what is known, known.

    A net learns the shape of a curve sooner than its level: it is given both (Wu et al. 2023 report
    a correlation of 0.94 beside an error of 38 dB²).
    """
    values_T1, known_T1 = _curve(controls.curves.dynamics_db, controls.curves, grid)
    level_T1 = (values_T1 - _MIDDLE_DB) / _UNIT_DB * known_T1
    mean = level_T1.sum() / max(1.0, float(known_T1.sum()))
    shape_T1 = (level_T1 - mean) * known_T1
    return np.concatenate([level_T1, shape_T1, known_T1], axis=1, dtype=np.float32)


def _melody_rows(controls: ClipControls, grid: FrameGrid) -> Array | None:
    """The pitch class, or that none sounds; known."""
    known = {
        index: pitch for index, pitch in enumerate(controls.curves.melody) if pitch is not None
    }
    if not known:
        return None
    pitches_NW = np.eye(NO_PITCH + 1, dtype=np.float32)[list(known.values())]
    return _laid_out(_curve_shares(list(known), controls.curves, grid), pitches_NW)


def _onset_rows(controls: ClipControls, grid: FrameGrid) -> Array:
    values_T1, known_T1 = _curve(controls.curves.onsets_per_s, controls.curves, grid)
    return np.concatenate(
        [values_T1 / _USUAL_ONSETS * known_T1, known_T1], axis=1, dtype=np.float32
    )


def _curve(
    values: Sequence[float | None], curves: ControlCurves, grid: FrameGrid
) -> tuple[Numbers, Numbers]:
    """A curve's mean in each frame, and whether more than half of the frame is known: (T, 1)."""
    places = [index for index, value in enumerate(values) if value is not None]
    shares_NT = _curve_shares(places, curves, grid)
    shares_T = shares_NT.sum(0)
    sums_T = np.array([values[index] for index in places], float) @ shares_NT
    known_T = shares_T > 0.5
    return (sums_T / shares_T.clip(min=0.5))[:, None], known_T[:, None].astype(float)


def _curve_shares(places: Sequence[int], curves: ControlCurves, grid: FrameGrid) -> Numbers:
    """The share of each latent frame that frames of a curve fill: (N, T)."""
    starts_s = curves.start_s + np.asarray(places, float) / curves.rate_hz
    return grid.shares(starts_s.tolist(), (starts_s + 1 / curves.rate_hz).tolist())


_GROUPS: Final = {
    Condition.BEATS: RowGroup(2 * (_PHASES + 2), _beat_rows, known=(_PHASES + 1, -1)),
    Condition.CHORDS: RowGroup(_CHORD_WIDTH + 2, _chord_rows),
    Condition.KEY: RowGroup(2 * _CLASSES + 1, _key_rows),
    Condition.DYNAMICS: RowGroup(3, _dynamics_rows),
    Condition.MELODY: RowGroup(NO_PITCH + 2, _melody_rows),
    Condition.ONSETS: RowGroup(2, _onset_rows),
}
