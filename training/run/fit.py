"""Whether a recipe fits the machine, the codec and the text encoder, before anything is learned."""

from typing import TypeVar

from pipelines.codecs import Codec
from training.conditions.net_shape import FrameNetShape
from training.errors import TrainingError
from training.run.parallel import World
from training.run.recipe import LearningRecipe, TrainRecipe

L = TypeVar("L", bound=LearningRecipe)


def shared(recipe: L, world: World) -> L:
    """A recipe as so many processes take it: none has more of a step at once than its share.

    Raises `TrainingError` where there is nothing to share, or it cannot be shared evenly.
    """
    if not recipe.data.shards:
        raise TrainingError(
            "no shards to learn from: name a build, a folder of shards, or their URLs"
        )
    data = recipe.data
    micro_batch = max(1, min(data.micro_batch, data.batch // world.ranks))
    if data.batch % (micro_batch * world.ranks):
        raise TrainingError(
            f"data.batch {data.batch} cannot be shared by {world.ranks} processes in "
            f"micro-batches of {micro_batch}: "
            "choose a batch that is a multiple of both"
        )
    return recipe.replaced(data=data.replaced(micro_batch=micro_batch))


def check_fit(recipe: TrainRecipe, codec: Codec, text_width: int) -> None:
    """Raise `TrainingError` where a model does not take what codec and text encoder make."""
    facts = codec.facts
    if facts.channels != recipe.model.latent_channels:
        raise TrainingError(
            f"{facts.name} makes latents of {facts.channels} channels, "
            f"but the model takes {recipe.model.latent_channels}: "
            f"set model.latent_channels={facts.channels}, or take another codec"
        )
    if isinstance(recipe.model, FrameNetShape) and facts.bands != recipe.model.latent_bands:
        raise TrainingError(
            f"{facts.name} makes latents of {facts.bands} bands, "
            f"but the model takes {recipe.model.latent_bands}: "
            f"set model.latent_bands={facts.bands}, or take another codec"
        )
    if text_width != recipe.model.text_width:
        raise TrainingError(
            f"the text encoder's states are {text_width} wide, but the model "
            f"takes {recipe.model.text_width}: set model.text_width={text_width}"
        )
