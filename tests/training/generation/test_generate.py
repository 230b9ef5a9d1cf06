"""A model that plays from its checkpoint."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from schemas.labels import Labels
from tests.training.data.shards import latent, sample_of
from tests.training.runs import corpus, edited, recipe
from training.conditions import Condition
from training.conditions.clip_controls import ALWAYS, ClipControls, Span
from training.conditions.rows import row_width
from training.errors import TrainingError
from training.generation.generate import GenerationRequest, Generator
from training.generation.write import GeneratedPiece, write_piece
from training.run.loop import train
from training.steering.optimise import OptimiseConfig, Steering
from training.steering.steer import SteerPlan


def silent(_: str) -> None:
    """A run whose lines nobody reads."""


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def run(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train(recipe(shards, sampling__steps=2), str(folder), silent)
    return folder


@pytest.fixture(scope="module")
def generator(run: Path) -> Generator:
    return Generator.of(str(run))


def labels(number: int = 0) -> Labels:
    return sample_of(number).labels


def test_same_seed_same_music_whatever_else_is_made_beside_it(generator: Generator) -> None:
    one, two = generator.play(
        [
            GenerationRequest("0", "A flute.", ClipControls(labels())),
            GenerationRequest("1", "A flute.", ClipControls(labels())),
        ],
        seed=3,
    )
    [alone] = generator.play([GenerationRequest("1", "A flute.", ClipControls(labels()))], seed=3)
    [other] = generator.play([GenerationRequest("1", "A flute.", ClipControls(labels()))], seed=4)
    assert len(one) == 32_000
    assert np.abs(two - alone).max() < 1e-2  # rounding, which Griffin-Lim makes larger
    assert np.abs(one - two).max() > 5e-2
    assert np.abs(other - alone).max() > 5e-2


def test_a_piece_is_steered_towards_what_is_asked_of_its_latents(generator: Generator) -> None:
    asked = list[torch.Tensor]()

    def quiet(latents: torch.Tensor) -> torch.Tensor:
        asked.append(latents.detach())
        return (latents + 2).square().mean((1, 2, 3))

    plan = SteerPlan(Steering(quiet, OptimiseConfig(lr=0.1, most_steps=3)))
    request = GenerationRequest("1", "A flute.", ClipControls(labels()))
    [plain] = generator.play([request], seed=3)
    [steered] = generator.play([request], seed=3, plan=plan)
    start, *_, end = asked
    assert np.array_equal(plain, generator.codec.decode(start)[0].numpy())
    assert np.array_equal(steered, generator.codec.decode(end)[0].numpy())
    assert (end + 2).square().mean() < 0.98 * (start + 2).square().mean()


def test_a_piece_is_no_longer_than_what_was_learned_without_its_padding(
    generator: Generator,
) -> None:
    assert (generator.recipe.data.seconds, generator.survey.longest_s) == (2.0, 2.0)
    padded = generator.recipe.replaced(data=generator.recipe.data.replaced(seconds=2.24))
    assert generator._replace(recipe=padded).seconds == 2.0
    before = generator.survey.replaced(longest_s=0.0)  # a survey of an earlier version
    assert generator._replace(recipe=padded, survey=before).seconds == 2.24


def test_a_run_knows_the_range_of_its_latents(shards: Path, generator: Generator) -> None:
    learned = np.concatenate(
        [np.load(io.BytesIO(latent(number))).reshape(64, -1) for number in range(12)], axis=1
    ).astype(np.float32)
    bounds = np.array(generator.survey.latent_range)
    assert bounds.shape == (64, 2)
    assert bounds[:, 0] == pytest.approx(np.quantile(learned, 0.0001, axis=1), abs=1e-4)
    assert bounds[:, 1] == pytest.approx(np.quantile(learned, 0.9999, axis=1), abs=1e-4)


def test_chords_asked_for_a_part_of_the_time_are_asked_nowhere_else(generator: Generator) -> None:
    half = {Condition.CHORDS: (Span(0.0, 1.0),)}
    whole, part, never = (
        generator._conditions(
            [GenerationRequest("0", "A flute.", ClipControls(labels(), known=known))], 16
        )
        for known in (ALWAYS, half, {Condition.CHORDS: ()})
    )
    width = row_width([Condition.BEATS])
    chords = slice(width, width + row_width([Condition.CHORDS]))
    rows = [one.rows_BTR for one in (whole, part, never)]
    assert all(one is not None for one in rows)
    laid = [one[0, :, chords] for one in rows if one is not None]
    assert torch.equal(laid[1][:8], laid[0][:8])
    assert not laid[1][8:].any()
    assert not laid[2].any()
    assert laid[0][:, -1].eq(1).all()  # what is asked for is certain


def test_a_checkpoint_plays_as_its_run_does(run: Path, generator: Generator) -> None:
    request = [GenerationRequest("0", "A flute.", ClipControls(labels()))]
    [one] = generator.play(request)
    [two] = Generator.of(str(run / "checkpoints" / "step-00000006")).play(request)
    assert np.array_equal(one, two)


def test_lengths_that_differ_are_refused(generator: Generator) -> None:
    short = labels().replaced(duration_s=1.0)
    with pytest.raises(TrainingError, match="must be of one length"):
        generator.play(
            [
                GenerationRequest("0", "", ClipControls(labels())),
                GenerationRequest("1", "", ClipControls(short)),
            ]
        )


def test_a_piece_is_written_with_all_that_it_came_from(
    generator: Generator, tmp_path: Path
) -> None:
    request = GenerationRequest("1", "A flute, please!", ClipControls(labels()))
    [wave] = generator.play([request], seed=5)
    sound = write_piece(
        tmp_path,
        request,
        wave,
        generator,
        seed=5,
        sampling=generator.recipe.sampling,
        audio_format="wav",
    )
    assert Path(sound).name == "a-flute-please-5-1.wav"
    written, rate_hz = soundfile.read(sound)
    assert rate_hz == 16_000
    assert np.abs(written - np.clip(wave, -1, 1)).max() < 1e-4
    piece = GeneratedPiece.model_validate_json(Path(sound).with_suffix(".json").read_text())
    assert (piece.prompt, piece.seed, piece.number, piece.labels) == (
        "A flute, please!",
        5,
        "1",
        labels(),
    )
    assert piece.checkpoint.endswith("step-00000006")


def test_what_is_no_model_of_this_version_is_named(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "checkpoints" / "step-00000006", tmp_path / "other")
    edited(tmp_path / "other", "recipe.json", '"latent_channels"', '"width"')
    with pytest.raises(
        TrainingError,
        match=(
            r"other/recipe\.json is not of a model that this version trains: "
            r"model\.latent_channels: Field required"
        ),
    ):
        Generator.of(str(tmp_path / "other"))
