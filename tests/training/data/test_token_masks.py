"""Masks and delays of codes: what is drawn is as much as it should be, and where it may be."""

import math

import pytest
import torch

from training.conditions.clip_controls import Span
from training.conditions.rows import FrameGrid
from training.data.delay_pattern import delayed, undelayed
from training.data.token_masks import (
    drawn_masks,
    kept_around,
    kept_at_beats,
    kept_books,
    kept_periodically,
    random_masked,
)
from training.errors import TrainingError

BOOKS, FRAMES = 4, 50


def test_what_is_delayed_comes_back_and_says_what_is_a_code() -> None:
    codes_BLT = torch.arange(2 * BOOKS * FRAMES).view(2, BOOKS, FRAMES)
    made = delayed(codes_BLT, filler=-1)
    assert torch.equal(undelayed(made.codes_BLN), codes_BLT)
    assert torch.equal(made.codes_BLN >= 0, made.is_code_LN.expand_as(made.codes_BLN))
    # at each step a book is one frame behind the one before it
    assert made.codes_BLN[0, 2, 10] == codes_BLT[0, 2, 8]
    with pytest.raises(TrainingError, match="2 steps of 4 delayed codebooks hold no whole frame"):
        undelayed(torch.zeros(1, 4, 2))


def test_masks_are_the_cosine_share_of_what_is_open_and_the_lowest_draws() -> None:
    order_BLT = torch.rand(3, BOOKS, FRAMES, generator=torch.Generator().manual_seed(0))
    open_BLT = torch.ones_like(order_BLT, dtype=torch.bool)
    open_BLT[:, :, 30:] = False
    masked_BLT = random_masked(order_BLT, open_BLT, torch.tensor([0.0, 0.5, 0.9]))
    expected = [math.ceil(math.cos(math.pi / 2 * at) * BOOKS * 30) for at in (0, 0.5, 0.9)]
    assert masked_BLT.sum((1, 2)).tolist() == expected
    assert not masked_BLT[:, :, 30:].any()
    assert order_BLT[1][masked_BLT[1]].max() < order_BLT[1][open_BLT[1] & ~masked_BLT[1]].min()


def test_coarse_visits_never_see_finer_books_and_fine_ones_all_coarse_ones() -> None:
    order_BLT = torch.rand(2, BOOKS, FRAMES, generator=torch.Generator().manual_seed(0))
    frames_B, is_fine_B = torch.tensor([FRAMES, 20]), torch.tensor([False, True])
    masks = drawn_masks(order_BLT, torch.tensor([0.5, 0.5]), is_fine_B, frames_B, coarse=2)
    coarse, fine = masks.hidden_BLT
    assert coarse[2:].all()
    assert not masks.learned_BLT[0, 2:].any()
    assert 0 < int(coarse[:2].sum()) < 2 * FRAMES
    assert not fine[:2].any()
    assert int(masks.learned_BLT[1].sum()) == math.ceil(math.cos(math.pi / 4) * 2 * 20)
    assert not masks.learned_BLT[1, :, 20:].any()  # padding


def test_prompts_join_by_or_and_refuse_what_keeps_all_or_nothing() -> None:
    grid = FrameGrid(8, 4.0)
    kept_LT = kept_at_beats(grid, [0.5, 1.9], 0.25) | kept_books(2, 1)
    assert kept_LT.int().tolist() == [[1] * 8, [0, 0, 1, 0, 0, 0, 0, 1]]
    gap_T = kept_around(grid, Span(0.6, 1.0))
    assert gap_T.int().tolist() == [1, 1, 0, 0, 1, 1, 1, 1]
    with pytest.raises(TrainingError, match="1 of each 1 frames kept: expected 1 to 0"):
        kept_periodically(8, 1)
    with pytest.raises(TrainingError, match="0 s kept at each beat: expected more than 0"):
        kept_at_beats(grid, [0.5], 0.0)
    with pytest.raises(TrainingError, match="2 of 2 codebooks kept: expected 1 to 1"):
        kept_books(2, 2)
