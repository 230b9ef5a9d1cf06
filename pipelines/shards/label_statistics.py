"""How pseudo-labels spread over a corpus: how many samples have any, how evenly texts are used,
which are used most and least.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.build.plans import read_plan
from pipelines.build.tables import LABELS
from pipelines.storage.arrow import side_by_side
from pipelines.storage.store import Store
from schemas.record import Record
from schemas.vocabulary import Form

_SHOWN = 10


class Used(Record):
    """A text and how many samples have it."""

    text: str
    samples: int


class FormStats(Record):
    """Labels of one form.

    Were all texts used alike, `entropy_bits` would be log2 of `distinct`, and `gini` 0.
    """

    labels: int
    distinct: int
    entropy_bits: float
    gini: float
    head: tuple[Used, ...]  # used most
    tail: tuple[Used, ...]  # used least


class LabelStats(Record):
    """Labels of a corpus."""

    samples: int
    labelled: int
    forms: dict[Form, FormStats]

    @property
    def coverage(self) -> float:
        """Share of the samples that have a label."""
        return self.labelled / self.samples if self.samples else 0.0


class LabelCounts:
    """Texts counted as samples come by."""

    def __init__(self) -> None:
        self.samples = self.labelled = 0
        self._texts: dict[Form, Counter[str]] = {form: Counter() for form in Form}

    def add(self, labels: Iterable[tuple[Form, str]]) -> None:
        """Count one sample's labels, or that it has none."""
        is_labelled = False
        for form, text in labels:
            self._texts[form][text] += 1
            is_labelled = True
        self.samples += 1
        self.labelled += is_labelled

    def add_many(self, samples: int, labelled: int, texts: Mapping[Form, Counter[str]]) -> None:
        """Count the labels of many samples."""
        self.samples += samples
        self.labelled += labelled
        for form, counted in texts.items():
            self._texts[form].update(counted)

    def stats(self) -> LabelStats:
        """The figures."""
        forms = {form: _form_stats(texts) for form, texts in self._texts.items() if texts}
        return LabelStats(samples=self.samples, labelled=self.labelled, forms=forms)


def _form_stats(texts: Counter[str]) -> FormStats:
    ranked = sorted(texts.items(), key=lambda row: (-row[1], row[0]))
    counts = [count for _, count in ranked]
    used = [Used(text=text, samples=count) for text, count in ranked]
    return FormStats(
        labels=sum(counts),
        distinct=len(counts),
        entropy_bits=entropy_bits(counts),
        gini=gini(counts),
        head=tuple(used[:_SHOWN]),
        tail=tuple(used[-_SHOWN:]),
    )


def entropy_bits(counts: Sequence[int]) -> float:
    """Shannon entropy of a distribution given as counts.

    >>> entropy_bits([1, 1, 1, 1]), entropy_bits([5])
    (2.0, 0.0)
    """
    share = np.asarray(counts, np.float64) / sum(counts)
    return round(abs(float(-(share * np.log2(share)).sum())), 4)


def gini(counts: Sequence[int]) -> float:
    """Gini coefficient of counts: 0 where all are equal, near 1 where one has all.

    >>> gini([3, 3, 3]), gini([0, 0, 0, 8])
    (0.0, 0.75)
    """
    ascending = np.sort(np.asarray(counts, np.float64))
    ranks = np.arange(1, len(ascending) + 1)
    return round(
        float(
            2 * (ranks * ascending).sum() / (len(ascending) * ascending.sum())
            - (len(ascending) + 1) / len(ascending)
        ),
        4,
    )


class _BucketTexts(NamedTuple):
    samples: int
    labelled: int
    texts: dict[Form, Counter[str]]


def build_stats(store: Store) -> LabelStats:
    """The labels of a build, from their tables, without the shards."""
    counts = LabelCounts()
    for found in side_by_side(lambda name: _read(store, name), read_plan(store).buckets):
        counts.add_many(*found)
    return counts.stats()


def _counted(texts: pa.Array) -> Counter[str]:
    return Counter({row["values"]: row["counts"] for row in texts.value_counts().to_pylist()})


def _read(store: Store, bucket: str) -> _BucketTexts:
    rows = (
        LABELS.read_arrow(store, bucket, ["pseudo_labels"]).column("pseudo_labels").combine_chunks()
    )
    if isinstance(rows, pa.ChunkedArray):  # of a table without rows
        return _BucketTexts(0, 0, {form: Counter() for form in Form})
    flat = rows.flatten()
    texts = {
        form: _counted(flat.filter(pc.equal(flat.field("form"), form.value)).field("text"))
        for form in Form
    }
    return _BucketTexts(
        len(rows), int(pc.sum(pc.greater(pc.list_value_length(rows), 0)).as_py() or 0), texts
    )
