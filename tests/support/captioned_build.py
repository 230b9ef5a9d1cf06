"""A build as the caption stage leaves it, without audio: clips with labels, their samples, and
their control captions.
"""

from collections.abc import Sequence

import numpy as np

from pipelines.build.markers import Done, write_marker
from pipelines.build.outputs import Job
from pipelines.captioning.compose import compose_captions
from pipelines.storage.store import Store
from schemas.corpus import Augmented, Change, Clip, SampleCaptions, Song, Source
from schemas.labels import (
    Annotation,
    Beats,
    Chords,
    ChordSegment,
    Downmix,
    KeyLabel,
    Labels,
    Measures,
    Meter,
    MovedLabels,
    Tempo,
)
from schemas.recipe import Recipe
from schemas.record import Record
from tests.pipelines.shards.shard_samples import CONTROLS
from tests.support.written_plan import write_plan

_HOW = {"confidence": 1.0, "tool": "truth", "version": "1", "licence": "CC0-1.0"}
_ROUND = ("A:min", "F:maj", "C:maj", "G:7", "D:min7", "Bb:maj")


def labels(seed: int) -> Labels:
    """Some labels of a ten-second clip, other ones for another seed."""
    rng = np.random.default_rng(seed)
    chords = [_ROUND[index % 6] for index in range(int(rng.integers(6)), int(rng.integers(7, 10)))]
    return Labels(
        duration_s=10,
        beats=Beats(**_HOW),
        meter=Meter(beats_per_bar=int(rng.integers(3, 5)), **_HOW),
        tempo=Tempo(bpm=float(rng.integers(60, 200)), **_HOW),
        chords=Chords(
            segments=tuple(
                ChordSegment(start_s=at, end_s=at + 1, label=label)
                for at, label in enumerate(chords)
            ),
            **_HOW,
        ),
        key=KeyLabel(
            tonic=int(rng.integers(12)), mode=("major", "minor")[int(rng.integers(2))], **_HOW
        ),
    )


def captioned_build(
    out: str, recipe: Recipe, sources: Sequence[str], buckets: int = 4, first: int = 0
) -> list[Job]:
    """One clip with its original alone for each source text, dealt to buckets; returns the buckets'
    jobs.
    """
    jobs = [Job(out, f"train-{number:05d}", recipe) for number in range(buckets)]
    for number, job in enumerate(jobs):
        seeds = range(first + number, first + len(sources), buckets)
        _bucket(job, [(seed, sources[seed - first]) for seed in seeds])
    write_plan(Store(out), {job.bucket: 1 for job in jobs})
    return jobs


def _bucket(job: Job, rows: Sequence[tuple[int, str]]) -> None:
    made: dict[str, list[Record]] = {
        "clips": [],
        "annotations": [],
        "variants": [],
        "moved_labels": [],
        "captions": [],
    }
    for seed, text in rows:
        song = Song(song_id=f"{seed:016x}", rate_hz=16_000, channels=1, duration_s=10)
        key = f"{song.song_id}-0-10000"
        sources = (text,) if text else ()
        clip = Clip(
            clip_key=key,
            song=song,
            source=Source(uri=f"/{seed}.flac"),
            start_s=0,
            end_s=10,
            extended_end_s=10,
            split="train",
            group=song.song_id,
            captions=sources,
        )
        output = labels(seed)
        composed = compose_captions(sources, output, Change(), job.recipe.caption, 0, f"{key}-orig")
        measures = Measures(
            peak=1, rms_db=-20, silent_share=0, clipped_share=0, downmix=Downmix.NONE
        )
        made["clips"].append(clip)
        made["annotations"].append(Annotation(clip_key=key, labels=output, measures=measures))
        made["variants"].append(
            Augmented(
                sample_key=f"{key}-orig",
                clip_key=key,
                change=Change(),
                duration_s=10,
                controls=CONTROLS,
                offset=0,
                bytes=0,
            )
        )
        made["moved_labels"].append(MovedLabels(sample_key=f"{key}-orig", labels=output))
        made["captions"].append(
            SampleCaptions(sample_key=f"{key}-orig", captions=composed.captions)
        )
    kinds: dict[str, type[Record]] = {
        "clips": Clip,
        "annotations": Annotation,
        "variants": Augmented,
        "moved_labels": MovedLabels,
        "captions": SampleCaptions,
    }
    for folder, records in made.items():
        file = job.store.write_records(f"{folder}/{job.bucket}.parquet", kinds[folder], records)
        write_marker(folder, job, folder, Done([file], {}))
