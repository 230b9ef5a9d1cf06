"""Stage *pack*: one WebDataset shard per bucket, FLAC and JSON per sample, and the ledger of
samples that are not in it.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final, NamedTuple

import numpy as np

from pipelines.build.markers import Done, drop_file
from pipelines.build.outputs import Job, Output
from pipelines.build.tables import (
    ANNOTATIONS,
    CAPTIONS,
    CLIPS,
    CODES,
    EMBEDDINGS,
    LABELS,
    LATENTS,
    LEDGER,
    MIXES,
    MOVED_LABELS,
    PARAPHRASES,
    REFUSED_MIXES,
    SHARDS,
    TEXTS,
    VARIANTS,
    VERDICTS,
)  # fmt: skip
from pipelines.embedders.recipe_embedder import description
from pipelines.engine import bucket
from pipelines.engine.stage import Stage
from pipelines.errors import PipelineError
from pipelines.samples.audio import encoded_name, pieces, read_audio, read_encoded
from pipelines.samples.moved_labels import (
    LabelledSample,
    labelled_samples,
    planned_samples,
    reads_mixes,
)
from pipelines.storage.arrow import npy_bytes
from pipelines.storage.store import Published
from pipelines.storage.tar import TarWriter
from schemas.caption import Caption
from schemas.corpus import Clip, LedgerRow, Outcome, Source, Unit
from schemas.identity import sample_key, stable_hash
from schemas.pseudo_label import PseudoLabel
from schemas.recipe import PackRecipe, Recipe
from schemas.sample import Sample
from schemas.shard import ShardIndex

_YES: Final = ("1", "1.0", "true", "yes", "y")


def pack_bucket(job: Job) -> Done:
    """Write a bucket's shard, its index, and its ledger.

    The audio's bytes are copied, never decoded or encoded.
    """
    bucket_clips, varied = CLIPS.read(job), list(labelled_samples(job))
    samples = _encoded(job, varied)
    ledger = list(_missing(job, bucket_clips, {sample.varied.sample_key for sample in samples}))
    planned = sum(len(planned_samples(clip, job.recipe)) for clip in bucket_clips)
    if planned != len(samples) + len(ledger):
        raise PipelineError(
            f"{job.bucket}: {planned} samples planned, "
            f"but {len(samples)} written and {len(ledger)} in the ledger"
        )
    rejected = sum(row.outcome is Outcome.REJECTED for row in ledger)
    dead = len(ledger) - rejected
    ledger += _without(job, bucket_clips, PARAPHRASES, "paraphrase")
    if job.recipe.embeds:
        ledger += _without(job, bucket_clips, EMBEDDINGS, "embed_audio")
    files = [LEDGER.write(job, ledger)]
    if samples:
        files += _write_shard(job, samples)
        # else the shard has not all of their audio
        if not job.recipe.pack.keep_variants and len(samples) == len(varied):
            for tar in (VARIANTS, MIXES) if job.recipe.mixes else (VARIANTS,):
                if tar.archive.exists(job):
                    drop_file(job, tar.folder, tar.archive.path(job))
    else:
        for stale in (SHARDS, SHARDS.index):
            job.store.delete(stale.path(job))
    bucket.progress(len(bucket_clips))
    counts = {
        "planned": planned,
        "written": len(samples),
        "rejected": rejected,
        "dead": dead,
        "clips": len(bucket_clips),
    }
    return Done(files, counts)


def _encoded(job: Job, samples: list[LabelledSample]) -> list[LabelledSample]:
    """Samples to write: where the recipe encodes, those that have latents, since either all samples
    of a dataset have them or none.
    """
    if not job.recipe.encodes:
        return samples
    keys = {row.sample_key for row in LATENTS.read(job)}
    return [sample for sample in samples if sample.varied.sample_key in keys]


def _write_shard(job: Job, samples: list[LabelledSample]) -> list[Published]:
    # a song's copies must not sit side by side
    ordered = sorted(
        samples,
        key=lambda sample: (stable_hash(sample.varied.sample_key), sample.varied.sample_key),
    )
    texts, vectors = _texts(job), _vectors(job)
    # of each sample's first header, and the end of the last: a reader fetches a sample with one
    # range read
    offsets: list[int] = []
    kinds = (
        *((LATENTS,) if job.recipe.encodes else ()),
        *((CODES,) if job.recipe.has_codes else ()),
    )
    with read_audio(job) as audio_of, ExitStack() as opened, SHARDS.writer(job) as out:
        encoded = [(kind, opened.enter_context(read_encoded(job, kind))) for kind in kinds]
        tar = TarWriter(out)
        for labelled in ordered:
            key = labelled.varied.sample_key
            offsets.append(out.tell())
            if job.recipe.pack.embeddings:
                # of a mix there is none: its host's says nothing of its guest
                source = labelled.clip.clip_key if labelled.guest is None else ""
                tar.add(f"{key}.clap.npy", vectors[source])
            for kind, file_of in encoded:
                tar.add(encoded_name(kind, key), file_of(key))
            for piece in pieces(labelled.varied):
                tar.add(piece.name, audio_of(piece))
            tar.add(
                f"{key}.json",
                build_sample(labelled, texts[key], job.recipe).model_dump_json().encode(),
            )
        offsets.append(out.tell())
        tar.close()
    shard = out.published()
    duration_s = sum(sample.varied.duration_s for sample in ordered)
    index = ShardIndex(
        bytes=shard.bytes,
        count=len(ordered),
        duration_s=round(duration_s, 3),
        sha256=shard.sha256,
        keys=tuple(sample.varied.sample_key for sample in ordered),
        offsets=tuple(offsets),
    )
    return [shard, SHARDS.write_index(job, index)]


class SampleTexts(NamedTuple):
    """A sample's captions of all kinds, and its pseudo-labels."""

    captions: tuple[Caption, ...] = ()
    pseudo_labels: tuple[PseudoLabel, ...] = ()


def _texts(job: Job) -> dict[str, SampleTexts]:
    """Texts of a bucket's samples: captions, paraphrases, then those of labels."""
    found: dict[str, SampleTexts] = defaultdict(SampleTexts)
    for table in (CAPTIONS, TEXTS):
        for written in table.read(job):
            found[written.sample_key] = SampleTexts(
                (*found[written.sample_key].captions, *written.captions)
            )
    if job.recipe.labels:
        for row in LABELS.read(job):
            found[row.sample_key] = SampleTexts(
                (*found[row.sample_key].captions, *row.captions), row.pseudo_labels
            )
    return dict(found)  # a sample without a row of captions is a defect, and must not pass


def _vectors(job: Job) -> dict[str, bytes]:
    """Embeddings of a bucket's clips as NumPy files, where the recipe wants them.

    Of a clip that has none, zeros, and so under "".
    """
    if not job.recipe.pack.embeddings:
        return {}
    nothing = np.zeros(description(job.recipe).dimension, np.float16)
    vectors = {clip.clip_key: clip.vector.astype(np.float16) for clip in EMBEDDINGS.read(job)}
    keys = ["", *(clip.clip_key for clip in CLIPS.read(job))]
    return {key: npy_bytes(vectors.get(key, nothing)) for key in keys}


def build_sample(labelled: LabelledSample, texts: SampleTexts, recipe: Recipe) -> Sample:
    """The record that stands beside a sample's audio."""
    row, clip, labels, guest = labelled
    sources = [clip.source, *([guest.clip.source] if guest else ())]
    channels = min(recipe.vary.channels, clip.song.channels)
    return Sample(
        key=row.sample_key,
        song_id=clip.song.song_id,
        clip_key=clip.clip_key,
        split=clip.split,
        change=row.change,
        source=clip.source,
        start_s=clip.start_s,
        end_s=clip.end_s,
        duration_s=row.duration_s,
        rate_hz=recipe.vary.rate_hz,
        channels=channels,
        beats=labels.beats,
        meter=labels.meter,
        tempo=labels.tempo,
        chords=labels.chords,
        key_label=labels.key,
        controls=row.controls,
        captions=texts.captions,
        pseudo_labels=texts.pseudo_labels,
        song_s=clip.song.duration_s,
        anchor=all(_is_anchor(source, recipe.pack) for source in sources),
        guest=guest.fitted if guest else None,
    )


def _is_anchor(source: Source, recipe: PackRecipe) -> bool:
    if not recipe.anchor_column:
        return False
    answer = json.loads(source.metadata).get(recipe.anchor_column)
    return str(answer).strip().casefold() in _YES


def _missing(job: Job, bucket_clips: list[Clip], made: set[str]) -> Iterator[LedgerRow]:
    """A ledger row for every planned sample that was not made."""
    verdicts = {row.clip_key: row for row in VERDICTS.read(job)}
    outputs: dict[str, Output] = {"annotate": ANNOTATIONS, "vary": VARIANTS}
    if job.recipe.mixes:
        outputs["mix"] = MIXES
    if job.recipe.encodes:
        outputs["encode"] = LATENTS
    deaths = {
        row.key: (stage, row)
        for stage, output in outputs.items()
        for row in bucket.read_dead(job, output)
    }
    refused = {row.sample_key: row for row in REFUSED_MIXES.read(job)} if job.recipe.mixes else {}
    for clip in bucket_clips:
        for variant in planned_samples(clip, job.recipe):
            key = sample_key(clip.clip_key, variant)
            if key in made:
                continue
            if (dead := deaths.get(clip.clip_key) or deaths.get(key)) is not None:
                stage, row = dead
                yield _ledger(key, clip, stage, Outcome.DEAD, row.code, row.figure, row.message)
            elif (alone := refused.get(key)) is not None:
                message = "not mixed"
                yield _ledger(key, clip, "mix", Outcome.REJECTED, alone.rule, alone.figure, message)
            else:
                found = verdicts[clip.clip_key]
                if found.keep and (found.vary or variant == "orig"):
                    raise PipelineError(
                        f"{key} was planned, but neither made nor died; "
                        "this is a defect, please report it"
                    )
                message = "kept as it is, not varied" if found.keep else "not kept"
                yield _ledger(
                    key, clip, "filter", Outcome.REJECTED, found.rule, found.figure, message
                )


def _without(job: Job, bucket_clips: list[Clip], output: Output, stage: str) -> Iterator[LedgerRow]:
    """A ledger row for everything that a stage died on and samples go on without: a rewording, or a
    clip's embedding.
    """
    found = {clip.clip_key: clip for clip in bucket_clips}
    for row in bucket.read_dead(job, output):
        # a clip's key, or a sample's
        clip = found.get(row.key) or found[row.key.rpartition("-")[0]]
        yield _ledger(
            row.key, clip, stage, Outcome.DEAD, row.code, row.figure, row.message
        ).replaced(unit=Unit.TEXT)


def _ledger(
    key: str, clip: Clip, stage: str, outcome: Outcome, code: str, figure: str, message: str
) -> LedgerRow:
    return LedgerRow(
        unit=Unit.SAMPLE,
        key=key,
        uri=clip.source.uri,
        stage=stage,
        outcome=outcome,
        code=code,
        figure=figure,
        message=message,
    )


def _optional_reads(recipe: Recipe) -> tuple[Output, ...]:
    optional = ((EMBEDDINGS, recipe.embeds), (LABELS, recipe.labels), (LATENTS, recipe.encodes))
    return (*(output for output, reads in optional if reads), *reads_mixes(recipe))


STAGE: Final = Stage(
    name="pack",
    version=6,
    reads=(CLIPS, ANNOTATIONS, VERDICTS, VARIANTS, MOVED_LABELS, CAPTIONS, PARAPHRASES, TEXTS),
    optional_reads=_optional_reads,
    writes=(SHARDS, LEDGER, VARIANTS, MIXES),
    knobs=("vary", "pack"),
    run=pack_bucket,
)
