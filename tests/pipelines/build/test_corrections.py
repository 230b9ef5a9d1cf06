"""What people set right goes before all other labels, stays, and makes anew what depends on it."""

from pathlib import Path
from typing import Final

import pytest

from pipelines.build.corrections import (
    add_correction,
    annotations_in_force,
    corrections_file,
    laid_over,
)
from pipelines.build.outputs import Job
from pipelines.build.plans import read_plan
from pipelines.build.tables import ANNOTATIONS, CLIPS, MOVED_LABELS, VARIANTS
from pipelines.build.versions import altered_corrections, last_version
from pipelines.errors import Damaged
from pipelines.labels.edits import Corrector, Doubled, KeyIs, NotMusic, Withdrawn, correction
from pipelines.reports.ledger import ledger_rows
from pipelines.storage.store import Store
from schemas.corpus import Clip, Outcome
from schemas.labels import Annotation, Origin
from schemas.recipe import Recipe
from tests.support.small_build import Built, copied, rebuild

BY: Final = Corrector("ann", "2026-11-29T12:00:00Z", "CC0-1.0")
DEPENDS: Final = {"verdicts", "moved_labels", "captions", "paraphrases", "text_embeddings", "texts",
                  "shards", "verified"}  # fmt: skip


def a_clip(out: Path) -> tuple[Job, Clip, Annotation]:
    store = Store(str(out))
    job = Job(
        str(out), next(name for name in read_plan(store).buckets if "train" in name), Recipe()
    )
    return job, CLIPS.read(job)[0], ANNOTATIONS.read(job)[0]


def markers(out: Path) -> dict[str, bytes]:
    return {str(file.relative_to(out)): file.read_bytes() for file in out.rglob("*.done.json")}


def test_a_correction_makes_anew_what_depends_on_it_and_nothing_else(
    built: Built, tmp_path: Path
) -> None:
    out = copied(built, tmp_path / "out")
    job, clip, heard = a_clip(out)
    before = markers(out)
    add_correction(job.store, correction(clip.clip_key, heard.labels, Doubled(kind="doubled"), BY))
    add_correction(
        job.store,
        correction(clip.clip_key, heard.labels, KeyIs(kind="key", key="F# minor"), BY),
    )
    rebuild(built, out, built.recipe)
    after = markers(out)
    changed = {name for name in after if after[name] != before.get(name)}
    assert {name.partition("/")[0] for name in changed} <= DEPENDS
    assert {name.partition("/")[2] for name in changed} == {f"{job.bucket}.done.json"}
    assert {f"moved_labels/{job.bucket}.done.json", f"shards/{job.bucket}.done.json"} <= changed

    changes = {row.sample_key: row.change for row in VARIANTS.read(job)}
    labels = {row.sample_key: row.labels for row in MOVED_LABELS.read(job)}
    own = {key: label for key, label in labels.items() if key.startswith(clip.clip_key)}
    assert len(own) == 6
    bpm = own[f"{clip.clip_key}-orig"].tempo.bpm
    assert bpm is not None
    assert heard.labels.tempo.bpm is not None
    assert bpm == pytest.approx(2 * heard.labels.tempo.bpm, rel=0.02)
    for key, label in own.items():
        assert label.beats.origin is label.tempo.origin is label.key.origin is Origin.CORRECTED
        assert label.chords.origin in (Origin.EXTRACTED, Origin.MOVED)
        assert label.tempo.bpm == pytest.approx(bpm * changes[key].speed, rel=1e-3)
        assert label.key.tonic == (6 + changes[key].semitones) % 12
    assert rebuild(built, out, built.recipe).inputs.dead == 0
    assert markers(out) == after


def test_what_is_no_music_is_rejected_with_its_reason_until_that_is_withdrawn(
    built: Built, tmp_path: Path
) -> None:
    out = copied(built, tmp_path / "out")
    job, clip, heard = a_clip(out)
    said = correction(clip.clip_key, heard.labels, NotMusic(kind="not_music", reason="speech"), BY)
    add_correction(job.store, said)
    samples = rebuild(built, out, built.recipe).samples
    assert samples.planned == samples.written + samples.rejected + samples.dead
    assert samples.rejected == 6
    rows = ledger_rows(job.store, [Outcome.REJECTED])
    assert {(row.code, row.figure) for row in rows} == {
        ("not_music", "speech, says ann, 2026-11-29T12:00:00Z")
    }
    add_correction(
        job.store,
        correction(
            clip.clip_key, heard.labels, Withdrawn(kind="withdrawn", parts=("not_music",)), BY
        ),
    )
    assert rebuild(built, out, built.recipe).samples == built.dataset.samples


def test_without_corrections_no_fingerprint_knows_of_them(built: Built) -> None:
    job, _, _ = a_clip(built.out)
    assert laid_over(job) is None
    assert annotations_in_force(job) == ANNOTATIONS.read(job)


def test_where_nobody_looks_for_corrections_none_are_found(built: Built, tmp_path: Path) -> None:
    job, clip, heard = a_clip(copied(built, tmp_path / "out"))
    edit = correction(clip.clip_key, heard.labels, NotMusic(kind="not_music"), BY)
    add_correction(job.store, edit)
    assert laid_over(job) == {clip.clip_key: edit.model_dump(mode="json")}
    assert laid_over(job._replace(may_be_corrected=False)) is None


def test_corrections_that_are_changed_or_lost_are_named_and_added_ones_are_not(
    built: Built, tmp_path: Path
) -> None:
    out = copied(built, tmp_path / "out")
    job, clip, heard = a_clip(out)
    store, file = job.store, corrections_file(clip.song.song_id)

    def add(key: str) -> None:
        edit = correction(clip.clip_key, heard.labels, KeyIs(kind="key", key=key), BY)
        add_correction(store, edit)

    add("A minor")
    rebuild(built, out, built.recipe)
    version = last_version(store)
    assert version is not None
    assert list(version.corrections) == [file]
    kept = store.read_bytes(file)
    add("C major")
    assert [*altered_corrections(store)] == []
    store.write_bytes(file, kept.replace(b'"ann"', b'"bob"'))
    [damage] = altered_corrections(store)
    assert "seal is broken" in damage.wrong
    with pytest.raises(Damaged, match="put a copy of it back"):
        annotations_in_force(job)
    store.delete(file)
    add("C major")  # whole, but not what was built from
    [damage] = altered_corrections(store)
    assert damage.wrong == "does not begin with the corrections that version 2 was published with"
    store.delete(file)
    [damage] = altered_corrections(store)
    assert str(damage) == f"{file} is missing; put a copy of it back"
