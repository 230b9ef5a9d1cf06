"""Stage *verify*: shards read back and checked, labels of variants extracted again."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from pipelines.annotators import RATE_HZ
from pipelines.annotators.windows import annotate_waves
from pipelines.annotators.windows import tools as annotator_tools
from pipelines.audio.decode import decoded, decoded_at
from pipelines.build.markers import Done, invalidate
from pipelines.build.outputs import Job
from pipelines.build.plans import read_plan
from pipelines.build.tables import CLIPS, SHARDS, VARIANTS, VERIFIED
from pipelines.engine import bucket
from pipelines.engine.child_process import Child, Death
from pipelines.engine.stage import Stage
from pipelines.errors import PipelineError
from pipelines.labels.agreement import agreement
from pipelines.labels.corrected import only_heard
from pipelines.samples.moved_labels import reads_mixes, sounds
from pipelines.storage.store import sha256_of
from pipelines.storage.tar import sample_offsets
from schemas.agreement import Relabelled
from schemas.identity import stable_hash
from schemas.recipe import AnnotateRecipe
from schemas.sample import Sample
from schemas.shard import ShardIndex

_LENGTH_TOLERANCE_S: Final = 0.001


class ReadSample(NamedTuple):
    """A sample as read back."""

    sample: Sample
    flac: bytes


class ShardFile(NamedTuple):
    """A shard to read back: its name, a local path, what its index says, and the clips whose
    samples are handed on.
    """

    name: str
    path: str
    stated: ShardIndex
    chosen: frozenset[str]


def verify_bucket(job: Job) -> Done:
    """Read a bucket's shard back whole, and extract the labels of some of its clips' samples
    again.
    """
    relabelled: list[Relabelled] = []
    with bucket.child(job.recipe.limits) as child:
        chosen = _read_back(job, child, chosen_clips(job))
        for batch in bucket.batches(chosen, job.recipe.annotate.batch):
            results = child.run(relabel, batch, job.recipe.annotate)
            relabelled += [row for row in results if not isinstance(row, Death)]
    clips = len(CLIPS.read(job))
    samples = SHARDS.read_index(job).count if SHARDS.exists(job) else 0
    counts = {"clips": clips, "samples": samples, "relabelled": len(relabelled)}
    bucket.progress(clips)
    return Done([VERIFIED.write(job, relabelled)], counts)


def read_bucket_back(job: Job) -> None:
    """Read a bucket's shard back whole and extract nothing; nothing is written.

    Raises `PipelineError` naming what is wrong.
    """
    with bucket.child(job.recipe.limits) as child:
        _read_back(job, child, frozenset())


def _read_back(job: Job, child: Child, clips: frozenset[str]) -> list[ReadSample]:
    """Samples of some clips of a bucket, whose shard is checked; none where it has no shard.

    Where that is not whole, the bucket is to be done again.
    """
    if not SHARDS.exists(job):
        return []
    name = SHARDS.path(job)
    with job.store.at_hand(name) as path:
        shard = ShardFile(name, path, SHARDS.read_index(job), clips)
        try:
            [chosen] = child.run(check_shards, [shard], None)
        except PipelineError:
            invalidate(job.store, SHARDS.folder, job.bucket)
            raise
    if isinstance(chosen, Death):
        raise PipelineError(f"{name} cannot be read back: {chosen.message}")
    return chosen


def check_shards(shards: Sequence[ShardFile], _: None) -> list[list[ReadSample]]:
    """The chosen samples of each shard, all of it checked; runs in a worker's child.

    Raises `PipelineError` naming what is wrong.
    """
    return [_checked(shard) for shard in shards]


def _checked(shard: ShardFile) -> list[ReadSample]:
    with open(shard.path, "rb") as opened:
        sha256 = sha256_of(opened)
    if sha256 != shard.stated.sha256:
        raise PipelineError(
            f"{shard.name}: its SHA-256 is not the one in its index; the file was changed or "
            "damaged. Build again to replace it"
        )
    keys: list[str] = []
    duration_s = 0.0
    chosen: list[ReadSample] = []
    for read in read_back(shard.path):
        keys.append(read.sample.key)
        duration_s += read.sample.duration_s
        chosen += [read] if read.sample.clip_key in shard.chosen else []
    if tuple(keys) != shard.stated.keys or len(set(keys)) != shard.stated.count:
        raise PipelineError(
            f"{shard.name}: {len(keys)} samples read, {len(set(keys))} of them different, but "
            f"its index has {shard.stated.count}"
        )
    found = {
        "bytes": os.path.getsize(shard.path),
        "duration_s": round(duration_s, 3),
        "offsets": tuple(_offsets(shard.path)),
    }
    for name, value in found.items():
        if getattr(shard.stated, name) != value:
            raise PipelineError(
                f"{shard.name}: its index states another `{name}` "
                "than is found in it. Build again to replace it"
            )
    return chosen


def _offsets(path: str) -> list[int]:
    with open(path, "rb") as opened:
        return sample_offsets(opened)


def read_back(path: str) -> Iterator[ReadSample]:
    """Samples of a local shard as stock webdataset reads them, each checked against the contract
    and its own audio.

    It is given an open file: of a path it would expand braces, and run what stands behind
    ``pipe:``.
    """
    os.environ["WDS_SECURE"] = "1"
    from webdataset.tariterators import group_by_keys, tar_file_expander

    with open(path, "rb") as opened:
        for raw in group_by_keys(tar_file_expander([{"url": path, "stream": opened}])):
            yield _read(path, raw)


def _read(path: str, raw: Mapping[str, Any]) -> ReadSample:
    """A sample as it was read. Raises `PipelineError` where it breaks the contract."""
    key = raw["__key__"]
    try:
        sample = Sample.model_validate_json(raw["json"])
    except (ValidationError, KeyError) as error:
        raise PipelineError(f"{path}: sample {key} breaks the contract: {error}") from error
    audio = {
        name: decoded(content) for name, content in raw.items() if name.rpartition(".")[2] == "flac"
    }
    if (
        key != sample.key
        or audio["flac"].rate_hz != sample.rate_hz
        or any(
            abs(len(one.wave) / one.rate_hz - sample.duration_s) > _LENGTH_TOLERANCE_S
            for one in audio.values()
        )
    ):
        raise PipelineError(f"{path}: sample {key}: its audio is not the one its JSON describes")
    return ReadSample(sample, raw["flac"])


def chosen_clips(job: Job) -> frozenset[str]:
    """Clips of this bucket whose samples are labelled again: the first varied ones by hash, their
    number split over the buckets.
    """
    plan = read_plan(job.store)
    varied = sorted({row.clip_key for row in sounds(job) if row.change.variant != "orig"})
    chosen_from = [name for name in plan.buckets if name.startswith("train")] or list(plan.buckets)
    if job.bucket not in chosen_from:
        return frozenset()
    share, rest = divmod(job.recipe.verify.relabel_clips, len(chosen_from))
    return frozenset(
        sorted(varied, key=stable_hash)[: share + (chosen_from.index(job.bucket) < rest)]
    )


def relabel(reads: Sequence[ReadSample], recipe: AnnotateRecipe) -> list[Relabelled]:
    """Labels extracted from each sample's audio, beside its own; runs in a worker's child."""
    waves = [decoded_at(read.flac, RATE_HZ) for read in reads]
    return [
        Relabelled(
            sample_key=read.sample.key,
            variant=read.sample.change.variant,
            agreement=agreement(only_heard(read.sample.labels), labels),
        )
        for read, labels in zip(reads, annotate_waves(waves, recipe), strict=True)
    ]


STAGE: Final = Stage(
    name="verify",
    version=1,
    reads=(CLIPS, VARIANTS, SHARDS),
    optional_reads=reads_mixes,
    writes=(VERIFIED,),
    knobs=("verify", "annotate"),
    run=verify_bucket,
    tools=annotator_tools,
)
