"""Equal intervals are equally far apart, different ones are not, and times a few hundredths of a
second apart are told apart.
"""

import pytest
import torch

from training.conditions.embeddings import (
    FundamentalMusicEmbedding,
    MusicPositionalEncoding,
    rotated,
    sinusoids,
)
from training.errors import TrainingError

PITCHES = torch.arange(24)


def trained(width: int) -> FundamentalMusicEmbedding:
    """An embedding whose bias has moved, as after training."""
    embed = FundamentalMusicEmbedding(width)
    torch.nn.init.normal_(embed.bias_D)
    return embed


@pytest.mark.parametrize("interval", range(1, 13))
def test_equal_intervals_have_equal_distances_wherever_they_start(interval: int) -> None:
    states = trained(256)(PITCHES)
    distances = (states[interval:] - states[:-interval]).norm(dim=1)
    assert distances.std() < 1e-5
    assert distances.mean() > 0.5


def test_wider_intervals_within_an_octave_are_farther_apart() -> None:
    states = trained(256)(PITCHES)
    distances = (states[:13] - states[0]).norm(dim=1)
    assert distances.diff().min() > 0.02


def test_frequencies_fall_from_one_towards_one_by_the_base() -> None:
    states = sinusoids(torch.tensor(1e-3), 8, base=10_000.0)
    # sin x = x near 0: the frequencies
    assert (states[:4] / 1e-3).tolist() == pytest.approx([1.0, 0.1, 0.01, 0.001], rel=1e-3)
    assert states[4:].tolist() == pytest.approx([1.0] * 4, abs=1e-6)


@pytest.mark.parametrize(("width", "base"), [(64, 1.0), (64, 0.5), (63, 10_000.0), (0, 10_000.0)])
def test_a_base_that_makes_all_frequencies_equal_is_refused(width: int, base: float) -> None:
    with pytest.raises(TrainingError, match="base above 1"):
        FundamentalMusicEmbedding(width, base)


def test_times_20_ms_apart_differ_more_than_in_encodings_of_whole_seconds() -> None:
    times_s = torch.tensor([3.00, 3.02])
    close, far = (
        MusicPositionalEncoding(128, unit_s=unit_s)(times_s).diff(dim=0).norm()
        for unit_s in (1.0, 0.04)
    )
    assert far > 10 * close


def test_nearer_times_look_more_alike() -> None:
    states = MusicPositionalEncoding(128)(torch.tensor([4.0, 4.02, 4.1, 5.0, 9.0]))
    likeness = (states @ states[0]).tolist()
    assert likeness == sorted(likeness, reverse=True)


def test_turned_vectors_are_compared_by_how_far_apart_they_are_in_time() -> None:
    query, key = torch.randn(2, 64, generator=torch.Generator().manual_seed(0))
    times_s = torch.tensor([0.0, 1.3, 8.0])

    def products(apart_s: float) -> torch.Tensor:
        return (
            rotated(query.expand(3, -1), times_s) * rotated(key.expand(3, -1), times_s + apart_s)
        ).sum(1)

    for apart_s in (0.0, 0.06, 0.5, -2.0):
        assert torch.allclose(products(apart_s), products(apart_s)[:1].expand(3), atol=1e-3)
    assert torch.allclose(products(0.0), query @ key, atol=1e-4)
    assert (products(0.06) - products(0.0)).abs().min() > 0.1
