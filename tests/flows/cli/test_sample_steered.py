"""`obbligato sample` beside a recording, in a loop, by words and with a form."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import obbligato as library
import pytest
import soundfile

from flows.build.recipe_files import overridden
from flows.models import playing, sampling
from pipelines.synthesis.compose import compose
from pipelines.synthesis.render import render
from schemas.recipe import Recipe
from tests.support.running import obbligato
from tests.training.runs import NET, corpus, recipe
from training.conditions import CONTROLS
from training.generation.write import GeneratedPiece
from training.run.loop import train
from training.samplers.config import SamplingConfig

PLAIN = [
    f"annotate.{name}=tests.support.plug_ins.plain_annotator" for name in ("beats", "chords", "key")
]
RATE = 16_000


def silent(_: str) -> None:
    """A run whose lines nobody reads."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that is told chords and beats, but no curves; it plays two seconds at once."""
    folder = tmp_path_factory.mktemp("model")
    rows = tuple(one for one in CONTROLS if one in ("beats", "chords", "key"))
    net = NET.replaced(controls=(), rows=rows)
    made = recipe(corpus(folder / "shards"), run__steps=1, sampling__steps=2).replaced(model=net)
    train(made, str(folder / "run"), silent)
    return folder / "run"


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("song") / "song.flac"
    soundfile.write(file, render(compose(0, 0), RATE)[RATE : 5 * RATE], RATE)
    return file


@pytest.fixture(autouse=True)
def plain_ears(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (playing, sampling):
        monkeypatch.setattr(module, "Recipe", lambda: overridden(Recipe(), PLAIN))


def played(model: Path, out: Path, *arguments: object) -> tuple[GeneratedPiece, "np.ndarray", Any]:
    output = obbligato("sample", *arguments, "--model", model, "--out", out, "--json")
    assert output.returncode == 0, output.stderr
    answer = json.loads(output.stdout)
    [file] = answer["files"]
    sheet = GeneratedPiece.model_validate_json(Path(file).with_suffix(".json").read_text())
    wave, _ = soundfile.read(file, dtype="float32")
    assert sheet.labels.duration_s == pytest.approx(len(wave) / RATE, abs=1e-3)
    assert answer["labels"]["duration_s"] == pytest.approx(len(wave) / RATE, abs=1e-3)
    return sheet, wave, answer


def test_a_recording_goes_on_as_it_is(model: Path, song: Path, tmp_path: Path) -> None:
    sheet, wave, answer = played(model, tmp_path, "--continue", song, "--seconds", 2)
    before, _ = soundfile.read(song, dtype="float32")
    assert len(wave) == len(before) + 2 * RATE
    assert np.abs(wave[: len(before) - 960] - before[:-960]).max() < 1e-4
    assert sheet.steered is not None
    assert sheet.steered.new_s == (4.0, 6.0)
    assert sheet.steered.joins_s[0] == 4.0
    assert "tempo 120 BPM (the recording)" in answer["controls"]
    # beats of the recording, half a second apart, and those that go on in the same places
    times_s = np.array(sheet.labels.beats.times_s)
    assert (times_s >= 4).sum() == 4
    assert (times_s * 2 % 1 < 0.01).all()
    assert any(line.startswith("join at 4.00 s") for line in answer["near"][0])


def test_a_gap_is_filled_and_nothing_else(model: Path, song: Path, tmp_path: Path) -> None:
    sheet, wave, _ = played(model, tmp_path, "--fill", "1.5-2", "--of", song)
    before, _ = soundfile.read(song, dtype="float32")
    apart = np.abs(wave - before) > 1e-3
    assert len(wave) == len(before)
    assert apart[24_000:32_000].mean() > 0.9
    assert not apart[: 24_000 - 960].any()
    assert not apart[32_960:].any()
    assert sheet.steered is not None
    assert sheet.steered.joins_s == (1.5, 2.0)


def test_a_loop_is_whole_bars(model: Path, tmp_path: Path) -> None:
    sheet, wave, answer = played(
        model, tmp_path, "A flute", "--loop", "--bpm", 150, "--meter", "4/4"
    )
    assert len(wave) == round(1.625 * RATE)
    assert sheet.labels.tempo.bpm == pytest.approx(4 * 60 / 1.625, abs=0.01)
    assert sheet.steered is not None
    assert sheet.steered.loop
    assert "note: 1 bars at 147.7 BPM go round in 1.625 s" in answer["controls"]


def test_curves_of_words_and_recordings_and_a_form_are_led_to(
    model: Path, song: Path, tmp_path: Path
) -> None:
    sheet, _, answer = played(
        model, tmp_path, "A flute", "--intensity", "quiet loud", "--melody", song, "--form", "ABA",
        "--iterations", 1,
    )  # fmt: skip
    assert sheet.steered is not None
    assert sheet.steered.ways == dict.fromkeys(("intensity", "melody", "form"), "optimise")
    assert sheet.curves.dynamics_db[0] == pytest.approx(-33.55)
    assert len(sheet.curves.melody) == 20
    assert isinstance(sheet.sampling, SamplingConfig)
    assert sheet.sampling.steps == 2
    assert "intensity by optimise" in answer["controls"]
    assert [line.partition(":")[0] for line in answer["near"][0]] == ["intensity", "melody", "form"]


def test_what_does_not_go_together_is_said_before_a_model_is_loaded(tmp_path: Path) -> None:
    for arguments, problem in (
        (("--fill", "1-2"), "name the recording with --of"),
        (("--continue", "a.flac", "--loop"), "--continue stands alone"),
        (("--of", "a.flac"), "say what of it"),
    ):
        output = obbligato("sample", "A", *arguments, "--model", tmp_path / "nowhere")
        assert output.returncode == 2
        assert problem in output.stderr


def test_recordings_and_forms_that_cannot_be_used_are_named(
    model: Path, song: Path, tmp_path: Path
) -> None:
    noise = tmp_path / "noise.flac"
    noise.write_bytes(b"nothing")
    for arguments, problem in (
        (("--continue", tmp_path / "no.flac"), "is not a file"),
        (("--continue", noise), "cannot be heard"),
        (("--fill", "3-9", "--of", song), "is not a part of a recording of 4 s"),
        (("--form", "A1"), "is not a form"),
        (("--form", "AB", "--by", "condition"), "no net is told a form"),
    ):
        output = obbligato("sample", "A", *arguments, "--model", model, "--out", tmp_path)
        assert output.returncode == 1
        assert problem in output.stderr


def test_rows_of_a_table_go_on_and_loop(model: Path, song: Path, tmp_path: Path) -> None:
    table = song.parent / "rows.csv"
    table.write_text(
        "caption,seconds,continue,loop,form\n"
        ",0.5,song.flac,,\n"
        "A flute,,,yes,\n"
        "A flute,,../other.flac,,\n"
        "A flute,,,perhaps,\n"
    )
    output = obbligato("sample", "--from", table, "--model", model, "--out", tmp_path, "--json")
    assert output.returncode == 1
    found = json.loads(output.stdout)
    assert found["rows"] == [2, 3]
    reasons = {one["row"]: one["reason"] for one in found["failed"]}
    assert "lies outside of the table's folder" in reasons[4]
    assert reasons[5] == "loop 'perhaps' is neither yes nor no"
    sheets = [
        GeneratedPiece.model_validate_json(Path(file).with_suffix(".json").read_text())
        for file in found["files"]
    ]
    assert [sheet.steered.loop for sheet in sheets if sheet.steered] == [False, True]
    assert sheets[0].labels.duration_s == 4.5


def test_python_goes_on_as_the_command_does(model: Path, song: Path, tmp_path: Path) -> None:
    _, wave, _ = played(model, tmp_path, "A", "--continue", song, "--seconds", 0.5)
    made = library.sample("A", model=model, going_on_from=song, seconds=0.5)
    assert np.abs(made.wave - wave).max() < 1e-3
    assert made.near
    assert made.labels.duration_s == 4.5
