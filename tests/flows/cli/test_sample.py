"""`obbligato sample`: parts, sections, tables of prompts, and what is heard."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import obbligato as library
import pytest

from flows.build.recipe_files import overridden
from flows.models import playing
from flows.models.sampling import untaken_notes
from pipelines.labels.agreement import majmin_overlap
from schemas.labels import Chords
from schemas.recipe import Recipe
from tests.support.running import obbligato
from tests.training.runs import NET, corpus, recipe
from training.conditions import CONTROLS
from training.evaluation.folders import read_folder
from training.generation.write import GeneratedPiece
from training.run.loop import train
from training.timed_controls.asked import asked_piece
from training.timed_controls.options import ControlOptions

PLAIN = [
    f"annotate.{name}=tests.support.plug_ins.plain_annotator" for name in ("beats", "chords", "key")
]


def silent(_: str) -> None:
    """A run whose lines nobody reads."""


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def model(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that takes every control, in frame rows."""
    out = tmp_path_factory.mktemp("rows")
    net = NET.replaced(controls=(), rows=CONTROLS)
    train(recipe(shards, run__steps=1, sampling__steps=2).replaced(model=net), str(out), silent)
    return out


def piece(file: str) -> GeneratedPiece:
    return GeneratedPiece.model_validate_json(Path(file).with_suffix(".json").read_text())


def answer(*arguments: object, status: int = 0) -> tuple[dict[str, Any], str]:
    output = obbligato("sample", *arguments, "--json")
    assert output.returncode == status, output.stderr
    return json.loads(output.stdout), output.stderr


def test_what_is_asked_by_parts_stands_beside_the_sound(model: Path, tmp_path: Path) -> None:
    found, told = answer(
        "A flute", "--model", model, "--out", tmp_path, "--seconds", 2, "--bpm", 120,
        "--chords", "0-1: Am", "--melody", "C4 E4", "--intensity", "0:-30 1:-20", "--density", 4,
        "--key", "0-1: A minor; 1-2: C major",
    )  # fmt: skip
    [file] = found["files"]
    made = piece(file)
    assert made.known["chords"][0].end_s == 1.0  # type: ignore[index]  # by its name
    assert made.curves.melody == (0,) * 5 + (4,) * 5 + (None,) * 10
    assert made.curves.dynamics_db[:2] == (-29.5, -28.5)
    assert made.curves.onsets_per_s == (4.0,) * 20
    assert [one.key.name for one in made.keys] == ["A minor", "C major"]
    assert made.heard is None
    assert "chords Am 0–1 s (flag)" in found["controls"]
    assert "note: chords asked for 0–1 s: the rest is the model's own" in told


def test_a_model_that_does_not_take_a_control_says_so() -> None:
    asked = asked_piece("", ControlOptions(melody="C4", chords="0-1: Am"), duration_s=2)
    assert untaken_notes(asked, NET.replaced(rows=())) == (  # beats and chords, as tokens
        "note: this model takes no melody: what is asked for is in the text at most",
        "note: this model takes chords for all of the time alone: what is asked for in parts is "
        "all that it is given",
    )
    assert untaken_notes(asked, NET.replaced(rows=CONTROLS, controls=())) == ()


def test_sections_give_the_length_and_one_text(model: Path, tmp_path: Path) -> None:
    found, _ = answer(
        "--model", model, "--out", tmp_path,
        "--section", "0-1: A flute; chords=Am", "--section", "1-2.5: Drums; bpm=180",
    )  # fmt: skip
    made = piece(found["files"][0])
    assert made.prompt == "A flute. Drums."
    assert made.labels.duration_s == 2.5
    assert made.labels.chords.segments[0].label == "A:min"


def test_a_table_is_played_row_by_row_and_its_bad_rows_are_named(
    model: Path, tmp_path: Path
) -> None:
    (tmp_path / "song.lab").write_text("0 1 A:min\n1 2 F:maj\n")
    (tmp_path / "outside.lab").write_text("0 1 C\n")
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "in.lab").write_text("0 1 D:min\n1 2 G:7\n")
    table = tmp_path / "table" / "asked.csv"
    table.write_text(
        "caption,bpm,key,chords,seconds,seed,mood\n"
        "A flute,90,A minor,Am F,2,,calm\n"
        "Drums,,,in.lab,1.5,7,\n"
        "A harp,,,H7,,,\n"
        "A harp,,,../outside.lab,,,\n"
        "A harp,fast,,,,,\n"
        ",90,,,,,\n"
        "A horn in C major,,,,,,\n"
    )
    out = tmp_path / "out"
    found, told = answer(
        "--from", table, "--model", model, "--out", out, "--meter", "3/4", status=1
    )
    assert found["rows"] == [2, 3, 8]
    reasons = {one["row"]: one["reason"] for one in found["failed"]}
    assert list(reasons) == [4, 5, 6, 7]
    assert "'H7' (the 1st) is not a chord" in reasons[4]
    assert "lies outside of the table's folder" in reasons[5]
    assert reasons[6] == "bpm 'fast' is not a number of beats per minute"
    assert reasons[7].startswith("has no caption")
    assert f"{table}, row 4: --chords" in told
    assert "columns that are not read: mood" in told
    assert [Path(file).name for file in found["files"]] == [
        "a-flute-0-2.flac", "drums-7-3.flac", "a-horn-in-c-major-0-8.flac",
    ]  # fmt: skip
    assert [piece(file).labels.duration_s for file in found["files"]] == [2, 1.5, 2]
    with Path(found["manifest"]).open() as opened:
        rows = list(csv.DictReader(opened))
    assert [row["chords"] for row in rows] == ["A:min F:maj", "D:min G:7", ""]
    assert [(row["bpm"], row["key"], row["meter"]) for row in rows] == [
        ("90", "A minor", "3"), ("", "", "3"), ("", "", "3"),
    ]  # fmt: skip
    clips = read_folder(out).made
    assert [clip.requested.chords for clip in clips] == [
        ("A:min", "F:maj"), ("D:min", "G:7"), (),
    ]  # fmt: skip
    assert clips[2].requested.key is not None  # the caption's
    assert clips[0].requested.meter == 3


def test_wrong_usage_is_said_before_a_model_is_loaded(tmp_path: Path) -> None:
    table = tmp_path / "prompts.csv"
    table.write_text("caption\nA flute\n")
    for arguments, problem in (
        ((), "nothing to play"),
        (("A flute", "--from", table), "write the caption into the table"),
    ):
        output = obbligato("sample", *arguments, "--model", "nowhere")
        assert output.returncode == 2
        assert problem in output.stderr


@pytest.mark.parametrize(
    ("name", "text", "status", "problem"),
    [
        ("prompts.csv", "caption\nA flute\n", 2, "would be replaced by the manifest"),
        ("bad.txt", "A flute\n", 2, "is not a table that is there"),
        ("none.csv", "caption\n", 1, "has no rows"),
        ("bad.csv", "caption,bpm\nA flute,9\n", 1, "none of its 1 rows can be played; row 2: "),
        ("bad.csv", "caption\n" + 10_001 * "A\n", 1, "has more than 10000 rows"),
    ],
)
def test_tables_that_cannot_be_played_are_refused(
    model: Path, tmp_path: Path, name: str, text: str, status: int, problem: str
) -> None:
    (tmp_path / name).write_text(text)
    output = obbligato("sample", "--from", tmp_path / name, "--model", model, "--out", tmp_path)
    assert output.returncode == status
    assert problem in output.stderr


def test_what_is_heard_stands_beside_what_was_asked(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(playing, "Recipe", lambda: overridden(Recipe(), PLAIN))
    found, told = answer("A flute", "--model", model, "--out", tmp_path, "--chords", "C", "--heard")
    [heard] = found["heard"]
    made = piece(found["files"][0])
    assert made.heard is not None
    assert made.heard.model_dump(mode="json") == heard
    overlap = majmin_overlap(made.labels.chords, Chords.model_validate(heard["chords"])) or 0.0
    assert f"chords as asked for {overlap:.0%} of the time by root and third" in told


def test_python_asks_as_the_command_line_does(model: Path, tmp_path: Path) -> None:
    asked = {"chords": "0-1: Am", "melody": "C4 E4", "intensity": -20, "beats": "0-: 120"}
    made = library.sample("A flute", model=model, seconds=2, **asked)  # type: ignore[arg-type]
    again = library.sample("A flute", model=model, seconds=2, **asked)  # type: ignore[arg-type]
    other = library.sample("A flute", model=model, seconds=2, **asked | {"intensity": -40})  # type: ignore[arg-type]
    assert np.array_equal(made.wave, again.wave)
    assert made.labels.tempo.bpm == 120
    assert [one.label for one in made.labels.chords.segments] == ["A:min", "N"]
    assert made.labels == other.labels
    parts = library.sample("", model=model, sections=["0-1: A flute; chords=Am", "1-2: Drums"])
    assert len(parts.wave) == 2 * parts.rate_hz
