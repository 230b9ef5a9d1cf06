"""What is asked for by parts and sections, up to the frame rows that a net is given."""

from pathlib import Path

import numpy as np
import pytest

from schemas.pitch import Key
from training.conditions import Condition
from training.conditions.clip_controls import KeySpan, Span
from training.conditions.rows import FrameGrid, frame_rows
from training.errors import TrainingError
from training.timed_controls.asked import asked_piece
from training.timed_controls.files import HERE, AllowedFiles
from training.timed_controls.options import ControlOptions
from training.timed_controls.piece import piece_of
from training.timed_controls.sections import read_sections

A_MINOR, C_MAJOR = Key.parse("A minor"), Key.parse("C major")
TWO = ("0-4: A calm flute; chords=Am F; key=A minor", "6-8: Loud drums at 120 BPM in C major")


def known_frames(controls: object, condition: Condition, frames: int) -> list[float]:
    rows = frame_rows(controls, FrameGrid(frames, 1.0), [condition], sure=True)  # type: ignore[arg-type]
    return rows[:, -1].tolist()  # type: ignore[no-any-return]


def test_what_is_asked_for_a_part_of_the_time_is_known_there_alone() -> None:
    options = ControlOptions(
        bpm=60, chords="2-4: Am; 6-: C", melody="1-3: E4:2", intensity="0:-30 2:-15",
        density="4-: 5", key="0-4: A minor; 4-8: C major",
    )  # fmt: skip
    controls = asked_piece("", options, duration_s=8).controls
    assert known_frames(controls, Condition.CHORDS, 8) == [0, 0, 1, 1, 0, 0, 1, 1]
    assert known_frames(controls, Condition.MELODY, 8) == [0, 1, 1, 0, 0, 0, 0, 0]
    assert known_frames(controls, Condition.DYNAMICS, 8) == [1, 1, 0, 0, 0, 0, 0, 0]
    assert known_frames(controls, Condition.ONSETS, 8) == [0, 0, 0, 0, 1, 1, 1, 1]
    assert known_frames(controls, Condition.BEATS, 8) == [1] * 8
    rows = frame_rows(controls, FrameGrid(8, 1.0), [Condition.KEY], sure=True)
    assert rows[:, 12 + 9].tolist() == [1, 1, 1, 1, 0, 0, 0, 0]  # the tonic A
    assert rows[:, 12].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert np.allclose(rows[:, :12].sum(1), 7)


def test_a_key_for_a_part_of_the_time_is_known_there_alone() -> None:
    controls = asked_piece("", ControlOptions(key="0-4: A minor"), duration_s=8).controls
    assert controls.known[Condition.KEY] == (Span(0.0, 4.0),)
    assert known_frames(controls, Condition.KEY, 8) == [1, 1, 1, 1, 0, 0, 0, 0]
    assert controls.labels.key.key == A_MINOR


def test_chords_of_a_file_give_the_key_and_leave_the_beats_to_the_model(tmp_path: Path) -> None:
    lab = tmp_path / "a.lab"
    lab.write_text("0.3 2.3 C:maj\n2.3 4.3 G:7\n4.3 8 C:maj\n")
    piece = asked_piece("", ControlOptions(chords=str(lab)), duration_s=8)
    assert piece.controls.known[Condition.BEATS] == ()
    assert piece.controls.labels.key.key == C_MAJOR
    assert "key C major (chords)" in piece.lines
    stated = asked_piece("At 60 BPM", ControlOptions(chords=str(lab)), duration_s=8).controls
    assert Condition.BEATS not in stated.known
    assert stated.labels.beats.times_s[:2] == (0.3, 1.3)
    notes = tmp_path / "a.csv"
    notes.write_text("0,1,C\n")
    sung = asked_piece("", ControlOptions(melody=str(notes)), duration_s=8).controls
    assert sung.known == {Condition.BEATS: ()}


def test_beats_that_are_asked_for_carry_the_chords(tmp_path: Path) -> None:
    grid = tmp_path / "grid.csv"
    grid.write_text("0,1\n1,2\n2,3\n2.5,1\n3,2\n3.5,3\n4,1\n")
    labels = asked_piece(
        "", ControlOptions(beats=str(grid), chords="Am F"), duration_s=5
    ).controls.labels
    assert [(one.start_s, one.label) for one in labels.chords.segments] == [
        (0.0, "A:min"), (2.5, "F:maj"), (4.0, "A:min"),
    ]  # fmt: skip
    assert labels.meter.beats_per_bar == 3
    with pytest.raises(TrainingError, match="--bpm and --beats both say how fast"):
        asked_piece("", ControlOptions(beats="90", bpm=60), duration_s=5)


def test_sections_are_laid_out_in_their_time_and_joined_in_words() -> None:
    piece = piece_of("Film music", ControlOptions(bpm=60, sections=TWO), duration_s=10)
    controls, labels = piece.controls, piece.controls.labels
    assert piece.prompt == "Film music. A calm flute. Loud drums at 120 BPM in C major."
    assert labels.beats.times_s == (0, 1, 2, 3, 6, 6.5, 7, 7.5)
    assert controls.keys == (KeySpan(0, 4, A_MINOR), KeySpan(6, 8, C_MAJOR))
    between = (Span(0, 4), Span(6, 8))
    assert controls.known == {
        Condition.BEATS: between, Condition.CHORDS: between, Condition.KEY: between,
    }  # fmt: skip
    assert [one.label for one in labels.chords.segments][:1] == ["A:min"]
    assert labels.tempo.confidence == labels.key.confidence == 0.5  # they change: no one is asked
    assert piece.stated == {Condition.BEATS, Condition.CHORDS, Condition.KEY}


def test_a_section_that_says_nothing_has_tempo_and_key_of_the_piece() -> None:
    sections = ("0-4: Calm", "4-8: Loud; chords=Dm A7; intensity=-12", "8-12: Calm again")
    piece = piece_of("", ControlOptions(bpm=90, sections=sections), duration_s=12)
    assert piece.controls.keys == ()
    assert piece.controls.labels.key.key == Key.parse("D minor")
    assert piece.controls.labels.tempo.bpm == 90
    assert piece.controls.labels.tempo.confidence == 1
    assert Condition.BEATS not in piece.controls.known
    assert piece.controls.curves.dynamics_db == (
        *(None,) * 40, *(-12.0,) * 40, *(None,) * 40,
    )  # fmt: skip
    assert "  tempo 90 BPM (the piece)" in piece.lines
    over = piece_of("", ControlOptions(intensity="-30", sections=sections), duration_s=12)
    assert set(over.controls.curves.dynamics_db) == {-30.0}


def test_sections_of_a_file_are_those_of_the_options(tmp_path: Path) -> None:
    (tmp_path / "a.lab").write_text("0 4 A:min\n")
    toml = tmp_path / "a.toml"
    toml.write_text(
        '[[section]]\nend = 4\ncaption = "A calm flute"\nchords = "a.lab"\nbpm = 90\n'
        '[[section]]\nstart = 4\nend = 8\nintensity = "0:-20 4:-10"\n'
    )
    first, second = read_sections([str(toml)], 10, HERE)
    assert (first.span, first.caption, first.options.bpm) == (Span(0, 4), "A calm flute", 90)
    assert first.files == AllowedFiles(tmp_path)
    assert (second.span, second.options.intensity) == (Span(4, 8), "0:-20 4:-10")
    piece = piece_of("", ControlOptions(sections=(str(toml),)), duration_s=8)
    assert piece.controls.labels.chords.segments[0].label == "A:min"
    table = tmp_path / "a.csv"
    table.write_text("start,end,caption,bpm\n0,4,A calm flute,90\n4,,Loud,\n")
    assert [one.span for one in read_sections([str(table)], 10, HERE)] == [Span(0, 4), Span(4, 10)]


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.toml", "[[section]\n", "is not TOML"),
        ("a.toml", "x = 1\n", r"expected tables \[\[section\]\]"),
        ("a.toml", "section = [1]\n", "section 1 is not a table"),
        ("a.toml", "[[section]]\nend = 4\ntempo = 90\n", "section 1: 'tempo' is not known"),
        ("a.toml", f"section = {'[' * 5000}{']' * 5000}\n", "is not TOML|is not a table"),
        ("a.csv", "start,end,bpm\n0,4,fast\n", "line 2: bpm 'fast' is not a number"),
        ("a.csv", "start,end\n5,4\n", "line 2: from 5 to 4 s is no part of 10 s"),
        ("a.csv", "start,end\nsoon,4\n", "line 2: start 'soon' is not a time"),
        ("a.csv", 'start,end\n"0,4\n', "line 2"),
        ("a.csv", "", "is empty"),
    ],
)
def test_what_is_wrong_with_sections_is_named(
    tmp_path: Path, name: str, text: str, problem: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(TrainingError, match=problem):
        read_sections([str(tmp_path / name)], 10, HERE)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (ControlOptions(sections=("A calm flute",)), "has no time: expected such as"),
        (ControlOptions(sections=("0-4: Calm; tempo=90",)), "expected each at most once of bpm"),
        (ControlOptions(sections=("0-4: Calm; bpm=90; bpm=80",)), "expected each at most once"),
        (ControlOptions(sections=("0-4: A", "2-6: B")), "begins before the part from 0 to 4 s"),
        (ControlOptions(sections=("0-4: A",) * 101), "101 sections are more than the 100"),
        (ControlOptions(sections=TWO, chords="Am"), "--chords stands beside sections"),
        (ControlOptions(sections=TWO, beats="90"), "--beats stands beside sections"),
        (ControlOptions(sections=TWO, key="0-4: A minor"), "--key with times stands beside"),
    ],
)
def test_sections_that_cannot_be_are_refused(options: ControlOptions, problem: str) -> None:
    with pytest.raises(TrainingError, match=problem):
        piece_of("", options, duration_s=10)
