"""Torch reads samples once each, and goes on where it was, whatever read ahead."""

from itertools import islice
from pathlib import Path

import obbligato
import pytest
from torch.utils.data import DataLoader

from pipelines.errors import PipelineError
from tests.pipelines.shards.shard_samples import our_sample, ours, write_shard
from tests.support.small_build import Built
from training.data.records import LoadedSample, SampleRecords, SampleStream
from training.errors import TrainingError


@pytest.fixture(scope="module")
def records(built: Built) -> SampleRecords:
    return obbligato.open(built.out).records()


def keys(found: SampleStream | list[LoadedSample]) -> list[str]:
    return [sample.key for sample, _ in found]


def test_records_are_those_of_the_shards_with_their_sound(
    built: Built, records: SampleRecords
) -> None:
    read = list(obbligato.open(built.out).samples(split="train"))
    assert len(records) == len(read)
    for number, (sample, wave) in enumerate(read):
        found = records[number]
        assert found.sample == sample
        assert (found.wave == wave).all()
    assert records[-1].sample == read[-1].sample
    with pytest.raises(IndexError):
        records[len(read)]


def test_each_epoch_has_every_sample_once_in_another_order(records: SampleRecords) -> None:
    stream = SampleStream(records, seed=3)
    first, second = keys(stream), keys(stream)
    assert stream.epoch == 2
    assert (
        sorted(first) == sorted(second) == sorted(keys([records[n] for n in range(len(records))]))
    )
    assert first != second
    assert keys(SampleStream(records, seed=3)) == first
    assert keys(SampleStream(records, seed=4)) != first


@pytest.mark.parametrize("workers", [0, 2, 4])
@pytest.mark.parametrize("workers_then", [0, 2])
def test_nothing_is_missed_or_repeated_after_a_resume_in_mid_epoch(
    records: SampleRecords, workers: int, workers_then: int
) -> None:
    whole = keys(SampleStream(records, seed=1))
    left = SampleStream(records, seed=1, workers=workers)
    seen = [sample.key for sample, _ in islice(left, 7)]
    state = left.state_dict()
    assert state["position"] == 7
    again = SampleStream(records, seed=1, workers=workers_then)
    again.load_state_dict(state)
    assert seen + keys(again) == whole
    assert again.epoch == 1


@pytest.mark.parametrize("workers", [2, 4])
def test_in_workers_of_another_loader_each_sample_comes_once(
    records: SampleRecords, workers: int
) -> None:
    stream = SampleStream(records, seed=1)
    loader = DataLoader(stream, batch_size=None, num_workers=workers, collate_fn=None)
    assert sorted(keys(list(loader))) == sorted(keys(SampleStream(records, seed=1)))


def test_another_corpus_or_seed_is_refused_by_name(records: SampleRecords, tmp_path: Path) -> None:
    state = SampleStream(records, seed=1).state_dict()
    with pytest.raises(TrainingError, match="another seed stood"):
        SampleStream(records, seed=2).load_state_dict(state)
    write_shard(tmp_path / "train-00000.tar", ours(our_sample()))
    other = SampleRecords(str(tmp_path))
    with pytest.raises(TrainingError, match="another samples"):
        SampleStream(other, seed=1).load_state_dict(state)


def test_what_is_no_sample_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds no shards"):
        obbligato.Build(address=str(tmp_path)).records()
    shard = write_shard(tmp_path / "train-00000.tar", [("a.flac", b"x"), ("a.json", b"{}")])
    with pytest.raises(PipelineError, match=f"{shard} at byte 0"):
        SampleRecords(str(shard))[0]
