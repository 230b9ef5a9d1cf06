"""Class distributions: Kullback-Leibler divergences against closed forms, and classes named by
texts.
"""

import math

import numpy as np
import pytest

from training.metrics.tagging import (
    CLASSES,
    CONCEPTS_BY_CHANCE,
    concept_coverage,
    cosines,
    kl_divergence,
    mean_distribution,
    named_concepts,
    pair_divergences,
    zero_shot,
)


def test_two_coins_differ_by_the_closed_form() -> None:
    p, q = 0.3, 0.6
    assert kl_divergence([p, 1 - p], [q, 1 - q]) == pytest.approx(
        p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    )


def test_a_uniform_choice_among_fewer_is_apart_by_the_log_of_the_ratio() -> None:
    assert kl_divergence([1 / 4] * 4 + [0] * 8, [1 / 12] * 12) == pytest.approx(
        math.log(3), abs=1e-5
    )


def test_equal_distributions_are_not_apart_and_an_impossible_class_is_finitely_far() -> None:
    assert kl_divergence([0.2, 0.8], [0.2, 0.8]) == 0
    assert 15 < kl_divergence([1.0, 0.0], [0.0, 1.0]) < 20


def test_sets_are_compared_by_their_means_and_pairs_one_by_one() -> None:
    reference, made = [[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]
    assert kl_divergence(mean_distribution(reference), mean_distribution(made)) == 0
    assert min(pair_divergences(reference, made)) > 15


def test_a_clip_is_of_the_class_whose_text_lies_nearest() -> None:
    classes = np.eye(3)
    clips = np.array([[0.9, 0.1, 0.0], [0.0, 0.2, 0.8]], np.float32)
    found = zero_shot(classes)(clips)
    assert found.argmax(axis=1).tolist() == [0, 2]
    assert found.sum(axis=1) == pytest.approx([1, 1])
    assert found[0, 0] / found[0, 1] == pytest.approx(math.exp((0.9 - 0.1) / 0.07), rel=1e-4)


def test_cosines_of_unit_vectors_go_row_by_row() -> None:
    one, other = np.array([[1, 0], [0.6, 0.8]]), np.array([[0, 1], [0.6, 0.8]])
    assert cosines(one, other) == pytest.approx([0, 1])


def test_concepts_that_are_asked_for_are_covered_by_what_sounds_so_and_else_by_chance() -> None:
    rng = np.random.default_rng(0)
    names_CD = rng.normal(size=(len(CLASSES), 64))
    asked = [named_concepts(f"A calm {name}") for name in CLASSES]
    assert [len(one) for one in asked] == [1] * len(CLASSES)
    alike = [concept_coverage(names_CD @ names_CD[named[0]], named) for named in asked]
    assert np.mean(alike) == 1.0
    random = [
        concept_coverage(names_CD @ rng.normal(size=64), asked[draw % len(asked)])
        for draw in range(3300)
    ]
    assert np.mean(random) == pytest.approx(CONCEPTS_BY_CHANCE, abs=0.02)


def test_a_concept_is_a_word_of_its_own() -> None:
    assert named_concepts("Popular rocking harpists at the barn") == ()
    assert [CLASSES[one] for one in named_concepts("HIP HOP with a harpsichord")] == [
        "harpsichord",
        "hip hop",
    ]
