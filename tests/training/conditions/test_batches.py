"""What a model is told of beats and chords: all of it, in order, cut where it is over-long, and
never nothing at all.
"""

import pytest
import torch

from schemas.chord import Chord, ChordQuality
from tests.training.condition_labels import beats, chords
from training.conditions import ChordRoots
from training.conditions.beats import MAX_NUMBER, BeatEmbedding, batched_beats
from training.conditions.chords import (
    NO_CHORD_QUALITY,
    QUALITIES,
    ChordEmbedding,
    batched_chords,
)
from training.conditions.limits import MAX_BEATS, MAX_CHORDS
from training.conditions.tokens import joined_tokens

WALTZ = beats((0.0, 1), (0.5, 2), (1.0, 3), (1.5, 1))
PICKUP = beats((0.25, 4), (0.75, 1))
NO_BEATS, NO_CHORDS = beats(), chords()


def test_beats_keep_their_numbers_and_times_and_padding_is_masked() -> None:
    batch = batched_beats([WALTZ, PICKUP])
    assert batch.numbers_BL[:, :4].tolist() == [[1, 2, 3, 1], [4, 1, 0, 0]]
    assert batch.times_s_BL[:, :4].tolist() == [[0.0, 0.5, 1.0, 1.5], [0.25, 0.75, 0.0, 0.0]]
    assert batch.mask_BL.sum(1).tolist() == [4, 2]


def test_of_over_long_sequences_the_beginning_is_kept() -> None:
    long = beats(*((0.1 * n, n % 4 + 1) for n in range(80)))
    batch = batched_beats([long])
    assert batch.mask_BL.sum().item() == MAX_BEATS
    assert batch.times_s_BL[0, MAX_BEATS - 1].item() == pytest.approx(0.1 * (MAX_BEATS - 1))
    told = batched_chords([chords(*["C", "F"] * 15)])
    assert told.mask_BL.sum().item() == MAX_CHORDS
    assert batched_chords([chords("C", "F", "G")], limit=2).times_s_BL[0, :3].tolist() == [
        0.0,
        1.0,
        0.0,
    ]


def test_a_beat_numbered_above_the_vocabulary_takes_its_last_place() -> None:
    batch = batched_beats([beats((0.0, MAX_NUMBER), (1.0, 17))])
    assert batch.numbers_BL[0, :2].tolist() == [MAX_NUMBER, MAX_NUMBER]
    BeatEmbedding(16)(batch)


def test_what_is_empty_and_what_is_dropped_are_the_same_null_token_and_no_row_is_all_masked() -> (
    None
):
    torch.manual_seed(0)
    for tokens in (
        BeatEmbedding(32)(batched_beats([NO_BEATS, None, WALTZ])),
        ChordEmbedding(32)(batched_chords([NO_CHORDS, None, chords("C", "F")])),
    ):
        assert tokens.mask_BL.any(1).all()
        assert tokens.mask_BL[:2].sum(1).tolist() == [1, 1]
        assert torch.equal(tokens.states_BLD[0, 0], tokens.states_BLD[1, 0])
        assert not torch.isclose(tokens.states_BLD[0, 0], tokens.states_BLD[2, 0]).any()


def test_the_null_token_is_learned() -> None:
    embed = BeatEmbedding(16)
    embed(batched_beats([NO_BEATS])).states_BLD[:, 0].sum().backward()
    assert embed.null_D.grad is not None
    assert embed.null_D.grad.abs().sum() > 0


def test_every_chord_of_the_vocabulary_is_told_by_root_quality_and_bass() -> None:
    seen = set()
    for quality in ChordQuality:
        for root in range(12):
            batch = batched_chords(
                [chords(Chord(root=root, quality=quality, bass=(root + 7) % 12).harte)]
            )
            seen.add(
                (
                    batch.roots_BL[0, 0].item(),
                    batch.qualities_BL[0, 0].item(),
                    batch.basses_BL[0, 0].item(),
                )
            )
    assert seen == {(root, index, 7) for root in range(12) for index in range(len(QUALITIES))}


def test_an_inversion_is_told_alike_in_every_key() -> None:
    batch = batched_chords([chords("C/3", "Eb/3", "A/3", "A")])
    assert batch.basses_BL[0, :4].tolist() == [4, 4, 4, 0]
    assert batch.roots_BL[0, :4].tolist() == [0, 3, 9, 9]


def test_no_chord_is_something_known_without_a_root() -> None:
    embed = ChordEmbedding(32)
    batch = batched_chords([chords("N", "C")])
    moved = batch._replace(roots_BL=batch.roots_BL + 5, basses_BL=batch.basses_BL + 5)
    assert batch.qualities_BL[0, 0].item() == NO_CHORD_QUALITY
    before, after = embed(batch).states_BLD, embed(moved).states_BLD
    assert torch.equal(before[0, 0], after[0, 0])
    assert not torch.allclose(before[0, 1], after[0, 1])
    assert not torch.allclose(before[0, 0], embed(batched_chords([NO_CHORDS])).states_BLD[0, 0])


def test_a_sample_is_told_the_same_in_any_company() -> None:
    embed = BeatEmbedding(32)
    alone, beside = (
        embed(batched_beats([PICKUP])),
        embed(batched_beats([PICKUP, beats(*((0.2 * n, 1) for n in range(30)))])),
    )
    assert torch.allclose(alone.states_BLD[0, :2], beside.states_BLD[0, :2], atol=1e-6)
    assert beside.mask_BL[0].sum() == 2


def test_joined_batches_are_what_one_batch_would_have_been() -> None:
    many = beats(*((0.2 * n, 1) for n in range(30)))
    joined, whole = (
        batched_beats([WALTZ]).joined(batched_beats([many])),
        batched_beats([WALTZ, many]),
    )
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(joined, whole, strict=True))
    embed = ChordEmbedding(16)
    short, long = batched_chords([chords("C")]), batched_chords([chords(*["C", "F"] * 6)])
    tokens, together = joined_tokens(embed(short), embed(long)), embed(short.joined(long))
    assert torch.equal(tokens.mask_BL, together.mask_BL)
    assert torch.allclose(
        tokens.states_BLD[tokens.mask_BL], together.states_BLD[together.mask_BL], atol=1e-6
    )


def test_roots_of_a_table_are_learned_each_for_itself() -> None:
    embed = ChordEmbedding(8, ChordRoots.TABLE)
    states = embed(batched_chords([chords("C", "C#")])).states_BLD[0, :2]
    states[0].sum().backward()
    [moved] = [one.grad for name, one in embed.named_parameters() if name == "root.weight"]
    assert moved is not None
    assert moved[0].any()
    assert not moved[1:].any()
