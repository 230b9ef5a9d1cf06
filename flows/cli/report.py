"""`obbligato report` and `obbligato shards report`: a page on which labels are seen and heard."""

import importlib.metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import Build, Json, Target, counting, print_json, written
from flows.errors import UsageError

if TYPE_CHECKING:
    from flows.screens.report.write import Material, WrittenReport

_FOLDER = "report"  # within a build
_CLIPS = 200

Clips = Annotated[
    int | None,
    typer.Option(
        "--clips",
        min=0,
        metavar="N",
        help="Clips, drawn by their names; 0 for all. [default: 200; with --embed, 50]",
        show_default=False,
    ),
]
Embed = Annotated[
    bool, typer.Option("--embed", help="One file with its audio within, of up to 50 clips.")
]


def report(
    build: Build,
    *,
    out: Annotated[str, written("Folder of the page; else `report` within the build.")] = "",
    clips: Clips = None,
    embed: Embed = False,
    as_json: Json = False,
) -> None:
    """Write a page that shows and plays what a build holds: labels over the waveform, captions with
    their facts checked, variants, histograms, and what was not used.

    It opens in a browser from its folder, without a server or a network.
    """
    from flows.screens.report.material import of_build

    if not out and "://" in build:
        raise UsageError(f"--out is missing: {build} is a URL, and the page is a folder here")
    target = Path(out or f"{build.rstrip('/')}/{_FOLDER}")
    _print(_written(of_build(build, _version()), target, clips, embed, as_json), as_json)


def report_shards(
    target: Target,
    *,
    out: Annotated[str, written("Folder of the page.")],
    clips: Clips = None,
    embed: Embed = False,
    as_json: Json = False,
) -> None:
    """Write a page that shows and plays samples: of ours with all labels, of others with captions
    and what they state.
    """
    from flows.screens.report.material import of_shards

    _print(_written(of_shards(target, _version()), Path(out), clips, embed, as_json), as_json)


def _version() -> str:
    return importlib.metadata.version("obbligato")


def _written(
    material: "Material", out: Path, clips: int | None, embed: bool, as_json: bool
) -> "WrittenReport":
    from flows.screens.report.write import EMBEDDED_MOST, write_report

    if clips is None:
        clips = EMBEDDED_MOST if embed else _CLIPS
    if embed and not 0 < clips <= EMBEDDED_MOST:
        raise UsageError(f"--embed holds up to {EMBEDDED_MOST} clips: leave it out, or --clips")
    return write_report(material, out, clips, counting(as_json), embed=embed)


def _print(done: "WrittenReport", as_json: bool) -> None:
    if as_json:
        print_json(done.as_json())
        return
    shown = f"{done.clips:,}" if done.clips == done.of else f"{done.clips:,} of {done.of:,}"
    typer.echo(f"{shown} clips, {done.samples:,} samples, {done.bytes / 1e6:,.1f} MB")
    typer.echo(f"open {done.page}")
