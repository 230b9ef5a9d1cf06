"""Looks at the samples of shards, in the order of a training run."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, TypeVar

from pipelines.engine import bucket
from pipelines.errors import DeadInput
from schemas.identity import Split
from schemas.sample import Sample
from training.control_predictors.recipe import PredictorRecipe
from training.control_predictors.visits import Look, look_at
from training.data.examples import guarded, members_of, parsed
from training.data.index import CorpusIndex, index_corpus, read_ranges
from training.data.order import SampleOrder
from training.data.prompts import mean_sentences
from training.errors import BadData, NoSamples

T = TypeVar("T")
_AT_ONCE: Final = 32


class Reader:
    """Samples of one split of the recipe's shards. Raises `NoSamples` where they have none.

    `mean_sentences` are those of the captions that are learned from: how much is masked depends on
    them.
    """

    def __init__(self, recipe: PredictorRecipe, split: Split, mean_sentences: float = 1.0) -> None:
        self._recipe = recipe
        self._corpora: Sequence[CorpusIndex] = [
            index_corpus(target, split) for target in recipe.data.shards
        ]
        self._order = SampleOrder([len(corpus) for corpus in self._corpora], seed=recipe.run.seed)
        self.mean_sentences = mean_sentences
        self.samples = sum(len(corpus) for corpus in self._corpora)
        self.unusable = 0
        self.taken = 0

    def surveyed(self) -> list[Sample]:
        """The first samples of the order, whose captions say how long captions are."""
        found = list(
            self._made(range(min(self.samples, self._recipe.run.survey)), lambda sample, _: sample)
        )
        self.mean_sentences = mean_sentences(found)
        return found

    def looks(self, positions: Sequence[int], *, epoch: int | None = None) -> list[Look]:
        """Looks at positions of the order; `epoch` replaces that of the order.

        Those that cannot be used are missing, and counted.

        Raises `BadData` once there are too many of them.
        """
        rules = self._recipe

        def look(sample: Sample, found: int) -> Look:
            return look_at(
                sample,
                seed=rules.run.seed,
                epoch=found if epoch is None else epoch,
                mean_sentences=self.mean_sentences,
                prompts=rules.prompts,
                hinted=rules.data.hinted,
            )

        return list(self._made(positions, look))

    def _made(self, positions: Sequence[int], make: Callable[[Sample, int], T]) -> Iterator[T]:
        """What is made of samples and their epochs; those that cannot be used are counted."""
        for some in bucket.batches(positions, _AT_ONCE):
            samples = [self._order.at(position) for position in some]
            contents = read_ranges(
                [self._corpora[sample.corpus].range_of(sample.number) for sample in samples]
            )
            for sample, content in zip(samples, contents, strict=True):
                self.taken += 1
                try:
                    made = guarded(content, partial(_one, make=make, epoch=sample.epoch))
                except DeadInput:
                    self._count()
                    continue
                yield made

    def _count(self) -> None:
        self.unusable += 1
        if self.unusable > max(self._recipe.data.batch, self._recipe.data.unusable * self.taken):
            raise BadData(
                f"{self.unusable} of {self.taken} samples were unusable (limit "
                f"{self._recipe.data.unusable:.1%}): `obbligato shards verify` "
                "says what is wrong with the shards; data.unusable raises the limit"
            )


def _one(content: bytes, make: Callable[[Sample, int], T], epoch: int) -> T:
    return make(parsed(members_of(content)), epoch)


def reader_of_validation(recipe: PredictorRecipe, mean_sentences: float) -> Reader | None:
    """Samples of the validation split; none where the shards have no such split."""
    try:
        return Reader(recipe, Split.VALIDATION, mean_sentences)
    except NoSamples:  # shards of others have no such split
        return None
