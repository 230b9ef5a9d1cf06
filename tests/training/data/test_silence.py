"""Silence behind the end of a clip: learned as the codec has it, told when it begins, cut off."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from pipelines.codecs import open_codec
from schemas.identity import Split
from tests.training.data.shards import sample_of, write_shard
from tests.training.generation.elsewhere import CodecElsewhere
from tests.training.runs import DIT, corpus, recipe
from training.conditions import CONTROLS, Condition, SecondsAs
from training.conditions.clip_controls import ClipControls, Span
from training.conditions.rows import row_width
from training.data.examples import ReadingRules
from training.data.index import index_corpus
from training.data.loading import BatchShare, Samples, TrainingBatch, batches
from training.data.order import SampleOrder
from training.data.prompts import PromptConfig
from training.data.silence import silent_latent
from training.generation.generate import GenerationRequest, Generator
from training.metrics.length import AskedLength, heard_length_s, length_report
from training.run.corpus_survey import corpus_state, latent_range, survey_corpora
from training.run.loop import train

MEL = open_codec("mel")
FRAMES = 32  # four seconds, of which samples have two
SILENCE = silent_latent(MEL, FRAMES, torch.device("cpu"))
TIMED = DIT.replaced(seconds=True, seconds_as=SecondsAs.TOKENS)


def first_batch(folder: Path, silence_CTF: torch.Tensor | None) -> TrainingBatch:
    reading = ReadingRules(
        MEL.facts, True, FRAMES, PromptConfig(), 3.0, 0, rows=CONTROLS, silence_CTF=silence_CTF
    )
    made = Samples([index_corpus(str(folder), Split.TRAIN)], SampleOrder([4]), reading,
                   full_conditioning=True)  # fmt: skip
    with batches(made, BatchShare(4, 4), first_step=0, last_step=1, workers=0) as found:
        return next(found)


def test_silence_and_what_shards_sound_like_are_encoded_on_the_codec_s_own_device(
    tmp_path: Path,
) -> None:
    codec = CodecElsewhere(MEL)
    assert (silent_latent(codec, 3, codec.device) == 0.5).all()
    write_shard(tmp_path / "train-00000.tar", range(4), latents=False)
    corpora = [corpus_state(str(tmp_path))]
    survey = survey_corpora(corpora, MEL.facts, limit=4, seed=0, unusable=0.0)
    assert not survey.latents
    bounds = latent_range(corpora, survey, codec, codec.device, frames=16, seed=0)
    assert bounds == ((0.5, 0.5),) * MEL.facts.channels


def test_padding_is_the_codec_s_silence_and_is_learned(tmp_path: Path) -> None:
    write_shard(tmp_path / "train-00000.tar", range(4))
    learned, plain = first_batch(tmp_path, SILENCE), first_batch(tmp_path, None)
    assert learned.frames_B.tolist() == [32] * 4
    assert plain.frames_B.tolist() == [16] * 4
    assert torch.equal(learned.sounds[:, :, :16], plain.sounds[:, :, :16])
    assert torch.equal(learned.sounds[2, :, 16:], SILENCE[:, 16:])
    assert not plain.sounds[:, :, 16:].any()
    assert MEL.decode(SILENCE[None]).abs().max() < 2e-3
    # where music ends, its song does, and nothing is known of what follows
    assert learned.seconds_B2.tolist() == [[0.0, 2.0]] * 4
    assert plain.seconds_B2.tolist() == [[0.0, 2.0]] * 4
    assert learned.rows_BTR is not None
    assert plain.rows_BTR is not None
    assert not learned.rows_BTR[:, 16:].any()
    assert plain.rows_BTR[:, 16:].any()
    assert torch.equal(learned.rows_BTR[:, :15], plain.rows_BTR[:, :15])


def test_a_clip_cut_from_the_middle_of_a_song_is_told_as_its_ending(tmp_path: Path) -> None:
    from training.data.song_place import place_in_song

    sample = sample_of(0, start_s=50.0, end_s=52.0, song_s=200.0)
    assert place_in_song(sample, Span(0.0, 2.0), ends=True) == (50.0, 52.0)
    assert place_in_song(sample, Span(0.0, 2.0)) == (50.0, 200.0)


def test_it_takes_a_model_that_is_told_when_music_ends() -> None:
    with pytest.raises(ValidationError, match="nothing tells this model when music ends"):
        recipe(Path("nowhere"), DIT, data__silence=True)


def test_a_shorter_piece_is_played_in_a_whole_window_and_is_as_long_as_it_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards, run = corpus(tmp_path / "shards"), tmp_path / "run"
    rules = recipe(shards, TIMED, data__seconds=4.0, data__silence=True, run__steps=2,
                   run__checkpoint_every=2, sampling__steps=1)  # fmt: skip
    train(rules, str(run), lambda _: None)
    generator = Generator.of(str(run))
    low, high = np.array(generator.survey.latent_range).T
    assert (SILENCE.amin((1, 2)) >= torch.tensor(low) - 1e-4).all()
    assert (SILENCE.amax((1, 2)) <= torch.tensor(high) + 1e-4).all()
    assert generator.window_s == 4.0
    assert generator.seconds == 2.0
    asked: list[torch.Tensor] = []
    rate_hz = MEL.facts.rate_hz
    tone = 0.3 * np.sin(np.arange(round(1.3 * rate_hz)) * 0.1).astype(np.float32)

    def decoded(_: Generator, latents_BCTF: torch.Tensor) -> list[np.ndarray]:
        asked.append(latents_BCTF)
        return [np.pad(tone, (0, 4 * rate_hz - len(tone)))]

    told: list[torch.Tensor | None] = []
    real = Generator._conditions

    def conditions(self: Generator, requests: list[GenerationRequest], frames: int) -> object:
        made = real(self, requests, frames)
        told.extend((made.rows_BTR, made.seconds_B2))
        return made

    monkeypatch.setattr(Generator, "decoded", decoded)
    monkeypatch.setattr(Generator, "_conditions", conditions)
    controls = ClipControls(sample_of(0).labels.replaced(duration_s=1.25))
    [wave] = generator.play([GenerationRequest("0", "A flute.", controls, 6.0, 7.25)])
    assert asked[0].shape[2] == FRAMES
    assert len(wave) == round(1.3 * rate_hz)
    rows_BTR, seconds_B2, *_ = told
    assert rows_BTR is not None
    assert rows_BTR.shape == (1, FRAMES, row_width(CONTROLS))
    assert rows_BTR[0, :10].any(dim=1).all()
    assert not rows_BTR[0, 10:].any()
    assert seconds_B2 is not None
    assert seconds_B2.tolist() == [[6.0, 7.25]]
    [middle] = generator.play([GenerationRequest("0", "A flute.", controls, 6.0, 20.0)])
    assert len(middle) == round(1.25 * rate_hz)  # its piece goes on: it is cut


def test_length_is_heard_by_energy_in_stereo_too() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, (16_000, 2)).astype(np.float32)
    faint = 0.0003 * noise
    assert heard_length_s(np.concatenate([noise, faint, noise[:800], faint]), 8000) == 4.1
    assert heard_length_s(faint, 8000) == heard_length_s(np.zeros(0, np.float32), 8000) == 0.0
    fades = noise[:, 0] * np.geomspace(1, 1e-4, 16_000).astype(np.float32)
    assert heard_length_s(fades, 8000) == pytest.approx(1.05, abs=0.1)  # -40 dB half-way
    assert length_report([]) is None
    found = length_report([AskedLength(10, 7), AskedLength(10, 10.5), AskedLength(10, 20)])
    assert found is not None
    assert (found.median_error_s, found.near, found.longer) == (3, 0.3333, 0.3333)


def test_controls_end_with_the_piece() -> None:
    given = ClipControls(
        sample_of(0).labels,
        known={Condition.KEY: (), Condition.CHORDS: (Span(0.0, 1.0), Span(1.5, 2.0))},
    ).until(1.25)
    assert given.known[Condition.KEY] == ()
    assert given.known[Condition.CHORDS] == (Span(0.0, 1.0),)
    assert given.known[Condition.MELODY] == (Span(0.0, 1.25),)
