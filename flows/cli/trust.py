"""`obbligato trust` and `obbligato unlock`: what others' data may name, and locks that must go."""

from typing import Annotated

import typer

from flows.cli.options import A_RUN, Build, Json, existing, print_json
from flows.screens.plain import message, plain


def trust(
    build: Annotated[
        str,
        typer.Argument(
            metavar="BUILD|RUN", help="Folder or URL of a build or a training run, or * for all."
        ),
    ],
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="KNOB=VALUE", help="What it may name; none lists what it wants."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Let data name what runs: modules, interpreters, plug-ins, models and servers that are not our
    own. Kept in your configuration.
    """
    from pipelines.trust.trusted import EVERYWHERE, trusted
    from pipelines.trust.trusted import trust as remember

    if names:
        remember(build, names)
    may = trusted(build)
    requested = _requested(build) if build != EVERYWHERE and not names else may
    if as_json:
        print_json(
            {"build": build, "wanted": sorted({*requested} - {*may}), "trusted": sorted(may)}
        )
        return
    for name in [] if names else sorted({*requested, *may}):
        typer.echo(f"{'trusted' if name in may else 'wanted':8} {plain(name)}")


def _requested(build: str) -> tuple[str, ...]:
    """What lies in a folder wants: a build, or a model that was trained."""
    from flows.build.run_step import stored_build
    from pipelines.build.tables import SOURCES
    from pipelines.storage.store import Store
    from pipelines.trust import trusted as trust
    from training.run import recipe
    from training.run.checkpoints import RECIPE, find_checkpoint, is_of_codes
    from training.tokens.recipe import TokensRecipe

    if Store(build).exists(SOURCES):
        sources, stored = stored_build(build)
        return (*trust.requested(stored), *trust.reached(sources, stored))
    existing(build, f"a build, or {A_RUN}")
    checkpoint = find_checkpoint(build, files=(RECIPE,))
    found: TokensRecipe | recipe.TrainRecipe = (
        checkpoint.record(RECIPE, TokensRecipe)
        if is_of_codes(checkpoint)
        else checkpoint.record(RECIPE, recipe.TrainRecipe)
    )
    return recipe.foreign_names(found.text, found.codec)


def unlock(build: Build, as_json: Json = False) -> None:
    """Remove the lock of a run that is surely dead."""
    from pipelines.storage.lock import break_lock
    from pipelines.storage.store import Store
    from pipelines.trust.build_folder import check_folder

    check_folder(Store(build))
    holder = break_lock(Store(build))
    if as_json:
        print_json({"build": build, "removed": holder and str(holder)})
    else:
        typer.echo(message(f"removed the lock of {holder}" if holder else f"{build} is not locked"))
