"""The scratch database: answers in fixed pieces, records of every kind, and nothing left of it."""

import pyarrow as pa

from pipelines.storage.arrow import runs, table_of
from pipelines.storage.duckdb_scratch import scratch
from pipelines.storage.store import parquet_bytes
from schemas.corpus import InputRow, Source


def test_an_answer_comes_in_pieces_of_one_size_whatever_the_database_makes_of_it() -> None:
    with scratch() as held:
        held.fill(
            "numbers",
            (pa.table({"n": range(start, start + 30_000)}) for start in range(0, 150_000, 30_000)),
        )
        pieces = list(held.stream("select n from numbers order by n"))
    assert [piece.num_rows for piece in pieces] == [65_536, 65_536, 18_928]
    assert pa.concat_tables(pieces).column("n").to_pylist() == list(range(150_000))


def test_odd_texts_come_back_as_they_went_in() -> None:
    rows = [
        InputRow(row=text, source=Source(uri=text), captions=(text,))
        for text in ("", "'; drop table rows; --", "\0", "\u202e♭", "x" * 70_000)
    ]
    with scratch() as held:
        held.load("rows", InputRow, [table_of(InputRow, rows)])
        [found] = held.stream('select * from rows order by length("row"), "row"')
    assert sorted(row["row"] for row in found.to_pylist()) == sorted(row.row for row in rows)
    assert all(
        row["captions"] == [row["row"]] == [row["source"]["uri"]] for row in found.to_pylist()
    )


def test_a_file_has_the_same_bytes_however_its_table_is_chunked() -> None:
    table = pa.table({"text": ["x" * 300] * 9000, "n": range(9000)})
    parts = pa.concat_tables([table.slice(start, 1000) for start in range(0, 9000, 1000)])
    assert parquet_bytes(parts) == parquet_bytes(table)


def test_runs_are_found_across_pieces() -> None:
    pieces = [
        pa.table({"name": list(names), "n": range(len(names))}) for names in ("aab", "bbb", "c")
    ]
    assert [(name, table.num_rows) for name, table in runs(pieces, "name")] == [
        ("a", 2),
        ("b", 4),
        ("c", 1),
    ]
