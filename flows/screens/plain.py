"""Text from outside as it may be shown: nothing in it moves the cursor, sets a title or a colour,
or turns the line around.
"""

import io
import re
import sys
from typing import Final, TextIO

# characters of a message: its reason stands at the front, what to do at the end
_LONGEST: Final = 2000
_UNUSUAL: Final = re.compile(r"[^\n\t -~]")


def plain(text: str) -> str:
    r"""Text in one line: control, format and other characters that cannot be seen are escaped.

    >>> print(plain("red \x1b[31m, two\nlines, \u202eturned, \x9b2J, Größe ♯"))
    red \x1b[31m, two\nlines, \u202eturned, \x9b2J, Größe ♯
    """
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def message(text: object) -> str:
    """A message in one plain line, shortened in the middle where it is long.

    >>> message("x" * 10_000)[990:1010], len(message("x" * 10_000))
    ('xxxxxxxxx … xxxxxxxx', 2000)
    """
    full = str(text)
    half = (_LONGEST - 3) // 2
    shortened = plain(full if len(full) <= _LONGEST else f"{full[: half + 1]} … {full[-half:]}")
    return (
        shortened if len(shortened) <= 2 * _LONGEST else f"{shortened[:half]} … {shortened[-half:]}"
    )


class PlainStream(io.TextIOBase):
    """A text stream that lets only plain text, tabs and line ends through to another, whoever
    writes: a library, a traceback, a `print`.

    Escapes are JSON's own, so JSON stays JSON. A carriage return, with which progress is drawn
    over, ends a line.
    """

    def __init__(self, through: TextIO) -> None:
        self.through = through

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a plain attribute there
        """That of the stream behind."""
        return self.through.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """That of the stream behind."""
        return self.through.errors

    def write(self, text: str) -> int:
        """Write text without what is not plain in it."""
        self.through.write(_UNUSUAL.sub(_escaped, text.replace("\r\n", "\n")))
        return len(text)

    def flush(self) -> None:
        """Flush the stream behind."""
        self.through.flush()

    def writable(self) -> bool:
        """As the stream behind is."""
        return self.through.writable()

    def isatty(self) -> bool:
        """No: who asks wants to write control characters."""
        return False

    def fileno(self) -> int:
        """For child processes and crash handlers, which write by themselves."""
        return self.through.fileno()


def _escaped(found: "re.Match[str]") -> str:
    sign = found[0]
    if sign == "\r":
        return "\n"
    if sign.isprintable():
        return sign
    units = sign.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def complain(line: str) -> None:
    """Write a line to standard error: the last word of a program that failed."""
    print(line, file=sys.stderr)  # noqa: T201


def guard_streams() -> None:
    """Put plain streams in front of this process's output and error output."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        # none: whoever started this process has closed it
        if stream is None or isinstance(stream, PlainStream):
            continue
        if isinstance(stream, io.TextIOWrapper):
            # a terminal without Unicode must not end a build
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, PlainStream(stream))
