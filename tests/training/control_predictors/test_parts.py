"""What predictors are told, what they are to learn, and which weights are kept."""

from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from flows.cli import app
from schemas.caption import Caption, CaptionKind
from tests.training.control_predictors.words import corpus, sample
from tests.training.prompt_controls.corpora import sample as labelled
from training.control_predictors.choosing import CandidateWeights, WeightChoice
from training.control_predictors.hints import as_if_stated, beat_features, stated_by
from training.control_predictors.nets import PredictedPart, PredictorNets
from training.control_predictors.recipe import PredictorNet
from training.control_predictors.targets import (
    CHORDS,
    NO_CHORD_TOKEN,
    Step,
    class_bpm,
    steps_of,
    targets_of,
    tempo_class,
)
from training.control_predictors.visits import NOT_LEARNED, batched, look_at
from training.data.prompts import PromptConfig
from training.diffusion.text_encoder import open_text_encoder
from training.prompt_controls.requested import read_requested


def step(chord: str, beats: int | None, number: int) -> Step:
    return Step(CHORDS.index(chord), beats, number)


def test_chords_are_told_above_the_tonic_with_their_beats_and_where_in_the_bar_they_begin() -> None:
    for number in (0, 2, 14):  # three keys
        assert targets_of(sample(number)).chords[:4] == (
            step("0:min", 3, 1),
            step("5:min", 3, 1),
            step("7:7", 3, 1),
            step("0:min", 3, 1),
        )
    assert targets_of(sample(1)).chords[-1].beats is None  # the clip's end cuts it


def test_no_chord_is_a_token_and_inversions_are_root_positions() -> None:
    one = labelled(bpm=60, meter=4, chords="N A:min A:min/b3 E:7", beats_each=(1, 2, 1, 4))
    beats = one.beats.replaced(times_s=tuple(map(float, range(8))), numbers=(4, 1, 2, 3) * 2)
    assert steps_of(one.chords, beats, 9) == (
        Step(NO_CHORD_TOKEN, 1, 4),
        step("0:min", 3, 1),
        step("7:7", None, 4),
    )


def test_unsure_labels_are_not_learned() -> None:
    unsure = sample(0)
    unsure = unsure.replaced(
        chords=unsure.chords.replaced(confidence=0.6), meter=unsure.meter.replaced(confidence=0.4)
    )
    found = targets_of(unsure)
    assert (found.chords, found.meter, found.bpm) == ((), None, 90)


def test_tempos_are_told_within_what_counts_as_the_same() -> None:
    for bpm in np.linspace(31, 399, 50):
        assert abs(class_bpm(tempo_class(bpm)) / bpm - 1) < 0.016


def test_only_what_a_caption_leaves_open_is_learned() -> None:
    text = "A lute plays at 90 BPM in A minor. The chords are Am, Dm, E7."
    told = sample(0).replaced(
        captions=(Caption(text=text, kind=CaptionKind.SOURCE, sentences=(text,), facts=()),)
    )
    as_composed = PromptConfig(masking=0, drop_all=0, drop_each=0)
    batch = batched(
        [
            look_at(one, seed=0, epoch=0, mean_sentences=1, prompts=as_composed, hinted=0)
            for one in (told, sample(0))
        ]
    )
    assert batch.tempos_BK.sum(1).tolist() == [0, pytest.approx(1)]
    assert batch.meters_B.tolist() == [1, 1]  # three beats: neither says so
    assert batch.modes_B.tolist() == [NOT_LEARNED, 1]
    assert (batch.next_BC != NOT_LEARNED).any(1).tolist() == [False, True]


def test_stated_chords_hint_at_the_bar_and_so_at_tempo_and_meter() -> None:
    by_time = stated_by(
        read_requested(
            "Am at 0 seconds, Dm at 1.3 seconds, "
            "E7 at 3.3 seconds and Am at 5.3 seconds, at 90 BPM."
        ),
        8,
    )
    listed = stated_by(read_requested("The chords are Am, Dm, E7, Am.", bpm=90), 8)
    assert by_time.chord_s == pytest.approx(2.0)
    assert by_time.bpm == 90
    assert listed.chords_per_s == 0.5
    # a flag's go round and round
    assert stated_by(read_requested("", chords="Am Dm E7 Am"), 8).chords_per_s is None
    nothing = stated_by(read_requested("A lute."), 8)
    assert not beat_features(nothing, None).any()
    assert (beat_features(by_time, None) != beat_features(nothing, None)).any()


def test_a_look_may_be_hinted_at_what_another_caption_would_state() -> None:
    nothing = stated_by(read_requested("A lute."), 12)
    found = [
        as_if_stated(nothing, sample(0).labels, 1.0, np.random.default_rng(seed))
        for seed in range(8)
    ]
    # andante: √(76 × 108)
    assert {(one.bpm, one.about_bpm and round(one.about_bpm)) for one in found} == {
        (90, None),
        (None, 91),
    }
    assert {one.chord_s for one in found} == {None, 2.0}
    assert {one.chords_per_s for one in found} == {None, 6 / 12}
    assert as_if_stated(nothing, sample(0).labels, 0.0, np.random.default_rng(0)) == nothing


def test_nets_begin_with_what_is_usual_whatever_the_text() -> None:
    torch.manual_seed(0)
    nets = PredictorNets(PredictorNet(), 384).eval()
    nets.meter.begin_with([0.5, 0.25, *[0.25 / 12] * 12])
    hints = torch.from_numpy(
        np.stack(
            [beat_features(stated_by(read_requested("x", bpm=bpm), 8), None) for bpm in (60, 120)]
        )
    )
    shares = nets.meter(open_text_encoder().encode(["A lute.", ""]), hints).softmax(1)
    assert shares[:, :2].tolist() == [[pytest.approx(0.5), pytest.approx(0.25)]] * 2


def test_later_chords_and_the_rest_of_a_batch_change_nothing() -> None:
    torch.manual_seed(0)
    nets = PredictorNets(PredictorNet(), 384).eval()
    looks = [
        look_at(sample(number), seed=0, epoch=0, mean_sentences=1, prompts=PromptConfig(), hinted=0)
        for number in (0, 1)
    ]
    encoder = open_text_encoder()

    def said(*rows: int) -> torch.Tensor:
        batch = batched([looks[row] for row in rows])
        found: torch.Tensor = nets.chords(
            encoder.encode(batch.prompts), batch.chord_hints_BH, batch.chords
        )[1]
        return found

    torch.testing.assert_close(said(0)[0], said(1, 0)[1, : said(0).shape[1]], atol=1e-4, rtol=1e-4)


def candidate(trust: float, losses: list[float], step: int) -> CandidateWeights:
    return CandidateWeights({}, trust, {str(song): loss for song, loss in enumerate(losses)}, step)


def test_text_is_trusted_only_where_songs_prove_it() -> None:
    choice = WeightChoice()
    for one in (
        candidate(0.0, [1.0, 1.0, 1.0, 1.0], 0),
        candidate(0.5, [1.0, 1.0, 1.0, 1.0], 0),
        candidate(1.0, [1.0, 1.0, 1.0, 1.0], 0),
        candidate(0.0, [0.8, 0.7, 0.8, 0.9], 20),
        candidate(0.5, [0.5, 0.3, 1.4, 0.9], 20),
        candidate(1.0, [0.2, 0.1, 2.0, 0.9], 20),
    ):
        choice.offer(PredictedPart.METER, one)
    assert (choice.proven(PredictedPart.METER).trust, choice.proven(PredictedPart.METER).step) == (
        0.0,
        20,
    )
    choice.offer(PredictedPart.METER, candidate(1.0, [0.4, 0.3, 0.5, 0.4], 40))
    assert (choice.proven(PredictedPart.METER).trust, choice.proven(PredictedPart.METER).step) == (
        1.0,
        40,
    )


def test_the_command_trains_and_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    shards, out = str(corpus(tmp_path / "shards")), str(tmp_path / "out")
    small = ["--set", "run.steps=2", "--set", "data.batch=4", "--set", "model.width=16"]
    done = CliRunner().invoke(app, ["train", "predictors", shards, "--out", out, *small])
    assert done.exit_code == 0, done.output
    assert "done: " in done.output
    assert (tmp_path / "out/checkpoints/step-00000002/state.json").exists()
    wrong = CliRunner().invoke(
        app, ["train", "predictors", shards, "--out", out, "--set", "run.stepz=2"]
    )
    assert "run.stepz" in str(wrong.exception)
