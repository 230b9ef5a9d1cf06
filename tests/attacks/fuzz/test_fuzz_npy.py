"""NumPy files with anything in them: an array of finite numbers comes out, or `DeadInput`, and
nothing else.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import DeadInput
from pipelines.guarded.npy import ABSURD, read_npy
from pipelines.storage.arrow import npy_bytes

WHOLE = npy_bytes(np.random.default_rng(0).standard_normal((4, 3, 2)).astype(np.float16))
PIECES = (
    "{",
    "}",
    "'descr'",
    "'fortran_order'",
    "'shape'",
    ":",
    ",",
    "'<f2'",
    "'|O'",
    "True",
    "False",
    "None",
    "(",
    ")",
    "1",
    "64",
    "-1",
    "10**9",
    "1e999",
    "(2, 3)",
    "[",
    "]",
    "\\",
    "'",
    "0x7f",
    "_",
    "\n",
    " ",
)
FUZZ = settings(max_examples=3000, deadline=None, derandomize=True, database=None)


def assert_read_or_dead(content: bytes) -> None:
    try:
        found = read_npy(content)
    except DeadInput:
        return
    assert found.dtype.kind == "f"
    assert found.nbytes <= len(content)
    assert np.abs(found.astype(np.float64)).max() <= ABSURD


@pytest.mark.slow
@FUZZ
@given(st.binary(max_size=4000))
def test_fuzz_any_bytes(content: bytes) -> None:
    assert_read_or_dead(content)
    assert_read_or_dead(b"\x93NUMPY\x01\x00" + content)


@pytest.mark.slow
@FUZZ
@given(
    st.lists(
        st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=8
    ),
    st.integers(0, len(WHOLE)),
)
def test_fuzz_a_whole_file_with_bytes_changed_and_cut(
    changes: list[tuple[int, int]], end: int
) -> None:
    content = bytearray(WHOLE)
    for index, value in changes:
        content[index] = value
    assert_read_or_dead(bytes(content))
    assert_read_or_dead(bytes(content[:end]))


@pytest.mark.slow
@FUZZ
@given(
    st.lists(st.sampled_from(PIECES), max_size=60),
    st.sampled_from((1, 2, 3)),
    st.binary(max_size=64),
)
def test_fuzz_headers_of_the_right_words(pieces: list[str], version: int, body: bytes) -> None:
    header = "".join(pieces).encode()
    length = len(header).to_bytes(2 if version == 1 else 4, "little")
    assert_read_or_dead(b"\x93NUMPY" + bytes([version, 0]) + length + header + body)
