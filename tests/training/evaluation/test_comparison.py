"""A report beside another of the same prompts."""

import json

import pytest

from schemas.pitch import Key
from tests.support.clip_reports import clip_report, report_of
from tests.support.heard_labels import heard_labels
from training.errors import TrainingError
from training.evaluation.comparison import read_report, with_comparison
from training.evaluation.report import ClipReport, EvaluationReport
from training.metrics.controls import PromptControls
from training.metrics.mcnemar import mcnemar
from training.metrics.timing import Timing

C, F_SHARP = (PromptControls(key=Key.parse(name)) for name in ("C major", "F# minor"))


def clips(heard: dict[str, tuple[str, str]]) -> list[ClipReport]:
    """Prompts in C, each with its swap to F sharp minor; the keys heard in both."""
    found = []
    for name, (own, swapped) in heard.items():
        found.append(clip_report(name, C, Timing(), heard_labels(key=own)))
        found.append(
            clip_report(f"{name}-key", F_SHARP, Timing(), heard_labels(key=swapped), swap_of=name)
        )
    return found


RIGHT, WRONG = ("C major", "F# minor"), ("D major", "D major")


def test_systems_are_compared_case_by_case() -> None:
    ours = report_of(clips({str(at): RIGHT for at in range(6)}))
    theirs = report_of(clips({"0": RIGHT, **{str(at): WRONG for at in range(1, 6)}}), "theirs")
    found = with_comparison(ours, theirs)
    assert found.compared_with == "theirs"
    by_name = {one.name: one for one in found.compared}
    assert set(by_name) == {"CK", "CKD", "swap: key"}
    for one in (by_name["CK"], by_name["swap: key"]):
        assert (one.cases, one.both, one.first_alone, one.second_alone, one.p) == (
            6,
            1,
            5,
            0,
            0.0625,
        )
    assert {one.p for one in with_comparison(ours, ours).compared} == {1.0}


def test_only_prompts_of_both_are_compared() -> None:
    ours = report_of(clips({"0": RIGHT, "1": RIGHT}))
    theirs = report_of(clips({"1": WRONG, "2": RIGHT}), "theirs")
    assert {one.cases for one in with_comparison(ours, theirs).compared} == {1}
    with pytest.raises(TrainingError, match="no prompt in common"):
        with_comparison(ours, report_of(clips({"3": RIGHT})))


def test_an_exact_p_is_that_of_the_binomial() -> None:
    assert mcnemar([(True, False)] * 6 + [(False, True)]).p == pytest.approx(2 * 8 / 128)
    assert mcnemar([]).p == mcnemar([(True, True)]).p == 1.0


def test_a_report_is_read_again_and_an_older_one_refused() -> None:
    written = report_of(clips({"0": RIGHT})).model_dump_json()
    assert isinstance(read_report(written.encode(), "report.json"), EvaluationReport)
    older = json.dumps(json.loads(written) | {"version": 2}).encode()
    with pytest.raises(TrainingError, match=r"of version 2.*evaluate again"):
        read_report(older, "report.json")
    with pytest.raises(TrainingError, match=r"x\.json is not a report\.json"):
        read_report(b"{}", "x.json")
