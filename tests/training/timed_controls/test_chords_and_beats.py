"""Chords, beats and keys with times, as people write them down."""

import os
from pathlib import Path

import pytest

from training.conditions.clip_controls import Span
from training.errors import TrainingError
from training.prompt_controls.grid import beat_grid
from training.timed_controls.beats import beats_of_file, beats_of_parts
from training.timed_controls.chords import TimedChords, chords_of_file, chords_of_parts
from training.timed_controls.files import AllowedFiles
from training.timed_controls.parts import read_parts


def file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def starts(chords: TimedChords) -> list[tuple[float, str]]:
    return [(one.start_s, one.label) for one in chords.segments]


def test_a_lab_file_is_taken_at_its_times_and_what_it_does_not_know_is_not_known(
    tmp_path: Path,
) -> None:
    lab = file(tmp_path, "a.lab", "# a song\n0 1.5 A:min\n1.5 3 N\n3 4 X\n4 9 F#m7\n9 12 G\n")
    found = chords_of_file(lab, 8.0)
    assert starts(found) == [(0.0, "A:min"), (1.5, "N"), (4.0, "F#:min7")]
    assert found.spans == (Span(0.0, 3.0), Span(4.0, 8.0))
    assert found.notes == (f"1 chords of {lab} come after the end: left out",)


def test_a_table_of_changes_lasts_to_the_end(tmp_path: Path) -> None:
    table = file(tmp_path, "a.csv", 'time,label\n0.5,Am\n2.25,"C:maj/3"\n')
    found = chords_of_file(table, 4.0)
    assert starts(found) == [(0.0, "N"), (0.5, "A:min"), (2.25, "C:maj/3")]
    assert found.spans == (Span(0.5, 4.0),)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0 1 A:min\n1 2 H:min\n", "line 2: 'H:min' is not a chord that models know"),
        ("0 1 A:min\n1 F\n", "line 2: has not as many columns"),
        ("2 3 C\n0 1 F\n", "line 2: begins at 0 s, out of order"),
        ("0 2 C\n1 3 F\n", "begins at 1 s begins before the part from 0 to 2 s has ended"),
        ("0 nan C\n", "line 1: 'nan' is not a time in seconds"),
        ("0 1 2 3 C\n", "line 1: has 5 columns: expected 2 or 3"),
        ("start end chord\n", "holds no line that begins with a time"),
        ("", "holds no line"),
        ("9 10 C\n", "has no chord before the end, 8 s"),
        ("0 1 C\0\n", "is not a chord"),
    ],
)
def test_what_is_wrong_with_a_file_of_chords_is_named_by_its_line(
    tmp_path: Path, text: str, problem: str
) -> None:
    with pytest.raises(TrainingError, match=problem):
        chords_of_file(file(tmp_path, "bad.lab", text), 8.0)


def test_what_is_not_a_file_of_text_within_limits_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes.lab").write_bytes(b"0 1 \xff\xfe\n")
    (tmp_path / "large.lab").write_bytes(b"0 1 C\n" * 200_000)
    (tmp_path / "folder.lab").mkdir()
    os.mkfifo(tmp_path / "pipe.lab")
    for name, problem in {
        "bytes.lab": "is not a text in UTF-8",
        "large.lab": "is larger than 1048576 bytes",
        "folder.lab": "is not a file",
        "pipe.lab": "is not a file",
        "nowhere.lab": "is not a file",
    }.items():
        with pytest.raises(TrainingError, match=problem):
            chords_of_file(tmp_path / name, 8.0)
    with pytest.raises(TrainingError, match="line 20001: is beyond the 20000 lines"):
        chords_of_file(file(tmp_path, "long.csv", "0,1,C\n" * 20_001), 8.0)


def test_a_table_of_prompts_names_no_file_outside_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link.lab").symlink_to(tmp_path / "out.lab")
    bound = AllowedFiles(tmp_path / "in", is_bound=True, own=frozenset(("../own.lab",)))
    assert bound.path("song.lab", "--chords") == tmp_path / "in" / "song.lab"
    assert bound.path("Am F", "--chords") is None
    assert bound.path("../own.lab", "--chords") == Path("../own.lab")
    for name in ("../out.lab", "link.lab", "/etc/x.csv", "~/x.mid"):
        with pytest.raises(TrainingError, match="lies outside of the table's folder"):
            bound.path(name, "--chords")


def test_chords_within_bars_are_counted_from_the_start_of_their_part() -> None:
    parts = read_parts("2-8: C | F G", "--chords", 10)
    found = chords_of_parts(parts, beat_grid(120, 4, 10))
    assert starts(found) == [
        (0.0, "N"), (2.0, "C:maj"), (4.0, "F:maj"), (5.0, "G:maj"), (6.0, "C:maj"), (8.0, "N"),
    ]  # fmt: skip
    assert found.spans == (Span(2.0, 8.0),)


def test_chords_without_bars_share_their_part_and_change_on_beats() -> None:
    found = chords_of_parts(read_parts("0-4: C F G", "--chords", 4), beat_grid(60, 4, 4))
    assert starts(found) == [(0.0, "C:maj"), (1.0, "F:maj"), (3.0, "G:maj")]
    assert found.spans is None
    more = chords_of_parts(read_parts("0-1: C F G", "--chords", 4), beat_grid(60, 4, 4))
    assert [time_s for time_s, _ in starts(more)] == [0.0, 0.333, 0.667, 1.0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Am 2-4: F", "'Am' has no time"),
        ("4-2: F", "does not end after its start"),
        ("0-3: F; 2-4: G", "begins before the part from 0 to 3 s has ended"),
        ("9-12: F", "begins after the end, 8 s"),
        ("0-2: ; 3-4: C", "asks for nothing"),
    ],
)
def test_parts_that_cannot_be_are_named(text: str, problem: str) -> None:
    with pytest.raises(TrainingError, match=problem):
        read_parts(text, "--chords", 8)


@pytest.mark.parametrize("text", ["Am F C G", "Am:2 F*3", "Dm7 G7 | Cmaj7", "C-7, F", "A:min/b3"])
def test_charts_of_before_have_no_parts(text: str) -> None:
    assert read_parts(text, "--chords", 8)[0].span is None


def test_beats_of_a_file_have_their_numbers_or_are_counted(tmp_path: Path) -> None:
    numbered = file(tmp_path, "a.csv", "time,number\n0.5,2\n1.0,3\n1.5,1\n2.1,2\n2.6,3\n3.1,1\n")
    found = beats_of_file(numbered, 4, 10.0)
    assert found.grid.times_s == (0.5, 1.0, 1.5, 2.1, 2.6, 3.1)
    assert found.grid.numbers == (2, 3, 1, 2, 3, 1)
    assert (found.grid.bpm, found.grid.beats_per_bar) == (120, 3)
    assert found.spans == (Span(0.0, 3.6),)
    plain = beats_of_file(file(tmp_path, "b.txt", "0\n0.5\n1\n1.5\n"), 3, 2.0)
    assert plain.grid.numbers == (1, 2, 3, 1)
    assert plain.spans is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0\n1\n0.5\n", "line 3: its beat at 0.5 s is not 0.1 s or more after the one before"),
        ("0 1\n1\n", "line 2: gives a number where other lines give none"),
        ("0 1\n1 1.5\n", "line 2: 1.5 is not a whole number"),
        ("0 1\n1 99\n", "line 2: '99' is not a beat's number in its bar: expected 1 to 15"),
        ("0 1\n", "has 1 beats before the end"),
    ],
)
def test_what_is_wrong_with_a_grid_is_named_by_its_line(
    tmp_path: Path, text: str, problem: str
) -> None:
    with pytest.raises(TrainingError, match=problem):
        beats_of_file(file(tmp_path, "bad.txt", text), 4, 8.0)


def test_a_tempo_that_changes_drops_the_beat_that_comes_too_near() -> None:
    found = beats_of_parts(read_parts("0-2.1: 60; 2.1-4: 120 3/4", "--beats", 6), 4, 6.0)
    assert found.grid.times_s == (0.0, 1.0, 2.1, 2.6, 3.1, 3.6)
    assert found.grid.numbers == (1, 2, 1, 2, 3, 1)
    assert found.spans == (Span(0.0, 4.0),)
    for text, problem in {"0-2: fast": "is not a tempo", "0-2: 9": "is not a tempo"}.items():
        with pytest.raises(TrainingError, match=problem):
            beats_of_parts(read_parts(text, "--beats", 6), 4, 6.0)
