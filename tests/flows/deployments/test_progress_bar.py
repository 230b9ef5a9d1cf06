"""The progress artifact of a chain of steps: all of them together, never back."""

import time
from uuid import uuid4

import pytest

from flows.deployments import artifacts
from flows.deployments.artifacts import StepProgressBar


def test_the_steps_of_a_chain_are_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[float, str]] = []

    def note(percent: float, *, key: str, description: str) -> object:
        shown.append((percent, description))
        return uuid4()

    monkeypatch.setattr(artifacts, "create_progress_artifact", note)
    monkeypatch.setattr(
        artifacts,
        "update_progress_artifact",
        lambda _id, progress, description: shown.append((progress, description)),
    )
    now = iter(range(0, 100, 10))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(now)))
    bar = StepProgressBar("music", "annotate,filter")
    for step, done in (("annotate", 0), ("filter", 0), ("annotate", 3), ("filter", 1)):
        bar.show(step, done, 4)
    assert shown[1:] == [
        (0.0, "annotate,filter: 0 of 8"),
        (37.5, "annotate,filter: 3 of 8"),
        (50.0, "annotate,filter: 4 of 8"),
    ]
