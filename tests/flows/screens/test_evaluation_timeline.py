"""Tables of what is judged by the asked timeline, as a page and a terminal show them."""

import pytest

from flows.screens.evaluation import print_report
from flows.screens.evaluation_timeline import comparison_table, swap_tables, timeline_table
from tests.support.clip_reports import clip_report, report_of
from tests.support.heard_labels import heard_labels, laid_out
from training.evaluation.report import CeilingCounts, Comparison, EvaluationReport
from training.metrics.controls import PromptControls
from training.metrics.timing import timing_of

FOUR = ("C:maj", "A:min", "F:maj", "G:maj")


@pytest.fixture
def report() -> EvaluationReport:
    """A clip that plays its chords, one that plays the other's, and what recordings get."""
    true, turned = (heard_labels(laid_out(one)) for one in (FOUR, FOUR[::-1]))
    asked = PromptControls(chords=FOUR), PromptControls(chords=FOUR[::-1])
    found = report_of(
        [
            clip_report("one", asked[0], timing_of(true), true),
            clip_report("one-back", asked[1], timing_of(turned), turned, swap_of="one"),
        ]
    )
    timeline = [
        one.replaced(recordings=0.9, codec=0.875 if one.name == "chord overlap, root" else None)
        for one in found.timeline
    ]
    row = Comparison(
        name="PCM",
        meaning="all",
        cases=9,
        both=1,
        first_alone=6,
        second_alone=1,
        neither=1,
        p=0.125,
    )
    return found.replaced(
        timeline=tuple(timeline),
        ceilings=CeilingCounts(recordings=3, codec=2, codec_name="mel <1>"),
        compared_with="<theirs>",
        compared=(row,),
    )


def test_a_page_shows_chance_and_ceilings_beside_each_figure(report: EvaluationReport) -> None:
    table = timeline_table(report)
    [row] = [one for one in table.split("<tr>") if "chord overlap, root<" in one]
    assert "<td class=number>100.0</td>" in row  # its value
    assert "<td class=number>90.0</td><td class=number>87.5</td>" in row
    assert "3 samples whose prompts these are" in table
    assert "2 round trips of them through mel &lt;1&gt;" in table
    assert "<th class=number>codec</th>" not in timeline_table(report.replaced(ceilings=None))
    assert timeline_table(report.replaced(timeline=())) == ""


def test_a_page_says_how_swaps_are_judged(report: EvaluationReport) -> None:
    assert report.swaps is not None
    table = swap_tables(report.swaps, report.ceilings)
    assert "chords reversed <span class=soft>1 pair</span>" in table
    assert "<td>followed by root and third</td>" in table
    assert "for which chance is 50 %" in table  # of recordings
    assert "for which chance is 50 %" not in swap_tables(report.swaps)


def test_another_system_is_named_and_escaped(report: EvaluationReport) -> None:
    table = comparison_table(report)
    assert "Beside &lt;theirs&gt;" in table
    assert "<td class=number>6</td><td class=number>1</td>" in table
    assert comparison_table(report.replaced(compared=())) == ""


def test_the_terminal_says_the_same(
    report: EvaluationReport, capsys: pytest.CaptureFixture[str]
) -> None:
    print_report(report)
    shown = " ".join(capsys.readouterr().out.split())
    assert "swap of chords reversed: followed in 100 % of 1" in shown
    assert "by root and third, chance 50 %" in shown
    assert "PCM: 7 of 9 right, 2 by <theirs>; McNemar's p 0.125" in shown
