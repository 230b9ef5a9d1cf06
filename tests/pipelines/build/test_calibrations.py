"""A calibration that the recipe chooses is an input of what reads labels, and of nothing else."""

from pathlib import Path
from typing import Any, Final

import pytest

from flows.build.order import order_of
from flows.build.run_stage import run_stages
from pipelines.beam.options import IN_MEMORY, LOCAL, Engine
from pipelines.build.calibrations import (
    add_calibration,
    calibration_file,
    check_calibration,
    damaged_calibrations,
)
from pipelines.build.corrections import add_correction, annotations_in_force, judged_clips
from pipelines.build.outputs import Job
from pipelines.build.plans import read_plan
from pipelines.build.tables import ANNOTATIONS, MOVED_LABELS
from pipelines.engine.stage import fingerprint
from pipelines.errors import Damaged, WrongArgument
from pipelines.labels.calibration import calibrated
from pipelines.labels.edits import Confirmed, Corrector, KeyIs, correction
from pipelines.stages.labels.filter import STAGE as FILTER
from pipelines.stages.labels.move_labels import STAGE as MOVE_LABELS
from pipelines.storage.store import Store
from schemas.calibration import Calibration, Curve
from schemas.labels import Origin
from schemas.recipe import Recipe, ReviewRecipe
from tests.support.small_build import Built, copied

NAME: Final = "by-ear"
MADE: Final = Calibration(
    key=Curve(shift=-2, slope=0.5, clips=50, songs=40, log_loss_before=0.5, log_loss=0.4)
)
BY: Final = Corrector("ann", "2026-11-29T12:00:00Z", "CC0-1.0")


@pytest.fixture
def store(built: Built, tmp_path: Path) -> Store:
    return Store(str(copied(built, tmp_path / "out")))


def jobs(store: Store, recipe: Recipe) -> list[Job]:
    return [Job(store.url, name, recipe) for name in read_plan(store).buckets]


def marks(store: Store, recipe: Recipe) -> dict[str, Any]:
    """Of each stage what would make it stale, if the stages before it stay as they are."""
    first = jobs(store, recipe)[0]
    return {stage.name: fingerprint(stage, first) for stage in order_of(recipe)}


def test_choosing_a_calibration_makes_stale_what_reads_labels_and_nothing_else(
    built: Built, store: Store
) -> None:
    chosen = built.recipe.replaced(review=ReviewRecipe(calibration=NAME))
    before = marks(store, built.recipe)
    add_calibration(store, NAME, MADE)
    assert marks(store, built.recipe) == before  # off until it is chosen
    after = marks(store, chosen)
    assert {name for name in after if after[name] != before[name]} == {"filter", "move_labels"}


def test_labels_in_force_have_the_calibration_s_confidence_but_for_what_people_set_right(
    built: Built, store: Store
) -> None:
    add_calibration(store, NAME, MADE)
    job = jobs(store, built.recipe.replaced(review=ReviewRecipe(calibration=NAME)))[0]
    heard = ANNOTATIONS.read(job)
    assert [row.labels for row in annotations_in_force(job)] == [
        calibrated(row.labels, MADE) for row in heard
    ]
    first = heard[0]
    for edit in (KeyIs(kind="key", key="F# minor"), Confirmed(kind="confirmed")):
        [labels, *_] = [row.labels for row in annotations_in_force(job)]
        add_correction(store, correction(first.clip_key, labels, edit, BY))
    [labels, *_] = [row.labels for row in annotations_in_force(job)]
    assert (labels.key.confidence, labels.key.origin) == (1.0, Origin.CORRECTED)
    [judged] = judged_clips([job])
    # against what was heard, whatever is in force
    assert (judged.heard, judged.right.key, judged.right.beats) == (first.labels, 0, 1)


def test_a_calibration_that_is_missing_or_changed_is_named(built: Built, store: Store) -> None:
    chosen = built.recipe.replaced(review=ReviewRecipe(calibration=NAME))
    with pytest.raises(WrongArgument, match="no calibration by-ear"):
        check_calibration(store, chosen)
    add_calibration(store, NAME, MADE)
    check_calibration(store, chosen)
    assert [*damaged_calibrations(store)] == []
    file = calibration_file(NAME)
    store.write_bytes(file, store.read_bytes(file).replace(b"0.5", b"0.7"))
    with pytest.raises(Damaged, match="its seal is broken"):
        check_calibration(store, chosen)
    [(name, wrong)] = damaged_calibrations(store)
    assert (name, "seal is broken" in wrong) == (file, True)


@pytest.mark.parametrize(("runner", "reads"), [(LOCAL, 1), (IN_MEMORY, 2)])
def test_a_chain_reads_the_chosen_calibration_once_for_all_its_buckets(
    built: Built, store: Store, monkeypatch: pytest.MonkeyPatch, runner: str, reads: int
) -> None:
    """On an object store each read costs requests. Where Beam's workers take the buckets, whoever
    shares them out has looked what is done, and reads it for the job.
    """
    add_calibration(store, NAME, MADE)
    asked: list[str] = []
    whole = Store.read_bytes

    def noted(of: Store, name: str) -> bytes:
        asked.append(name)
        return whole(of, name)

    monkeypatch.setattr(Store, "read_bytes", noted)
    recipe = built.recipe.replaced(review=ReviewRecipe(calibration=NAME))
    reports = run_stages(
        [FILTER, MOVE_LABELS], store, recipe, Engine(runner=runner), "runs/once", lambda _: None
    )
    assert [(row.step, row.buckets, row.run) for row in reports] == [
        ("filter", 3, 3),
        ("move_labels", 3, 3),
    ]
    assert asked.count(calibration_file(NAME)) == reads
    for job in jobs(store, recipe):
        sure = {row.clip_key: row.labels.key.confidence for row in annotations_in_force(job)}
        moved = {row.sample_key: row.labels.key.confidence for row in MOVED_LABELS.read(job)}
        assert {clip: moved[f"{clip}-orig"] for clip in sure} == sure
