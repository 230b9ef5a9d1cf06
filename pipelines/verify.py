"""Stage *verify*: shards read back and checked, and labels of variants extracted again from their audio."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import webdataset
from pydantic import ValidationError

from pipelines import clips
from pipelines.agreement import Agreement, agreement
from pipelines.annotate import annotate_waves
from pipelines.annotate import tools as annotator_tools
from pipelines.annotators import RATE_HZ
from pipelines.audio import decoded, resampled
from pipelines.errors import PipelineError
from pipelines.isolation import Death
from pipelines.stage import Done, Job, Stage
from schemas.corpus import Varied
from schemas.identity import stable_hash
from schemas.recipe import AnnotateRecipe
from schemas.record import Record
from schemas.sample import Sample

_LENGTH_TOLERANCE_S: Final = 0.001


class Relabelled(Record):
    """Labels of one sample extracted again from its audio, compared with the ones it carries."""

    sample_key: str
    variant: str
    agreement: Agreement


class Read(NamedTuple):
    """A sample as read back."""

    sample: Sample
    flac: bytes


def verify_bucket(job: Job) -> Done:
    """Read a bucket's shard back whole, and extract the labels of some of its clips' samples again."""
    index_name, shard_name = f"shards/{job.bucket}.json", f"shards/{job.bucket}.tar"
    relabelled: list[Relabelled] = []
    counts = {"samples": 0, "clips": len(clips.read(job))}
    if job.store.exists(shard_name):
        check_sum(job, shard_name, job.store.read_json(index_name))
        chosen = chosen_clips(job)
        kept: list[Read] = []
        for read in read_back(job, shard_name):
            counts["samples"] += 1
            kept += [read] if read.sample.clip_key in chosen else []
        _check_keys(job, counts["samples"], job.store.read_json(index_name))
        relabelled = _relabelled(job, kept)
    clips.progress(counts["clips"])
    file = job.store.write_records(f"verified/{job.bucket}.parquet", Relabelled, relabelled)
    return Done([file], {**counts, "relabelled": len(relabelled)})


def check_sum(job: Job, shard_name: str, index: dict[str, Any]) -> None:
    """Raise where a shard is not the file that its index describes."""
    digest = hashlib.sha256()
    with job.store.open(shard_name) as opened:
        while block := opened.read(1 << 20):
            digest.update(block)
    if digest.hexdigest() != index["sha256"]:
        raise PipelineError(
            f"{job.out}/{shard_name}: its SHA-256 is not the one in its index; the file was changed or damaged. Build again to replace it"
        )


def read_back(job: Job, shard_name: str) -> Iterator[Read]:
    """Samples of a shard as stock webdataset reads them, each checked against the contract and its own audio."""
    with job.store.at_hand(shard_name) as path:
        for raw in webdataset.WebDataset(path, shardshuffle=False, empty_check=False):
            key = raw["__key__"]
            try:
                sample = Sample.model_validate_json(raw["json"])
            except (ValidationError, KeyError) as error:
                raise PipelineError(f"{shard_name}: sample {key} breaks the contract: {error}") from error
            heard = decoded(raw["flac"])
            if (
                key != sample.key
                or heard.rate_hz != sample.rate_hz
                or abs(len(heard.wave) / heard.rate_hz - sample.duration_s) > _LENGTH_TOLERANCE_S
            ):
                raise PipelineError(f"{shard_name}: sample {key}: its audio is not the one its JSON describes")
            yield Read(sample, raw["flac"])


def _check_keys(job: Job, read: int, index: dict[str, Any]) -> None:
    if read != index["count"] or index["count"] != len(set(index["keys"])):
        raise PipelineError(
            f"shards/{job.bucket}.tar: {read} samples read, its index has {index['count']}, {len(set(index['keys']))} of them different"
        )


def chosen_clips(job: Job) -> set[str]:
    """Clips of this bucket whose samples are labelled again: the first varied ones by hash, their number split over the buckets."""
    plan = job.store.read_json("clips/plan.json")
    varied = sorted(
        {row.clip_key for row in job.store.read_records(f"variants/{job.bucket}.parquet", Varied) if row.change.variant != "orig"}
    )
    places = [name for name in plan["buckets"] if name.startswith("train")] or plan["buckets"]
    if job.bucket not in places:
        return set()
    share, rest = divmod(job.recipe.verify.relabel_clips, len(places))
    return set(sorted(varied, key=stable_hash)[: share + (places.index(job.bucket) < rest)])


def _relabelled(job: Job, reads: Sequence[Read]) -> list[Relabelled]:
    found: list[Relabelled] = []
    with clips.child(job.recipe.limits) as child:
        for batch in clips.batches(reads, 8):
            found += [row for row in child.run("pipelines.verify:relabel", batch, job.recipe.annotate) if not isinstance(row, Death)]
    return found


def relabel(reads: Sequence[Read], recipe: AnnotateRecipe) -> list[Relabelled]:
    """Labels extracted from each sample's own audio, beside the ones it carries; runs in a worker's child."""
    waves = []
    for read in reads:
        heard = decoded(read.flac)
        waves.append(resampled(heard.wave, heard.rate_hz, RATE_HZ))
    return [
        Relabelled(sample_key=read.sample.key, variant=read.sample.change.variant, agreement=agreement(read.sample.labels, labels))
        for read, labels in zip(reads, annotate_waves(waves, recipe), strict=True)
    ]


STAGE: Final = Stage("verify", "verified", 1, ("verify", "annotate"), ("clips", "variants", "shards"), verify_bucket, annotator_tools)
