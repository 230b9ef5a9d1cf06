"""Stage *encode*: each sample's audio as the latents that a model learns, by the recipe's codec."""

import importlib.metadata
from typing import Final

from pipelines.audio import decode
from pipelines.build.markers import Done
from pipelines.build.outputs import Job
from pipelines.build.tables import CLIPS, LATENTS, VARIANTS
from pipelines.codecs import CODECS
from pipelines.codecs.child import encode_samples
from pipelines.codecs.recipe_codec import codec_facts, per_call
from pipelines.engine import bucket
from pipelines.engine.child_process import Death
from pipelines.engine.stage import Stage
from pipelines.plug_ins import stated
from pipelines.samples.audio import pieces, read_audio
from pipelines.samples.moved_labels import reads_mixes, sounds
from pipelines.storage.tar import TarWriter
from schemas.corpus import Encoded
from schemas.recipe import Recipe


def encode_bucket(job: Job) -> Done:
    """Encode all samples of a bucket into one tar, with an index beside it.

    A sample that cannot be encoded is dead.

    Samples of one length stand together, in key order among them, so that batches depend on the
    bucket alone.
    """
    recipe, total = job.recipe.encode, len(CLIPS.read(job))
    rows = sorted(sounds(job), key=lambda row: (row.duration_s, row.sample_key))
    made: list[Encoded] = []
    dead: list[tuple[str, Death]] = []
    reported = 0
    with (
        read_audio(job) as audio_of,
        bucket.model_child(job.recipe.limits, recipe.device, per_call(recipe)) as child,
        LATENTS.writer(job) as out,
    ):
        tar = TarWriter(out)
        for batch in bucket.batches(rows, per_call(recipe)):
            flacs = [audio_of(next(pieces(row))) for row in batch]
            for row, content in zip(batch, child.run(encode_samples, flacs, recipe), strict=True):
                if isinstance(content, Death):
                    dead.append((row.sample_key, content))
                else:
                    offset = tar.add(f"{row.sample_key}.latent.npy", content)
                    made.append(
                        Encoded(sample_key=row.sample_key, offset=offset, bytes=len(content))
                    )
            done = total * (len(made) + len(dead)) // len(rows)
            bucket.progress(done - reported)
            reported = done
        tar.close()
    bucket.progress(total - reported)
    files = [out.published(), LATENTS.write(job, made), *bucket.write_dead(job, LATENTS, dead)]
    return Done(files, {"clips": total, "encoded": len(made), "dead": len(dead)})


def tools(recipe: Recipe) -> dict[str, str]:
    """The codec, what runs it, and what decodes."""
    facts = codec_facts(recipe)
    return {
        facts.name: stated(facts.version, CODECS.package(recipe.encode.codec)),
        "torch": importlib.metadata.version("torch"),
        **decode.tools(),
    }


STAGE: Final = Stage(
    name="encode",
    version=1,
    reads=(CLIPS, VARIANTS),
    optional_reads=reads_mixes,
    writes=(LATENTS,),
    knobs=("encode.codec", "encode.source", "encode.device", "encode.batch"),
    run=encode_bucket,
    tools=tools,
    enabled=lambda recipe: recipe.encodes,
    # Rate and shape may be set beside the weights. Left as they were, fields that came later are
    # not in it: latents of before stay good.
    extra_fingerprint=lambda job: codec_facts(job.recipe).identity,
)
