"""Tables are read as their writers meant them; a bad row costs itself and no other."""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import DeadInput
from pipelines.inputs.manifests import manifest_rows
from schemas.corpus import InputRow
from schemas.recipe import IngestRecipe


def read(name: str, content: str | bytes, **recipe: Any) -> list[InputRow]:
    opened = io.BytesIO(content.encode() if isinstance(content, str) else content)
    return list(manifest_rows(f"/tables/{name}", opened, IngestRecipe(**recipe)))


def one(content: str, name: str = "t.csv", **recipe: Any) -> InputRow:
    [row] = read(name, content, **recipe)
    assert row.outcome is None, (row.code, row.message)
    return row


def jsonl(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_a_row_with_every_column_is_read_whole() -> None:
    row = one(
        "uri,caption,licence,title,artist,album,genre,start_s,end_s,split\n"
        "a.wav,A song.,CC0-1.0,T,Ar,Al,jazz,1.5,11.5,test\n"
    )  # fmt: skip
    source = row.source
    assert (
        source.uri,
        source.licence,
        source.title,
        source.artist,
        source.album,
        source.genre,
    ) == (
        "/tables/a.wav",
        "CC0-1.0",
        "T",
        "Ar",
        "Al",
        "jazz",
    )
    assert (row.captions, row.start_s, row.end_s, row.split, source.metadata) == (
        ("A song.",),
        1.5,
        11.5,
        "test",
        "{}",
    )


@pytest.mark.parametrize("column", ["uri", "audio", "path", "location", "file", "file_name"])
def test_other_names_of_the_file_column_are_known(column: str) -> None:
    assert one(f"{column},caption\na.wav,x\n").source.uri == "/tables/a.wav"


@pytest.mark.parametrize(
    ("column", "found"),
    [("caption", ("x",)), ("main_caption", ("x",)), ("text", ("x",)), ("words", ())],
)
def test_other_names_of_the_caption_column_are_known(column: str, found: tuple[str, ...]) -> None:
    assert one(f"uri,{column}\na.wav,x\n").captions == found


def test_both_spellings_of_licence_are_read_and_the_recipes_stands_in() -> None:
    assert one("uri,license\na.wav,MIT\n").source.licence == "MIT"
    assert one("uri\na.wav\n", licence="CC0-1.0").source.licence == "CC0-1.0"


def test_a_mapped_column_replaces_ours_and_leaves_the_others_as_metadata() -> None:
    row = one(
        "ytid,uri,description\nabc,http://x,Words\n",
        column_map={"uri": "ytid", "caption": "description"},
    )
    assert (row.source.uri, row.captions, json.loads(row.source.metadata)) == (
        "/tables/abc",
        ("Words",),
        {"uri": "http://x"},
    )


def test_a_template_makes_the_uri_of_any_columns() -> None:
    row = one("ytid,start_s,end_s\nabc,30,40\n", uri_template="/data/{ytid}-{start_s}.wav")
    assert (row.source.uri, row.start_s, row.end_s) == ("/data/abc-30.wav", 30.0, 40.0)


def test_a_template_that_does_not_fit_costs_the_row() -> None:
    [row] = read("t.csv", "ytid\nabc\n", uri_template="/data/{id}.wav")
    assert (row.outcome, row.code, "'/data/{id}.wav'" in row.message) == ("dead", "bad_row", True)


def test_unknown_columns_are_kept_as_one_json_object() -> None:
    row = one('uri,bpm,tags\na.wav,120,"[""x"", ""y""]"\n')
    assert json.loads(row.source.metadata) == {"bpm": "120", "tags": '["x", "y"]'}
    [row] = read(
        "t.jsonl",
        jsonl(
            {"uri": "a.wav", "beats": [[0.1, 1], [0.6, 2]], "aspects": {"mood": "♭"}, "none": None}
        ),
    )
    assert json.loads(row.source.metadata) == {
        "beats": [[0.1, 1], [0.6, 2]],
        "aspects": {"mood": "♭"},
    }


def test_a_second_caption_column_is_kept_too() -> None:
    """MusicBench has main_caption beside others.

    What is not used as the caption is metadata, not lost.
    """
    row = one("uri,caption,text\na.wav,First,Second\n")
    assert row.captions == ("First",)
    assert json.loads(row.source.metadata) == {"text": "Second"}


def test_a_byte_order_mark_quotes_commas_and_line_breaks_are_read() -> None:
    row = one('\ufeffuri,caption\r\na.wav,"He said ""go"",\r\nthen left."\r\n')
    assert (row.source.uri, row.captions) == ("/tables/a.wav", ('He said "go",\r\nthen left.',))
    assert one('\ufeff{"uri": "a.wav"}\n', name="t.jsonl").source.uri == "/tables/a.wav"


@pytest.mark.parametrize("nothing", ["", "NaN", "null", "None", "N/A", "  "])
def test_words_for_nothing_are_nothing(nothing: str) -> None:
    row = one(f"uri,caption,start_s,split,mood\na.wav,{nothing},{nothing},{nothing},{nothing}\n")
    assert (row.captions, row.start_s, row.split, row.source.metadata) == ((), None, None, "{}")


@pytest.mark.parametrize(
    ("named", "split"),
    [
        ("train", "train"),
        ("VALID", "validation"),
        ("val", "validation"),
        ("dev", "validation"),
        ("eval", "test"),
        (" Test ", "test"),
    ],
)
def test_splits_by_their_usual_names(named: str, split: str) -> None:
    assert one(f"uri,split\na.wav,{named}\n").split == split


@pytest.mark.parametrize(
    ("cells", "code", "said"),
    [
        ({"start_s": "x"}, "bad_row", "start_s is not a number of seconds: 'x'"),
        ({"end_s": "inf"}, "bad_row", "end_s is not finite: 'inf'"),
        ({"start_s": "10", "end_s": "5"}, "bad_window", "end_s must lie after start_s"),
        ({"start_s": "-1", "end_s": "5"}, "bad_window", "not before 0"),
        ({"start_s": "-1"}, "bad_window", "not before 0"),
        ({"split": "holdout"}, "bad_row", "split is 'holdout': expected train, validation or test"),
        ({"uri": ""}, "bad_row", "names no audio"),
        ({"uri": "https://example.org/a.wav"}, "protocol", "ingest.protocols"),
        ({"caption": ["a", "b"]}, "bad_row", "column caption holds list"),
        ({"title": "\ud800"}, "bad_row", "half a Unicode character"),
        ({"mood": "\ud800"}, "bad_row", "half a Unicode character"),
        ({"uri": {"bytes": "x"}}, "bad_row", "column uri holds dict"),
        ({"start_s": [1]}, "bad_row", "start_s is not a number"),
        ({"start_s": 10**400}, "bad_row", "a whole number of 401 signs"),
    ],
)
def test_a_bad_row_is_dead_by_name_and_the_rest_is_used(
    cells: dict[str, Any], code: str, said: str
) -> None:
    rows = read("t.jsonl", jsonl({"uri": "a.wav"}, {"uri": "b.wav", **cells}, {"uri": "c.wav"}))
    assert [row.outcome for row in rows] == [None, "dead", None]
    assert (rows[1].row, rows[1].code) == ("/tables/t.jsonl#2", code)
    assert said in rows[1].message


@pytest.mark.parametrize(
    "line",
    ["{", "[1, 2]", "null", '"text"', "[" * 100_000, '{"uri": "x", "n": ' + "9" * 5000 + "}"],
    ids=lambda line: line[:12],
)
def test_a_line_that_is_no_json_object_is_dead_and_the_rest_is_used(line: str) -> None:
    rows = read("t.jsonl", f'{{"uri": "a.wav"}}\n{line}\n\n{{"uri": "c.wav"}}\n')
    assert [(row.row[-1], row.outcome) for row in rows if row.row[-1] != "2"] == [
        ("1", None),
        ("4", None),
    ]
    assert [row.code for row in rows if row.row[-1] == "2"] == ["bad_row"]


def test_not_a_number_in_json_is_nothing() -> None:
    row = one('{"uri": "a.wav", "start_s": NaN, "x": Infinity}\n', name="t.jsonl")
    assert (row.start_s, row.source.metadata) == (None, "{}")


def test_a_row_with_too_many_cells_is_dead_and_one_with_too_few_is_used() -> None:
    rows = read("t.csv", "uri,caption\na.wav,x,more\nb.wav\nc.wav,y\n")
    assert [(row.outcome, row.code) for row in rows] == [
        ("dead", "bad_row"),
        (None, ""),
        (None, ""),
    ]
    assert "1 cells more" in rows[0].message


def test_rows_are_known_by_the_line_they_end_on() -> None:
    rows = read("t.csv", 'uri,caption\na.wav,"x\ny"\nb.wav,z\n')
    assert [row.row for row in rows] == ["/tables/t.csv#3", "/tables/t.csv#4"]


def test_tab_separated_json_lines_and_parquet_say_the_same() -> None:
    plain: list[dict[str, Any]] = [
        {
            "uri": "a.wav",
            "caption": "x, y",
            "start_s": 1.0,
            "end_s": 2.0,
            "split": "test",
            "mood": "calm",
        },
        {"uri": "b.wav", "caption": "z"},
    ]
    columns = list(plain[0])
    tsv = "\n".join(
        "\t".join(str(row.get(name, "")) for name in columns)
        for row in [dict(zip(columns, columns)), *plain]
    )
    table = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(plain), table)
    expected = [
        (row.source.uri, row.captions, row.start_s, row.end_s, row.split, row.source.metadata)
        for row in read("t.jsonl", jsonl(*plain))
    ]
    assert expected[0] == ("/tables/a.wav", ("x, y",), 1.0, 2.0, "test", '{"mood": "calm"}')
    for name, content in (
        ("t.tsv", tsv.encode()),
        ("t.parquet", table.getvalue()),
        ("T.NDJSON", jsonl(*plain).encode()),
    ):
        found = [
            (row.source.uri, row.captions, row.start_s, row.end_s, row.split, row.source.metadata)
            for row in read(name, content)
        ]
        assert found == expected, name


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", b""),
        ("t.csv", b"ur\xefi\na.wav\n"),
        ("t.csv", "uri\na.wav\n".encode("utf-16")),
        ("t.csv", b'"uri\na.wav\n'),
        ("t.csv", b"," * 20_000 + b"\n"),
        ("t.parquet", b"PAR1 not really"),
        ("t.jsonl", b"\x80"),
        ("t.jsonl", '{"uri": "a.wav"}\n'.encode("utf-16")),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_whole(name: str, content: bytes) -> None:
    with pytest.raises(DeadInput) as dead:
        read(name, content)
    assert dead.value.code == "bad_table"


@pytest.mark.parametrize("of_rows", [1, 7, 3000])
def test_parquet_of_any_shape_gives_its_rows_once_and_in_order(of_rows: int) -> None:
    """Rows come in pieces of 8 MiB: the long ones one by one, the short ones many at a time, across
    groups of rows.
    """
    count = 3000 if of_rows > 1 else 300
    long = dict.fromkeys((0, 10, 11, 12, 13, 14, 280), "♭" * (1 << 20))
    plain: list[dict[str, Any]] = [
        {
            "uri": f"{n}.wav",
            "caption": long.get(n, f"Song {n % 3}.") if n % 5 else None,
            "beats": [n / 2] * (n % 4),
            "bpm": n,
        }
        for n in range(count)
    ]
    table = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(plain), table, row_group_size=of_rows)
    rows = read("t.parquet", table.getvalue())
    assert [row.row for row in rows] == [
        f"/tables/t.parquet#{number}" for number in range(1, count + 1)
    ]
    assert [row.source.uri for row in rows] == [f"/tables/{number}.wav" for number in range(count)]
    assert [row.captions for row in rows] == [
        (made["caption"],) if made["caption"] else () for made in plain
    ]
    assert [json.loads(row.source.metadata) for row in rows] == [
        {"beats": made["beats"], "bpm": made["bpm"]} for made in plain
    ]


def test_a_table_without_a_file_column_says_how_to_map_one() -> None:
    with pytest.raises(DeadInput, match=r"no column uri or audio or .*--map uri=NAME") as dead:
        read("t.csv", "ytid,caption\nabc,x\n")
    assert dead.value.code == "no_uri_column"


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("sub/../a.wav", "/tables/a.wav"),
        ("../a.wav", "/a.wav"),
        ("/abs/a.wav", "/abs/a.wav"),
        ("file:///abs/a b.wav", "/abs/a b.wav"),
        ("s3://bucket/a.wav", "s3://bucket/a.wav"),
        ("-rf.wav", "/tables/-rf.wav"),
        ("~/a.wav", "/tables/~/a.wav"),
    ],
)
def test_uris_stand_relative_to_their_table(uri: str, path: str) -> None:
    assert one(f"uri\n{uri}\n").source.uri == path


@pytest.mark.parametrize(
    ("table", "uri", "path"),
    [
        ("s3://bucket/tables/t.csv", "sub/a.wav", "s3://bucket/tables/sub/a.wav"),
        ("s3://bucket/tables/t.csv", "../../../a.wav", "s3://bucket/a.wav"),
        ("s3://bucket/t.csv", "a.wav", "s3://bucket/a.wav"),
        ("memory:///x/t.csv", "a.wav", "memory:///x/a.wav"),
        ("s3://bucket/t.csv", "memory://other/a.wav", "memory://other/a.wav"),
        ("s3://bucket/t.csv", "/abs/a.wav", "/abs/a.wav"),
    ],
)
def test_uris_in_a_remote_table_stand_relative_to_it_and_do_not_leave_its_bucket(
    table: str, uri: str, path: str
) -> None:
    [row] = manifest_rows(table, io.BytesIO(f"uri\n{uri}\n".encode()), IngestRecipe())
    assert row.source.uri == path


@pytest.mark.parametrize(
    "uri",
    ["http://x/a.wav", "ftp://x/a", "S3://b/a.wav", "simplecache::s3://b/a", "github://o:r@/x"],
)
def test_a_table_cannot_make_us_call_anywhere(uri: str) -> None:
    [row] = read("t.csv", f"uri\n{uri}\n")
    assert (row.outcome, row.code) == ("dead", "protocol")
    assert one("uri\nhttps://x/a.wav\n", protocols=("https",)).source.uri == "https://x/a.wav"


def test_a_manifest_of_ten_thousand_rows_keeps_their_order(tmp_path: Path) -> None:
    rows = read("t.csv", "uri\n" + "".join(f"{number}.wav\n" for number in range(10_000)))
    assert [row.source.uri for row in rows] == [f"/tables/{number}.wav" for number in range(10_000)]


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (b"\xff.wav", "is not UTF-8: invalid start byte, byte 0xff"),
        (b"\0.wav", "holds NUL bytes"),
        ("♭".encode()[:-1], "is not UTF-8"),
    ],
)
def test_a_line_that_is_no_text_is_dead_and_the_rest_is_used(broken: bytes, why: str) -> None:
    rows = read("t.csv", b"uri\na.wav\nb.wav\n" + broken + b"\nc.wav\n")
    assert [(row.row[-1], row.code) for row in rows] == [
        ("2", ""),
        ("3", ""),
        ("4", "bad_row"),
        ("5", ""),
    ]
    assert why in rows[2].message
    lines = b"".join(
        b'{"uri": "' + name + b'"}\n' for name in (b"a.wav", "♭.wav".encode(), broken, b"d.wav")
    )
    assert [(row.row[-1], row.code) for row in read("t.jsonl", lines)] == [
        ("1", ""),
        ("2", ""),
        ("3", "bad_row"),
        ("4", ""),
    ]


def test_a_quote_that_is_not_closed_costs_its_line_and_the_long_texts_that_it_swallowed() -> None:
    """Where reading goes on: at the next line, and each line that the quote had taken is read
    alone.
    """
    rows = read(
        "t.csv",
        'uri,caption\na.wav,"open\nb.wav,x\nc.wav,"two\nlines"\nd.wav,"so\nmany"\ne.wav,y\n',
    )
    assert [(row.row[-1], row.code, row.captions) for row in rows] == [
        ("2", "bad_row", ()),
        ("3", "", ("x",)),
        ("4", "bad_row", ()),
        ("5", "", ()),
        ("7", "", ("so\nmany",)),
        ("8", "", ("y",)),
    ]
    assert rows[0].message == "is not a row: ',' expected after '\"'"


def test_a_line_of_json_that_is_too_long_is_dead_and_the_rest_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipelines.guarded.tables._FIELD_LIMIT", 40)
    row = '{"uri": "a.wav"}'
    longest = row.ljust(39) + "\n"
    lines = [
        row + "\n",
        row.ljust(41) + "\n",
        longest,
        row.ljust(400) + "\n",
        longest,
        row.ljust(123),
    ]
    rows = read("t.jsonl", "".join(lines))  # the limit counts the line's end
    assert [(found.row[-1], found.code, found.message) for found in rows] == [
        ("1", "", ""),
        ("2", "bad_row", "is longer than 40 characters"),
        ("3", "", ""),
        ("4", "bad_row", "is longer than 40 characters"),
        ("5", "", ""),
        ("6", "bad_row", "is longer than 40 characters"),
    ]


def test_a_line_of_a_table_that_is_too_long_is_dead_and_the_rest_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipelines.guarded.tables._FIELD_LIMIT", 40)
    rows = read("t.csv", b"uri,caption\na.wav,x\nb.wav," + b"y" * 50 + b"\nc.wav,z\n")
    assert [(row.row[-1], row.code, row.message) for row in rows] == [
        ("2", "", ""), ("3", "bad_row", "is longer than 40 characters"), ("4", "", ""),
    ]  # fmt: skip


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_lines_of_a_table_end_as_on_any_system(ending: str) -> None:
    text = ending.join(
        ["uri,caption", *(f"{number}.wav,♭{'x' * 50}" for number in range(1000)), ""]
    )
    rows = read("t.csv", text)
    assert [row.row for row in rows] == [f"/tables/t.csv#{number}" for number in range(2, 1002)]
    assert [row.source.uri for row in rows] == [f"/tables/{number}.wav" for number in range(1000)]


class Counting(io.BytesIO):
    """A file that knows how many bytes of it were read."""

    taken = 0

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        self.taken += len(content)
        return content

    def read1(self, size: int | None = -1) -> bytes:
        return self.read(size)


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl"])
def test_a_table_is_read_as_its_rows_are_taken_and_stays_open(name: str) -> None:
    line = '{"uri": "a.wav"}\n' if name == "t.jsonl" else "a.wav\n"
    opened = Counting(("" if name == "t.jsonl" else "uri\n").encode() + line.encode() * 1_000_000)
    rows = manifest_rows(f"/tables/{name}", opened, IngestRecipe())
    assert next(iter(rows)).source.uri == "/tables/a.wav"
    assert opened.taken <= 1 << 16
    del rows
    assert not opened.closed
    assert opened.seek(0) == 0
    assert opened.read(3) == ("uri" if name != "t.jsonl" else '{"u').encode()
