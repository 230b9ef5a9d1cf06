"""Folders of audio as other systems leave them: manifests in several manners, texts and JSON beside
files, and what is wrong with rows.
"""

import csv
import json
import re
from pathlib import Path

import pytest

from schemas.pitch import Key
from tests.pipelines.shards.shard_samples import our_sample
from training.errors import TrainingError
from training.evaluation.clips import MadeClip
from training.evaluation.folders import read_folder
from training.evaluation.rows import parse_row
from training.metrics.controls import PromptControls


def sounds(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"sound")


def lines(folder: Path, *rows: object, name: str = "manifest.jsonl") -> None:
    (folder / name).write_text(
        "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    )


def test_a_caption_beside_a_file_says_what_is_asked_and_nothing_else_is(tmp_path: Path) -> None:
    sounds(tmp_path, "b.wav", "a.mp3", "deep/c.flac", ".hidden.wav", "notes.pdf")
    (tmp_path / "a.txt").write_text("A slow waltz in A minor")
    (tmp_path / "b.json").write_text(json.dumps({"prompt": "Rock at 120 BPM", "key": "E"}))
    found = read_folder(tmp_path)
    assert [(one.name, one.requested) for one in found.made] == [
        ("a.mp3", PromptControls(tempo_words=("slow",), key=Key.parse("A minor"), meter=3)),
        ("b.wav", PromptControls(bpm=120, key=Key.parse("E major"))),
        ("deep/c.flac", PromptControls()),
    ]
    assert (found.system, found.skipped) == (tmp_path.name, ())


def test_a_row_of_musicbench_is_read_as_it_is(tmp_path: Path) -> None:
    sounds(tmp_path, "output_0.wav")
    row = {
        "location": "/666/elsewhere/output_0.wav",
        "captions": "Rock. The key is EM.",
        "bpm": 118.0,
        "key": ["E major", None],
        "beats": [[0.48, 0.98, 1.52], [4.0, 1.0, 2.0]],
        "chords": ["Amaj7", "C#m", "N"],
        "chords_time": [0.46, 1.11, 2.0],
    }
    lines(tmp_path, row)
    [made] = read_folder(tmp_path).made
    assert made.requested == PromptControls(
        bpm=118, key=Key.parse("E major"), meter=4, chords=("A:maj7", "C#:min")
    )
    assert made.timing.chords == (("A:maj7", 0.46, 1.11), ("Db:min", 1.11, 2.0))
    assert made.timing.downbeats_s == (0.98,)


def test_a_table_s_columns_win_over_the_caption(tmp_path: Path) -> None:
    sounds(tmp_path, "x.wav")
    with (tmp_path / "list.csv").open("w", newline="") as opened:
        csv.writer(opened).writerows(
            [
                ["file_name", "text", "bpm", "meter", "chords", "key"],
                ["x.wav", "A waltz at 90 BPM", "100", "nan", "", "F#m"],
            ]
        )
    assert read_folder(tmp_path / "list.csv").made[0].requested == PromptControls(
        bpm=100, meter=3, key=Key.parse("F# minor")
    )


def test_what_fills_gaps_in_a_piece_of_ours_is_not_asked(tmp_path: Path) -> None:
    labels = our_sample().labels  # at confidence 0.75, as what was filled in
    stated = labels.replaced(tempo=labels.tempo.replaced(confidence=1.0))
    sounds(tmp_path, "piece.wav")
    (tmp_path / "piece.json").write_text(
        json.dumps({"prompt": "A flute.", "labels": stated.model_dump(mode="json"), "seed": 0})
    )
    [made] = read_folder(tmp_path).made
    assert made.requested == PromptControls(bpm=120)
    assert made.timing.beats_s == (0.5, 1.0, 1.5)
    assert made.timing.chords[0][:2] == ("A:min", 0.5)


def test_every_row_and_file_is_scored_or_told_why_not(tmp_path: Path) -> None:
    sounds(tmp_path, "good.wav", "partner.wav", "nobody.wav")
    lines(
        tmp_path,
        {"file": "good.wav", "prompt": "Rock at 90 BPM"},
        {"file": "partner.wav", "prompt": "Rock at 140 BPM", "swap_of": "good.wav"},
        {"file": "gone.wav"},
        {"file": "good.wav", "prompt": "again"},
        {"prompt": "no file"},
        {"file": "good.wav", "bpm": "quick"},
        {"file": "good.wav", "chords": "Am Hx"},
        "{broken",
        ["no", "object"],
    )
    found = read_folder(tmp_path)
    assert [(one.name, one.swap_of) for one in found.made] == [
        ("good.wav", ""),
        ("partner.wav", "good.wav"),
    ]
    reasons = {one.name: one.reason for one in found.skipped}
    assert len(reasons) == 8
    assert reasons["manifest.jsonl#3"] == "gone.wav is not there"
    assert "as an earlier row" in reasons["manifest.jsonl#4"]
    assert "'quick' is not a number" in reasons["manifest.jsonl#6"]
    assert "'Hx' (the 2nd) is not a chord" in reasons["manifest.jsonl#7"]
    assert reasons["nobody.wav"] == "no row of the manifest names it"


def test_a_file_elsewhere_has_the_end_of_its_path_for_a_name(tmp_path: Path) -> None:
    sounds(tmp_path, "far/away/x.wav")
    (tmp_path / "here").mkdir()
    lines(tmp_path / "here", {"file": "../far/away/x.wav"})
    made: MadeClip = read_folder(tmp_path / "here", outside=True).made[0]
    assert made.name == "away/x.wav"


def test_nothing_to_score_is_an_error_that_says_why(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="expected sound files"):
        read_folder(tmp_path)
    with pytest.raises(TrainingError, match="neither a folder of audio nor a manifest"):
        read_folder(tmp_path / "nowhere")
    lines(tmp_path, {"file": "gone.wav"})
    with pytest.raises(TrainingError, match=r"gone\.wav is not there"):
        read_folder(tmp_path)
    lines(tmp_path, {"file": "gone.wav"}, name="other.jsonl")
    lines(tmp_path, {"file": "gone.wav"}, name="third.csv")
    (tmp_path / "manifest.jsonl").unlink()
    with pytest.raises(TrainingError, match="several tables"):
        read_folder(tmp_path)


HALF = "\ud800"  # half a Unicode character, which JSON can name and nothing can write


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": HALF}, "half a Unicode character"),
        ({"key": HALF}, "half a Unicode character"),
        ({"prompt": "Rock.", "swap_of": HALF}, "half a Unicode character"),
        (
            {"beats": [[0.1, 0.2, 0.3], [1, 2, 10**400]]},
            "a whole number of 401 signs is more than 64 bits hold",
        ),
        ({"meter": 10**4200}, "a whole number of 4201 signs"),
    ],
)
def test_a_hostile_row_is_skipped_with_its_reason(
    row: dict[str, object], reason: str, tmp_path: Path
) -> None:
    sounds(tmp_path, "bad.wav", "good.wav")
    lines(tmp_path, {"file": "bad.wav", **row}, {"file": "good.wav"})
    found = read_folder(tmp_path)
    [skipped] = [one for one in found.skipped if "#" in one.name]
    assert [one.name for one in found.made] == ["good.wav"]
    assert re.search(reason, skipped.reason)
    skipped.reason.encode()


def test_the_same_beside_a_file_is_skipped_too(tmp_path: Path) -> None:
    sounds(tmp_path, "a.wav", "b.wav", "good.wav")
    (tmp_path / "a.json").write_text(json.dumps({"prompt": HALF}))
    (tmp_path / "b.json").write_text(json.dumps({"beats": [10**400]}))
    found = read_folder(tmp_path)
    assert [one.name for one in found.made] == ["good.wav"]
    assert [one.name for one in found.skipped] == ["a.wav", "b.wav"]


def test_whole_numbers_that_python_does_not_write_are_refused() -> None:
    # JSON cannot hold them, other tables can
    for row in ({"meter": 10**5000}, {"bpm": 10**5000}, {"chords": [10**5000]}):
        with pytest.raises(TrainingError, match="holds a number of thousands of digits"):
            parse_row(row)


def test_of_two_clips_that_name_each_other_one_is_a_swap(tmp_path: Path) -> None:
    sounds(tmp_path, "a.wav", "b.wav", "c.wav")
    lines(
        tmp_path,
        {"file": "a.wav", "swap_of": "b.wav"},
        {"file": "b.wav", "swap_of": "a.wav"},
        {"file": "c.wav", "swap_of": "c.wav"},
    )
    assert [(one.name, one.swap_of) for one in read_folder(tmp_path).made] == [
        ("a.wav", ""),
        ("b.wav", "a.wav"),
        ("c.wav", ""),
    ]
