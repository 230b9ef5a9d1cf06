"""Stage *encode*: each sample's audio as the latents that a model learns, by the recipe's codec;
where the recipe wants them, the codes that these are rounded to.
"""

import importlib.metadata
from contextlib import ExitStack
from typing import Any, Final

from pipelines.audio import decode
from pipelines.build.markers import Done
from pipelines.build.outputs import Job
from pipelines.build.tables import CLIPS, CODES, LATENTS, VARIANTS
from pipelines.codecs import CODECS
from pipelines.codecs.child import encode_samples
from pipelines.codecs.recipe_codec import codec_facts, per_call, recipe_code_facts
from pipelines.engine import bucket
from pipelines.engine.child_process import Death
from pipelines.engine.stage import Stage
from pipelines.plug_ins import stated
from pipelines.samples.audio import encoded_name, pieces, read_audio
from pipelines.samples.moved_labels import reads_mixes, sounds
from pipelines.storage.tar import TarWriter
from schemas.corpus import Encoded
from schemas.recipe import Recipe


def encode_bucket(job: Job) -> Done:
    """Encode all samples of a bucket into one tar, with an index beside it; codes into another.

    A sample that cannot be encoded is dead.

    Samples of one length stand together, in key order among them, so that batches depend on the
    bucket alone.
    """
    recipe, total = job.recipe.encode, len(CLIPS.read(job))
    rows = sorted(sounds(job), key=lambda row: (row.duration_s, row.sample_key))
    kinds = (LATENTS, CODES) if recipe.codes else (LATENTS,)
    made: dict[str, list[Encoded]] = {kind.folder: [] for kind in kinds}
    dead: list[tuple[str, Death]] = []
    reported = 0
    with (
        read_audio(job) as audio_of,
        bucket.model_child(job.recipe.limits, recipe.device, per_call(recipe)) as child,
        ExitStack() as opened,
    ):
        outs = [opened.enter_context(kind.writer(job)) for kind in kinds]
        tars = [TarWriter(out) for out in outs]
        for batch in bucket.batches(rows, per_call(recipe)):
            flacs = [audio_of(next(pieces(row))) for row in batch]
            for row, content in zip(batch, child.run(encode_samples, flacs, recipe), strict=True):
                if isinstance(content, Death):
                    dead.append((row.sample_key, content))
                    continue
                for kind, tar, file in zip(kinds, tars, content, strict=False):
                    offset = tar.add(encoded_name(kind, row.sample_key), file)
                    made[kind.folder].append(
                        Encoded(sample_key=row.sample_key, offset=offset, bytes=len(file))
                    )
            done = total * (len(made[LATENTS.folder]) + len(dead)) // len(rows)
            bucket.progress(done - reported)
            reported = done
        for tar in tars:
            tar.close()
    bucket.progress(total - reported)
    files = [out.published() for out in outs]
    files += [kind.write(job, made[kind.folder]) for kind in kinds]
    files += bucket.write_dead(job, LATENTS, dead)
    if not recipe.codes:  # those of before are of other latents
        for stale in (CODES.archive, CODES):
            job.store.delete(stale.path(job))
    return Done(files, {"clips": total, "encoded": len(made[LATENTS.folder]), "dead": len(dead)})


def tools(recipe: Recipe) -> dict[str, str]:
    """The codec, what runs it, and what decodes."""
    facts = codec_facts(recipe)
    return {
        facts.name: stated(facts.version, CODECS.package(recipe.encode.codec)),
        "torch": importlib.metadata.version("torch"),
        **decode.tools(),
    }


def _seen(job: Job) -> dict[str, Any]:
    """What latents depend on beside knobs, and what codes do.

    Rate and shape may be set beside the weights. Left as they were, fields that came later are not
    in it: latents of before stay good.
    """
    identity = codec_facts(job.recipe).identity
    if not job.recipe.has_codes:
        return identity
    return {**identity, "codes": recipe_code_facts(job.recipe).model_dump(mode="json")}


STAGE: Final = Stage(
    name="encode",
    version=1,
    reads=(CLIPS, VARIANTS),
    optional_reads=reads_mixes,
    writes=(LATENTS, CODES),
    knobs=("encode.codec", "encode.source", "encode.device", "encode.batch"),
    run=encode_bucket,
    tools=tools,
    enabled=lambda recipe: recipe.encodes,
    extra_fingerprint=_seen,
)
