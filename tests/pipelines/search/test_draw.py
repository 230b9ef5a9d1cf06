"""Draws follow 1 / frequency, never repeat a text, and depend on their generator alone."""

from collections import Counter, defaultdict
from itertools import permutations

import numpy as np
import pytest
from scipy.stats import chisquare

from pipelines.search.draw import sampled
from schemas.identity import keyed_rng
from schemas.pseudo_label import CandidateText

CLIPS = {0: 1, 1: 2, 2: 4, 3: 4, 4: 10}


def candidates(number: int = 5) -> list[CandidateText]:
    return [
        CandidateText(
            entry=entry,
            text=f"t{entry}",
            form="long",
            vocabulary="v",
            source="",
            licence="",
            rank=entry + 1,
            similarity=0.5,
        )
        for entry in range(number)
    ]


def counted(number: int, rounds: int) -> Counter[tuple[int, ...]]:
    return Counter(
        tuple(
            one.entry
            for one in sampled(
                candidates(), CLIPS, number, keyed_rng(0, f"clip-{number_of_round}", "label")
            )
        )
        for number_of_round in range(rounds)
    )


def test_one_of_five_is_drawn_with_a_chance_of_one_over_its_frequency() -> None:
    weights = np.array([1 / CLIPS[entry] for entry in range(5)])
    found = counted(1, 20_000)
    assert (
        chisquare([found[entry,] for entry in range(5)], 20_000 * weights / weights.sum()).pvalue
        > 0.01
    )


def test_three_of_five_come_as_often_as_one_after_the_other_without_replacement() -> None:
    chances: dict[tuple[int, ...], float] = defaultdict(float)
    for order in permutations(range(5), 3):
        left, chance = set(range(5)), 1.0
        for entry in order:
            chance *= (1 / CLIPS[entry]) / sum(1 / CLIPS[other] for other in left)
            left.remove(entry)
        chances[tuple(sorted(order))] += chance
    sets = sorted(chances)
    found = counted(3, 20_000)
    assert (
        chisquare([found[one] for one in sets], [20_000 * chances[one] for one in sets]).pvalue
        > 0.01
    )


@pytest.mark.parametrize(("number", "drawn_number"), [(0, 0), (3, 3), (5, 5), (9, 5)])
def test_no_text_comes_twice_and_the_nearest_stands_first(number: int, drawn_number: int) -> None:
    found = sampled(candidates(), CLIPS, number, np.random.default_rng(0))
    assert len({one.entry for one in found}) == drawn_number
    assert [one.rank for one in found] == sorted(one.rank for one in found)


def test_nothing_to_draw_from_gives_nothing() -> None:
    assert sampled([], {}, 3, np.random.default_rng(0)) == []
