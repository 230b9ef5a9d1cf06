"""NumPy files from outside: arrays of finite floating-point numbers, or of codes, alone, and no
memory for what a header merely claims.
"""

import ast
import math
import re
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pipelines.errors import DeadInput

_MAGIC: Final = b"\x93NUMPY"
_LENGTH_BYTES: Final = {1: 2, 2: 4, 3: 4}  # of the header's length, by the format's version
_HEADER_LIMIT: Final = 1024  # bytes; NumPy writes 118 for any array of ours
_FLOAT: Final = re.compile(r"[<>=]f[248]")
_CODE: Final = re.compile(r"[<>=]u2")
_DIMENSIONS: Final = 8
# Latents are about 1, and half precision, in which ours are stored, ends at 65,504. Beyond this
# nobody's codec works, and one sample would move weights as ten thousand do.
ABSURD: Final = 1e4


def read_npy(content: bytes, largest: float = ABSURD) -> npt.NDArray[np.floating[Any]]:
    """The array of a NumPy file: finite floating-point numbers of at most `largest`, as a view of
    the bytes, which cannot be written to.

    Raises `DeadInput` ("undecodable", "not_finite", "absurd_level") for anything else. Nothing is
    unpickled, and nothing is allocated before the header is known to fit the bytes that follow it.

    >>> import io
    >>> np.save(out := io.BytesIO(), np.float16([[0.5, -1.0]]))
    >>> read_npy(out.getvalue()).tolist()
    [[0.5, -1.0]]
    """
    array = _array(content, _FLOAT, "floating-point numbers of 2, 4 or 8 bytes")
    low, high = float(array.min()), float(array.max())
    if not math.isfinite(low) or not math.isfinite(high):  # NaN anywhere makes both NaN
        raise DeadInput("not_finite", "has numbers that are NaN or infinite")
    if max(-low, high) > largest:
        raise DeadInput(
            "absurd_level",
            "has absurdly large numbers",
            f"{max(-low, high):.3g}, limit {largest:g}",
        )
    return array


def read_codes(content: bytes, entries: int = 1 << 16) -> npt.NDArray[np.uint16]:
    """The codes of a NumPy file: 16-bit whole numbers from 0 to below `entries`, as a view of the
    bytes, which cannot be written to.

    Raises `DeadInput` ("undecodable", "foreign_code") for anything else.

    >>> import io
    >>> np.save(out := io.BytesIO(), np.uint16([[3, 1], [0, 2]]))
    >>> read_codes(out.getvalue(), 4).tolist()
    [[3, 1], [0, 2]]
    """
    codes = _array(content, _CODE, "whole numbers of 2 bytes without a sign")
    if (largest := int(codes.max())) >= entries:
        raise DeadInput(
            "foreign_code", f"has the code {largest}, but codebooks of {entries} entries"
        )
    return codes


def _array(content: bytes, kinds: re.Pattern[str], expected: str) -> npt.NDArray[Any]:
    fields, start = _header(content)
    kind, shape = _dtype(fields["descr"], kinds, expected), _shape(fields["shape"])
    if not isinstance(fields["fortran_order"], bool):
        raise _strange("its header does not say in which order its numbers are")
    held = len(content) - start
    if math.prod(shape) * kind.itemsize != held:
        raise _strange(
            f"its header claims the shape {_shown(shape)} "
            f"of {kind.itemsize} bytes each, but {held} bytes follow"
        )
    return np.frombuffer(content, kind, offset=start).reshape(
        shape, order="F" if fields["fortran_order"] else "C"
    )


def _header(content: bytes) -> tuple[dict[str, Any], int]:
    """The three fields of a header, and where the numbers begin."""
    version = content[6] if len(content) > 6 else 0
    if not content.startswith(_MAGIC) or version not in _LENGTH_BYTES:
        raise _strange("it does not begin as one")
    begins = 8 + _LENGTH_BYTES[version]
    length = int.from_bytes(content[8:begins], "little")
    if length > _HEADER_LIMIT or begins + length > len(content):
        raise _strange(
            f"its header claims {length} bytes, limit "
            f"{min(_HEADER_LIMIT, max(0, len(content) - begins))}"
        )
    try:
        fields = ast.literal_eval(content[begins : begins + length].decode("latin-1").strip())
    except (
        ValueError,
        SyntaxError,
        MemoryError,
        RecursionError,
        TypeError,
    ) as error:
        # the parser's words for a kilobyte nested too deep
        raise _strange("its header cannot be read") from error
    if not isinstance(fields, dict) or set(fields) != {"descr", "fortran_order", "shape"}:
        raise _strange("its header is not one of an array")
    return fields, begins + length


def _dtype(value: object, kinds: re.Pattern[str], expected: str) -> "np.dtype[Any]":
    if not isinstance(value, str) or not kinds.fullmatch(value):
        raise _strange(f"it holds {_shown(value)}, not {expected}")
    return np.dtype(value)


def _shape(value: object) -> tuple[int, ...]:
    whole = isinstance(value, tuple) and all(type(size) is int and size > 0 for size in value)
    if not whole or len(value) > _DIMENSIONS:  # type: ignore[arg-type]  # a tuple by now
        raise _strange(f"its shape is {_shown(value)}")
    return value  # type: ignore[return-value]  # a tuple of whole numbers by now


def _shown(value: object) -> str:
    """What a header says, short enough for a message."""
    return repr(value)[:60]


def _strange(why: str) -> DeadInput:
    return DeadInput("undecodable", f"is not a NumPy file of numbers: {why}")
