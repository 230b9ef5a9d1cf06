"""Melodies from texts, tables and MIDI; levels and densities."""

import struct
from pathlib import Path

import numpy as np
import pytest

from training.conditions.clip_controls import Span
from training.errors import TrainingError
from training.prompt_controls.grid import Grid, beat_grid
from training.timed_controls.curves import (
    densities_of_file,
    densities_of_parts,
    density_curve,
    level_curve,
    levels_of_file,
    levels_of_text,
)
from training.timed_controls.melody import (
    MelodyNote,
    melody_curve,
    melody_of_file,
    melody_of_parts,
)
from training.timed_controls.midi import PlayedNote, midi_notes
from training.timed_controls.parts import Part, read_parts


def midi(*tracks: bytes, ticks: int = 480, kind: int = 1) -> bytes:
    head = b"MThd" + struct.pack(">IHHH", 6, kind, len(tracks), ticks)
    return head + b"".join(b"MTrk" + struct.pack(">I", len(one)) + one for one in tracks)


BEAT = b"\x83\x60"  # 480 ticks
END = b"\x00\xff\x2f\x00"
# 60 BPM, then 120 from the second beat on
TEMPOS = b"\x00\xff\x51\x03\x0f\x42\x40" + BEAT + b"\xff\x51\x03\x07\xa1\x20" + END
# C4 for a beat, then E4 by running status and a start without force as its end; a drum
NOTES = (
    b"\x00\x90\x3c\x40" + BEAT + b"\x80\x3c\x00" + b"\x00\x90\x40\x40" + BEAT + b"\x40\x00"
    b"\x00\x99\x24\x40" + BEAT + b"\x89\x24\x40" + END
)


def test_midi_is_read_at_its_tempos_without_its_drums(tmp_path: Path) -> None:
    path = tmp_path / "a.mid"
    path.write_bytes(midi(TEMPOS, NOTES))
    assert midi_notes(path) == (PlayedNote(0.0, 1.0, 60), PlayedNote(1.0, 1.5, 64))
    assert melody_curve(melody_of_file(path, 1.7), 1.7) == (0,) * 10 + (4,) * 5 + (None, None)


def test_of_midi_chords_the_highest_note_is_the_melody(tmp_path: Path) -> None:
    chord = b"\x00\x90\x30\x40\x00\x43\x40" + BEAT + b"\x43\x00" + BEAT + b"\x30\x00" + END
    (tmp_path / "a.midi").write_bytes(midi(chord, kind=0))
    assert melody_of_file(tmp_path / "a.midi", 4.0) == (
        MelodyNote(0.0, 0.5, 7),
        MelodyNote(0.5, 1.0, 0),
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is cut short"),
        (b"RIFF" + bytes(20), "is not a Standard MIDI File"),
        (midi(NOTES)[:-20], "is cut short"),
        (midi(NOTES, kind=2), "has format 2"),
        (midi(NOTES, ticks=0), "0 ticks a beat"),
        (midi(NOTES, ticks=0xE728), "export it as format 0"),
        (midi(END), "holds no note"),
        (midi(b"\x00\x3c\x40"), "has the status byte 0x0"),
        (midi(b"\xff\xff\xff\xff\xff"), "more than four bytes"),
        (b"MThd\xff\xff\xff\xff\x00\x01\x00\x01\x01\xe0", "is cut short"),
    ],
)
def test_what_is_not_midi_is_named(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "bad.mid").write_bytes(content)
    with pytest.raises(TrainingError, match=problem):
        midi_notes(tmp_path / "bad.mid")


def test_damaged_midi_costs_a_plain_error_at_most(tmp_path: Path) -> None:
    whole, rng = midi(TEMPOS, NOTES), np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        for place in rng.integers(len(whole), size=3):
            damaged[place] = int(rng.integers(256))
        (tmp_path / "a.mid").write_bytes(damaged)
        try:
            assert melody_of_file(tmp_path / "a.mid", 8.0)
        except TrainingError:
            refused += 1
    assert 50 < refused < 300


def test_a_melody_in_words_follows_the_beats_even_where_they_slow_down() -> None:
    grid = Grid((0.5, 1.0, 1.5, 2.5, 3.5), (1, 2, 3, 1, 2), 120, 3, 8.0)
    assert melody_of_parts([Part(None, "C4, F#:2 | R Bb")], grid) == (
        MelodyNote(0.5, 1.0, 0),
        MelodyNote(1.0, 2.5, 6),
        MelodyNote(2.5, 3.5, 12),
        MelodyNote(3.5, 4.5, 10),
    )
    cut = melody_of_parts(read_parts("2-3: C D E", "--melody", 8), beat_grid(120, 4, 8))
    assert cut == (MelodyNote(2.0, 2.5, 0), MelodyNote(2.5, 3.0, 2))
    for text in ("C4 X", "C:0", "C:"):
        with pytest.raises(TrainingError, match="is not a note: expected notes such as"):
            melody_of_parts([Part(None, text)], grid)


def test_a_table_of_notes_takes_names_numbers_and_rests(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("start,end,note\n0,1,F#4\n1,2,60\n3,4,R\n")
    assert [note.pitch for note in melody_of_file(path, 8.0)] == [6, 0, 12]
    for row, problem in {
        "0,1,128": "line 2: '128' is not a note",
        "0,1,H": "line 2: 'H' is not a note",
        "1,1,C": "line 2: its note ends at 1 s",
        "0,2,C\n1,3,D": "begins before the part",
        "9,10,C": "has no note before the end, 8 s",
    }.items():
        path.write_text(f"start,end,note\n{row}\n")
        with pytest.raises(TrainingError, match=problem):
            melody_of_file(path, 8.0)


def test_levels_lie_on_lines_between_points_and_nowhere_else(tmp_path: Path) -> None:
    curve = level_curve(levels_of_text("0:-30 1:-20; 2:−12", 3), 3)
    assert curve[:3] == (-29.5, -28.5, -27.5)
    assert curve[9] == -20.5
    assert curve[10:20] == (None,) * 10
    assert curve[20:] == (-12.0, *(None,) * 9)
    (tmp_path / "a.csv").write_text("time_s,dB\n0,-30\n1,-20\n1.5,\n2,-12\n")
    assert level_curve(levels_of_file(tmp_path / "a.csv", 3), 3) == curve
    assert level_curve(levels_of_text("-20", 0.3), 0.3) == (-20, -20, -20)


@pytest.mark.parametrize(
    "text",
    ["louder still", "very", "loud -20", "0:-30 5", "0:5", "-200", "", "1:-20 0:-10", "9:-20"],
)
def test_what_is_not_a_curve_of_levels_is_refused(text: str) -> None:
    with pytest.raises(TrainingError, match="--intensity"):
        levels_of_text(text, 8)


def test_densities_hold_within_their_parts(tmp_path: Path) -> None:
    parts = densities_of_parts(read_parts("0-0.2: 2; 0.3-: 6.5", "--density", 0.5), 0.5)
    assert density_curve(parts, 0.5) == (2, 2, None, 6.5, 6.5)
    (tmp_path / "a.csv").write_text("0,1,3\n1,2,-1\n")
    with pytest.raises(TrainingError, match=r"line 2: '-1' is not a number of notes a second"):
        densities_of_file(tmp_path / "a.csv", 4)
    (tmp_path / "a.csv").write_text("1,2,4\n0,1,3\n")
    assert densities_of_file(tmp_path / "a.csv", 4) == [(Span(0, 1), 3), (Span(1, 2), 4)]


def words(text: str, duration_s: float) -> tuple[float | None, ...]:
    return level_curve(levels_of_text(text, duration_s), duration_s)


def test_words_are_levels_with_lines_between() -> None:
    curve = words("quiet loud quiet", 4.0)
    assert curve[0] == pytest.approx(-33.55)  # 50 ms on the way from -34 to -16 dB
    assert curve[19] == pytest.approx(-16.45)
    assert curve == curve[::-1]
    assert words("loud", 1.0) == (-16.0,) * 10
    assert words("very quiet", 1.0) == (-38.0,) * 10
    assert words("Very loud", 1.0) == (-12.0,) * 10
    parts = words("0-1: soft; 2-3: pp, ff", 4.0)
    assert parts[:10] == (-34.0,) * 10
    assert parts[10:20] == (None,) * 10
    assert (parts[20], parts[29]) == pytest.approx((-36.7, -13.3))
