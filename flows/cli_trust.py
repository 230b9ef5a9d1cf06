"""`obbligato trust`: what a build or a model of others may name of code, models and servers."""

from typing import Annotated

import typer

from flows.screens.plain import plain


def trust(
    out: Annotated[str, typer.Argument(help="Folder or URL of a build or a run, or * for all.")],
    names: Annotated[
        list[str] | None,
        typer.Argument(help="What it may name, as knob=value; none lists what it wants."),
    ] = None,
) -> None:
    """Let data name what runs: modules, interpreters, plug-ins, models and servers that are not our
    own. Kept in your configuration.
    """
    from pipelines.trust.trusted import EVERYWHERE, trusted
    from pipelines.trust.trusted import trust as remember

    if names:
        remember(out, names)
        return
    may = trusted(out)
    wants = _wanted(out) if out != EVERYWHERE else may
    for name in sorted({*wants, *may}):
        typer.echo(f"{'trusted' if name in may else 'wanted':8} {plain(name)}")


def _wanted(out: str) -> tuple[str, ...]:
    """What lies in a folder wants: a build, or a model that was trained."""
    from flows.build.run_step import SOURCES, stored_build
    from pipelines.storage.store import Store
    from pipelines.trust import trusted as trust
    from training.run import recipe
    from training.run.checkpoint_files import RECIPE
    from training.run.checkpoints import find_checkpoint

    if Store(out).exists(SOURCES):
        sources, stored = stored_build(out)
        return (*trust.wanted(stored), *trust.reached(sources, stored))
    found = find_checkpoint(out, wanted=(RECIPE,)).record(RECIPE, recipe.TrainRecipe)
    return recipe.wanted(found.text, found.codec)
