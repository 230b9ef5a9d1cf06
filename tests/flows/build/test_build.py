"""A build as a whole: identities, contract, resume, equal bytes."""

import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import webdataset

from flows.build.local import build, retry
from flows.build.run_step import stored_build
from flows.errors import UsageError
from pipelines.beam.options import Engine
from pipelines.build.markers import marker_name
from pipelines.build.outputs import Job
from pipelines.build.plans import read_plan
from pipelines.build.tables import MOVED_LABELS, RECIPE, SOURCES
from pipelines.build.versions import seal_beginning
from pipelines.errors import PipelineError
from pipelines.reports.ledger import ledger_rows
from pipelines.storage.store import Store
from schemas.corpus import Outcome
from schemas.labels import Labels
from schemas.recipe import LimitsRecipe
from schemas.sample import Sample
from tests.support import building
from tests.support.plug_ins import hostile_annotator
from tests.support.small_build import SMALL, Built, copied, rebuild

# Windows of 8 s in pieces of 26.7, 26.6, 22.5 and 27.3 s.
CLIPS_OF = {"piece-000": 3, "piece-001": 3, "piece-002": 2, "piece-003": 3}
# orig, two pitches, two speeds, one volume; validation and test are not varied
VARIANTS = {"train": 6, "validation": 1, "test": 1}
SPLIT_OF = {
    "piece-000": "train",
    "piece-001": "validation",
    "piece-002": "train",
    "piece-003": "test",
}


def times(out: Path, folder: str) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (out / folder).iterdir()}


def test_counts_are_those_of_the_pieces(built: Built) -> None:
    expected = dict.fromkeys(VARIANTS, 0)
    for piece, clips in CLIPS_OF.items():
        expected[SPLIT_OF[piece]] += clips * VARIANTS[SPLIT_OF[piece]]
    assert {name: row.samples for name, row in built.dataset.splits.items()} == expected
    assert built.dataset.inputs.counts == {"in": 4, "used": 4}
    written = sum(expected.values())
    assert built.dataset.samples.model_dump() == {
        "planned": written,
        "written": written,
        "rejected": 0,
        "dead": 0,
    }


def test_stock_webdataset_reads_every_sample(built: Built) -> None:
    shards = sorted(str(path) for path in (built.out / "shards").glob("*.tar"))
    samples = [
        Sample.model_validate_json(raw["json"])
        for raw in webdataset.WebDataset(shards, shardshuffle=False)
    ]
    assert len({sample.key for sample in samples}) == len(samples)
    assert Counter((Path(sample.source.uri).stem, str(sample.split)) for sample in samples) == {
        (piece, split): CLIPS_OF[piece] * VARIANTS[split] for piece, split in SPLIT_OF.items()
    }
    assert {sample.change.variant for sample in samples if sample.split == "train"} == {
        "orig",
        "pd3",
        "pu2",
        "s1",
        "s2",
        "v1",
    }
    assert {sample.change.variant for sample in samples if sample.split != "train"} == {"orig"}
    assert all(sample.source.licence == "CC0-1.0" for sample in samples)


def test_labels_of_variants_agree_with_their_audio(built: Built) -> None:
    agreement = built.dataset.agreement
    assert set(agreement) == {"original", "pitch", "speed", "volume"}
    assert agreement["pitch"].key == 1.0
    assert min(row.beats or 0 for row in agreement.values()) >= 0.95


def test_a_second_run_touches_no_file_of_the_dataset(built: Built, tmp_path: Path) -> None:
    out = copied(built, tmp_path / "out")
    before = {
        folder: times(out, folder)
        for folder in (
            "probed",
            "clips",
            "annotations",
            "variants",
            "moved_labels",
            "captions",
            "shards",
            "verified",
        )
    }
    rebuild(built, out, built.recipe)
    assert {folder: times(out, folder) for folder in before} == before


def test_a_caption_knob_makes_captions_shards_and_verification_stale_only(
    built: Built, tmp_path: Path
) -> None:
    out = copied(built, tmp_path / "out")
    kept = {
        folder: times(out, folder)
        for folder in ("probed", "clips", "annotations", "verdicts", "variants")
    }
    shards = building.digests(out / "shards")
    rebuild(built, out, built.recipe.replaced(caption=built.recipe.caption.replaced(paraphrases=2)))
    assert {folder: times(out, folder) for folder in kept} == kept
    assert building.digests(out / "shards") != shards


def test_samples_carry_the_labels_that_were_moved_for_them(built: Built) -> None:
    moved: dict[str, Labels] = {}
    for name in read_plan(Store(str(built.out))).buckets:
        moved |= {
            row.sample_key: row.labels
            for row in MOVED_LABELS.read(Job(str(built.out), name, built.recipe))
        }
    shards = sorted(str(path) for path in (built.out / "shards").glob("*.tar"))
    samples = [
        Sample.model_validate_json(raw["json"])
        for raw in webdataset.WebDataset(shards, shardshuffle=False)
    ]
    assert {sample.key: sample.labels for sample in samples} == moved
    [original, *_] = [
        sample for sample in samples if sample.change.variant == "orig" and sample.split == "train"
    ]
    up = moved[f"{original.clip_key}-pu2"].key
    assert up.tonic == ((original.key_label.tonic or 0) + 2) % 12


def test_other_labels_make_no_sound_stale(built: Built, tmp_path: Path) -> None:
    out = copied(built, tmp_path / "out")
    kept = {folder: times(out, folder) for folder in ("probed", "clips", "variants")}
    moved = building.digests(out / "moved_labels")
    rebuild(
        built,
        out,
        built.recipe.replaced(annotate=built.recipe.annotate.replaced(min_key_confidence=1.0)),
    )
    assert {folder: times(out, folder) for folder in kept} == kept
    assert building.digests(out / "moved_labels") != moved


def test_a_build_of_an_earlier_version_is_refused_with_a_word_and_made_whole_by_the_next_build(
    built: Built, tmp_path: Path
) -> None:
    out = copied(built, tmp_path / "out")
    store = Store(str(out))
    recipe = (out / RECIPE).read_text()
    begun = [
        store.write_bytes(RECIPE, recipe.replace("[near_duplicates]", "[near]").encode()),
        store.write_bytes(SOURCES, store.read_bytes(SOURCES)),
    ]
    seal_beginning(store, begun)
    for name in read_plan(store).buckets:
        store.delete(marker_name(MOVED_LABELS.folder, name))  # it had no such step
        store.delete(MOVED_LABELS.file(name))
    with pytest.raises(
        UsageError, match=r"section near is called near_duplicates now.*build again with your own"
    ):
        stored_build(str(out))
    rebuild(built, out, built.recipe)
    assert building.digests(out) == building.digests(built.out)


def test_variants_may_be_dropped_and_shards_still_be_packed_again(
    built: Built, tmp_path: Path
) -> None:
    out = copied(built, tmp_path / "out")
    dropped = built.recipe.replaced(pack=built.recipe.pack.replaced(keep_variants=False))
    rebuild(built, out, dropped)
    assert not list((out / "variants").glob("*.tar"))
    assert building.digests(out / "shards") == building.digests(built.out / "shards")
    rebuild(built, out, dropped.replaced(caption=built.recipe.caption.replaced(paraphrases=2)))
    full = copied(built, tmp_path / "full")
    rebuild(
        built, full, built.recipe.replaced(caption=built.recipe.caption.replaced(paraphrases=2))
    )
    assert building.digests(out / "shards") == building.digests(full / "shards")


@pytest.mark.parametrize(
    "options",
    [("--workers", "1"), ("--runner", "FnApiRunner", "--beam", "direct_runner_bundle_repeat=2")],
)
def test_workers_and_repeated_bundles_give_the_same_bytes(
    built: Built, tmp_path: Path, options: tuple[str, ...]
) -> None:
    building.finish(building.started(built.sources, tmp_path / "out", built.recipe, *options))
    assert building.digests(tmp_path / "out") == building.digests(built.out)


def killed_and_resumed(built: Built, out: Path, moments: list[int]) -> None:
    for markers in moments:
        assert building.kill_after_markers(
            building.started(built.sources, out, built.recipe, "--workers", "2"), out, markers
        )
    building.finish(building.started(built.sources, out, built.recipe, "--workers", "2"))


def test_a_build_killed_twice_ends_with_the_same_bytes(built: Built, tmp_path: Path) -> None:
    killed_and_resumed(built, tmp_path / "out", [8, 20])
    assert building.digests(tmp_path / "out") == building.digests(built.out)


def test_what_a_killed_write_left_is_gone_when_its_bucket_is_done_again(
    built: Built, tmp_path: Path
) -> None:
    out = copied(built, tmp_path / "out")
    for marker in list((out / "shards").glob("*.done.json")):
        bucket = marker.name.removesuffix(".done.json")
        for left in (
            f"ledger/.part-{bucket}.parquet-0f",
            f"variants/.part-{bucket}.done.json-0f",
            f"shards/.part-{bucket}.tar-0f",
        ):
            (out / left).write_bytes(b"half")
        marker.unlink()
    rebuild(built, out, built.recipe)
    assert building.digests(out) == building.digests(built.out)


@pytest.mark.slow
def test_a_build_killed_at_ten_random_moments_ends_with_the_same_bytes(
    built: Built, tmp_path: Path
) -> None:
    total = len(list(built.out.rglob("*.done.json")))
    moments = sorted(int(moment) for moment in np.random.default_rng(0).integers(1, total - 1, 10))
    killed_and_resumed(built, tmp_path / "out", moments)
    assert building.digests(tmp_path / "out") == building.digests(built.out)


def test_a_killed_worker_is_replaced_and_the_run_finishes_with_the_same_bytes(
    built: Built, tmp_path: Path
) -> None:
    process = building.started(built.sources, tmp_path / "out", built.recipe, "--workers", "2")
    while not (children := building.worker_children(process)):
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.02)
    children[0].kill()
    building.finish(process)
    assert building.digests(tmp_path / "out") == building.digests(built.out)


def test_memory_file_system_holds_a_whole_build(built: Built) -> None:
    dataset = build(built.sources, "memory://whole-build", built.recipe, Engine(), lambda _: None)
    assert dataset.shards == built.dataset.shards


def write_tone(path: Path, pitch_hz: float) -> None:
    seconds = np.arange(4 * 44_100) / 44_100
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * pitch_hz * seconds), 44_100)


def test_clips_that_crash_spin_or_eat_memory_are_three_dead_and_can_be_retried(
    built: Built, tmp_path: Path
) -> None:
    for pitch in (
        hostile_annotator.SEGFAULT_HZ,
        hostile_annotator.SPIN_HZ,
        hostile_annotator.EAT_HZ,
        440,
        550,
    ):
        write_tone(tmp_path / f"{pitch}.wav", pitch)
    recipe = SMALL.replaced(
        limits=LimitsRecipe(cpu_s=6, memory_mb=1500, wall_s=120),
        annotate=SMALL.annotate.replaced(key="tests.support.plug_ins.hostile_annotator"),
        ingest=SMALL.ingest.replaced(validation=0, test=0),
        vary=SMALL.vary.replaced(semitones=(), speeds=0, volumes=0),
    )
    out = str(tmp_path / "out")
    dataset = build([str(tmp_path / "*.wav")], out, recipe, Engine(), lambda _: None)
    dead = {Path(row.uri).stem: row.code for row in ledger_rows(Store(out), [Outcome.DEAD])}
    assert dead == {"1000": "crashed", "2000": "cpu_limit", "3000": "memory_limit"}
    assert dataset.samples.model_dump() == {"planned": 5, "written": 2, "rejected": 0, "dead": 3}
    (tmp_path / "out" / "begun.json").unlink()  # it is changed by hand
    (tmp_path / "out" / "recipe.toml").write_text(
        (tmp_path / "out" / "recipe.toml")
        .read_text()
        .replace("tests.support.plug_ins.hostile_annotator", "obbligato")
    )
    again = retry(out, [], Engine(), lambda _: None)
    assert again.samples.model_dump() == {"planned": 5, "written": 5, "rejected": 0, "dead": 0}


def test_a_damaged_shard_is_named(built: Built, tmp_path: Path) -> None:
    from flows.build.local import verify_build

    out = copied(built, tmp_path / "out")
    shard = next((out / "shards").glob("train*.tar"))
    content = bytearray(shard.read_bytes())
    content[600] ^= 1
    shard.write_bytes(content)
    with pytest.raises(
        PipelineError, match=rf"{shard.name} is not what was written: its SHA-256 has changed"
    ):
        verify_build(str(out), Engine(), lambda _: None)


def test_an_unknown_annotator_is_refused_before_anything_starts(
    built: Built, tmp_path: Path
) -> None:
    with pytest.raises(PipelineError, match="no annotator of key called 'ear'"):
        build(
            built.sources,
            str(tmp_path / "out"),
            SMALL.replaced(annotate=SMALL.annotate.replaced(key="ear")),
            Engine(),
            lambda _: None,
        )
    assert not (tmp_path / "out").exists()
