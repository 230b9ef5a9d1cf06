"""`obbligato label` and `obbligato encode`: texts or latents for a build that stands.

Its shards are written anew around its audio.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.options import (
    Build,
    Json,
    Settings,
    Workers,
    codec_names,
    print_build,
    watching,
)

if TYPE_CHECKING:
    from schemas.dataset import Dataset
    from schemas.recipe import Recipe


def label(
    build: Build,
    vocabularies: Annotated[
        list[str] | None,
        typer.Option(
            "--vocabulary",
            metavar="FILE",
            help="Texts to choose from. Repeatable; none for the build's own.",
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude",
            metavar="FILE",
            help="Captions that no label may repeat: an evaluation set. Repeatable.",
        ),
    ] = None,
    settings: Settings = None,
    workers: Workers = 1,
    as_json: Json = False,
) -> None:
    """Choose texts for each clip by a joint embedding, and put them into the shards; the audio is
    not encoded again.
    """
    from flows.build.local import label as run_label

    given = {"vocabularies": vocabularies, "exclude": exclude}
    named = {knob: tuple(files) for knob, files in given.items() if files}
    labelled = lambda stored: stored.replaced(label=stored.label.replaced(**named))  # noqa: E731
    dataset = _renewed(build, settings, labelled, run_label, workers, as_json)
    print_build(dataset, build, as_json)


def encode(
    build: Build,
    codec: Annotated[
        str,
        typer.Option(
            help=(
                "mel, audioldm, encodec, dac, oobleck, same, vae, wave, or a module's dotted name; "
                "none for the build's own."
            ),
            autocompletion=codec_names,
        ),
    ] = "",
    weights: Annotated[
        str,
        typer.Option(
            metavar="ID|FOLDER",
            help="The codec's weights: an id on the Hugging Face hub, or a folder.",
        ),
    ] = "",
    codes: Annotated[
        bool | None,
        typer.Option(
            "--codes/--no-codes",
            help="Also numbers of codebook entries: of wave with codebooks, encodec, dac.",
        ),
    ] = None,
    settings: Settings = None,
    workers: Workers = 1,
    as_json: Json = False,
) -> None:
    """Encode each sample's audio as the latents that a model learns, and put them into the shards
    beside the same audio; with --codes the codes that they are rounded to.
    """
    from flows.build.local import encode as run_encode
    from pipelines.codecs import CODECS

    if codec:
        CODECS.check(codec)
    named: dict[str, Any] = {**_codec(codec, weights)}
    if codes is not None:
        named["codes"] = codes
    dataset = _renewed(
        build,
        settings,
        lambda stored: stored.replaced(encode=stored.encode.replaced(**named)),
        run_encode,
        workers,
        as_json,
    )
    print_build(dataset, build, as_json)


def _codec(codec: str, weights: str) -> dict[str, str]:
    """What options name of a codec.

    Weights are one codec's: with another, those that the recipe names for its own mean nothing.
    """
    if codec:
        return {"codec": codec, "source": weights}
    return {"source": weights} if weights else {}


def _renewed(
    build: str,
    settings: list[str] | None,
    named: "Callable[[Recipe], Recipe]",
    run: "Callable[..., Dataset]",
    workers: int,
    as_json: bool,
) -> "Dataset":
    """Bring a build up to date with its own recipe, as changed by `named` and `settings`."""
    from flows.build.recipe_files import overridden
    from flows.build.run_step import check_reach, stored_build, trust_recipe
    from pipelines.beam.options import Engine
    from schemas.recipe import Recipe

    sources, stored = stored_build(build)
    trust_recipe(build, overridden(named(Recipe()), settings or []))  # what this command line names
    merged = overridden(named(stored), settings or [])
    check_reach(build, sources, merged)
    with watching(as_json) as watch:
        return run(build, merged, Engine(workers), watch)
