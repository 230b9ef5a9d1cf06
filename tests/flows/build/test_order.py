"""The order of the steps, and the names that an earlier version had for some of them."""

import pytest

from flows.build.order import ALL_STEPS, MARKED, RENAMED, STEPS, step_name, steps_of
from flows.build.recipe_files import overridden
from flows.errors import UsageError
from pipelines.engine.stage import Stage
from pipelines.stages.labels.annotate import STAGE
from schemas.recipe import Recipe


def test_steps_are_taken_in_this_order() -> None:
    assert tuple(STEPS) == (
        "list_inputs",
        "probe",
        "cut",
        "assign_buckets",
        "annotate",
        "embed_audio",
        "near_duplicates",
        "filter",
        "vary",
        "mix",
        "move_labels",
        "encode",
        "caption",
        "paraphrase",
        "embed_paraphrases",
        "dedup_paraphrases",
        "gather_vocabulary",
        "embed_vocabulary",
        "index_vocabulary",
        "match_texts",
        "text_frequencies",
        "label",
        "pack",
        "verify",
        "close",
    )


def test_a_recipe_leaves_out_what_it_does_not_ask_for() -> None:
    left_out = {step.name for step in ALL_STEPS} - set(steps_of(Recipe()))
    assert left_out == {
        "embed_audio",
        "near_duplicates",
        "mix",
        "encode",
        "gather_vocabulary",
        "embed_vocabulary",
        "index_vocabulary",
        "match_texts",
        "text_frequencies",
        "label",
    }


def test_an_old_name_of_a_step_is_taken_and_the_new_one_told() -> None:
    lines: list[str] = []
    assert step_name("weigh", lines.append) == "text_frequencies"
    assert lines == ["step weigh is called text_frequencies now"]
    assert step_name("pack", lines.append) == "pack"
    assert len(lines) == 1
    assert not RENAMED.keys() & STEPS.keys()
    assert set(RENAMED.values()) <= STEPS.keys()


def test_an_unknown_step_is_refused_with_all_names() -> None:
    with pytest.raises(UsageError, match="sing is not a step: expected list_inputs, probe, cut"):
        step_name("sing", print)


def test_an_old_section_is_refused_with_its_new_name() -> None:
    with pytest.raises(
        UsageError, match=r"section near is called near_duplicates now: write \[near_duplicates\]"
    ):
        overridden(Recipe(), ["near.find=true"])
    assert overridden(Recipe(), ["near_duplicates.find=true"]).finds_copies


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("annotate.beat=a", r"annotate\.beat is not a knob; did you mean annotate\.beats\? `obb"),
        ("anotate.beats=a", r"anotate is not a section; did you mean annotate\? `obb"),
        ("annotate.qqq=a", r"annotate\.qqq is not a knob\. `obb"),
    ],
)
def test_an_unknown_knob_is_refused_with_the_name_that_may_be_meant(
    setting: str, problem: str
) -> None:
    with pytest.raises(UsageError, match=f"^recipe: {problem}"):
        overridden(Recipe(), [setting])


def test_a_stage_that_names_a_knob_that_no_recipe_has_is_refused() -> None:
    with pytest.raises(ValueError, match=r"stage odd: no recipe has a knob annotate\.loudness"):
        Stage(name="odd", version=1, writes=STAGE.writes, knobs=("annotate.loudness",))


def test_folders_with_markers_are_those_of_the_steps() -> None:
    assert {"listing", "clips", "ledger", "twins", "moved_labels", "vocabulary", "shards"} <= set(
        MARKED
    )
    assert not {"assigned", "vocabulary_index", "versions"} & set(MARKED)
    assert len(MARKED) == len(set(MARKED))


def test_what_a_stage_writes_is_divided_alike() -> None:
    for step in ALL_STEPS:
        if isinstance(step, Stage):
            assert {output.partition for output in step.writes} == {step.partition}, step.name
