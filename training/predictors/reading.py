"""Looks at the samples of shards, in the order of a training run."""

from collections.abc import Iterator, Sequence
from typing import Final

from pipelines import clips
from schemas.identity import Split
from schemas.sample import Sample
from training.data.examples import sample_in
from training.data.index import CorpusPlaces, find_places, read_ranges
from training.data.order import Order
from training.errors import BadData, NoSamples
from training.predictors.recipe import PredictorRecipe
from training.predictors.visits import Look, look_at
from training.prompts import mean_sentences

_AT_ONCE: Final = 32


class Reader:
    """Samples of one split of the recipe's shards. Raises `NoSamples` where they have none.

    `mean_sentences` are those of the captions that are learned from: how much is masked depends on them.
    """

    def __init__(self, recipe: PredictorRecipe, split: Split, mean_sentences: float = 1.0) -> None:
        self._recipe = recipe
        self._corpora: Sequence[CorpusPlaces] = [find_places(target, split) for target in recipe.data.shards]
        self._order = Order([len(corpus) for corpus in self._corpora], seed=recipe.run.seed)
        self.mean_sentences = mean_sentences
        self.samples = sum(len(corpus) for corpus in self._corpora)
        self.unusable = 0
        self.read = 0

    def surveyed(self) -> list[Sample]:
        """The first samples of the order, whose captions say how long captions are."""
        found = list(self._samples(range(min(self.samples, self._recipe.run.survey))))
        self.mean_sentences = mean_sentences(sample for sample, _ in found)
        return [sample for sample, _ in found]

    def looks(self, positions: Sequence[int], *, epoch: int | None = None) -> list[Look]:
        """Looks at positions of the order; `epoch` replaces that of the order. Those that cannot be used are missing, and counted.

        Raises `BadData` once there are too many of them.
        """
        rules = self._recipe
        return [
            look_at(
                sample,
                seed=rules.run.seed,
                epoch=found if epoch is None else epoch,
                mean_sentences=self.mean_sentences,
                prompts=rules.prompts,
                hinted=rules.data.hinted,
            )
            for sample, found in self._samples(positions)
        ]

    def _samples(self, positions: Sequence[int]) -> Iterator[tuple[Sample, int]]:
        for some in clips.batches(positions, _AT_ONCE):
            places = [self._order.at(position) for position in some]
            contents = read_ranges([self._corpora[place.corpus].range_of(place.number) for place in places])
            for place, content in zip(places, contents, strict=True):
                sample = sample_in(content)
                self.read += 1
                if sample is None:
                    self._count()
                else:
                    yield sample, place.epoch

    def _count(self) -> None:
        self.unusable += 1
        if self.unusable > max(self._recipe.data.batch, self._recipe.data.unusable * self.read):
            raise BadData(
                f"{self.unusable} of {self.read} samples were unusable (limit {self._recipe.data.unusable:.1%}): "
                "`obbligato shards verify` says what is wrong with the shards; data.unusable raises the limit"
            )


def reader_of_validation(recipe: PredictorRecipe, mean_sentences: float) -> Reader | None:
    """Samples of the validation split; none where the shards have no such split."""
    try:
        return Reader(recipe, Split.VALIDATION, mean_sentences)
    except NoSamples:  # shards of others have no such split
        return None
