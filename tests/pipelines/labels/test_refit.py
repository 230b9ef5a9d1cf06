"""Confidences refitted to what people set right: what counts, what few clips do, and which curve
comes of many.
"""

from typing import Any, Final

import numpy as np
import pytest

from pipelines.labels.calibration import calibrated, chance_at, log_odds
from pipelines.labels.edits import (
    Confirmed,
    Corrector,
    Doubled,
    KeyIs,
    NotMusic,
    correction,
)
from pipelines.labels.refit import ReviewedClip, calibration_of, fit, judged, refitted
from schemas.agreement import LabelAgreement
from schemas.calibration import Calibration, Curve
from schemas.labels import Labels
from tests.support.heard_labels import heard_labels, laid_out

BY: Final = Corrector("ann", "2026-11-29T12:00:00Z", "CC0-1.0")
CLIP: Final = "00112233445566aa-0-8000"
HEARD: Final = heard_labels(
    laid_out(["A:min7", "F:maj", "C:maj", "G:maj"]),
    [at * 0.5 for at in range(16)],
    bpm=120.0,
    key="A minor",
)
DOUBTFUL: Final = Curve(shift=-2, slope=1, clips=50, songs=40, log_loss_before=0.5, log_loss=0.4)


def with_key_confidence(confidence: float) -> Labels:
    return HEARD.replaced(key=HEARD.key.replaced(confidence=confidence))


def judged_keys(confidence: float, right: int, wrong: int, songs: int) -> list[ReviewedClip]:
    """Clips whose keys were all as sure, and so many of them right."""
    outcomes = [1.0] * right + [0.0] * wrong
    order = np.random.default_rng(0).permutation(len(outcomes))
    return [
        ReviewedClip(f"{at % songs:016x}", with_key_confidence(confidence),
               LabelAgreement(key=outcomes[index]))
        for at, index in enumerate(order)
    ]  # fmt: skip


def test_a_confirmed_clip_is_right_in_everything() -> None:
    edit = correction(CLIP, HEARD, Confirmed(kind="confirmed"), BY)
    assert judged(HEARD, edit) == LabelAgreement(
        beats=1, downbeats=1, meter=1, tempo=1, chords=1, key=1
    )


def test_a_clip_of_which_only_a_part_was_set_says_nothing() -> None:
    edit = correction(CLIP, HEARD, KeyIs(kind="key", key="C major"), BY)
    assert judged(HEARD, edit) is None
    assert judged(HEARD, correction(CLIP, HEARD, NotMusic(kind="not_music"), BY)) is None


def test_a_clip_that_was_set_right_and_then_confirmed_says_what_was_wrong() -> None:
    twice = correction(CLIP, HEARD, Doubled(kind="doubled"), BY)
    chords = HEARD.chords.segments[0].replaced(label="A:min")
    kept = correction(CLIP, HEARD, Confirmed(kind="confirmed"), BY)
    assert kept.chords is not None
    fixed = kept.chords.replaced(segments=(chords, *kept.chords.segments[1:]))
    edit = kept.replaced(beats=twice.beats, chords=fixed)
    right = judged(HEARD, edit)
    assert right is not None
    assert (right.tempo, right.meter, right.key) == (0, 1, 1)
    assert right.beats == pytest.approx(2 * 16 / (16 + 31), abs=0.05)
    assert right.chords == 0.75  # Am for Am7: not the same to the seventh


def test_no_clips_leave_the_shipped_calibration_and_few_pull_it_a_little() -> None:
    assert fit(np.zeros(0), np.zeros(0)) == (0.0, 1.0)
    x = np.full(4, log_odds(0.9))
    shift, slope = fit(x, np.zeros(4))
    few = chance_at(DOUBTFUL.replaced(shift=shift, slope=slope), 0.9)
    assert 0.3 < few < 0.9  # four wrong of four, and still not 0


def test_many_clips_find_the_curve_that_made_them() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(1, 1.5, 20_000)
    y = (rng.random(20_000) < 1 / (1 + np.exp(1.0 - 0.7 * x))).astype(float)
    assert fit(x, y) == pytest.approx((-1.0, 0.7), abs=0.06)


def test_a_confidence_that_is_off_gets_a_curve_and_one_that_is_right_none() -> None:
    off = {one.label: one for one in refitted(judged_keys(0.9, 60, 40, 50))}["key"]
    assert off.curve is not None
    assert off.log_loss is not None
    assert off.log_loss_before is not None
    assert off.log_loss < off.log_loss_before - 0.1
    assert chance_at(off.curve, 0.9) == pytest.approx(0.6, abs=0.03)
    right = {one.label: one for one in refitted(judged_keys(0.9, 90, 10, 50))}["key"]
    assert right.curve is None
    assert right.log_loss is not None


@pytest.mark.parametrize(("clips", "songs"), [(19, 19), (40, 9)])
def test_too_few_clips_or_songs_are_not_fitted(clips: int, songs: int) -> None:
    refits = refitted(judged_keys(0.9, 0, clips, songs))
    assert {one.log_loss for one in refits} == {None}
    assert calibration_of(refits) == Calibration()


def test_a_calibration_moves_the_confidences_that_it_names_and_no_label() -> None:
    calibration = Calibration(key=DOUBTFUL, downbeats=DOUBTFUL)
    beats: dict[str, Any] = {"confidence": 0.9, "downbeat_confidence": 0.9}
    heard = with_key_confidence(0.9).replaced(beats=HEARD.beats.replaced(**beats))
    found = calibrated(heard, calibration)
    assert (found.key.confidence, found.beats.downbeat_confidence) == (0.549, 0.549)
    assert found.beats.confidence == 0.9
    assert (found.chords, found.tempo, found.key.key) == (heard.chords, heard.tempo, heard.key.key)
    silent = heard.replaced(key=heard.key.replaced(tonic=None, mode=None))
    assert calibrated(silent, calibration).key == silent.key
