"""A bucket is skipped exactly where nothing that decides its output has changed and its files are
whole.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.build.markers import Done, drop_file, marker_name, write_marker
from pipelines.build.outputs import Job
from pipelines.build.tables import CLIPS, MOVED_LABELS, VARIANTS
from pipelines.engine.stage import Stage, fingerprint, finished_stages, run_bucket
from pipelines.storage.store import Store
from schemas.build import Marker
from schemas.recipe import Recipe

BUCKET = "train-00000"


class Bench:
    """A build with one upstream file and a stage that counts its runs."""

    def __init__(self, folder: Path) -> None:
        self.store, self.runs = Store(str(folder)), 0
        self.upstream(b"clips")

    def upstream(self, content: bytes) -> None:
        file = self.store.write_bytes(f"clips/{BUCKET}.parquet", content)
        write_marker("clips", self.job(), "upstream", Done([file], {}))

    def job(self, **sections: dict[str, object]) -> Job:
        return Job(self.store.url, BUCKET, Recipe.model_validate(sections))

    def work(self, job: Job) -> Done:
        self.runs += 1
        # the marker goes first and comes last
        assert not job.store.exists(marker_name("variants", BUCKET))
        return Done(
            [
                job.store.write_bytes(f"variants/{BUCKET}.tar", b"tar"),
                job.store.write_bytes(f"variants/{BUCKET}.parquet", b"index"),
            ],
            {"n": 3},
        )

    def stage(self, version: int = 1, tool: str = "1.0") -> Stage:
        return Stage(
            name="vary",
            version=version,
            reads=(CLIPS,),
            writes=(VARIANTS,),
            knobs=("vary",),
            run=self.work,
            tools=lambda _recipe: {"soxr": tool},
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    first = run_bucket(made.stage(), made.job())
    assert (first.bucket, first.ran, first.counts) == (BUCKET, True, {"n": 3})
    return made


def test_a_second_run_is_skipped_and_tells_the_same_counts(bench: Bench) -> None:
    second = run_bucket(bench.stage(), bench.job())
    assert (second.ran, second.counts) == (False, {"n": 3})
    assert bench.runs == 1


@pytest.mark.parametrize(
    "sections",
    [
        {"limits": {"cpu_s": 5, "memory_mb": 100, "wall_s": 1}},
        {"annotate": {"min_bpm": 60}},
        {"caption": {"paraphrases": 2}},
        {"corpus": {"name": "another"}},
        {"pack": {"keep_variants": False}},
    ],
    ids=lambda sections: next(iter(sections)),
)
def test_limits_and_other_stages_sections_change_nothing(
    bench: Bench, sections: dict[str, dict[str, object]]
) -> None:
    assert not run_bucket(bench.stage(), bench.job(**sections)).ran


@pytest.mark.parametrize(
    "sections", [{"vary": {"speeds": 2}}, {"vary": {"rate_hz": 24_000}}, {"corpus": {"seed": 1}}]
)
def test_a_change_in_its_own_section_or_the_seed_makes_it_stale(
    bench: Bench, sections: dict[str, dict[str, object]]
) -> None:
    assert run_bucket(bench.stage(), bench.job(**sections)).ran
    assert not run_bucket(bench.stage(), bench.job(**sections)).ran
    assert run_bucket(bench.stage(), bench.job()).ran  # and so does the change back


def test_a_chain_is_finished_up_to_the_first_stale_stage_and_each_marker_is_read_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def move(job: Job) -> Done:
        return Done([MOVED_LABELS.write(job, [])], {"moved": 0})

    second = Stage(
        name="move_labels", version=1, reads=(CLIPS, VARIANTS), writes=(MOVED_LABELS,), run=move
    )
    chain = [bench.stage(), second]
    assert finished_stages(chain, bench.job()) == [{"n": 3}]
    run_bucket(second, bench.job())
    read: list[str] = []

    def noted(store: Store, name: str, kind: type[Marker]) -> Marker:
        read.append(name)
        return kind.model_validate(store.read_sealed(name))

    monkeypatch.setattr(Store, "read_stated", noted)
    assert finished_stages(chain, bench.job()) == [{"n": 3}, {"moved": 0}]
    assert sorted(read) == [
        marker_name(folder, BUCKET) for folder in ("clips", MOVED_LABELS.folder, "variants")
    ]
    assert finished_stages([bench.stage(version=2), second], bench.job()) == []


def test_another_version_of_our_code_or_of_a_tool_makes_it_stale(bench: Bench) -> None:
    assert run_bucket(bench.stage(version=2), bench.job()).ran
    assert run_bucket(bench.stage(version=2, tool="1.1"), bench.job()).ran
    assert not run_bucket(bench.stage(version=2, tool="1.1"), bench.job()).ran


def test_another_input_file_makes_it_stale_and_the_same_bytes_again_do_not(bench: Bench) -> None:
    bench.upstream(b"clips")
    assert not run_bucket(bench.stage(), bench.job()).ran
    bench.upstream(b"other")
    assert run_bucket(bench.stage(), bench.job()).ran


@pytest.mark.parametrize(
    "harm",
    [
        lambda store: store.delete(f"variants/{BUCKET}.parquet"),
        lambda store: store.write_bytes(f"variants/{BUCKET}.tar", b"ta"),
        lambda store: store.delete(marker_name("variants", BUCKET)),
    ],
    ids=["missing", "truncated", "unmarked"],
)
def test_a_missing_or_truncated_file_makes_it_run_again(
    bench: Bench, harm: Callable[[Store], object]
) -> None:
    harm(bench.store)
    assert run_bucket(bench.stage(), bench.job()).ran
    assert bench.store.read_bytes(f"variants/{BUCKET}.tar") == b"tar"
    assert not run_bucket(bench.stage(), bench.job()).ran


def test_a_file_that_was_taken_over_is_not_missed(bench: Bench) -> None:
    drop_file(bench.job(), "variants", f"variants/{BUCKET}.tar")
    assert not bench.store.exists(f"variants/{BUCKET}.tar")
    assert not run_bucket(bench.stage(), bench.job()).ran


def test_a_run_that_fails_leaves_no_marker(bench: Bench) -> None:
    def broken(_job: Job) -> Done:
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        run_bucket(replace(bench.stage(version=2), run=broken), bench.job())
    assert not bench.store.exists(marker_name("variants", BUCKET))
    assert run_bucket(bench.stage(), bench.job()).ran


def test_the_marker_names_each_file_with_its_bytes_and_digest(bench: Bench) -> None:
    marker = bench.store.read_sealed(marker_name("variants", BUCKET))
    assert marker["files"][f"variants/{BUCKET}.tar"]["bytes"] == 3
    assert marker["counts"] == {"n": 3}
    assert marker["fingerprint"] == fingerprint(bench.stage(), bench.job())
    assert "cpu" in marker


def test_the_cpu_is_recorded_and_never_matched(bench: Bench) -> None:
    marker = bench.store.read_sealed(marker_name("variants", BUCKET))
    bench.store.write_sealed(marker_name("variants", BUCKET), {**marker, "cpu": "another machine"})
    assert not run_bucket(bench.stage(), bench.job()).ran
