"""Parts of the listening page's data: script files beside it, or blocks within it.

A page that is opened from a folder may load scripts and nothing else, so each part is a script that
hands one JSON text to the page. The text is data there: it is parsed, never run.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import IO, Any, Final

_ESCAPED: Final = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def script_json(value: Any) -> str:
    r"""A value as JSON that neither ends a script nor begins a comment or a tag, in ASCII.

    >>> script_json({"title": "</script><!-- \u2028"})
    '{"title":"\\u003c/script\\u003e\\u003c!-- \\u2028"}'
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.translate(_ESCAPED)  # these signs stand within strings alone


class PageParts(ABC):
    """Where parts go, by name; `digest` is a hash of all."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.bytes = 0

    def put(self, name: str, value: Any) -> None:
        """Write a part, once."""
        content = self._content(name, value)
        self._hash.update(f"{name} {len(content)}\n".encode())
        self._hash.update(content)
        self.bytes += len(content)
        self._write(name, content)

    @property
    def digest(self) -> str:
        """Sixteen hex digits that stand for the parts, their names and order."""
        return self._hash.hexdigest()[:16]

    @abstractmethod
    def _content(self, name: str, value: Any) -> bytes: ...

    @abstractmethod
    def _write(self, name: str, content: bytes) -> None: ...


class FileParts(PageParts):
    """Parts as script files in a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def _content(self, name: str, value: Any) -> bytes:
        # a text within a text: an object of a script could set what objects inherit
        return f"receive({script_json(name)},{script_json(script_json(value))});\n".encode()

    def _write(self, name: str, content: bytes) -> None:
        file = self._folder / f"{name}.js"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


class BlockParts(PageParts):
    """Parts as blocks of data, to stand in the page itself."""

    def __init__(self, out: IO[bytes]) -> None:
        super().__init__()
        self._out = out

    def _content(self, name: str, value: Any) -> bytes:
        opening = f'<script type="application/json" data-part="{name}">'
        return f"{opening}{script_json(value)}</script>\n".encode()

    def _write(self, _name: str, content: bytes) -> None:
        self._out.write(content)


class ServedParts(PageParts):
    """Parts as files of plain JSON in a folder, for a server to hand out."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def _content(self, _name: str, value: Any) -> bytes:
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()

    def _write(self, name: str, content: bytes) -> None:
        file = self._folder / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
