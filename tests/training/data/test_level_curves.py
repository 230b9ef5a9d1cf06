"""A visit that is made louder and softer is what codec and annotator make of the sound that was
made louder and softer.
"""

import numpy as np
import pytest
import torch

from pipelines.audio.controls import controls_of
from pipelines.codecs import open_codec
from pipelines.synthesis.compose import compose
from pipelines.synthesis.render import render
from tests.pipelines.shards.shard_samples import our_sample
from tests.training.data.shards import FRAMES, latent
from tests.training.data.test_loading import READING, shard_of
from training.conditions.clip_controls import ClipControls, ControlCurves
from training.data.examples import NoiseDraw, TrainingExample, example_of
from training.data.level_curves import LevelCurve, check_level_curves, drawn_level_curve, louder
from training.errors import TrainingError

RATE_HZ, SECONDS = 16_000, 10
MEL = open_codec("mel")
CURVE = LevelCurve(np.array([0.0, 3.0, 6.0, 10.0]), np.array([0.0, -15.0, 0.0, -9.0]))


@pytest.fixture(scope="module")
def wave() -> torch.Tensor:
    """Ten seconds of a composed piece, at half of full scale."""
    piece = render(compose(0), RATE_HZ)[: RATE_HZ * SECONDS]
    return torch.from_numpy(np.asarray(piece * (0.5 / np.abs(piece).max()), dtype=np.float32))


def controls(wave: torch.Tensor) -> ClipControls:
    dynamics_db = controls_of(wave.numpy(), RATE_HZ).dynamics_db
    return ClipControls(our_sample().labels, ControlCurves(dynamics_db=dynamics_db, start_s=0.0))


def test_dynamics_are_those_of_the_louder_wave(wave: torch.Tensor) -> None:
    moved, known = louder(wave, controls(wave), CURVE, MEL.facts)
    heard = np.array(controls_of(moved.numpy(), RATE_HZ).dynamics_db)
    stated = np.array(known.curves.dynamics_db, dtype=float)
    assert np.abs(heard - stated).max() < 1.5  # where the curve turns, a second of it is smoothed
    assert np.abs(heard - stated).mean() < 0.4
    before = np.array(controls(wave).curves.dynamics_db, dtype=float)
    assert np.abs(heard - before).max() > 12


def test_a_louder_latent_is_that_of_the_louder_wave(wave: torch.Tensor) -> None:
    moved, _ = louder(wave, controls(wave), CURVE, MEL.facts)
    expected, before = MEL.encode(torch.stack([moved, wave]))
    latent_CTF, _ = louder(before, controls(wave), CURVE, MEL.facts)
    assert MEL.facts.levels is not None
    differs_db = (latent_CTF - expected).abs() * MEL.facts.levels.unit_db
    assert float(differs_db.median()) < 0.35
    assert float(differs_db.quantile(0.99)) < 1.5
    assert float((before - expected).abs().median()) * MEL.facts.levels.unit_db > 3


def test_silence_stays_silence() -> None:
    assert MEL.facts.levels is not None
    silence = torch.full((2, 80, 3), MEL.facts.levels.floor)
    loud = LevelCurve(np.array([0.0, 10.0]), np.array([6.0, 6.0]))
    moved, _ = louder(silence, ClipControls(our_sample().labels), loud, MEL.facts)
    assert torch.equal(moved, silence)


def test_a_curve_turns_every_few_seconds_within_its_range() -> None:
    curve = drawn_level_curve(np.random.default_rng(0), 10.0)
    assert curve.times_s.tolist() == [0.0, 2.5, 5.0, 7.5, 10.0]
    drawn = np.concatenate(
        [drawn_level_curve(np.random.default_rng(n), 10.0).gains_db for n in range(200)]
    )
    assert -18 <= drawn.min() < -17.5
    assert 5.5 < drawn.max() <= 6


def visits(chance: float, epochs: int, *, full_conditioning: bool = False) -> list[TrainingExample]:
    sample = our_sample()
    content = shard_of({"latent.npy": latent(0), "json": sample.model_dump_json().encode()})
    reading = READING._replace(level_curves=chance)
    draw = NoiseDraw(np.random.default_rng(0), 0.5)
    return [
        example_of(content, reading, epoch=epoch, draw=draw, full_conditioning=full_conditioning)
        for epoch in range(epochs)
    ]


def test_so_many_visits_are_changed_and_their_dynamics_with_them() -> None:
    plain, changed = visits(0.0, 60), visits(0.5, 60)
    pairs = list(zip(plain, changed, strict=True))
    is_moved = [not torch.equal(one.sound, other.sound) for one, other in pairs]
    assert 20 <= sum(is_moved) <= 40
    for (one, other), moved in zip(pairs, is_moved, strict=True):
        assert one.controls is not None
        assert other.controls is not None
        assert (one.controls.curves != other.controls.curves) == moved
        assert one.controls.labels == other.controls.labels
    assert torch.equal(
        visits(1.0, 1, full_conditioning=True)[0].sound, visits(0.0, 1)[0].sound[:, :FRAMES]
    )


def test_latents_that_are_no_levels_are_refused() -> None:
    facts = MEL.facts.replaced(name="other", levels=None)
    with pytest.raises(TrainingError, match="latents of other are not levels: set it to 0"):
        check_level_curves(0.5, facts, reads_latents=True)
    check_level_curves(0.0, facts, reads_latents=True)
    check_level_curves(0.5, facts, reads_latents=False)
    check_level_curves(0.5, MEL.facts, reads_latents=True)
