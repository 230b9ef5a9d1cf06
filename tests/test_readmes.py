"""Every command and every piece of Python that a README shows works as it stands.

A block is run whole, in order, in a folder with some music, unless an HTML comment above it says
why not: ``<!-- parsed: needs a GPU -->`` (the command line accepts every option; Python compiles)
or ``<!-- shown: … -->`` (bash accepts it).
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from flows.cli import app
from pipelines.synthesis.songs import write_songs

ROOT = Path(__file__).parents[1]
READMES = sorted([ROOT / "README.md", *ROOT.glob("[!.]*/README.md")])  # not those of caches
FENCE = re.compile(r"^(?:<!-- (\w+): (.+?) -->\n)?```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OPERATORS = ("&&", "||", "|", ";")
CORPUS = "obbligato build ~/music --out ~/corpus --workers 2"


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block of a README, and what is done with it: run, parsed or shown."""

    readme: str
    line: int
    language: str
    text: str
    mode: str
    reason: str

    def __str__(self) -> str:
        return f"{self.readme}:{self.line}"


def blocks_of(readme: Path) -> Iterator[Block]:
    text = readme.read_text()
    for found in FENCE.finditer(text):
        mode, reason, language, body = found.groups()
        line = text.count("\n", 0, found.start(4))
        name = str(readme.relative_to(ROOT))
        yield Block(
            readme=name,
            line=line,
            language=language,
            text=body,
            mode=mode or "run",
            reason=reason or "",
        )


BLOCKS = [block for readme in READMES for block in blocks_of(readme)]
SHELL = [block for block in BLOCKS if block.language == "sh"]
PYTHON = [block for block in BLOCKS if block.language == "python"]


def commands(text: str) -> Iterator[list[str]]:
    """The simple commands of a block as words; comments and what a shell does between commands are
    left out.
    """
    for line in text.replace("\\\n", " ").splitlines():
        words: list[str] = []
        for word in [*shlex.split(line, comments=True), ";"]:
            if word not in OPERATORS:
                words.append(word)
            elif words:
                yield words
                words = []


def parse(command: Any, words: Sequence[str], parent: Any = None) -> list[str]:
    """The names of the command that the words name, whose arguments and options it accepts; nothing
    is invoked.
    """
    name = command.name or "obbligato"
    context = command.make_context(name, list(words), parent=parent)
    if not hasattr(command, "resolve_command"):
        return [name]
    rest = [*getattr(context, "_protected_args", ()), *context.args]
    _, chosen, arguments = command.resolve_command(context, rest)
    return [name, *parse(chosen, arguments, context)]


def test_every_room_has_a_readme() -> None:
    names = {str(readme.relative_to(ROOT)) for readme in READMES}
    assert names >= {
        "README.md",
        *(f"{room}/README.md" for room in ("schemas", "pipelines", "training", "flows", "infra")),
    }


def test_a_block_that_is_not_run_says_why() -> None:
    for block in BLOCKS:
        assert block.mode in ("run", "parsed", "shown"), block
        assert (block.mode == "run") == (not block.reason), block
        assert block.language in ("sh", "python", ""), block  # without a language: output
    # No fence is hidden from the pattern above by a blank line after its comment or an indented
    # end.
    for readme in READMES:
        assert readme.read_text().count("```") == 2 * sum(
            block.readme == str(readme.relative_to(ROOT)) for block in BLOCKS
        )


def test_commands_are_taken_apart_as_a_shell_does() -> None:
    text = (
        "make demo  # a comment\nobbligato build a \\\n    --set 'b = \"c d\"' && obbligato "
        "verify a\n"
    )
    assert list(commands(text)) == [
        ["make", "demo"],
        ["obbligato", "build", "a", "--set", 'b = "c d"'],
        ["obbligato", "verify", "a"],
    ]


def test_what_the_command_line_does_not_know_is_refused() -> None:
    root = get_command(app)
    assert parse(root, ["shards", "ls", "corpus"])[-2:] == ["shards", "ls"]
    for words in (
        ["shards", "lst"],
        ["build", "music"],
        ["build", "music", "--out", "corpus", "--no-such-option"],
    ):
        with pytest.raises(Exception, match=r"(?i)no such|missing"):
            parse(root, words)


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_the_command_line_accepts_every_command(block: Block) -> None:
    checked = subprocess.run(
        ["bash", "-n"], input=block.text, capture_output=True, text=True, check=False
    )
    assert checked.stderr == ""
    for words in commands(block.text):
        if words[0] == "obbligato" and "--help" not in words:
            parse(get_command(app), words[1:])


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_the_recipe_of_every_training_stands(block: Block) -> None:
    for words in commands(block.text):
        is_own = words[:2] == ["obbligato", "train"] and not {"--from", "--distil"} & {*words}
        if is_own and "--set" in words:
            printed = CliRunner().invoke(app, [*words[1:], "--print"])
            assert printed.exit_code == 0, printed.output


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("readme", READMES, ids=lambda readme: str(readme.relative_to(ROOT)))
def test_links_lead_somewhere(readme: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", readme.read_text()):
        assert (readme.parent / link).exists(), link


# Folders without code of a package.
EXTRA_ROOMS: dict[str, set[str]] = {
    "pipelines": set(),
    "training": set(),
    "flows": {"api", "recipes"},
}


def test_the_picture_of_the_steps_shows_those_there_are() -> None:
    picture = (ROOT / "infra/pictures/steps.svg").read_text()
    drawn = re.findall(r'class="step ink"[^>]*>(\w+)<', picture)
    modules = {file.stem for file in (ROOT / "pipelines/stages").glob("*/[a-z]*.py")}
    assert set(drawn) == {
        name for name in modules if not name.endswith(("_sql", "_card"))
    }  # parts of a step
    assert len(drawn) == len(set(drawn))


@pytest.mark.parametrize("package", ["pipelines", "training", "flows"])
def test_the_table_of_rooms_has_each_that_is_there_and_no_other(package: str) -> None:
    text = (ROOT / package / "README.md").read_text(encoding="utf-8")
    table = text.partition("| room | holds |\n|---|---|\n")[2].partition("\n\n")[0]
    named = re.findall(r"`(\w+)`", "".join(row.split("|")[1] for row in table.splitlines()))
    folders = {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
    assert {*named} - {"errors", "extras", "plug_ins"} == folders | EXTRA_ROOMS[package]


def run(command: list[str], home: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "HOME": str(home),
        "PATH": f"{home}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    environment |= {
        "PYTHONPATH": f"{ROOT}:{ROOT / 'flows/api'}",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(
        command, cwd=home, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with three short pieces in `music`, a table of captions, `obbligato` on the path, and
    the README's first build.
    """
    home = tmp_path_factory.mktemp("home")
    table = write_songs(home / "music", songs=3)
    shutil.move(table, home / "captions.csv")
    for truth in (home / "music").glob("*.json"):
        truth.unlink()
    (home / "music/piece-000.flac").rename(home / "music/song.flac")
    program = home / "bin/obbligato"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m flows.cli "$@"\n')
    program.chmod(0o755)
    assert any(CORPUS in block.text for block in SHELL)
    done = run(["bash", "-c", CORPUS], home)
    assert done.returncode == 0, done.stderr
    return home


@pytest.mark.slow  # minutes together: by day commands are looked up, and Python is compiled
@pytest.mark.parametrize("readme", dict.fromkeys(block.readme for block in BLOCKS))
def test_what_a_readme_shows_runs(readme: str, home: Path) -> None:
    for block in BLOCKS:
        if block.readme != readme or block.mode != "run" or block.language not in ("sh", "python"):
            continue
        shell = block.language == "sh"
        done = run(
            ["bash", "-e", "-o", "pipefail", "-c", block.text]
            if shell
            else [sys.executable, "-c", block.text],
            home,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
