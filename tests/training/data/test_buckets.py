"""Clips of unlike length: batched with their like, none left out, the same if interrupted."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
import safetensors.torch
import torch
from pydantic import ValidationError

from pipelines.codecs import open_codec
from schemas.identity import Split
from tests.training.data.shards import write_shard
from tests.training.runs import DIT, recipe
from training.conditions import CONTROLS
from training.data.buckets import BucketedOrder
from training.data.examples import ReadingRules
from training.data.index import CorpusIndex, index_corpus
from training.data.loading import BatchShare, Samples, TrainingBatch, batches
from training.data.order import SampleOrder, SamplePosition
from training.data.prompts import PromptConfig
from training.data.recipe import DataRecipe
from training.run import checkpoints
from training.run.loop import train

BATCH = 4


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve samples of a second and twelve of four seconds."""
    folder = tmp_path_factory.mktemp("shards")
    write_shard(folder / "train-00000.tar", range(12), seconds=1.0)
    write_shard(folder / "train-00001.tar", range(12, 24), seconds=4.0)
    return folder


@pytest.fixture(scope="module")
def index(shards: Path) -> CorpusIndex:
    return index_corpus(str(shards), Split.TRAIN)


def ordered(index: CorpusIndex, seed: int = 0, pool: int = 6) -> BucketedOrder:
    order = SampleOrder([len(index)], seed=seed)
    return BucketedOrder(order, [index], batch=BATCH, seed=seed, pool=pool)


def taken(order: BucketedOrder, positions: range) -> list[SamplePosition]:
    return [order.at(position) for position in positions]


def read(
    index: CorpusIndex, order: BucketedOrder | SampleOrder, *buckets: int
) -> list[TrainingBatch]:
    reading = ReadingRules(
        open_codec("mel").facts, True, 32, PromptConfig(), 3.0, 0, rows=CONTROLS,
        batch=BATCH, buckets=buckets,
    )  # fmt: skip
    made = Samples([index], order, reading)
    with batches(made, BatchShare(BATCH, 2), first_step=0, last_step=6, workers=0) as found:
        return list(found)


def test_an_epoch_holds_each_sample_once_and_each_batch_one_length(index: CorpusIndex) -> None:
    order = ordered(index)
    epoch = taken(order, range(24))
    assert Counter(epoch) == Counter(SamplePosition(0, number, 0) for number in range(24))
    is_long = [one.number >= 12 for one in epoch]
    kinds = [set(is_long[first : first + BATCH]) for first in range(0, 24, BATCH)]
    assert sorted(map(sorted, kinds)) == [[False]] * 3 + [[True]] * 3
    assert kinds != sorted(kinds, key=sorted)  # neither the short ones first nor last
    assert kinds != sorted(kinds, key=sorted, reverse=True)


def test_a_corpus_smaller_than_a_pool_fills_no_batch_with_copies(index: CorpusIndex) -> None:
    order = BucketedOrder(SampleOrder([24]), [index], batch=7, seed=0)
    for first in range(0, 70, 7):
        numbers = [one.number for one in taken(order, range(first, first + 7))]
        assert len(set(numbers)) == 7
    assert max(Counter(one.number for one in taken(order, range(21))).values()) == 1


def test_it_is_a_function_of_seed_and_position(index: CorpusIndex) -> None:
    straight = taken(ordered(index), range(60))
    assert [ordered(index).at(position) for position in range(40, 60)] == straight[40:]
    assert taken(ordered(index, seed=1), range(60)) != straight
    assert Counter(one.epoch for one in straight) == {0: 24, 1: 24, 2: 12}


def test_a_batch_is_as_long_as_its_bucket_and_noised_as_it_would_be(index: CorpusIndex) -> None:
    order = ordered(index)
    found = read(index, order, 8, 16)
    assert {batch.sounds.shape[2] for batch in found} == {8, 32}  # none fits 16 alone
    for short, whole in zip(found, read(index, order), strict=True):
        frames = short.sounds.shape[2]
        assert short.keys == whole.keys
        assert frames == int(short.frames_B.max())
        assert torch.equal(short.sounds, whole.sounds[:, :, :frames])
        assert torch.equal(short.noise_BCTF, whole.noise_BCTF[:, :, :frames])
        assert torch.equal(short.times_B, whole.times_B)
        assert short.rows_BTR is not None
        assert whole.rows_BTR is not None
        assert torch.equal(short.rows_BTR, whole.rows_BTR[:, :frames])
    waste = sum(int((batch.sounds.shape[2] - batch.frames_B).sum()) for batch in found)
    mixed = read(index, SampleOrder([24]), 8, 16)
    wasted = sum(int((batch.sounds.shape[2] - batch.frames_B).sum()) for batch in mixed)
    assert (waste, wasted > 24) == (0, True)  # frames of padding, of 480


def test_a_run_that_goes_on_is_equal_to_the_bit_to_one_left_alone(
    shards: Path, tmp_path: Path
) -> None:
    chosen = recipe(shards, DIT, data__seconds=4.0, data__buckets=(1.0,), run__steps=4,
                    run__checkpoint_every=2, data__validation=0)  # fmt: skip
    train(chosen, str(tmp_path / "straight"), lambda _: None)
    half, whole = checkpoints.folder_of(2), checkpoints.folder_of(4)
    shutil.copytree(tmp_path / "straight" / half, tmp_path / "resumed" / half)
    lines: list[str] = []
    train(chosen, str(tmp_path / "resumed"), lines.append)
    assert any(line.startswith("going on from step 2") for line in lines)
    one, other = (
        safetensors.torch.load_file(tmp_path / run / whole / "model.safetensors")
        for run in ("straight", "resumed")
    )
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_buckets_that_are_none_are_refused() -> None:
    for buckets in ((10.0, 5.0), (30.0,)):
        with pytest.raises(ValidationError, match=r"not ascending lengths below data\.seconds 30"):
            DataRecipe(seconds=30, buckets=buckets)
    with pytest.raises(ValidationError, match="silence fills all samples up to one length"):
        DataRecipe(seconds=30, buckets=(10.0,), silence=True)
