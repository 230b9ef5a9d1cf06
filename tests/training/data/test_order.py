from collections import Counter

import pytest

from training.data.order import SampleOrder
from training.errors import TrainingError


def test_every_sample_comes_once_in_each_epoch() -> None:
    order = SampleOrder([5, 3], seed=3)
    for epoch in range(4):
        samples = [order.at(position) for position in range(8 * epoch, 8 * (epoch + 1))]
        assert sorted((sample.corpus, sample.number) for sample in samples) == [
            (0, n) for n in range(5)
        ] + [(1, n) for n in range(3)]
        assert {sample.epoch for sample in samples} == {epoch}


def test_epochs_and_seeds_differ_and_the_same_seed_does_not() -> None:
    def numbers(seed: int, epoch: int) -> list[int]:
        order = SampleOrder([50], seed=seed)
        return [order.at(position).number for position in range(50 * epoch, 50 * (epoch + 1))]

    assert numbers(0, 0) == numbers(0, 0)
    assert numbers(0, 0) != numbers(0, 1)
    assert numbers(0, 0) != numbers(1, 0)


def test_weighted_corpora_have_their_share_of_every_thousand_and_miss_no_sample() -> None:
    order = SampleOrder([700, 20], weights=[3, 1], seed=1)
    samples = [order.at(position) for position in range(4000)]
    for start in range(0, 4000, 1000):
        assert Counter(sample.corpus for sample in samples[start : start + 1000]) == {
            0: 750,
            1: 250,
        }
    small = [sample for sample in samples if sample.corpus == 1]
    for epoch in range(50):
        assert sorted(sample.number for sample in small[20 * epoch : 20 * (epoch + 1)]) == list(
            range(20)
        )
    large = [sample for sample in samples if sample.corpus == 0]
    assert sorted(sample.number for sample in large[:700]) == list(range(700))


def test_any_position_can_be_asked_for_by_itself() -> None:
    order = SampleOrder([70, 20], weights=[1, 2], seed=1)
    walked = [order.at(position) for position in range(3000)]
    assert [
        SampleOrder([70, 20], weights=[1, 2], seed=1).at(position) for position in (2999, 17, 1000)
    ] == [
        walked[2999],
        walked[17],
        walked[1000],
    ]


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 0.0)])
def test_weights_that_do_not_fit_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(TrainingError, match="each corpus needs one above 0"):
        SampleOrder([5, 3], weights=weights)


def test_an_empty_corpus_is_refused() -> None:
    with pytest.raises(TrainingError, match="each needs at least one"):
        SampleOrder([5, 0])
