"""`obbligato trust`: what a build or a model of others may name of code, models and servers."""

from typing import Annotated

import typer


def trust(
    out: Annotated[str, typer.Argument(help="Folder or URL of a build or a run, or * for all.")],
    names: Annotated[list[str] | None, typer.Argument(help="What it may name, as knob=value; none lists what it wants.")] = None,
) -> None:
    """Let data name what runs: modules, interpreters, plug-ins, models and servers that are not our own. Kept in your configuration."""
    from pipelines.trust import EVERYWHERE, trusted
    from pipelines.trust import trust as remember

    if names:
        remember(out, names)
        return
    may = trusted(out)
    wants = _wanted(out) if out != EVERYWHERE else may
    for name in sorted({*wants, *may}):
        typer.echo(f"{'trusted' if name in may else 'wanted':8} {name}")


def _wanted(out: str) -> tuple[str, ...]:
    """What lies in a folder wants."""
    from flows.steps import stored_build
    from pipelines.trust import wanted

    return wanted(stored_build(out)[1])
