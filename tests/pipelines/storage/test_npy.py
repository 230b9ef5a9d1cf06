"""NumPy files from outside: what is read, and what is refused by which code before memory is
taken.
"""

import io
import struct
import tracemalloc
from typing import Any

import numpy as np
import pytest

from pipelines.errors import DeadInput
from pipelines.guarded.npy import read_npy
from pipelines.storage.arrow import npy_bytes


def npy(header: bytes, body: bytes = b"", version: int = 1) -> bytes:
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + body


def npy_header(descr: str = "'<f2'", shape: str = "(2,)", order: str = "False") -> bytes:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()


@pytest.mark.parametrize("kind", ["<f2", "<f4", "<f8", ">f4"])
@pytest.mark.parametrize("shape", [(3, 4, 5), (7,), (), (1, 1, 1, 2)])
def test_what_numpy_writes_is_read_as_it_was(kind: str, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).standard_normal(shape).astype(kind)
    assert np.array_equal(read_npy(npy_bytes(values)), values)
    assert np.array_equal(read_npy(npy_bytes(np.array(values, order="F"))), values)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_all_versions_of_the_format_are_read(version: int) -> None:
    assert read_npy(
        npy(npy_header(), np.array([1, 2], np.float16).tobytes(), version)
    ).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"", "undecodable", "does not begin as one"),
        (b"PK\x03\x04" + bytes(60), "undecodable", "does not begin as one"),
        (
            npy(npy_header(), bytes(4), 1).replace(b"\x01\x00", b"\x09\x00", 1),
            "undecodable",
            "does not begin as one",
        ),
        (
            b"\x93NUMPY\x01\x00\xff\xff" + bytes(70_000),
            "undecodable",
            "claims 65535 bytes, limit 1024",
        ),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\x7f", "undecodable", "claims 2147483647 bytes, limit 0"),
        (npy(npy_header(shape="(100000000,)"), bytes(4)), "undecodable", "claims the shape"),
        (
            npy(npy_header(shape="(10000000000000, 64)"), bytes(4)),
            "undecodable",
            "claims the shape",
        ),
        (npy(npy_header(shape="(2, 0)")), "undecodable", "its shape is (2, 0)"),
        (npy(npy_header(shape="(-1, -2)"), bytes(4)), "undecodable", "its shape is (-1, -2)"),
        (npy(npy_header(shape="(True, 2)"), bytes(4)), "undecodable", "its shape is (True, 2)"),
        (npy(npy_header(shape="2"), bytes(4)), "undecodable", "its shape is 2"),
        (npy(npy_header(shape=f"({'1,' * 99})"), bytes(2)), "undecodable", "its shape is (1, 1"),
        (npy(npy_header("'|O'"), bytes(16)), "undecodable", "holds '|O'"),
        (npy(npy_header("'<i8'"), bytes(16)), "undecodable", "holds '<i8'"),
        (npy(npy_header("'<f16'"), bytes(32)), "undecodable", "holds '<f16'"),
        (npy(npy_header("[('a', '<f2')]"), bytes(4)), "undecodable", "not floating-point numbers"),
        (npy(npy_header(order="0"), bytes(4)), "undecodable", "in which order"),
        (npy(b"[" * 900), "undecodable", "header cannot be read"),
        (npy(b"-" * 900 + b"1"), "undecodable", "header"),
        (npy(b"__import__('os').system('true')"), "undecodable", "header cannot be read"),
        (npy(b"{'descr': '<f2'}"), "undecodable", "not one of an array"),
        (npy(b"{[]: 1}"), "undecodable", "header cannot be read"),
        (
            npy(npy_header(), np.array([1, np.nan], np.float16).tobytes()),
            "not_finite",
            "NaN or infinite",
        ),
        (
            npy(npy_header(), np.array([1, -np.inf], np.float16).tobytes()),
            "not_finite",
            "NaN or infinite",
        ),
        (
            npy(npy_header("'<f8'"), np.array([1, -1e300]).tobytes()),
            "absurd_level",
            "absurdly large",
        ),
    ],
)
def test_what_is_no_array_of_numbers_is_refused_by_its_code(
    content: bytes, code: str, words: str
) -> None:
    with pytest.raises(DeadInput) as caught:
        read_npy(content)
    assert caught.value.code == code
    assert words in caught.value.message


def test_objects_are_not_unpickled_and_archives_not_opened() -> None:
    out = io.BytesIO()
    np.save(out, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    archive = io.BytesIO()
    np.savez(archive, np.zeros(3))
    for content in (out.getvalue(), archive.getvalue()):
        with pytest.raises(DeadInput, match="not a NumPy file of numbers"):
            read_npy(content)


def test_a_lying_header_costs_no_memory() -> None:
    content: Any = npy(npy_header(shape="(4000000000,)"), bytes(4))
    tracemalloc.start()
    with pytest.raises(DeadInput):
        read_npy(content)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
