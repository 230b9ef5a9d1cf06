"""`obbligato label` and `obbligato encode`: a build that stands gets texts or latents, and its
shards are written anew around its audio.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from schemas.recipe import Recipe

Out = Annotated[str, typer.Argument(help="Folder or URL of a build.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="One knob of the recipe, as section.key=value. Repeatable."),
]
Workers = Annotated[int, typer.Option(min=1, help="Worker processes.")]


def label(
    out: Out,
    vocabularies: Annotated[
        list[str] | None,
        typer.Option(
            "--vocabulary",
            help="A file of texts to choose from. Repeatable; none for the build's own.",
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude",
            help="A file of captions that no label may repeat: an evaluation set. Repeatable.",
        ),
    ] = None,
    settings: Settings = None,
    workers: Workers = 1,
) -> None:
    """Choose texts for each clip by a joint embedding, and put them into the shards; the audio is
    not encoded again.
    """
    from flows.build.local import label as run_label

    given = {"vocabularies": vocabularies, "exclude": exclude}
    named = {knob: tuple(places) for knob, places in given.items() if places}
    _renew(
        out,
        settings,
        lambda stored: stored.replaced(label=stored.label.replaced(**named)),
        run_label,
        workers,
    )


def encode(
    out: Out,
    codec: Annotated[
        str,
        typer.Option(
            help=(
                "mel, audioldm, encodec, dac, or a module's dotted name; none for the codec that "
                "the build's recipe names."
            )
        ),
    ] = "",
    source: Annotated[
        str, typer.Option(help="The codec's weights: an id on the Hugging Face hub, or a folder.")
    ] = "",
    settings: Settings = None,
    workers: Workers = 1,
) -> None:
    """Encode each sample's audio as the latents that a model learns, and put them into the shards
    beside the same audio.
    """
    from flows.build.local import encode as run_encode

    # Weights are one codec's: with another codec, those that the recipe names for its own mean
    # nothing.
    named = {"codec": codec, "source": source} if codec else {"source": source} if source else {}
    _renew(
        out,
        settings,
        lambda stored: stored.replaced(encode=stored.encode.replaced(**named)),
        run_encode,
        workers,
    )


def _renew(
    out: str,
    settings: list[str] | None,
    named: "Callable[[Recipe], Recipe]",
    run: Callable[..., dict[str, Any]],
    workers: int,
) -> None:
    """Bring a build up to date with its own recipe, with what a command's options have `named` in
    it, and `settings` laid over it.
    """
    from flows.build.recipe_files import overridden
    from flows.build.run_step import check_reach, stored_build, trust_recipe
    from flows.screens.terminal import print_dataset, watching
    from pipelines.beam.options import Engine
    from schemas.recipe import Recipe

    sources, stored = stored_build(out)
    trust_recipe(out, overridden(named(Recipe()), settings or []))  # what this command line names
    merged = overridden(named(stored), settings or [])
    check_reach(out, sources, merged)
    with watching() as watch:
        dataset = run(out, merged, Engine(workers), watch)
    print_dataset(dataset, out)
