"""A calibration fitted anew from clips that somebody has listened to.

Each label has a curve of two figures, shift and slope of the log odds (J. Platt, "Probabilistic
outputs for support vector machines", 1999, over the shipped confidence). Its prior is the shipped
calibration, a shift of 0 and a slope of 1, so that few clips move it little; and it is kept only
where it predicts songs that were left out better than by chance.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.labels.agreement import f_measure, same_tempo, sevenths_overlap
from pipelines.labels.calibration import log_odds
from pipelines.labels.doubt import confidences
from pipelines.labels.transform import tempo_bpm
from schemas.agreement import LabelAgreement
from schemas.calibration import Calibration, Curve
from schemas.labels import Correction, Labels

LABELS: Final = tuple(Calibration.model_fields)
# Of 20 clips the share that is right has a standard error of up to 0.11: a confidence that is off
# by less cannot be told from one that is right. Clips of one song are right or wrong together.
LEAST_CLIPS: Final = 20
LEAST_SONGS: Final = 10
# Standard deviations of the prior: odds off by a factor of e, a slope off by half, are usual for
# networks on music unlike what they were fitted on.
_SHIFT_SD: Final = 1.0
_SLOPE_SD: Final = 0.5
_LEAST_SLOPE: Final = 0.05  # what is surer stays surer
_FOLDS: Final = 10
# Nats, of all clips together: two figures fitted to one calibration in twenty that is right gain
# as much (S. S. Wilks, 1938: twice the gain has a chi-squared distribution).
_LEAST_GAIN: Final = 3.0
_STEPS: Final = 50  # of Newton's method: the loss is convex in two figures, ten are enough
_CLOSE: Final = 1e-9
Floats = npt.NDArray[np.float64]


class ReviewedClip(NamedTuple):
    """A clip that was listened to: its song, what was heard, and how far that is right."""

    song_id: str
    heard: Labels
    right: LabelAgreement


class Refit(NamedTuple):
    """What became of one label: clips and songs that it was judged on; the mean log loss on songs
    that were left out, as it is and refitted; and its curve, where that is better.
    """

    label: str
    clips: int
    songs: int
    log_loss_before: float | None = None
    log_loss: float | None = None
    curve: Curve | None = None


class _Points(NamedTuple):
    """Of each clip: log odds of its confidence, how far the label is right, the number of its
    song.
    """

    x: Floats
    y: Floats
    song: npt.NDArray[np.intp]

    def chosen(self, which: npt.NDArray[np.bool_]) -> "_Points":
        return _Points(self.x[which], self.y[which], self.song[which])


def judged(heard: Labels, edit: Correction) -> LabelAgreement | None:
    """How far labels are right by a correction that says something of all of them, else none.

    Who sets only what is wrong says nothing of the rest, and would make all labels look wrong: a
    clip counts once each part was set, or all was confirmed.
    """
    said = {
        "beats": heard.beats.times_s,
        "chords": heard.chords.segments,
        "key": heard.key.mode,
    }
    if not any(said.values()) or edit.not_music is not None:
        return None
    if any(value and getattr(edit, name) is None for name, value in said.items()):
        return None
    found: dict[str, float | None] = {}
    if said["beats"] and edit.beats is not None:
        found["beats"] = f_measure(edit.beats.times_s, heard.beats.times_s)
        found["downbeats"] = f_measure(edit.beats.downbeats_s, heard.beats.downbeats_s)
        found["tempo"] = same_tempo(tempo_bpm(edit.beats.times_s), heard.tempo.bpm)
    if heard.meter.beats_per_bar and edit.meter is not None:
        found["meter"] = float(edit.meter.beats_per_bar == heard.meter.beats_per_bar)
    if said["chords"] and edit.chords is not None:
        found["chords"] = sevenths_overlap(edit.chords, heard.chords)
    if said["key"] and edit.key is not None:
        found["key"] = float(edit.key.key == heard.key.key)
    return LabelAgreement(**found)


def refitted(rows: Sequence[ReviewedClip]) -> list[Refit]:
    """What becomes of each label; without log losses where too few clips or songs were judged."""
    return [_refitted(label, rows) for label in LABELS]


def calibration_of(refits: Sequence[Refit]) -> Calibration:
    """The calibration that the curves make."""
    return Calibration(**{one.label: one.curve for one in refits})


def _refitted(label: str, rows: Sequence[ReviewedClip]) -> Refit:
    points = _points(label, rows)
    clips, songs = len(points.x), len(set(points.song.tolist()))
    if clips < LEAST_CLIPS or songs < LEAST_SONGS:
        return Refit(label, clips, songs)
    before = _losses(points, 0.0, 1.0)
    after = np.empty(clips)
    fold = points.song % _FOLDS
    for number in np.unique(fold):
        left_out = fold == number
        shift, slope = fit(points.chosen(~left_out).x, points.chosen(~left_out).y)
        after[left_out] = _losses(points.chosen(left_out), shift, slope)
    figures = round(float(before.mean()), 4), round(float(after.mean()), 4)
    refit = Refit(label, clips, songs, *figures)
    shift, slope = fit(points.x, points.y)
    gain = float((before - _losses(points, shift, slope)).sum())
    if gain < _LEAST_GAIN or not _is_surely_positive(before - after, points.song):
        return refit
    curve = Curve(
        shift=round(shift, 4), slope=round(slope, 4), clips=clips, songs=songs,
        log_loss_before=figures[0], log_loss=figures[1],
    )  # fmt: skip
    return refit._replace(curve=curve)


def _points(label: str, rows: Sequence[ReviewedClip]) -> _Points:
    """Clips of which the label was judged; songs are numbered by their ids, which are hashes."""
    known = [row for row in rows if getattr(row.right, label) is not None]
    number = {song_id: at for at, song_id in enumerate(sorted({row.song_id for row in known}))}
    return _Points(
        np.array([log_odds(confidences(row.heard)[label]) for row in known], np.float64),
        np.array([getattr(row.right, label) for row in known], np.float64),
        np.array([number[row.song_id] for row in known], np.intp),
    )


def fit(x: Floats, y: Floats) -> tuple[float, float]:
    """Shift and slope of greatest posterior, for log odds `x` and outcomes `y` in 0 to 1.

    >>> fit(np.zeros(0), np.zeros(0))  # the shipped calibration
    (0.0, 1.0)
    """
    precision = np.array([_SHIFT_SD**-2, _SLOPE_SD**-2])
    prior, design = np.array([0.0, 1.0]), np.stack([np.ones_like(x), x], axis=1)
    weights = prior.copy()
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-design @ weights))
        slope = design.T @ (chance - y) + precision * (weights - prior)
        bend = (design * (chance * (1 - chance))[:, None]).T @ design + np.diag(precision)
        step = np.linalg.solve(bend, slope)
        # far from the best the loss is nearly straight, and a whole step would jump over it
        longest = float(np.abs(step).max())
        weights = weights - step / max(1.0, longest)
        if longest < _CLOSE:
            break
    return float(weights[0]), max(_LEAST_SLOPE, float(weights[1]))


def _losses(points: _Points, shift: float, slope: float) -> Floats:
    """Log loss of each clip, in nats."""
    odds = shift + slope * points.x
    losses: Floats = np.logaddexp(0, -odds) * points.y + np.logaddexp(0, odds) * (1 - points.y)
    return losses


def _is_surely_positive(gains: Floats, song: npt.NDArray[np.intp]) -> bool:
    """Whether a mean gain is above its standard error, over songs."""
    of_songs = np.bincount(song, weights=gains)
    error = float(of_songs.std(ddof=1)) * len(of_songs) ** 0.5
    return bool(of_songs.sum() > error)
