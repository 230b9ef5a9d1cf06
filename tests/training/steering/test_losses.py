"""Losses are what can be worked out by hand; what they ask for is theirs where it is nothing."""

import pytest
import torch

from pipelines.codecs.mel import MelCodec
from tests.training.steering.nets import drawn
from training.errors import TrainingError
from training.steering.listening import Ear
from training.steering.losses import (
    Weighted,
    beginning,
    block_form,
    form,
    frames_within,
    given,
    intensity,
    intensity_shape,
    loop,
    melody,
    smoothed_matrix,
    together,
)

CODEC = MelCodec()
EAR = Ear(CODEC)
LOUDER = 6 / 15  # of levels, 6 dB


def tone(hertz: float, seconds: float = 2.0) -> torch.Tensor:
    time = torch.arange(int(16_000 * seconds))[None] / 16_000
    return CODEC.encode(0.1 * torch.sin(2 * torch.pi * hertz * time))


def test_six_decibels_too_loud_are_36_squared() -> None:
    latents = tone(523.25)
    heard = EAR.dynamics_db(latents)[0]
    loss = intensity(EAR, heard)
    assert loss(latents).item() == pytest.approx(0, abs=1e-6)
    assert loss(latents + LOUDER).item() == pytest.approx(36, rel=1e-3)
    counts = torch.arange(20) < 10
    half = torch.where(counts, heard, heard + 100)
    assert intensity(EAR, half, counts)(latents + LOUDER).item() == pytest.approx(36, rel=1e-3)


def test_the_shape_of_intensity_does_not_ask_how_loud() -> None:
    rising = tone(523.25) + torch.linspace(-1, 1, 16)[None, None, :, None]
    heard = EAR.dynamics_db(rising)[0]
    assert intensity_shape(EAR, heard - 20)(rising).item() == pytest.approx(-1, abs=1e-4)
    assert intensity_shape(EAR, -2 * heard)(rising).item() == pytest.approx(1, abs=1e-4)


def test_a_melody_that_sounds_is_no_surprise() -> None:
    latents = tone(523.25)  # C5
    right, wrong = (melody(EAR, torch.full((20,), one))(latents).item() for one in (0, 6))
    assert right < 0.7  # half of what the bands say, and more
    assert wrong > 5
    nothing = torch.full((20,), 12)
    assert melody(EAR, nothing)(latents).item() == 0
    nothing[5] = 0  # one frame asks
    assert melody(EAR, nothing)(latents).item() == pytest.approx(right, rel=0.2)


def test_a_form_has_ones_where_letters_return() -> None:
    assert block_form("ABBA", 4).tolist() == [
        [1, 0, 0, 1],
        [0, 1, 1, 0],
        [0, 1, 1, 0],
        [1, 0, 0, 1],
    ]
    latents = torch.cat([drawn(1, 64, 8, 8, seed=seed) for seed in (1, 2, 1)], 2)
    heard = EAR.similarity(latents)[0]
    assert form(EAR, heard, smooth=False)(latents).item() == pytest.approx(0, abs=1e-9)
    returns, differs = (
        form(EAR, block_form(letters, 30))(latents).item() for letters in ("ABA", "AAB")
    )
    assert returns < differs
    with pytest.raises(TrainingError, match="name 1 to 30 parts"):
        block_form("", 30)


def test_a_matrix_is_smoothed_as_scipy_smooths() -> None:
    from scipy.signal import savgol_filter

    matrix = drawn(1, 30, 30, dtype=torch.float64)
    once = savgol_filter(matrix[0].numpy(), 11, 2, axis=0, mode="mirror")
    twice = savgol_filter(once, 11, 2, axis=1, mode="mirror")
    assert torch.allclose(smoothed_matrix(matrix)[0], torch.from_numpy(twice), atol=1e-9)


def test_what_is_given_counts_alone() -> None:
    known, mask = drawn(2, 3, 10, 4), torch.arange(10) < 4
    found = known.clone()
    found[:, :, 4:] = 7
    assert given(known, mask)(found).tolist() == [0, 0]
    found[1, :, 3] += 2  # one frame of four
    assert given(known, mask)(found).tolist() == pytest.approx([0, 1])


def test_a_piece_goes_on_from_the_end_of_another() -> None:
    before, after = drawn(1, 3, 6, 4), drawn(1, 3, 10, 4, seed=1)
    after[:, :, :2] = before[:, :, 4:]
    assert beginning(before, overlap=2, frames=10)(after).tolist() == [0]
    assert beginning(before, overlap=3, frames=10)(after).item() > 0.5


def test_a_loop_meets_its_own_beginning() -> None:
    latents = drawn(1, 3, 10, 4)
    latents[:, :, 8:] = latents[:, :, :2]
    assert loop(overlap=2)(latents).tolist() == [0]
    assert loop(overlap=2, length=6)(latents).item() > 0.5
    with pytest.raises(TrainingError, match="9 frames with 2 to compare does not fit in 10"):
        loop(overlap=2, length=9)(latents)


def test_seconds_are_the_frames_whose_middle_they_hold() -> None:
    mask = frames_within(CODEC.facts, 16, 0.5, 1.0)  # of 125 ms
    assert mask.nonzero().flatten().tolist() == [4, 5, 6, 7]
    with pytest.raises(TrainingError, match="2 to 3 s holds no latent frame of a piece of 2 s"):
        frames_within(CODEC.facts, 16, 2.0, 3.0)


def test_several_losses_are_their_weighted_mean() -> None:
    def one(latents: torch.Tensor) -> torch.Tensor:
        return latents.mean((1, 2, 3))

    def two(latents: torch.Tensor) -> torch.Tensor:
        return 10 * one(latents)

    ones = torch.ones(2, 1, 1, 1)
    assert together([Weighted(one), Weighted(two, 1 / 40)])(ones).tolist() == [0.625, 0.625]
    with pytest.raises(TrainingError, match="nothing is asked"):
        together([])


def test_what_is_asked_for_is_as_long_as_the_piece() -> None:
    with pytest.raises(TrainingError, match=r"in 12 frames of 0.1 s, and the piece has 20"):
        intensity(EAR, torch.zeros(12))(tone(440))
