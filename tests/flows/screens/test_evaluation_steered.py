"""A steered piece on the page: asked over heard, joins, forms; and what its lead sheet may say."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from flows.screens.evaluation_steered import steered_part
from schemas.controls import AudioControls
from tests.support.clip_reports import clip_report
from tests.support.heard_labels import heard_labels, laid_out
from training.evaluation.folders import read_folder
from training.evaluation.report import ClipReport
from training.evaluation.steered.views import SteeredView, outline
from training.generation.steered_facts import SteeredFacts
from training.metrics.controls import PromptControls
from training.metrics.timing import AskedCurves, Timing
from training.steering.asked import SteerAim
from training.timed_controls.steer_options import SteerWay

FACTS = SteeredFacts(
    ways={SteerAim.INTENSITY: SteerWay.OPTIMISE, SteerAim.MELODY: SteerWay.CONDITION},
    tries=70,
    new_s=(2.0, 8.0),
    joins_s=(2.0,),
    form="ABA",
    form_asked=((1.0, 0.0), (0.0, 1.0)),
    near=("intensity: 2 dB <off>",),
)


def clip(facts: SteeredFacts = FACTS) -> ClipReport:
    labels = heard_labels(laid_out(("C:maj", "F:maj", "G:maj", "C:maj")))
    frames = round(labels.duration_s * 10)
    heard = AudioControls(
        dynamics_db=(-30.0,) * frames,
        melody=(4,) * frames,
        loudness_lufs=-20,
        onsets_per_s=2,
        music_share=1,
        speech_share=0,
        noise_share=0,
        silence_share=0,
    )
    asked = AskedCurves(
        dynamics_db=(-20.0,) * 10 + (None,) * 10 + (-60.0,) * 20, melody=(0,) * 10 + (12,) * 10
    )
    view = SteeredView(outline=(0.5,) * 450, form=((1.0, 0.5), (0.5, 1.0)))
    made = clip_report("one", PromptControls(), Timing(), labels)
    return made.replaced(curves=asked, controls=heard, steered=facts, view=view)


def test_asked_curves_lie_under_heard_ones_at_their_times() -> None:
    shown = clip()
    part = steered_part(shown, FACTS)
    asked = re.findall(r'<polyline class="curve asked" points="([^"]*)"', part)
    [heard] = re.findall(r'<polyline class="curve heard" points="([^"]*)"', part)
    assert len(asked) == 2  # where nothing is asked nothing is drawn
    assert part.index("curve asked") < part.index("curve heard")
    span_s = shown.labels.duration_s
    first = [float(one) for one in asked[0].split()[0].split(",")]
    assert first[0] == pytest.approx(56 + 900 * 0.05 / span_s, abs=0.1)
    assert first[1] < float(heard.split()[0].split(",")[1])  # -20 dB is above -30
    assert part.count('class="tone asked"') == 1
    assert part.count('class="tone heard"') == 1
    x = round(56 + 900 * 2 / span_s, 1)
    assert f'<line class="join" x1="{x}" x2="{x}"' in part
    assert part.count('class="own"') == (2 if span_s > 8.1 else 1)


def test_ways_figures_and_forms_are_said_and_escaped() -> None:
    part = steered_part(clip(), FACTS)
    assert "intensity by optimise, 70 tries at most · melody by condition" in part
    assert "<li>intensity: 2 dB &lt;off&gt;</li>" in part
    assert "form asked ABA" in part
    assert part.count("data:image/png;base64,") == 2
    none = clip(FACTS.replaced(form="", form_asked=()))
    assert none.steered is not None
    assert "data:image" not in steered_part(none, none.steered)


def test_an_outline_is_the_highest_of_each_column() -> None:
    wave = np.zeros(4500, np.float32)
    wave[25] = -0.75
    assert outline(wave)[:4] == (0.0, 0.0, 0.75, 0.0)


def test_a_lead_sheet_of_ours_gives_curves_and_steering_and_a_broken_one_nothing(
    tmp_path: Path,
) -> None:
    sheet = {
        "prompt": "A flute",
        "curves": {"dynamics_db": [-20.0, None], "melody": [], "rate_hz": 10.0},
        "steered": FACTS.model_dump(mode="json"),
    }
    (tmp_path / "a.flac").write_bytes(b"sound")
    (tmp_path / "a.json").write_text(json.dumps(sheet))
    (tmp_path / "b.flac").write_bytes(b"sound")
    (tmp_path / "b.json").write_text(json.dumps(sheet | {"steered": {"new_s": [0, "x"]}}))
    one, other = read_folder(tmp_path).made
    assert one.steered == FACTS
    assert one.curves == AskedCurves(dynamics_db=(-20.0, None))
    assert (other.steered, other.curves) == (None, None)
    (tmp_path / "prompts.csv").write_text("file,caption\na.flac,A flute\n")
    [row] = read_folder(tmp_path).made
    assert row.steered == FACTS


@pytest.mark.parametrize("matrix", [((1.0, 0.0),), ((1.0,) * 41,) * 41])
def test_a_form_that_is_not_a_small_square_is_refused(
    matrix: tuple[tuple[float, ...], ...],
) -> None:
    with pytest.raises(ValidationError, match="not a square of 40 cells"):
        SteeredFacts(new_s=(0, 1), form_asked=matrix)
