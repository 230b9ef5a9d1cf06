"""Figures of how labels spread, on counts whose figures are known."""

import math

import pytest

from pipelines.shards.label_statistics import LabelCounts, entropy_bits, gini
from schemas.vocabulary import Form


def test_even_use_has_all_the_bits_and_no_inequality() -> None:
    assert (entropy_bits([3] * 8), gini([3] * 8)) == (3.0, 0.0)


@pytest.mark.parametrize(
    ("counts", "bits", "unequal"),
    [([1, 3], 0.8113, 0.25), ([1, 1, 2], 1.5, 1 / 6), ([5], 0.0, 0.0)],
)
def test_uneven_use_has_known_figures(counts: list[int], bits: float, unequal: float) -> None:
    assert entropy_bits(counts) == pytest.approx(bits, abs=1e-4)
    assert gini(counts) == pytest.approx(unequal, abs=1e-4)


def test_samples_labels_and_texts_are_counted_by_form() -> None:
    counts = LabelCounts()
    counts.add([(Form.LONG, "A flute."), (Form.SHORT, "calm")])
    counts.add([(Form.LONG, "A flute.")])
    counts.add([])
    stats = counts.stats()
    assert (stats.samples, stats.labelled) == (3, 2)
    assert stats.coverage == pytest.approx(2 / 3)
    long = stats.forms[Form.LONG]
    assert (long.labels, long.distinct, long.head[0].text, long.head[0].samples) == (
        2,
        1,
        "A flute.",
        2,
    )
    assert stats.forms[Form.SHORT].entropy_bits == 0 == math.log2(1)


def test_nothing_gives_no_forms() -> None:
    assert LabelCounts().stats().forms == {}
