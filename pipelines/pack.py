"""Stage *pack*: one WebDataset shard per bucket, FLAC and JSON per sample, and the ledger of samples that are not in it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from pipelines import clips
from pipelines.errors import PipelineError
from pipelines.moving import variant_labels
from pipelines.planned import planned_variants
from pipelines.stage import Done, Job, Stage, drop_file, marker_name
from pipelines.store import Published, sha256_of
from pipelines.tars import TarWriter, read_members
from schemas.caption import Caption
from schemas.corpus import Captioned, Clip, LedgerRow, Outcome, Unit, Varied, Verdict
from schemas.identity import sample_key, stable_hash
from schemas.labels import Annotation, Labels
from schemas.recipe import VaryRecipe
from schemas.sample import Sample


def pack_bucket(job: Job) -> Done:
    """Write a bucket's shard, its index, and its ledger. The audio's bytes are copied, never decoded or encoded."""
    bucket_clips = clips.read(job)
    varied = job.store.read_records(f"variants/{job.bucket}.parquet", Varied)
    ledger = list(_missing(job, bucket_clips, {row.sample_key for row in varied}))
    planned = sum(len(planned_variants(clip, job.recipe.vary)) for clip in bucket_clips)
    if planned != len(varied) + len(ledger):
        raise PipelineError(f"{job.bucket}: {planned} samples planned, but {len(varied)} written and {len(ledger)} in the ledger")
    rejected = sum(row.outcome is Outcome.REJECTED for row in ledger)
    dead = len(ledger) - rejected
    ledger += _unworded(job, bucket_clips)
    name = f"ledger/{job.bucket}.parquet"
    files = [job.store.write_records(name, LedgerRow, ledger)]
    if varied:
        files += _write_shard(job, varied, {clip.clip_key: clip for clip in bucket_clips})
        if not job.recipe.pack.keep_variants:
            drop_file(job, "variants", f"variants/{job.bucket}.tar")
    else:
        for stale in (f"shards/{job.bucket}.tar", f"shards/{job.bucket}.json"):
            job.store.delete(stale)
    clips.progress(len(bucket_clips))
    counts = {"planned": planned, "written": len(varied), "rejected": rejected, "dead": dead, "clips": len(bucket_clips)}
    return Done(files, counts)


def _write_shard(job: Job, varied: list[Varied], bucket_clips: dict[str, Clip]) -> list[Published]:
    annotations = {row.clip_key: row.labels for row in job.store.read_records(f"annotations/{job.bucket}.parquet", Annotation)}
    captions: dict[str, tuple[Caption, ...]] = {}
    for folder in ("captions", "texts"):
        for written in job.store.read_records(f"{folder}/{job.bucket}.parquet", Captioned):
            captions[written.sample_key] = (*captions.get(written.sample_key, ()), *written.captions)
    ordered = sorted(varied, key=lambda row: (stable_hash(row.sample_key), row.sample_key))  # a song's copies must not sit side by side
    with _audio(job) as audio_of, job.store.writer(f"shards/{job.bucket}.tar") as out:
        tar = TarWriter(out)
        for row in ordered:
            clip = bucket_clips[row.clip_key]
            labels = variant_labels(annotations[row.clip_key], clip.length_s, row.change, row.duration_s)
            sample = build_sample(clip, row, labels, captions[row.sample_key], job.recipe.vary)
            tar.add(f"{row.sample_key}.flac", audio_of(row))
            tar.add(f"{row.sample_key}.json", sample.model_dump_json().encode())
        tar.close()
    shard = out.published()
    index = {
        "bytes": shard.bytes, "count": len(ordered), "duration_s": round(sum(row.duration_s for row in ordered), 3), "sha256": shard.sha256,
        "keys": [row.sample_key for row in ordered],
    }  # fmt: skip
    return [shard, job.store.write_json(f"shards/{job.bucket}.json", index)]


def build_sample(clip: Clip, row: Varied, labels: Labels, captions: tuple[Caption, ...], vary: VaryRecipe) -> Sample:
    """The record that stands beside a sample's audio."""
    channels = min(vary.channels, clip.song.channels)
    return Sample(
        key=row.sample_key, song_id=clip.song.song_id, clip_key=clip.clip_key, split=clip.split, change=row.change, source=clip.source,
        start_s=clip.start_s, end_s=clip.end_s, duration_s=row.duration_s, rate_hz=vary.rate_hz, channels=channels,
        beats=labels.beats, meter=labels.meter, tempo=labels.tempo, chords=labels.chords, key_label=labels.key,
        controls=row.controls, captions=captions,
    )  # fmt: skip


@contextmanager
def _audio(job: Job) -> Iterator[Callable[[Varied], bytes]]:
    """A function from a sample to its FLAC: from the variants, or, where a recipe dropped them, from the shard itself."""
    variants = f"variants/{job.bucket}.tar"
    kept = job.store.exists(variants)
    if not kept and not _whole(job):
        job.store.delete(marker_name("variants", job.bucket))
        raise PipelineError(
            f"{job.bucket}: its variants were dropped and its shard is damaged or gone; build again, and both are made anew"
        )
    with job.store.open(variants if kept else f"shards/{job.bucket}.tar") as opened:
        places = {} if kept else {member.name: member.offset for member in read_members(opened)}

        def read(row: Varied) -> bytes:
            opened.seek(row.offset if kept else places[f"{row.sample_key}.flac"])
            return opened.read(row.bytes)

        yield read


def _whole(job: Job) -> bool:
    """Whether a bucket's shard is there and is the file its index describes."""
    name = f"shards/{job.bucket}"
    if not (job.store.exists(f"{name}.tar") and job.store.exists(f"{name}.json")):
        return False
    with job.store.open(f"{name}.tar") as opened:
        return bool(sha256_of(opened) == job.store.read_json(f"{name}.json")["sha256"])


def _missing(job: Job, bucket_clips: list[Clip], made: set[str]) -> Iterator[LedgerRow]:
    """A ledger row for every planned sample that was not made."""
    verdicts = {row.clip_key: row for row in job.store.read_records(f"verdicts/{job.bucket}.parquet", Verdict)}
    deaths = {
        row.key: (stage, row)
        for stage, folder in (("annotate", "annotations"), ("vary", "variants"))
        for row in clips.read_dead(job, folder)
    }
    for clip in bucket_clips:
        for variant in planned_variants(clip, job.recipe.vary):
            key = sample_key(clip.clip_key, variant)
            if key in made:
                continue
            if (dead := deaths.get(clip.clip_key) or deaths.get(key)) is not None:
                stage, row = dead
                yield _ledger(key, clip, stage, Outcome.DEAD, row.code, row.figure, row.message)
            else:
                found = verdicts[clip.clip_key]
                if found.keep and (found.vary or variant == "orig"):
                    raise PipelineError(f"{key} was planned, but neither made nor died; this is a defect, please report it")
                message = "kept as it is, not varied" if found.keep else "not kept"
                yield _ledger(key, clip, "filter", Outcome.REJECTED, found.rule, found.figure, message)


def _unworded(job: Job, bucket_clips: list[Clip]) -> Iterator[LedgerRow]:
    """A ledger row for every sample whose caption no language model reworded."""
    found = {clip.clip_key: clip for clip in bucket_clips}
    for row in clips.read_dead(job, "paraphrases"):
        made = _ledger(row.key, found[row.key.rpartition("-")[0]], "paraphrase", Outcome.DEAD, row.code, row.figure, row.message)
        yield made.replaced(unit=Unit.TEXT)


def _ledger(key: str, clip: Clip, stage: str, outcome: Outcome, code: str, figure: str, message: str) -> LedgerRow:
    return LedgerRow(
        unit=Unit.SAMPLE, key=key, uri=clip.source.uri, stage=stage, outcome=outcome, code=code, figure=figure, message=message
    )


STAGE: Final = Stage(
    "pack",
    "shards",
    3,
    ("vary", "pack"),
    ("clips", "annotations", "verdicts", "variants", "captions", "paraphrases", "texts"),
    pack_bucket,
    writes_too=("ledger", "variants"),
)
