import errno
import io
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from pipelines.codecs import open_codec
from pipelines.errors import MachineFault
from pipelines.storage.tar import TarWriter
from schemas.identity import Split
from schemas.sample import Sample
from tests.training.data.shards import FRAMES, latent, sample_of, write_shard
from training.conditions import CONTROLS, Condition
from training.data import examples, loading
from training.data.examples import NoiseDraw, ReadingRules, Unusable, example_of
from training.data.index import Range, index_corpus
from training.data.loading import BatchShare, Samples, TrainingBatch, batches
from training.data.order import SampleOrder
from training.data.prompts import PromptConfig

READING = ReadingRules(open_codec("mel").facts, True, FRAMES, PromptConfig(), 3.0, 0)
DRAW = NoiseDraw(np.random.default_rng(0), 0.5)


def shard_of(members: dict[str, bytes]) -> bytes:
    """The members of one sample as they stand in a shard."""
    out = io.BytesIO()
    tar = TarWriter(out)
    for name, content in members.items():
        tar.add(f"key.{name}", content)
    tar.close()
    return out.getvalue()


def samples(folder: Path, reading: ReadingRules = READING, **options: bool) -> Samples:
    corpus = index_corpus(str(folder), Split.TRAIN)
    return Samples([corpus], SampleOrder([len(corpus)], seed=reading.seed), reading, **options)


def taken(
    source: Samples, share: BatchShare, steps: range, workers: int = 0
) -> list[TrainingBatch]:
    with batches(
        source, share, first_step=steps.start, last_step=steps.stop, workers=workers
    ) as found:
        return list(found)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_shard(tmp_path / "train-00000.tar", range(6))
    write_shard(tmp_path / "train-00001.tar", range(6, 10))
    return tmp_path


def assert_same(one: TrainingBatch, other: TrainingBatch) -> None:
    assert (one.keys, one.prompts, one.unusable) == (other.keys, other.prompts, other.unusable)
    for name in ("sounds", "noise_BCTF", "times_B", "frames_B", "seconds_B2"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name
    for part, counterpart in zip(
        (*one.beats, *one.chords), (*other.beats, *other.chords), strict=True
    ):
        assert torch.equal(part, counterpart)


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_gives_the_same_batches(folder: Path, workers: int) -> None:
    share = BatchShare(batch=4, micro_batch=2)
    for one, other in zip(
        taken(samples(folder), share, range(4)),
        taken(samples(folder), share, range(4), workers),
        strict=True,
    ):
        assert_same(one, other)


def test_going_on_at_a_step_gives_what_would_have_come(folder: Path) -> None:
    share = BatchShare(batch=4, micro_batch=2)
    straight = taken(samples(folder), share, range(6))
    resumed = [
        *taken(samples(folder), share, range(3)),
        *taken(samples(folder), share, range(3, 6), workers=1),
    ]
    for one, other in zip(straight, resumed, strict=True):
        assert_same(one, other)


def test_an_epoch_misses_and_repeats_no_sample_though_batches_cross_its_end(folder: Path) -> None:
    keys = [
        key
        for batch in taken(samples(folder), BatchShare(batch=4, micro_batch=4), range(5))
        for key in batch.keys
    ]
    assert (
        sorted(keys[:10])
        == sorted(keys[10:])
        == sorted(sample_of(number).key for number in range(10))
    )


def test_processes_share_out_what_one_would_take(folder: Path) -> None:
    alone = taken(samples(folder), BatchShare(batch=8, micro_batch=8), range(2))
    shares = [BatchShare(batch=8, micro_batch=2, rank=rank, ranks=2) for rank in (0, 1)]
    assert shares[0].parts == 2
    parts = [taken(samples(folder), share, range(2)) for share in shares]
    for step in range(2):
        mine = [parts[rank][2 * step + part] for part in (0, 1) for rank in (0, 1)]
        assert sum((part.keys for part in mine), ()) == alone[step].keys
        assert torch.equal(torch.cat([part.noise_BCTF for part in mine]), alone[step].noise_BCTF)


def test_audio_is_read_where_latents_are_not_wanted(folder: Path) -> None:
    [batch] = taken(
        samples(folder, READING._replace(reads_latents=False)),
        BatchShare(batch=2, micro_batch=2),
        range(1),
    )
    assert batch.sounds.shape == (2, FRAMES * 2000)  # 2 s at 16 kHz, from 8 kHz
    assert batch.frames_B.tolist() == [16, 16]
    assert 0.45 < float(batch.sounds.abs().max()) < 0.55


def test_a_longer_sample_is_cut_with_its_labels_and_a_shorter_one_padded(folder: Path) -> None:
    short = READING._replace(frames=8)  # one second
    [batch] = taken(
        samples(folder, short, full_conditioning=True), BatchShare(batch=1, micro_batch=1), range(1)
    )
    assert batch.sounds.shape == (1, 64, 8, 8)
    assert batch.beats.times_s_BL[0, :2].tolist() == [0.5, 0.0]  # beats at 0.5, 1.0 and 1.5 s
    assert batch.chords.mask_BL.sum().item() == 2  # N, A minor
    long = READING._replace(frames=20)
    [batch] = taken(samples(folder, long), BatchShare(batch=1, micro_batch=1), range(1))
    assert batch.frames_B.tolist() == [16]
    assert batch.sounds.shape == (1, 64, 20, 8)
    assert not batch.sounds[:, :, 16:].any()


def test_of_a_longer_sample_any_window_is_learned_with_its_own_controls(folder: Path) -> None:
    reading = READING._replace(frames=8, rows=CONTROLS)
    learned: set[int] = set()
    for number in range(10):
        sample = sample_of(number)
        whole = np.load(io.BytesIO(latent(number))).astype(np.float32)
        members = {"latent.npy": latent(number), "json": sample.model_dump_json().encode()}
        for epoch in range(5):
            one = example_of(shard_of(members), reading, epoch=epoch, draw=DRAW)
            again = example_of(shard_of(members), reading, epoch=epoch, draw=DRAW)
            assert torch.equal(one.sound, again.sound)
            [first] = [
                start
                for start in range(9)
                if np.array_equal(whole[:, start : start + 8], one.sound)
            ]
            learned.add(first)
            assert one.place.start_s == first / 8
            assert one.controls is not None
            assert one.controls.curves.start_s == -first / 8
            inside = [time_s - first / 8 for time_s in (0.5, 1.0, 1.5)]
            assert one.controls.labels.beats.times_s == tuple(t for t in inside if 0 <= t < 1)
    assert learned == set(range(9))


def test_a_batch_carries_frame_rows_that_are_zero_for_what_cannot_be_used(tmp_path: Path) -> None:
    broken_shard(tmp_path / "train-00000.tar")
    write_shard(tmp_path / "train-00001.tar", range(4))
    reading = READING._replace(rows=(Condition.CHORDS,))
    [batch] = taken(samples(tmp_path, reading, full_conditioning=True), BatchShare(8, 8), range(1))
    assert batch.rows_BTR is not None
    assert batch.rows_BTR.shape == (8, FRAMES, 39)
    assert batch.rows_BTR.any(dim=2).any(dim=1).tolist() == (batch.frames_B > 0).tolist()
    assert batch.rows_BTR[batch.frames_B > 0][0, 4:8, 12 + 9].tolist() == [1, 1, 1, 1]  # A minor


def test_the_levels_of_noise_in_a_batch_are_evenly_spread(folder: Path) -> None:
    reading = READING._replace(batch=8)
    times = torch.stack(
        [batch.times_B for batch in taken(samples(folder, reading), BatchShare(8, 8), range(40))]
    )
    gaps = times.sort(dim=1).values.diff(dim=1)
    assert ((gaps > 0.1235) & (gaps < 0.1265)).all()
    assert times.mean().item() == pytest.approx(0.5, abs=0.04)
    assert len(set(times[:, 0].tolist())) > 30


def broken_shard(path: Path) -> None:
    foreign = np.zeros((3, 4, 5), np.float16)
    with path.open("wb") as out:
        tar = TarWriter(out)
        for number, (name, content) in enumerate(
            [
                ("json", b"{}"),
                ("json", sample_of(1).model_dump_json().encode()),
                ("latent.npy", latent(2)),
                ("json", sample_of(3).model_dump_json().encode()),
            ]
        ):
            tar.add(f"s{number}.{name}", content)
            if number == 3:
                np.save(path.with_suffix(".npy"), foreign)
                tar.add("s3.latent.npy", path.with_suffix(".npy").read_bytes())
        tar.close()


def test_samples_that_cannot_be_used_are_silent_rows_with_a_reason(tmp_path: Path) -> None:
    broken_shard(tmp_path / "train-00000.tar")
    [batch] = taken(samples(tmp_path), BatchShare(batch=4, micro_batch=4), range(1))
    assert batch.frames_B.tolist() == [0, 0, 0, 0]
    assert batch.noise_BCTF.shape == (4, 64, FRAMES, 8)
    reasons = " ".join(one.reason for one in batch.unusable)
    for part in (
        "not a sample's",
        "has no .latent.npy; its members are json",
        "has no .json; its members are latent.npy",
        "shaped (3, 4, 5)",
    ):
        assert part in reasons
    assert all("train-00000.tar at byte" in one.key for one in batch.unusable)


def test_one_unusable_sample_changes_nothing_for_the_others(folder: Path) -> None:
    whole = taken(samples(folder), BatchShare(batch=10, micro_batch=10), range(1))[0]
    content = bytearray((folder / "train-00000.tar").read_bytes())
    place = content.index(b'{"schema_version"')
    content[place : place + 4] = b"????"
    (folder / "train-00000.tar").write_bytes(bytes(content))
    hurt = taken(samples(folder), BatchShare(batch=10, micro_batch=10), range(1))[0]
    [bad] = hurt.unusable
    assert isinstance(bad, Unusable)
    others = [
        row
        for row, (one, other) in enumerate(zip(whole.keys, hurt.keys, strict=True))
        if one == other
    ]
    assert len(others) == 9
    assert torch.equal(hurt.sounds[others], whole.sounds[others])
    assert torch.equal(hurt.noise_BCTF[others], whole.noise_BCTF[others])


def full_disk(ranges: list[Range]) -> list[bytes | Exception]:
    return [OSError(errno.EIO, "Input/output error") for _ in ranges]


def full_memory(*_: object) -> Sample:
    raise MemoryError


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("module", "name", "fault", "words"),
    [
        (loading, "read_ranges", full_disk, "Input/output error"),
        (examples, "parsed", full_memory, "MemoryError"),
    ],
)
def test_a_fault_of_the_machine_ends_the_reading_in_one_line_and_counts_against_no_sample(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
    module: ModuleType,
    name: str,
    fault: object,
    words: str,
) -> None:
    source = samples(folder)
    monkeypatch.setattr(module, name, fault)
    with pytest.raises(
        MachineFault,
        match=f"^reading samples: .*{words}.*; make room or repair it, then run again$",
    ):
        taken(source, BatchShare(batch=2, micro_batch=2), range(1), workers)


def test_whatever_a_sample_s_bytes_bring_a_library_to_raise_costs_that_sample(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def surprised(*_: object) -> Sample:
        raise RecursionError("deeper\nand deeper")

    monkeypatch.setattr(examples, "parsed", surprised)
    [batch] = taken(samples(folder), BatchShare(batch=2, micro_batch=2), range(1))
    assert [one.reason for one in batch.unusable] == [
        "cannot be read: RecursionError: deeper and deeper"
    ] * 2
