"""Stage *pack*: one WebDataset shard per bucket, FLAC and JSON per sample, and the ledger of samples that are not in it."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import numpy as np

from pipelines import clips, embed_audio, label
from pipelines.embed_audio import description
from pipelines.errors import PipelineError
from pipelines.labelled import LabelledSample, labelled_samples
from pipelines.planned import planned_variants
from pipelines.stage import Done, Job, Stage, drop_file, marker_name
from pipelines.store import Published, sha256_of
from pipelines.tables import npy_bytes
from pipelines.tars import TarWriter, read_members
from pipelines.vary import audio_name
from schemas.caption import Caption
from schemas.corpus import Captioned, Clip, LedgerRow, Outcome, Source, Unit, Varied, Verdict
from schemas.identity import sample_key, stable_hash
from schemas.pseudo_label import Labelled, PseudoLabel
from schemas.recipe import PackRecipe, Recipe
from schemas.sample import Sample

_YES: Final = ("1", "1.0", "true", "yes", "y")


def pack_bucket(job: Job) -> Done:
    """Write a bucket's shard, its index, and its ledger. The audio's bytes are copied, never decoded or encoded."""
    bucket_clips, samples = clips.read(job), list(labelled_samples(job))
    ledger = list(_missing(job, bucket_clips, {sample.varied.sample_key for sample in samples}))
    planned = sum(len(planned_variants(clip, job.recipe.vary)) for clip in bucket_clips)
    if planned != len(samples) + len(ledger):
        raise PipelineError(f"{job.bucket}: {planned} samples planned, but {len(samples)} written and {len(ledger)} in the ledger")
    rejected = sum(row.outcome is Outcome.REJECTED for row in ledger)
    dead = len(ledger) - rejected
    ledger += _without(job, bucket_clips, "paraphrases", "paraphrase")
    if job.recipe.embeds:
        ledger += _without(job, bucket_clips, embed_audio.FOLDER, embed_audio.STAGE.name)
    name = f"ledger/{job.bucket}.parquet"
    files = [job.store.write_records(name, LedgerRow, ledger)]
    if samples:
        files += _write_shard(job, samples)
        if not job.recipe.pack.keep_variants:
            drop_file(job, "variants", f"variants/{job.bucket}.tar")
    else:
        for stale in (f"shards/{job.bucket}.tar", f"shards/{job.bucket}.json"):
            job.store.delete(stale)
    clips.progress(len(bucket_clips))
    counts = {"planned": planned, "written": len(samples), "rejected": rejected, "dead": dead, "clips": len(bucket_clips)}
    return Done(files, counts)


def _write_shard(job: Job, samples: list[LabelledSample]) -> list[Published]:
    # a song's copies must not sit side by side
    ordered = sorted(samples, key=lambda sample: (stable_hash(sample.varied.sample_key), sample.varied.sample_key))
    texts, vectors = _texts(job), _vectors(job)
    with _audio(job) as audio_of, job.store.writer(f"shards/{job.bucket}.tar") as out:
        tar = TarWriter(out)
        for labelled in ordered:
            key = labelled.varied.sample_key
            if job.recipe.pack.embeddings:
                tar.add(f"{key}.clap.npy", vectors[labelled.clip.clip_key])
            for piece in _pieces(labelled.varied):
                tar.add(piece.name, audio_of(piece))
            tar.add(f"{key}.json", build_sample(labelled, texts[key], job.recipe).model_dump_json().encode())
        tar.close()
    shard = out.published()
    index = {
        "bytes": shard.bytes, "count": len(ordered), "duration_s": round(sum(sample.varied.duration_s for sample in ordered), 3),
        "sha256": shard.sha256, "keys": [sample.varied.sample_key for sample in ordered],
    }  # fmt: skip
    return [shard, job.store.write_json(f"shards/{job.bucket}.json", index)]


class Piece(NamedTuple):
    """A file of audio in the tar of variants: its name, and where its bytes stand."""

    name: str
    offset: int
    bytes: int


def _pieces(row: Varied) -> Iterator[Piece]:
    """A sample's audio, and its copies at lower rates."""
    yield Piece(audio_name(row.sample_key), row.offset, row.bytes)
    yield from (Piece(audio_name(row.sample_key, copy.rate_hz), copy.offset, copy.bytes) for copy in row.copies)


class Texts(NamedTuple):
    """A sample's captions of all kinds, and its pseudo-labels."""

    captions: tuple[Caption, ...] = ()
    pseudo_labels: tuple[PseudoLabel, ...] = ()


def _texts(job: Job) -> dict[str, Texts]:
    """Texts of a bucket's samples: captions, paraphrases, then those of labels."""
    found: dict[str, Texts] = defaultdict(Texts)
    for folder in ("captions", "texts"):
        for written in job.store.read_records(f"{folder}/{job.bucket}.parquet", Captioned):
            found[written.sample_key] = Texts((*found[written.sample_key].captions, *written.captions))
    if job.recipe.labels:
        for row in job.store.read_records(f"{label.FOLDER}/{job.bucket}.parquet", Labelled):
            found[row.sample_key] = Texts((*found[row.sample_key].captions, *row.captions), row.pseudo_labels)
    return dict(found)  # a sample without a row of captions is a defect, and must not pass


def _vectors(job: Job) -> dict[str, bytes]:
    """Embeddings of a bucket's clips as NumPy files, where the recipe wants them; of a clip that has none, zeros."""
    if not job.recipe.pack.embeddings:
        return {}
    nothing = np.zeros(description(job.recipe).dimension, np.float16)
    heard = {clip.clip_key: clip.vector.astype(np.float16) for clip in embed_audio.read(job)}
    return {clip.clip_key: npy_bytes(heard.get(clip.clip_key, nothing)) for clip in clips.read(job)}


def build_sample(labelled: LabelledSample, texts: Texts, recipe: Recipe) -> Sample:
    """The record that stands beside a sample's audio."""
    row, clip, labels = labelled
    channels = min(recipe.vary.channels, clip.song.channels)
    return Sample(
        key=row.sample_key, song_id=clip.song.song_id, clip_key=clip.clip_key, split=clip.split, change=row.change, source=clip.source,
        start_s=clip.start_s, end_s=clip.end_s, duration_s=row.duration_s, rate_hz=recipe.vary.rate_hz, channels=channels,
        beats=labels.beats, meter=labels.meter, tempo=labels.tempo, chords=labels.chords, key_label=labels.key,
        controls=row.controls, captions=texts.captions, pseudo_labels=texts.pseudo_labels,
        anchor=_is_anchor(clip.source, recipe.pack),
    )  # fmt: skip


def _is_anchor(source: Source, recipe: PackRecipe) -> bool:
    if not recipe.anchor_column:
        return False
    said = json.loads(source.metadata).get(recipe.anchor_column)
    return str(said).strip().casefold() in _YES


@contextmanager
def _audio(job: Job) -> Iterator[Callable[[Piece], bytes]]:
    """A function from a piece of audio to its FLAC: from the variants, or, where a recipe dropped them, from the shard itself."""
    variants = f"variants/{job.bucket}.tar"
    kept = job.store.exists(variants)
    if not kept and not _whole(job):
        job.store.delete(marker_name("variants", job.bucket))
        raise PipelineError(
            f"{job.bucket}: its variants were dropped and its shard is damaged or gone; build again, and both are made anew"
        )
    with job.store.open(variants if kept else f"shards/{job.bucket}.tar") as opened:
        places = {} if kept else {member.name: member.offset for member in read_members(opened)}

        def read(piece: Piece) -> bytes:
            opened.seek(piece.offset if kept else places[piece.name])
            return opened.read(piece.bytes)

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


def _without(job: Job, bucket_clips: list[Clip], folder: str, stage: str) -> Iterator[LedgerRow]:
    """A ledger row for everything that a stage died on and samples go on without: a rewording, or a clip's embedding."""
    found = {clip.clip_key: clip for clip in bucket_clips}
    for row in clips.read_dead(job, folder):
        clip = found.get(row.key) or found[row.key.rpartition("-")[0]]  # a clip's key, or a sample's
        yield _ledger(row.key, clip, stage, Outcome.DEAD, row.code, row.figure, row.message).replaced(unit=Unit.TEXT)


def _ledger(key: str, clip: Clip, stage: str, outcome: Outcome, code: str, figure: str, message: str) -> LedgerRow:
    return LedgerRow(
        unit=Unit.SAMPLE, key=key, uri=clip.source.uri, stage=stage, outcome=outcome, code=code, figure=figure, message=message
    )


STAGE: Final = Stage(
    "pack",
    "shards",
    4,
    ("vary", "pack"),
    ("clips", "annotations", "verdicts", "variants", "captions", "paraphrases", "texts"),
    pack_bucket,
    writes_too=("ledger", "variants"),
    may_need=lambda recipe: (
        *((embed_audio.FOLDER,) if recipe.embeds else ()),
        *((label.FOLDER,) if recipe.labels else ()),
    ),
)
