"""A model's pieces go on, fill, loop and follow, window after window."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.codecs.mel import MelCodec
from tests.training.runs import NET, corpus, recipe
from training.conditions import CONTROLS, Condition
from training.conditions.clip_controls import ClipControls, ControlCurves
from training.errors import TrainingError
from training.generation.generate import GenerationRequest, Generator
from training.generation.steered import SteerAsk, needs_steering, play_steered, sampling_of
from training.generation.steered_facts import steered_facts
from training.generation.strip import SoundAround
from training.prompt_controls.resolve import resolve_controls
from training.run.loop import train
from training.steering.asked import AskedForm, SteerAim
from training.timed_controls.steer_options import SteerWay

RATE = 16_000


def silent(_: str) -> None:
    """A run whose lines nobody reads."""


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus(tmp_path_factory.mktemp("shards"))


def made(shards: Path, folder: Path, rows: tuple[Condition, ...]) -> Generator:
    net = NET.replaced(controls=(), rows=rows)
    train(recipe(shards, run__steps=1, sampling__steps=2).replaced(model=net), str(folder), silent)
    return Generator.of(str(folder))


@pytest.fixture(scope="module")
def told(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator:
    """A model that takes all controls, and plays two seconds at once."""
    return made(shards, tmp_path_factory.mktemp("told"), CONTROLS)


@pytest.fixture(scope="module")
def untold(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator:
    return made(shards, tmp_path_factory.mktemp("untold"), ())


def controls(seconds: float, curve: tuple[float, ...] = ()) -> ClipControls:
    labels = resolve_controls("", bpm=120, chords="Am F", duration_s=seconds).labels
    return ClipControls(labels, ControlCurves(dynamics_db=curve))


def request(seconds: float, curve: tuple[float, ...] = ()) -> GenerationRequest:
    return GenerationRequest("0", "A flute.", controls(seconds, curve))


def song(seconds: float) -> "np.ndarray":
    rng = np.random.default_rng(0)
    return (rng.normal(0, 0.05, round(seconds * RATE))).astype(np.float32)


def test_a_longer_piece_begins_as_its_first_window_and_says_where_windows_meet(
    told: Generator,
) -> None:
    [piece] = play_steered(told, [request(5.0)], SteerAsk(), seed=3)
    [alone] = told.play([request(2.0)], seed=3)
    assert len(piece.wave) == 5 * RATE
    # the codec's first phases hear all of a piece, so it is the spectra that are equal
    first, second = (
        MelCodec().levels(torch.from_numpy(one[: RATE + 8000])[None]) for one in (piece.wave, alone)
    )
    assert (first - second)[..., :40].abs().mean() < 0.25
    assert piece.joins_s == (2.0, 3.375, 4.75)
    assert len(piece.near.lines) == 3
    assert needs_steering(SteerAsk(), {}, 5.0, told)
    assert not needs_steering(SteerAsk(), {}, 2.0, told)


def test_what_is_known_stays_to_the_bit(told: Generator) -> None:
    wave = song(3.0)
    around = SoundAround(wave[:RATE], wave[RATE + 8000 :], 4)
    asked = GenerationRequest("0", "A flute.", controls(3.0))
    [piece] = play_steered(told, [asked], SteerAsk(around=around))
    assert len(piece.wave) == len(wave)
    assert np.array_equal(piece.wave[: RATE - 960], wave[: RATE - 960])
    assert np.array_equal(piece.wave[RATE + 8960 :], wave[RATE + 8960 :])
    assert not np.allclose(piece.wave[RATE : RATE + 8000], wave[RATE : RATE + 8000], atol=0.01)
    assert piece.joins_s == (1.0, 1.5)
    assert piece.new_s == (1.0, 1.5)


def test_a_net_that_is_not_told_a_curve_is_led_to_it(told: Generator, untold: Generator) -> None:
    curve = tuple(np.linspace(-45, -15, 20).tolist())
    ask = SteerAsk(iterations=8, lr=0.2)
    told_ways, ways = (ask.ways(controls(2.0, curve), one.recipe.model) for one in (told, untold))
    assert told_ways == {SteerAim.INTENSITY: SteerWay.CONDITION}
    assert ways == {SteerAim.INTENSITY: SteerWay.OPTIMISE}
    [plain] = play_steered(untold, [request(2.0, curve)], ask._replace(by=SteerWay.CONDITION))
    [led] = play_steered(untold, [request(2.0, curve)], ask)
    name = "intensity error, dB"
    assert led.near.figures[name] < plain.near.figures[name] - 1
    assert led.near.lines[0].startswith("intensity: ")
    facts = steered_facts(led)
    assert facts.ways == {SteerAim.INTENSITY: SteerWay.OPTIMISE}
    assert facts.tries == 8


def test_a_form_is_asked_of_all_windows_together(untold: Generator) -> None:
    ask = SteerAsk(form=AskedForm("ABA"), by=SteerWay.GUIDE)
    seen = list[tuple[int, int]]()
    [piece] = play_steered(
        untold, [request(3.0)], ask, watch=lambda done, whole: seen.append((done, whole))
    )
    assert piece.ways == {SteerAim.FORM: SteerWay.GUIDE}
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]  # two windows of two steps
    assert 0 < piece.near.figures["form distance"] < 2
    facts = steered_facts(piece)
    assert facts.form == "ABA"
    assert (facts.form_asked[0][0], facts.form_asked[0][20], facts.form_asked[0][39]) == (1, 0, 1)
    with pytest.raises(TrainingError, match="no net is told a form"):
        ask._replace(by=SteerWay.CONDITION).ways(controls(3.0), untold.recipe.model)


def test_a_loop_is_as_long_as_without_its_return(told: Generator) -> None:
    [piece] = play_steered(told, [request(1.75)], SteerAsk(loop=True))
    assert len(piece.wave) == round(1.5 * RATE)
    assert piece.controls.labels.duration_s == 1.5
    assert piece.is_loop
    with pytest.raises(TrainingError, match="more than the 2 s that this model plays at once"):
        play_steered(told, [request(2.5)], SteerAsk(loop=True))


def test_chords_and_beats_are_led_to_where_that_is_asked_for(untold: Generator) -> None:
    both = frozenset((Condition.CHORDS, Condition.BEATS))
    asked, config = controls(2.0), untold.recipe.model
    assert SteerAsk(stated=both).ways(asked, config) == {}
    ways = SteerAsk(stated=both, by=SteerWay.OPTIMISE).ways(asked, config)
    assert ways == dict.fromkeys((SteerAim.CHORDS, SteerAim.BEATS), SteerWay.OPTIMISE)
    rules = untold.recipe.sampling.replaced(steps=50)
    assert sampling_of(rules, ways, SteerAsk()).steps == 20
    assert sampling_of(rules, {}, SteerAsk()).steps == 50
    ask = SteerAsk(stated=both, by=SteerWay.OPTIMISE, iterations=1)
    [piece] = play_steered(untold, [request(2.0)], ask)
    assert piece.ways == ways
