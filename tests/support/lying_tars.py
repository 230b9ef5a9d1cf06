"""Archives that lie about what they hold."""

import tarfile
from pathlib import Path

SAMPLE = [("a.flac", b"F" * 700), ("a.json", b'{"caption": "x"}')]


def header(name: str, size: int, raw: bytes = b"") -> bytes:
    """A header whose field of the size is `raw`, where that is given."""
    info = tarfile.TarInfo(name)
    info.size = size
    content = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    if raw:
        content[124:136] = raw
        content[148:156] = b" " * 8
        content[148:156] = b"%06o\0 " % sum(content)
    return bytes(content)


def padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)


def looping() -> bytes:
    """A sample, and a member of negative size that leads back to the header before it."""
    back = b"\xff" + (-1536).to_bytes(11, "big", signed=True)
    return (
        b"".join(header(name, len(content)) + padded(content) for name, content in SAMPLE)
        + header("z.flac", 0, back)
        + bytes(2048)
    )


def claiming(path: Path, size: int = 6 << 30) -> Path:
    """A PAX header of 6 GiB: four kB on the disk."""
    info = tarfile.TarInfo("p")
    info.size, info.type = size, tarfile.XHDTYPE
    with path.open("wb") as out:
        out.write(info.tobuf(tarfile.GNU_FORMAT))
        out.truncate(size + 2048)
    return path


def tar_of(*members: tuple[str, bytes]) -> bytes:
    return b"".join(
        header(name, len(content)) + padded(content) for name, content in members
    ) + bytes(1024)
