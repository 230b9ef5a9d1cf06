"""The flow that gives a corpus its latents, or those of another codec.

Shards are written anew around the same audio.
"""

from typing import Any

from prefect import flow

from flows.build.run_step import absolute, stored_build, trust_recipe
from flows.deployments.backfill import brought_up_to_date
from flows.deployments.build_corpus import EngineSettings, Share
from flows.errors import UsageError
from schemas.recipe import EncodeRecipe, Recipe


@flow(name="encode", flow_run_name="encode {out}", retries=0)
def encode_corpus(
    out: str,
    encode: EncodeRecipe,
    engine: EngineSettings = EngineSettings(),
    max_dead_share: Share = 0.05,
) -> dict[str, Any]:
    """Encode every sample's audio, and write the shards anew from the audio that stands in them.

    New inputs are not looked for.
    """
    if not encode.codec:
        raise UsageError("encode.codec is empty: name one, such as mel")
    out = absolute(out)
    trust_recipe(out, Recipe(encode=encode))
    _, recipe = stored_build(out)
    return brought_up_to_date(out, recipe.replaced(encode=encode), engine, max_dead_share)
