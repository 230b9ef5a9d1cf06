"""Whatever bytes they are given, the readers of what comes in end soon, raise nothing but
`DeadInput`, and account for every row.
"""

import io
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.errors import DeadInput
from pipelines.guarded.json_objects import json_object
from pipelines.guarded.tables import table_rows
from pipelines.inputs.shards import shard_rows
from pipelines.shards.find import ShardProblem, find_shards, index_of
from pipelines.shards.read import read_shard
from pipelines.storage.tar import read_members
from schemas.corpus import Outcome
from schemas.recipe import IngestRecipe
from schemas.shard import ShardIndex
from tests.pipelines.shards.shard_samples import tar_bytes

pytestmark = pytest.mark.slow
FUZZ = settings(
    max_examples=200,
    derandomize=True,
    deadline=2000,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


SOUND = tar_bytes(
    [
        member
        for key in "abc"
        for member in ((f"{key}.flac", key.encode() * 300), (f"{key}.json", b'{"caption": "x"}'))
    ]
)
HEADERS = (0, 1024, 2048, 3072, 4096, 5120)  # where those of the tar above stand


@st.composite
def tars(draw: st.DrawFn) -> bytes:
    """A sound tar with fields of its headers changed, their checksums made right again or not, and
    perhaps cut.
    """
    content = bytearray(SOUND)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.sampled_from(HEADERS))
        # name, mode, size, type, link, magic, prefix, sparse
        index = draw(st.sampled_from((0, 100, 124, 156, 157, 257, 345, 386, 482)))
        patch = draw(st.binary(min_size=1, max_size=12))
        content[start + index : start + index + len(patch)] = patch
        if draw(st.booleans()):
            header = content[start : start + 512]
            header[148:156] = b" " * 8
            content[start + 148 : start + 156] = b"%06o\0 " % sum(header)
    return bytes(content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content)


@FUZZ
@given(content=st.one_of(tars(), st.binary(max_size=2048)))
def test_fuzz_members_of_a_tar_ascend_and_lie_within_it(content: bytes) -> None:
    last = -1
    with suppress(DeadInput):
        for member in read_members(io.BytesIO(content)):
            assert last < member.offset
            assert not member.is_file or 0 <= member.offset <= member.offset + member.size <= len(
                content
            )
            last = member.offset


@FUZZ
@given(content=tars())
def test_fuzz_rows_of_a_shard_have_names_of_their_own(content: bytes) -> None:
    try:
        rows = list(shard_rows("/s.tar", io.BytesIO(content), "", IngestRecipe()))
    except DeadInput:
        return
    assert len({row.row for row in rows if row.code != "repeated_key"}) == len(
        [row for row in rows if row.code != "repeated_key"]
    )
    assert all(row.outcome in (None, Outcome.DEAD) for row in rows)
    for row in rows:
        row.model_dump_json().encode()


@FUZZ
@given(content=tars())
def test_fuzz_the_shard_tools_name_what_they_do_not_give(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "s.tar").write_bytes(content)
    entries = list(read_shard(find_shards(str(tmp_path / "s.tar")).shards[0]))
    assert entries
    for entry in entries:
        if isinstance(entry, ShardProblem):
            entry.model_dump_json().encode()


PIECES = st.sampled_from(
    [
        '{"a":',
        "[",
        "]",
        "{",
        "}",
        '"x"',
        "1e999",
        "NaN",
        "-Infinity",
        "9" * 30,
        "\\ud800",
        '"\\ud800"',
        ":",
        ",",
        "1",
        "\0",
    ]
)


@FUZZ
@given(
    content=st.one_of(
        st.lists(PIECES, max_size=30).map(lambda parts: "".join(parts).encode()),
        st.binary(max_size=200),
    )
)
def test_fuzz_json_is_an_object_that_can_be_written_or_dead(content: bytes) -> None:
    with suppress(DeadInput):
        json.dumps(json_object(content), allow_nan=False, ensure_ascii=False).encode()


CELLS = st.sampled_from(
    [
        b'"',
        b",",
        b"\n",
        b"\r\n",
        b"\r",
        b"a",
        b"\0",
        b"\xff",
        b'""',
        b"\xe2\x99\xad",
        b"a.wav,x\n",
        b'"a\nb",c\n',
        b"\xef\xbb\xbf",
    ]
)


@FUZZ
@given(lines=st.lists(CELLS, max_size=60), suffix=st.sampled_from([".csv", ".tsv"]))
def test_fuzz_every_record_of_a_table_has_a_line_of_its_own_and_those_after_it_are_read(
    lines: list[bytes], suffix: str
) -> None:
    last = b"last,row\n" if suffix == ".csv" else b"last\trow\n"
    content = b"uri\tcaption\n" if suffix == ".tsv" else b"uri,caption\n"
    content += b"".join(lines) + b"\n" + last
    rows = list(table_rows(suffix, io.BytesIO(content)))
    numbers = [number for number, _ in rows]
    assert numbers == sorted(set(numbers))
    final: Any = rows[-1][1]
    assert final.get("uri") == "last" or "last" in str(final)


@FUZZ
@given(
    lines=st.lists(
        st.one_of(
            st.just(b'{"uri": "a"}'), st.binary(max_size=30).filter(lambda line: b"\n" not in line)
        ),
        max_size=20,
    )
)
def test_fuzz_every_line_of_json_lines_is_a_row_or_blank(lines: list[bytes]) -> None:
    content = b'{"uri": "first"}\n' + b"\n".join(lines)
    rows = list(table_rows(".jsonl", io.BytesIO(content)))
    blank = [line for line in lines if not line.decode("utf-8", "surrogateescape").strip()]
    assert len(rows) == 1 + len(lines) - len(blank)


VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(10**25), 10**25), st.floats(), st.text(max_size=5)
    ),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)


@FUZZ
@given(
    field=st.sampled_from(["count", "bytes", "sha256", "keys", "offsets", "duration_s"]),
    value=VALUES,
)
def test_fuzz_an_index_is_sound_or_dead(field: str, value: Any, tmp_path: Path) -> None:
    (tmp_path / "train-00000.tar").write_bytes(SOUND)
    stated = {
        "count": 3,
        "bytes": len(SOUND),
        "sha256": "0" * 64,
        "keys": ["a"],
        "offsets": [0, 2048, 4096, 6144],
        "duration_s": 1.0,
    }
    (tmp_path / "train-00000.json").write_text(json.dumps({**stated, field: value}))
    try:
        found = index_of(find_shards(str(tmp_path / "train-00000.tar")).shards[0])
    except DeadInput:
        return
    assert found is not None
    if found.offsets is not None:
        assert len(found.offsets) == found.count + 1
        assert list(found.offsets) == sorted(set(found.offsets))
        assert found.offsets[-1] <= found.bytes
    with pytest.raises(ValidationError):
        ShardIndex.model_validate({**found.model_dump(), "offsets": (0, 1)})
