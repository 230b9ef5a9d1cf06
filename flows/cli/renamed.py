"""Names of commands and options that hold for one more version.

Each works as before, and the new name goes to standard error.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import typer
from typer.core import TyperCommand, TyperGroup

COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "heeds": ("ablate",),
    "predictors": ("train", "predictors"),
    "train-codec": ("train", "codec"),
}
# By command: options that have another name, and those whose value is the first argument.
OPTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "encode": {"--source": "--weights"},
    "export": {"--to": "--out"},
    "extract": {"--to": "--out"},
    "sample": {"--n": "--count"},
    "step": {"--slice": "--share"},
}
FIRST: Final[Mapping[str, Mapping[str, str]]] = {
    "step": {"--out": "step BUILD STEP"},
    "vocabulary": {"--captions": "captions vocabulary TABLE..."},
}


def report_renamed(old: str, new: str) -> None:
    """Tell the reader a new name."""
    typer.echo(
        f"obbligato: `{old}` is now `{new}`; the old form goes with the next version", err=True
    )


class RenamedCommands(TyperGroup):
    """Commands that also answer to their old names."""

    def resolve_command(  # type: ignore[override]
        self, ctx: typer.Context, args: list[str]
    ) -> tuple[str | None, TyperCommand | None, list[str]]:
        """The command that the first words name, and the words that are left."""
        words = COMMANDS.get(args[0])
        if words and not ctx.resilient_parsing:
            report_renamed(args[0], " ".join(words))
        return super().resolve_command(ctx, [*words, *args[1:]] if words else args)  # type: ignore[return-value]


class Renamed(TyperCommand):
    """A command that also takes the old names of its options."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Parse arguments, old names among them."""
        return super().parse_args(
            ctx, args if ctx.resilient_parsing else renewed(self.name or "", args)
        )


def renewed(command: str, args: Sequence[str]) -> list[str]:
    """Arguments of a command with new names for old ones, each of which is reported.

    >>> renewed("extract", ["corpus", "--out", "folder"])
    ['corpus', '--out', 'folder']
    """
    first: list[str] = []
    others: list[str] = []
    words = iter(args)
    for word in words:
        if word == "--":
            others += [word, *words]
            break
        name, equals, value = word.partition("=")
        if name in FIRST.get(command, {}):
            report_renamed(f"{command} {name}", FIRST[command][name])
            first.append(value if equals else next(words, ""))
            continue
        new = OPTIONS.get(command, {}).get(name)
        if new:
            report_renamed(f"{command} {name}", f"{command} {new}")
        others.append(f"{new or name}{equals}{value}")
    return [*first, *others]


def evaluation_settings(settings: Sequence[str]) -> Iterator[str]:
    """Settings of an evaluation in a pipeline, also those in the form of options of `evaluate`.

    >>> list(evaluation_settings(["show=3"]))
    ['show=3']
    """
    for setting in settings:
        if not setting.startswith("--"):
            yield setting
            continue
        name = setting.removeprefix("--").removeprefix("set=")
        if name in ("swaps", "no-swaps"):
            name = f"swaps={str(name == 'swaps').lower()}"
        if name.startswith("embedder="):
            name = f"label.{name}"
        report_renamed(f"pipeline --evaluate={setting}", f"pipeline --evaluate {name}")
        yield name
