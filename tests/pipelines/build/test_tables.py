"""Where a build's outputs lie, and that each is written by a step before another reads it."""

from pathlib import Path

import pytest

from flows.build.order import ALL_STEPS
from pipelines.build.outputs import Job, Partition
from pipelines.build.tables import (
    ANNOTATIONS,
    BUCKET_PLAN,
    CLIPS,
    CUT_INPUTS,
    FREQUENCIES,
    INPUT_LEDGER,
    OUTPUTS,
    PROBED,
    SHARDS,
    VARIANTS,
    folders_of,
)
from pipelines.storage.store import Store
from schemas.build import BucketPlan, FileFacts, InputTotals, Marker
from schemas.pseudo_label import Frequency
from schemas.recipe import Recipe

HASH = "0" * 64


def test_files_lie_where_builds_before_had_them(tmp_path: Path) -> None:
    job = Job(str(tmp_path), "train-00000", Recipe())
    assert ANNOTATIONS.path(job) == "annotations/train-00000.parquet"
    assert ANNOTATIONS.dead.path(job) == "annotations/train-00000.dead.parquet"
    assert CUT_INPUTS.file("slice-00000") == "cut/slice-00000.inputs.parquet"
    assert (VARIANTS.path(job), VARIANTS.archive.path(job)) == (
        "variants/train-00000.parquet",
        "variants/train-00000.tar",
    )
    assert (SHARDS.path(job), SHARDS.index.path(job)) == (
        "shards/train-00000.tar",
        "shards/train-00000.json",
    )
    assert (INPUT_LEDGER, BUCKET_PLAN.name) == ("ledger/inputs.parquet", "clips/plan.json")


def test_folders_are_swept_by_what_they_hold_one_file_of() -> None:
    assert folders_of(Partition.LISTING) == ("listing", "probed", "cut")
    assert folders_of(Partition.VOCABULARY) == ("vocabulary", "vocabulary_vectors")
    assert set(folders_of(Partition.BUCKETS)) == {
        "clips",
        "annotations",
        "embeddings",
        "twins",
        "verdicts",
        "variants",
        "mixes",
        "moved_labels",
        "latents",
        "codes",
        "captions",
        "paraphrases",
        "text_embeddings",
        "texts",
        "matches",
        "frequencies",
        "labels",
        "shards",
        "verified",
        "ledger",
    }


def test_every_output_is_written_by_a_step_and_read_by_none_before() -> None:
    written: set[str] = set()
    for step in ALL_STEPS:
        read = {output.folder for output in getattr(step, "reads", ())}
        assert read <= written, step.name
        written |= {output.folder for output in step.writes}
    assert written == {output.folder for output in OUTPUTS}


def test_a_table_gives_back_its_records_and_the_same_bytes(tmp_path: Path) -> None:
    one, other = (Job(str(tmp_path), name, Recipe()) for name in ("train-00000", "train-00001"))
    rows = [Frequency(entry=3, clips=2), Frequency(entry=9, clips=1)]
    published = [FREQUENCIES.write(job, rows) for job in (one, other)]
    assert FREQUENCIES.read(one) == rows
    assert published[0].sha256 == published[1].sha256
    assert FREQUENCIES.names(one.store) == ["train-00000", "train-00001"]


def test_names_are_of_buckets_alone(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    for name in (
        "train-00000.parquet",
        "train-00000.done.json",
        "train-00001.dead.parquet",
        "plan.json",
    ):
        store.write_bytes(f"{CLIPS.folder}/{name}", b"")
    assert CLIPS.names(store) == ["train-00000"]
    assert PROBED.names(store) == []


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    assert BUCKET_PLAN.read_before(store) is None
    inputs = InputTotals(listed=3, used=2, dead=1)
    plan = BucketPlan(
        fingerprint="f",
        buckets=("a",),
        clips={"a": 2},
        markers={"a": "m"},
        inputs=inputs,
        disagreeing_groups=0,
    )
    BUCKET_PLAN.write(store, plan)
    assert BUCKET_PLAN.read(store) == plan
    assert store.read_sealed(BUCKET_PLAN.name)["inputs"] == {"in": 3, "used": 2, "dead": 1}


@pytest.mark.parametrize(("dropped", "said"), [(False, {}), (True, {"dropped": True})])
def test_a_marker_says_that_a_file_was_dropped_only_where_it_was(
    dropped: bool, said: dict[str, bool]
) -> None:
    files = {"variants/a.tar": FileFacts(bytes=3, sha256=HASH, dropped=dropped)}
    marker = Marker(fingerprint="f", files=files, counts={"n": 1}, cpu="x86_64 avx2")
    assert marker.as_json() == {
        "fingerprint": "f",
        "files": {"variants/a.tar": {"bytes": 3, "sha256": HASH, **said}},
        "counts": {"n": 1},
        "cpu": "x86_64 avx2",
    }
    assert Marker.model_validate(marker.as_json()) == marker
