"""What the terminal says of a build, and while it runs."""

import io
import re

import pytest

from flows.build.order import STEPS
from flows.build.run_stage import StepProgress
from flows.screens.terminal import Screen, print_dataset, watching
from schemas.dataset import Dataset

NOTHING_WRITTEN = {
    "name": "airs",
    "obbligato": "0",
    "schema_version": 6,
    "inputs": {"in": 1, "used": 1},
    "samples": {"planned": 1005, "written": 1002, "rejected": 0, "dead": 3},
    "splits": {},
    "stages": {"caption": {"samples": 1002}},
    "groups": {},
    "licences": {"distinct": 0, "sources": {}, "tools": {}},
    "tools": {},
    "pseudo_labels": None,
    "latents": None,
    "agreement": {},
    "shards": (),
}


def summary(capsys: pytest.CaptureFixture[str], **fields: object) -> str:
    print_dataset(Dataset.model_validate({**NOTHING_WRITTEN, **fields}), "corpus")
    return capsys.readouterr().out


def test_samples_without_a_caption_are_counted_and_the_knobs_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    counts = {"caption": {"samples": 1002, "uncaptioned": 437}}
    assert (
        "without a caption: 437 of 1002 (44 %): no label is sure enough "
        "(caption.min_…_confidence), and their sources have no words\n"
    ) in summary(capsys, stages=counts)
    assert "without a caption" not in summary(capsys)
    assert "without a caption" not in summary(capsys, stages={})


def test_what_was_rejected_comes_with_the_command_that_says_why(
    capsys: pytest.CaptureFixture[str],
) -> None:
    samples = {"planned": 3, "written": 1, "rejected": 2, "dead": 0}
    assert "obbligato dead ls corpus --rejected\n" in summary(capsys, samples=samples)
    assert "dead ls" not in summary(capsys)


def test_bars_of_progress_stand_below_each_other_whatever_the_step() -> None:
    shown, screen = io.StringIO(), Screen()
    screen.file, screen._force_terminal, screen.width = shown, True, 100
    screen._height = len(STEPS) + 5
    with watching(screen) as watch:
        for name in STEPS:
            watch(StepProgress(name, 1, 1))
    lines = re.sub(r"\x1b\[[\d;?]*\w", "", shown.getvalue()).splitlines()
    starts = {line.partition("━")[0] for line in lines if "━" in line}
    assert {start.strip() for start in starts} == set(STEPS)
    assert len({len(start) for start in starts}) == 1
