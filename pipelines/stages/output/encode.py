"""Stage *encode*: each sample's audio as the latents that a model learns, by the recipe's codec."""

import importlib.metadata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

from pipelines.audio import decode
from pipelines.codecs import CODECS
from pipelines.engine import bucket
from pipelines.engine.child_process import Death
from pipelines.engine.stage import Done, Job, Stage
from pipelines.errors import PipelineError
from pipelines.plug_ins import stated
from pipelines.samples.audio import pieces, read_audio
from pipelines.storage.tar import TarWriter
from schemas.codec import CodecFacts
from schemas.corpus import Encoded, Varied
from schemas.recipe import EncodeRecipe, LimitsRecipe, Recipe

FOLDER: Final = "latents"
_BATCHES: Final = 2  # per call of the child: the second is read while the first is encoded


def encode_bucket(job: Job) -> Done:
    """Encode all samples of a bucket into one tar, with an index beside it; a sample that cannot be
    encoded is dead.

    Samples of one length stand together, in key order among them, so that batches depend on the
    bucket alone.
    """
    recipe, total = job.recipe.encode, len(bucket.read(job))
    rows = sorted(
        job.store.read_records(f"variants/{job.bucket}.parquet", Varied),
        key=lambda row: (row.duration_s, row.sample_key),
    )
    made: list[Encoded] = []
    dead: list[tuple[str, Death]] = []
    per_call, told = _BATCHES * recipe.batch, 0
    with (
        read_audio(job) as audio_of,
        bucket.model_child(job.recipe.limits, recipe.device, per_call) as child,
        job.store.writer(f"{FOLDER}/{job.bucket}.tar") as out,
    ):
        tar = TarWriter(out)
        for batch in bucket.batches(rows, per_call):
            flacs = [audio_of(next(pieces(row))) for row in batch]
            for row, content in zip(
                batch,
                child.run("pipelines.codecs.child:encode_samples", flacs, recipe),
                strict=True,
            ):
                if isinstance(content, Death):
                    dead.append((row.sample_key, content))
                else:
                    offset = tar.add(f"{row.sample_key}.latent.npy", content)
                    made.append(
                        Encoded(sample_key=row.sample_key, offset=offset, bytes=len(content))
                    )
            done = total * (len(made) + len(dead)) // len(rows)
            bucket.progress(done - told)
            told = done
        tar.close()
    bucket.progress(total - told)
    index = job.store.write_records(f"{FOLDER}/{job.bucket}.parquet", Encoded, made)
    files = [out.published(), index, *bucket.write_dead(job, FOLDER, dead)]
    return Done(files, {"clips": total, "encoded": len(made), "dead": len(dead)})


def read(job: Job) -> list[Encoded]:
    """Where the latents of a bucket's samples stand; those that died have none."""
    return job.store.read_records(f"{FOLDER}/{job.bucket}.parquet", Encoded)


@contextmanager
def read_latents(job: Job) -> Iterator[Callable[[str], bytes]]:
    """A function from a sample's key to its latents (C, T, F), float16, as a NumPy file."""
    places = {row.sample_key: row for row in read(job)}
    with job.store.open(f"{FOLDER}/{job.bucket}.tar") as opened:

        def read_one(key: str) -> bytes:
            opened.seek(places[key].offset)
            return opened.read(places[key].bytes)

        yield read_one


def codec_facts(recipe: Recipe) -> CodecFacts:
    """What the recipe's codec is; asked once per process.

    Raises `PipelineError` where it is not there.
    """
    return _facts(recipe.encode, recipe.limits)


@lru_cache(maxsize=4)
def _facts(encode: EncodeRecipe, limits: LimitsRecipe) -> CodecFacts:
    with bucket.model_child(limits, encode.device, _BATCHES * encode.batch) as child:
        [found] = child.run("pipelines.codecs.child:describe", [encode], None)
    if isinstance(found, Death):
        raise PipelineError(f"codec {encode.codec} cannot be had: {found.message}")
    facts: CodecFacts = found
    return facts


def account(recipe: Recipe) -> dict[str, Any]:
    """What dataset.json says of latents: the codec's facts; nothing where none are encoded."""
    return codec_facts(recipe).model_dump() if recipe.encodes else {}


def account_lines(dataset: Mapping[str, Any]) -> list[str]:
    """The card's lines on the latents, in Markdown."""
    if not dataset.get("latents"):
        return []
    facts = CodecFacts.model_validate(dataset["latents"])
    return [
        "",
        "## Latents",
        "",
        (
            f"In every sample as `<key>.latent.npy`: half precision, {facts.channels} "
            f"channels × frames × {facts.bands} bands, {facts.frames_per_s:g} frames a second,"
        ),
        (
            f"by the codec {facts.name} {facts.version} ({facts.licence}) "
            f"of the audio in mono at {facts.rate_hz} Hz."
        ),
    ]


def tools(recipe: Recipe) -> dict[str, str]:
    """The codec, what runs it, and what decodes."""
    facts = codec_facts(recipe)
    return {
        facts.name: stated(facts.version, CODECS.package(recipe.encode.codec)),
        "torch": importlib.metadata.version("torch"),
        **decode.tools(),
    }


STAGE: Final = Stage(
    "encode",
    FOLDER,
    1,
    ("encode.codec", "encode.source", "encode.device", "encode.batch"),
    ("clips", "variants"),
    encode_bucket,
    tools,
    # rate and shape may be set beside the weights
    looks_at=lambda job: codec_facts(job.recipe).model_dump(),
    asked=lambda recipe: recipe.encodes,
)
