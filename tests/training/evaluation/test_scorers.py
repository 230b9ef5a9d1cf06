"""Scorers: the tagger on a small model, figures beside a reference, and what does not run."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from transformers import ASTFeatureExtractor, ASTForAudioClassification

from pipelines.errors import PipelineError
from schemas.recipe import Recipe
from tests.support.tiny_ast import CLASSES, FRAMES, save_ast
from training.errors import TrainingError
from training.evaluation.heard import HeardSound, listened
from training.evaluation.scorers import ObservedClips, ValueUnit, audioset, scorer_choice
from training.evaluation.scorers.audioset import AudioSetTagger
from training.evaluation.scorers.child import ScoredFile
from training.evaluation.scorers.opened import NO_SCORERS, open_scorers
from training.evaluation.sound_report import HeardSets, reported
from training.metrics.tagging import kl_divergence

PEAK = "tests.support.plug_ins.peak_scorer"
PIECE = FRAMES * 160  # samples that the small model reads at once


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_ast(tmp_path_factory.mktemp("ast") / "small-ast")


@pytest.fixture(scope="module")
def tagger(folder: Path) -> AudioSetTagger:
    return audioset.open_scorer(str(folder))


def noise(seed: int, samples: int) -> np.ndarray:
    drawn: np.ndarray = 0.1 * np.random.default_rng(seed).standard_normal(samples)
    return drawn.astype(np.float32)


def sine(hz: float, samples: int) -> np.ndarray:
    wave: np.ndarray = 0.3 * np.sin(2 * np.pi * hz * np.arange(samples) / 16_000)
    return wave.astype(np.float32)


def test_a_clip_s_distribution_is_the_softmax_of_the_mean_logits_of_overlapping_pieces(
    folder: Path, tagger: AudioSetTagger
) -> None:
    wave = noise(0, 2 * PIECE)
    model = ASTForAudioClassification.from_pretrained(folder).train(False)
    features = ASTFeatureExtractor.from_pretrained(folder)
    pieces = [wave[start : start + PIECE] for start in (0, PIECE // 2, PIECE)]
    given = features(pieces, sampling_rate=16_000, return_tensors="pt")["input_values"]
    with torch.no_grad():
        expected = model(given).logits.mean(0).softmax(0).numpy()
    [found] = tagger.observe([wave])
    assert found == pytest.approx(expected, abs=1e-5)
    assert found.std() > 0.05  # it tells classes apart


def test_its_facts_are_the_folder_s(tagger: AudioSetTagger) -> None:
    assert (tagger.facts.name, tagger.facts.licence, tagger.facts.rate_hz) == (
        "ast small-ast",
        "bsd-3-clause",
        16_000,
    )
    assert len(tagger.facts.version) == 16


def test_kl_is_nought_for_the_reference_itself_and_grows_from_it(tagger: AudioSetTagger) -> None:
    rows = tagger.observe([noise(0, PIECE), sine(440, PIECE), sine(3000, PIECE)])
    assert rows.shape == (3, CLASSES)
    same = {one.name: one for one in tagger.score(ObservedClips(rows, rows, ((0, 0), (1, 1))))}
    assert [one.values for one in same.values()] == [(0.0,), (0.0, 0.0)]
    other = {one.name: one for one in tagger.score(ObservedClips(rows[1:], rows, ((0, 1),)))}
    assert other["KL-AST, pairs"].values == pytest.approx((kl_divergence(rows[0], rows[2]),))
    assert other["KL-AST, sets"].values[0] > 1e-3
    assert other["KL-AST, sets"].unit is ValueUnit.SETS
    assert tagger.score(ObservedClips(rows, np.zeros((0, 0)))) == []


def test_what_is_no_tagger_is_refused_with_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="no Audio Spectrogram Transformer at"):
        audioset.open_scorer(str(tmp_path))


@pytest.fixture
def files(tmp_path: Path) -> list[ScoredFile]:
    """A sine of 440 Hz, one of 3 kHz, both at a peak of 0.3, and what is no sound."""
    for name, hz in (("low", 440.0), ("high", 3000.0)):
        soundfile.write(tmp_path / f"{name}.wav", sine(hz, 16_000), 16_000)
    (tmp_path / "broken.wav").write_bytes(b"no sound at all")
    return [ScoredFile(str(tmp_path / f"{name}.wav"), 1.0) for name in ("low", "high", "broken")]


@pytest.mark.slow
def test_scorers_run_beside_each_other_and_the_missing_say_why(
    files: list[ScoredFile], folder: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    scorers = open_scorers([PEAK, f"ast={folder}", f"ast={empty}"], Recipe())
    heard = listened(files, Recipe(), scorers)
    assert [one.level is None for one in heard] == [False, False, True]
    sets = HeardSets(made=heard[1:], reference=heard[:2], pairs=[(1, 0), (0, 1)])
    report = reported(sets, scorers, Recipe(), seed=0)
    peak, ast, missing = report.scorers
    [figure] = peak.figures
    assert figure.figure.value == pytest.approx(0.3, abs=1e-3)
    assert figure.figure.clips == 1
    assert peak.unusable == ast.unusable == 1
    by_name = {one.figure.name: one.figure for one in ast.figures}
    assert by_name["KL-AST, sets"].value > 0
    # the pair whose clip cannot be heard is left out; the other is a sample beside itself
    assert (by_name["KL-AST, pairs"].value, by_name["KL-AST, pairs"].clips) == (0.0, 1)
    assert (missing.name, missing.figures) == ("ast", ())
    assert "no Audio Spectrogram Transformer at" in missing.not_run
    assert report.level is not None
    assert report.level.made.mean_db == pytest.approx(-13.47, abs=0.05)  # a sine of 0.3


def test_what_has_nothing_to_compare_with_or_to_hear_says_so(
    files: list[ScoredFile], folder: Path
) -> None:
    scorers = open_scorers([f"ast={folder}"], Recipe())
    heard = listened(files, Recipe(), scorers)
    alone = reported(HeardSets(heard), scorers, Recipe(), seed=0)
    assert alone.scorers[0].not_run == "it compares clips with others: name shards"
    deaf = reported(HeardSets([HeardSound(None)]), scorers, Recipe(), seed=0)
    assert deaf.scorers[0].not_run == "it can hear none of the clips"
    assert deaf.level is None


def test_our_own_that_nobody_asked_for_is_told() -> None:
    assert NO_SCORERS.not_run == ()
    [ast] = open_scorers([], Recipe()).not_run
    assert (ast.name, ast.not_run) == ("ast", "not asked for: --scorer ast")


def test_a_name_that_nothing_stands_behind_is_refused() -> None:
    with pytest.raises(PipelineError, match="no scorer called 'passt': expected ast"):
        open_scorers(["passt"], Recipe())
    with pytest.raises(TrainingError, match="expected NAME or NAME=SOURCE"):
        scorer_choice("=folder")
