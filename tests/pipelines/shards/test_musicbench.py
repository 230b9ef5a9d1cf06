"""A sample as MusicBench writes it: sixteen fields, exact values, nothing made up where a label is
missing.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import PipelineError
from pipelines.shards.find import ShardProblem, find_shards
from pipelines.shards.musicbench import export, musicbench_row
from schemas.identity import Split
from schemas.labels import Beats, Chords, KeyLabel, Meter, Tempo
from tests.pipelines.shards.shard_samples import (
    KEY,
    foreign,
    our_sample,
    ours,
    write_build,
    write_shard,
)

ROW = {
    "dataset": "mine",
    "location": f"{KEY}.flac",
    "main_caption": (
        "A flute plays. It gets louder. The key is A minor. The meter is 3/4. It runs at 120 BPM."
    ),
    "alt_caption": "A flute, louder and louder.",
    "prompt_aug": "It gets louder.",
    "prompt_ch": "",
    "prompt_bt": "The meter is 3/4.",
    "prompt_bpm": "It runs at 120 BPM.",
    "prompt_key": "The key is A minor.",
    "beats": [[0.5, 1.0, 1.5], [1.0, 2.0, 3.0]],
    "bpm": 120.0,
    "chords": ["Am", "G#dim7"],  # the second A minor comes back unchanged after no chord
    "chords_time": [0.5, 1.75],
    "key": ["A", "minor"],
    "keyprob": [0.75],
    "is_audioset_eval_mcaps": True,
}


def test_a_sample_is_this_row_exactly() -> None:
    assert musicbench_row(our_sample(), f"{KEY}.flac", "mine") == ROW
    assert list(musicbench_row(our_sample(), "", "")) == list(ROW)


def test_what_is_not_known_is_empty_or_null() -> None:
    how = {"confidence": 0.0, "tool": "t", "version": "1", "licence": ""}
    labels: dict[str, Any] = {
        "beats": Beats(**how),
        "meter": Meter(**how),
        "tempo": Tempo(**how),
        "chords": Chords(**how),
        "key_label": KeyLabel(**how),
    }
    row = musicbench_row(our_sample(captions=(), **labels), "a.flac", "mine")
    texts = (
        "main_caption",
        "alt_caption",
        "prompt_aug",
        "prompt_ch",
        "prompt_bt",
        "prompt_bpm",
        "prompt_key",
    )
    assert [dict(row)[name] for name in texts] == [""] * 7
    assert (
        row["beats"],
        row["bpm"],
        row["chords"],
        row["chords_time"],
        row["key"],
        row["keyprob"],
    ) == ([[], []], None, [], [], [], [])


def test_a_sentence_of_the_source_is_no_control_sentence() -> None:
    source, control, _ = our_sample().captions
    stating = source.replaced(sentences=("It runs at 120 BPM.",), text="It runs at 120 BPM.")
    assert musicbench_row(our_sample(captions=(stating, control)), "", "")["prompt_bpm"] == ""
    assert (
        musicbench_row(our_sample(captions=(stating,)), "", "")["main_caption"]
        == "It runs at 120 BPM."
    )


def test_export_writes_json_lines_of_one_split(tmp_path: Path) -> None:
    build = write_build(tmp_path, our_sample(), our_sample("pu1"))
    write_shard(build / "shards/test-00000.tar", ours(our_sample("s1", split="test")))
    rows = list(
        export(
            find_shards(f"{build}/shards"),
            str(tmp_path / "rows.jsonl"),
            dataset="mine",
            split=Split.TRAIN,
        )
    )
    lines = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert lines == rows
    assert [line["location"] for line in lines] == [f"{KEY}.flac", f"{KEY[:-4]}pu1.flac"]
    assert lines[0] == ROW


def test_export_replaces_nothing_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    build, to = write_build(tmp_path / "build", our_sample()), tmp_path / "rows.jsonl"
    with pytest.raises(
        PipelineError, match="nothing to export: no sample of Obbligato in split test"
    ):
        list(export(find_shards(str(build)), str(to), dataset="mine", split=Split.TEST))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["build"]
    to.write_text("mine")
    with pytest.raises(PipelineError, match="exists: name another file, or --force"):
        list(export(find_shards(str(build)), str(to), dataset="mine"))
    assert to.read_text() == "mine"


def test_a_foreign_sample_is_a_problem_beside_the_rows(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "a.tar", [*ours(our_sample()), *foreign("0")])
    found = list(export(find_shards(str(path)), str(tmp_path / "rows.jsonl"), dataset="mine"))
    assert [row.message if isinstance(row, ShardProblem) else row["location"] for row in found] == [
        f"{KEY}.flac",
        "is not a sample of Obbligato: it has no labels to export",
    ]
