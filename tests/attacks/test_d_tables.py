"""Tables from outside: a bad line costs itself, and a small file does not take much memory."""

import csv
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.engine.child_process import Limits
from pipelines.errors import DeadInput
from pipelines.inputs.listing import list_inputs
from pipelines.vocabularies.tables import rows_of as vocabulary_rows
from schemas.recipe import IngestRecipe
from tests.attacks.limits import listed
from training.evaluation.folders import read_folder

NAMES = ("a", "b", "c", "d", "e", "f")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / f"{name}.wav").write_bytes(b"x")
    return tmp_path


def codes(table: Path, content: bytes) -> dict[str, str]:
    """Code by line of a table's rows."""
    table.write_bytes(content)
    return {
        row.row.rpartition("#")[2]: row.code for row in list_inputs([str(table)], IngestRecipe())
    }


BAD = {
    "latin-1": b"b.wav,caf\xe9",
    "nul": b"b.wav,\0",
    "quote": b'b.wav,"so" what',
    "open": b'b.wav,"never closed',
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_d_csv_a_bad_line_is_one_dead_row_and_those_after_it_are_used(
    folder: Path, bad: bytes
) -> None:
    lines = [b"uri,caption", b"a.wav,x", bad, *(f"{name}.wav,x".encode() for name in NAMES[2:])]
    expected = {"2": "", "3": "bad_row", "4": "", "5": "", "6": "", "7": ""}
    assert codes(folder / "t.csv", b"\n".join(lines) + b"\n") == expected
    assert codes(folder / "t.tsv", (b"\n".join(lines) + b"\n").replace(b",", b"\t")) == expected


@pytest.mark.parametrize(
    "bad", [b'{"uri": "b.wav", "caption": "caf\xe9"}', b'{"uri": "\0"}', b'{"uri": "b', b"\xff\xff"]
)
def test_d_json_lines_a_bad_line_is_one_dead_row_and_those_after_it_are_used(
    folder: Path, bad: bytes
) -> None:
    lines = [b'{"uri": "a.wav"}', bad, *(f'{{"uri": "{name}.wav"}}'.encode() for name in NAMES[2:])]
    assert codes(folder / "t.jsonl", b"\n".join(lines)) == {
        "1": "",
        "2": "bad_row",
        "3": "",
        "4": "",
        "5": "",
        "6": "",
    }


def test_d_csv_a_vocabulary_counts_its_bad_lines_and_uses_the_others(folder: Path) -> None:
    (folder / "v.csv").write_bytes(
        b'caption,title\nCalm piano.,x\ncaf\xe9,y\n"warm "pad",z\nLast row.,w\n'
    )
    rows = list(vocabulary_rows(str(folder / "v.csv"), {}))
    assert [row.code if isinstance(row, DeadInput) else row.caption for row in rows] == [
        "Calm piano.",
        "bad_row",
        "bad_row",
        "Last row.",
    ]


def test_d_csv_an_evaluation_skips_its_bad_lines_and_scores_the_others(folder: Path) -> None:
    (folder / "manifest.csv").write_bytes(
        b'file,prompt\na.wav,x\nb.wav,caf\xe9\nc.wav,"open\nd.wav,y\n'
    )
    found = read_folder(folder)
    assert [one.name for one in found.made] == ["a.wav", "d.wav"]
    assert [one.name for one in found.skipped if "#" in one.name] == [
        "manifest.csv#3",
        "manifest.csv#4",
    ]


def test_d_csv_the_first_line_of_names_must_be_text(folder: Path) -> None:
    for content in ("uri\na.wav\n".encode("utf-16"), b"\x1f\x8b\x08\x00\x00" * 9):
        assert codes(folder / "t.csv", content) == {str(folder / "t.csv"): "bad_table"}


def test_d_csv_an_open_quote_of_a_hundred_megabytes_costs_itself(folder: Path) -> None:
    with (folder / "t.csv").open("w") as out:
        out.write('uri,caption\na.wav,"')
        for _ in range(100):
            out.write("x" * (1 << 20))
        out.write("\nb.wav,x\nc.wav,y\n")
    found = listed(folder / "t.csv")
    assert found.codes == {"t.csv#2": "bad_row", "t.csv#3": "", "t.csv#4": ""}
    assert found.memory_mb < 300


def test_d_csv_an_open_quote_over_many_lines_is_read_in_linear_time(folder: Path) -> None:
    """Each of these lines leaves a quote open, whether one was open before it or not: every one of
    them begins a record without end.
    """
    with (folder / "t.csv").open("w") as out:
        out.write("uri,caption\n" + 'b",x,"\n' * 100_000 + "a.wav,x\nb.wav,y\n")
    rows = list(csv.reader(io.StringIO('b",x,"\n' * 3)))
    assert len(rows) == 1
    found = listed(folder / "t.csv")
    assert len(found.rows) == 100_002
    assert [code for _, code, _ in found.rows[-2:]] == ["", ""]
    assert {code for _, code, _ in found.rows[:-2]} == {"bad_row"}


def test_d_parquet_a_text_that_stands_two_thousand_times_is_held_once(folder: Path) -> None:
    texts = pa.DictionaryArray.from_arrays(
        pa.array([0] * 2000, pa.int32()), pa.array(["x" * (60 << 20)])
    )
    pq.write_table(
        pa.table({"uri": ["a.wav"] * 2000, "caption": texts}),
        folder / "t.parquet",
        compression="zstd",
    )
    assert (folder / "t.parquet").stat().st_size < 100_000
    found = listed(folder / "t.parquet")
    assert {code for _, code, _ in found.rows} == {"bad_row"}
    assert len(found.rows) == 2000
    assert found.rows[0][2] == "column caption holds 62914560 bytes, limit 16777216"
    assert found.memory_mb < 480  # of which the child that reads it has 75 with its libraries alone


def test_d_parquet_a_row_that_unpacks_past_the_limit_ends_the_table_and_those_before_are_used(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "pipelines.guarded.parquet._LIMITS", Limits(cpu_s=60, memory_mb=400, wall_s=60)
    )
    schema = pa.schema([("uri", pa.string()), ("beats", pa.list_(pa.int64()))])
    with pq.ParquetWriter(folder / "t.parquet", schema, compression="zstd") as out:
        out.write_table(pa.table({"uri": ["a.wav"], "beats": [[1]]}, schema))
        beats = pa.ListArray.from_arrays(
            pa.array([0, 40_000_000], pa.int32()), pa.array(np.zeros(40_000_000, np.int64))
        )
        out.write_table(pa.table({"uri": ["b.wav"], "beats": beats}, schema))
    rows = list(list_inputs([str(folder / "t.parquet")], IngestRecipe()))
    assert [(row.row, row.code) for row in rows] == [
        (f"{folder}/t.parquet#1", ""),
        (f"{folder}/t.parquet", "bad_table"),
    ]
    assert "from row 2 on: needed more than" in rows[1].message


@pytest.mark.parametrize(
    "damage", ["cut", "lying footer", "footer of the whole file", "footer's bytes"]
)
def test_d_parquet_that_is_damaged_is_one_row(folder: Path, damage: str) -> None:
    pq.write_table(pa.table({"uri": ["a.wav"] * 10}), folder / "t.parquet")
    content = (folder / "t.parquet").read_bytes()
    damaged = {
        "cut": content[:-20],
        "lying footer": content[:-8] + b"\xff\xff\xff\x7fPAR1",
        "footer of the whole file": content[:-8]
        + (len(content) - 8).to_bytes(4, "little")
        + b"PAR1",
        "footer's bytes": content[:-60] + b"\xff" * 40 + content[-20:],
    }
    assert codes(folder / "t.parquet", damaged[damage]) == {str(folder / "t.parquet"): "bad_table"}


@pytest.mark.parametrize("column", ["caption", "day"])
def test_d_parquet_a_cell_that_has_no_value_costs_its_row(folder: Path, column: str) -> None:
    """One byte of Latin-1 among UTF-8, which Parquet's writers do not look at, or a date that no
    calendar has.
    """
    texts = pa.array([b"one", b"tw\xe9", b"three"], pa.binary())
    cells = {
        "caption": pa.Array.from_buffers(pa.string(), 3, texts.buffers()),
        "day": pa.array([1, 2**31 - 1, 3], pa.date32()),
    }
    pq.write_table(pa.table({"uri": ["a.wav"] * 3, column: cells[column]}), folder / "t.parquet")
    assert [row.code for row in list_inputs([str(folder / "t.parquet")], IngestRecipe())] == [
        "",
        "bad_row",
        "",
    ]
