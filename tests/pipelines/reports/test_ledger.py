"""The dead are done again, and nothing else is, at a cost that grows with their number and not with
its square.
"""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from pipelines.build.markers import Done, marker_name
from pipelines.build.outputs import Output
from pipelines.build.tables import INPUT_LEDGER
from pipelines.engine.stage import Stage
from pipelines.errors import PipelineError
from pipelines.reports.ledger import mark_for_retry
from pipelines.storage.store import Store
from schemas.corpus import Dead, InputRow, LedgerRow, Outcome, Source, Unit
from schemas.recipe import Recipe
from tests.support.written_plan import write_plan

BUCKETS = ["train-00000", "train-00001"]
OUTPUTS = [Output(folder=name, suffix=".parquet") for name in ("annotate", "vary")]
STAGES = [
    Stage(name=output.folder, version=1, writes=(output,), run=lambda _job: Done([], {}))
    for output in OUTPUTS
]


def clip(number: int) -> str:
    return f"{number:016x}-0-10000"


class Build:
    """A folder with a listing, a plan, a ledger, and markers for everything."""

    def __init__(self, folder: Path, slices: Sequence[Iterable[str]] = ()) -> None:
        self.store = Store(str(folder))
        write_plan(self.store, dict.fromkeys(BUCKETS, 1))
        self.store.write_records(INPUT_LEDGER, LedgerRow, [])
        for number, rows in enumerate(slices):
            name = f"slice-{number:05d}"
            self.store.write_records(
                f"listing/{name}.parquet",
                InputRow,
                [InputRow(row=row, source=Source(uri=row)) for row in rows],
            )
            self.store.write_json(marker_name("probed", name), {})
        for stage in STAGES:
            for bucket in BUCKETS:
                self.store.write_json(marker_name(stage.folder, bucket), {})

    def dead_inputs(self, rows: Iterable[str]) -> None:
        found = [
            LedgerRow(unit=Unit.INPUT, key=row, uri=row, stage="probe", outcome=Outcome.DEAD)
            for row in rows
        ]
        self.store.write_records(INPUT_LEDGER, LedgerRow, found)

    def dead_samples(
        self, folder: str, bucket: str, keys: Sequence[str], samples: Sequence[str]
    ) -> None:
        """A stage's dead of a bucket, clips or samples, and the samples that the ledger has for
        them.
        """
        self.store.write_records(
            f"{folder}/{bucket}.dead.parquet",
            Dead,
            [Dead(key=key, code="hung", message="") for key in keys],
        )
        rows = [
            LedgerRow(unit=Unit.SAMPLE, key=key, uri="", stage=folder, outcome=Outcome.DEAD)
            for key in samples
        ]
        self.store.write_records(f"ledger/{bucket}.parquet", LedgerRow, rows)

    def retry(self, *keys: str) -> list[str]:
        again = mark_for_retry(self.store, Recipe(), STAGES, keys)
        for name in again:
            folder, _, bucket = name.partition("/")
            assert not self.store.exists(marker_name(folder, bucket))
        return again


def test_a_dead_input_has_its_slice_of_the_listing_probed_again(tmp_path: Path) -> None:
    build = Build(tmp_path, slices=[["a.wav", "b.wav"], ["c.wav"], ["songs.csv#2", "songs.csv#3"]])
    build.dead_inputs(["b.wav", "songs.csv#3"])
    assert build.retry("songs.csv#3") == ["probed/slice-00002"]
    assert build.store.exists(marker_name("probed", "slice-00000"))
    assert build.retry() == ["probed/slice-00000", "probed/slice-00002"]
    assert build.store.exists(marker_name("probed", "slice-00001"))


def test_of_the_listing_only_the_rows_names_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = Build(tmp_path, slices=[["a.wav"]])
    build.dead_inputs(["a.wav"])
    monkeypatch.setattr(
        Store,
        "read_records",
        lambda _, name, kind: pytest.fail(f"makes a record of every row of {name}"),
    )
    assert build.retry() == ["probed/slice-00000"]


def test_a_dead_sample_has_the_stage_and_bucket_done_again_in_which_it_or_its_clip_died(
    tmp_path: Path,
) -> None:
    build = Build(tmp_path)
    build.dead_samples("annotate", BUCKETS[0], [clip(1)], [f"{clip(1)}-orig", f"{clip(1)}-pd3"])
    build.dead_samples(
        "vary", BUCKETS[1], [f"{clip(2)}-s1", f"{clip(3)}-v1"], [f"{clip(2)}-s1", f"{clip(3)}-v1"]
    )
    assert build.retry(f"{clip(1)}-pd3") == ["annotate/train-00000"]
    assert build.retry(f"{clip(3)}-v1") == ["vary/train-00001"]
    assert build.retry() == ["annotate/train-00000", "vary/train-00001"]
    for alive in (f"{clip(2)}-s2", clip(1)):
        with pytest.raises(PipelineError, match=f"{alive} is not dead"):
            build.retry(alive)


def test_a_clip_whose_key_begins_as_another_ones_is_left_alone(tmp_path: Path) -> None:
    build = Build(tmp_path)
    long, short = "0" * 16 + "-1000-10000", "0" * 16 + "-1000-1000"
    build.dead_samples("annotate", BUCKETS[0], [long], [f"{long}-orig"])
    build.dead_samples("vary", BUCKETS[1], [short], [f"{short}-orig"])
    assert build.retry(f"{long}-orig") == ["annotate/train-00000"]


def test_ten_thousand_dead_samples_are_found_among_ten_thousand_other_dead_at_once(
    tmp_path: Path,
) -> None:
    build = Build(tmp_path)
    others = [clip(number) for number in range(10_000)]
    sample_keys = [f"{clip(number)}-orig" for number in range(10_000, 20_000)]
    build.dead_samples("annotate", BUCKETS[0], others, [f"{key}-orig" for key in others])
    build.dead_samples("vary", BUCKETS[1], sample_keys, sample_keys)
    began_s = time.process_time()
    assert build.retry(*sample_keys) == ["vary/train-00001"]
    assert time.process_time() - began_s < 3  # row by row and sample by sample: about 30 s
