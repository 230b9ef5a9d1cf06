"""One place prints what came from outside."""

import ast
import io
import json
from collections.abc import Iterator
from pathlib import Path

from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from flows.screens.plain import PlainStream, message
from flows.screens.terminal import Screen
from tests.support.building import ROOT

PACKAGES = ("flows", "training", "pipelines", "schemas")
PRINTERS = {"flows/screens/terminal.py", "flows/screens/plain.py"}
# calls of print: ruff's part
FORBIDDEN = {
    "Console",
    "rich.print",
    "sys.stdout",
    "sys.stderr",
    "sys.__stdout__",
    "sys.__stderr__",
}


def names(path: Path) -> Iterator[str]:
    """What a module calls or reads by name, as ``sys.stdout``."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Name | ast.Attribute):
            yield ast.unparse(node)


def test_no_other_module_makes_a_console_or_writes_to_the_terminal_by_itself() -> None:
    found = {
        (str(path.relative_to(ROOT)), name)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if str(path.relative_to(ROOT)) not in PRINTERS
        for name in names(path)
        if name in FORBIDDEN
    }
    assert found == set()


def test_whatever_writes_to_a_plain_stream_its_control_characters_are_escaped() -> None:
    behind = io.StringIO()
    stream = PlainStream(behind)
    print("a\x1b[2J\x07\x7f\x9b1m\u202e\u2066\u200b\u2028\ud800", "größe ♯\t漢", file=stream)
    print(" 5 %\r10 %\r\nend", file=stream)
    assert behind.getvalue() == (
        "a\\u001b[2J\\u0007\\u007f\\u009b1m\\u202e\\u2066\\u200b\\u2028\\ud800 größe ♯\t漢\n"
        " 5 %\n"
        "10 %\n"
        "end\n"
    )
    assert not stream.isatty()


def test_json_through_a_plain_stream_is_the_same_json() -> None:
    behind = io.StringIO()
    values = {"\x9b": "\u202e\U000e0041\x7f é ♯ 𝄞 \x1b \\u1234"}
    PlainStream(behind).write(json.dumps(values, ensure_ascii=False))
    assert json.loads(behind.getvalue()) == values
    assert "é ♯ 𝄞" in behind.getvalue()


def test_the_screen_escapes_what_is_drawn_however_it_is_made_and_keeps_its_own_colours() -> None:
    screen, picture = Screen(), io.StringIO()
    screen.file, screen._force_terminal = picture, True
    table = Table(box=None)
    table.add_column("a\x1b[2J")
    table.add_row("[red]b\x07 :smile:")
    screen.print(table, Text("c\u202e", style="bold"), "d\x9b")
    with Progress(console=screen, auto_refresh=False) as bars:
        bars.add_task("e\x1b]0;x\x07", total=None)
    text = picture.getvalue()
    assert all(
        output in text
        for output in (r"a\x1b[2J", r"[red]b :smile:", r"c\u202e", r"d\x9b", r"e\x1b")
    )
    assert not any(sign in text for sign in ("\x1b[2J", "\x07", "\u202e", "\x9b", "\x1b]"))


def test_a_long_message_keeps_its_reason_and_its_advice() -> None:
    output = message(f"bad.flac: broken {chr(27) * 60_000} run `obbligato dead retry`")
    assert output.startswith("bad.flac: broken \\x1b\\x1b")
    assert output.endswith("\\x1b run `obbligato dead retry`")
    assert len(output) <= 4000
