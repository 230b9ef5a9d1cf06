"""`obbligato review`: a page on which labels are set right, for this machine alone."""

import getpass
import importlib.metadata
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import Build, Json, counting, print_json
from flows.errors import UsageError

_CLIPS = 200


def review(
    build: Build,
    *,
    clips: Annotated[
        int, typer.Option("--clips", min=0, help="Clips, the least sure ones; 0 for all.")
    ] = _CLIPS,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port on 127.0.0.1; 0 for a free one.")
    ] = 0,
    who: Annotated[
        str, typer.Option("--who", help="Who corrects. [default: your login]", show_default=False)
    ] = "",
    licence: Annotated[
        str, typer.Option("--licence", help="Licence of the corrections.")
    ] = "LicenseRef-Own",
    refit: Annotated[
        str,
        typer.Option(
            "--refit",
            metavar="NAME",
            help="Open no page, but learn from corrections how sure labels are, and call it so.",
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Open a page on which tempo, bars, chords and key are set right, least sure clips first.

    It is served to this machine alone, until Ctrl-C. Corrections go before all other labels and are
    kept in the build; the next `obbligato build` moves them to all variants and does again what
    depends on them, and nothing else.

    With `--refit` they say how far each label's confidence can be trusted. A clip counts once all
    that was heard in it was set or confirmed; nothing goes by the result until `--set
    review.calibration=NAME` chooses it.
    """
    if refit:
        from flows.cli.refit import refit as refit_confidences

        refit_confidences(build, refit, as_json=as_json)
        return
    from flows.build.run_step import stored_build
    from flows.screens.report.material import of_build
    from flows.screens.report.parts import ServedParts
    from flows.screens.report.write import write_parts
    from flows.screens.review.desk import ReviewDesk
    from flows.screens.review.server import ReviewServer
    from pipelines.shards.chosen import choose

    sources, recipe = stored_build(build)
    desk = ReviewDesk(build, recipe, _name(who), licence)
    material = of_build(build, importlib.metadata.version("obbligato"))
    unsure = desk.unsure()
    choice = choose(material.found, clips, lambda name: (unsure.get(name, 2.0), name))
    with tempfile.TemporaryDirectory(prefix="obbligato-review-") as folder:
        parts = ServedParts(Path(folder))
        about = write_parts(parts, material, choice, counting(as_json))
        parts.put("contents", {**about, "review": True, "who": _name(who)})
        try:
            server = ReviewServer(desk, Path(folder), "Review", port)
        except OSError as error:
            raise UsageError(f"--port {port} cannot be listened on: {error.strerror}") from error
        with server:
            _say_where(server.address, about["clips"], as_json)
            with suppress(KeyboardInterrupt):
                server.serve_forever()
    if not as_json:
        _say_what_next(desk.made, desk.waiting(), build, sources)


def _name(who: str) -> str:
    return who.strip() or getpass.getuser()


def _say_where(address: str, clips: int, as_json: bool) -> None:
    if as_json:
        print_json({"address": address, "clips": clips})
        return
    typer.echo(f"{clips:,} clips, least sure first; Ctrl-C ends")
    typer.echo(f"open {address}")


def _say_what_next(made: int, waiting: int, build: str, sources: list[str]) -> None:
    typer.echo(f"corrections made: {made:,}")
    if waiting:
        again = " ".join(sources)
        typer.echo(
            f"`obbligato build {again} --out {build}`, with its recipe, moves them to all variants"
        )
