"""`obbligato import` and `obbligato export`: models that others published, as runs of ours; and
runs in the layout in which models are published.
"""

from typing import Annotated

import typer

from flows.cli.options import Json, Run, print_json, written


def import_model(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help=(
                "Mustango's, TANGO's or AudioLDM's folder, or a transformer's (Stable Audio, "
                "ACE-Step); or its id on the Hugging Face hub."
            ),
        ),
    ],
    out: Annotated[str, written("Folder of the run, or of a codec where there is no net.", "RUN")],
    licence: Annotated[
        str, typer.Option(help="Licence of the weights, where their card states none.")
    ] = "",
    text: Annotated[
        str, typer.Option(help="Where the text encoder lies, if not under the name it states.")
    ] = "",
    codec: Annotated[
        str,
        typer.Option(
            metavar="NAME[=SOURCE]", help="Codec of a released transformer's latents, with weights."
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    """Read a published model as a run at step 0, to be played, scored and trained from.

    Nothing in its files runs: a pickle that holds more than tensors is refused.
    """
    from flows.models.published import imported
    from flows.screens.plain import plain
    from flows.screens.program import command_name

    made = imported(source, out, licence=licence, text=text, codec=codec)
    if as_json:
        print_json({"out": out, "parameters": made.parameters, **made.parent.model_dump()})
        return
    parent = made.parent
    typer.echo(f"{plain(parent.name)}, sha256 {parent.sha256}")
    typer.echo(f"licence of the weights: {plain(parent.licence)}")
    for note in made.notes:
        typer.echo(f"note: {plain(note)}")
    if not made.parameters:
        typer.echo(
            f"encode with it:  {command_name()} encode BUILD --codec audioldm --weights {out}"
        )
        return
    typer.echo(f"{made.parameters / 1e6:.1f} million parameters: {out}")
    typer.echo(f"train from it:  {command_name()} train SHARDS --from {out} --out CHILD")


def export_model(
    run: Run,
    out: Annotated[str, written("New folder of the model, to be handed on.")],
    licence: Annotated[
        str, typer.Option(help="Licence of the weights, where they began as nothing of others.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Write a model in diffusers' layout and names, with a card that a hub reads.

    An adapter is merged. `import` reads it back whole.
    """
    from flows.models.published import exported
    from flows.screens.plain import plain

    made = exported(run, out, licence=licence)
    if as_json:
        print_json({"out": out, "unet": made.opened_by, "beside": list(made.rest)})
        return
    typer.echo(f"{plain(made.checkpoint.name)} in {out}")
    if made.opened_by:
        typer.echo(f"{made.opened_by} opens unet/")
    if made.rest:
        typer.echo(f"what no published net has lies in {out}/obbligato: {', '.join(made.rest)}")
