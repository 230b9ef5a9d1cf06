"""A made-up corpus of any size for the bookkeeping benchmark: manifests of remote files that nobody
opens, and what workers would write.
"""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flows.build.order import ORDER
from pipelines.build.markers import Done
from pipelines.build.outputs import Job
from pipelines.engine.stage import Stage, run_bucket
from pipelines.stages.inputs import cut
from pipelines.stages.inputs import probe as ingest
from pipelines.storage.arrow import read_table, table_of
from pipelines.storage.store import arrow_schema, parquet_bytes
from schemas.agreement import Relabelled
from schemas.corpus import CandidateClip, Clip, CutInput, LedgerRow, Probed
from schemas.identity import stable_hash
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
    Tempo,
)
from schemas.recipe import IngestRecipe, Recipe
from schemas.record import Record

RECIPE = Recipe(ingest=IngestRecipe(check_remote=False))
_BATCH = 100_000
_SAMPLES = 12  # of a clip


def write_manifests(folder: Path, first: int, count: int, files: int) -> None:
    """Tables of `count` rows in all, from file number `first` on."""
    folder.mkdir(parents=True, exist_ok=True)
    for numbers in np.array_split(np.arange(first, first + count), files):
        with pq.ParquetWriter(
            folder / f"{numbers[0]:09d}.parquet", _manifest(numbers[:1]).schema
        ) as out:
            for start in range(0, len(numbers), _BATCH):
                out.write_table(_manifest(numbers[start : start + _BATCH]))


def _manifest(numbers: Any) -> pa.Table:
    return pa.table(
        {
            "uri": [f"s3://music/{number % 997:03d}/{number:09d}.flac" for number in numbers],
            "caption": [
                f"A slow piece for {number % 89} strings and a drum, recorded in room {number}."
                for number in numbers
            ],
            "artist": [f"Artist {number % 50_021}" for number in numbers],
            "licence": ["CC-BY-4.0" if number % 3 else "CC0-1.0" for number in numbers],
            "mood": [f"mood {number % 31}" for number in numbers],
        }
    )


def probe(out: str, name: str) -> None:
    """Made-up songs for a slice instead of probing, unless it is done."""
    run_bucket(replace(ingest.STAGE, run=_probe_slice, tools=lambda _: {}), Job(out, name, RECIPE))


def _probe_slice(job: Job) -> Done:
    listed = read_table(job.store, f"listing/{job.bucket}.parquet", ["place", "source.uri"])
    numbers = [
        int(uri[-14:-5])
        for uri in listed.column("source").combine_chunks().field("uri").to_pylist()
    ]
    # one in a hundred; another has the audio of the one before it
    dead = pa.array([number % 100 == 2 for number in numbers])
    ids = [f"{stable_hash('song', number - (number % 100 == 1)):016x}" for number in numbers]
    facts = [pa.array(ids), *(pa.array([value] * len(ids)) for value in (44_100, 2, 12.5))]
    song = pa.StructArray.from_arrays(
        facts, ["song_id", "rate_hz", "channels", "duration_s"], mask=dead
    )
    nothing = pa.array([""] * len(ids))
    code = pc.if_else(dead, "not_audio", "")
    columns = {
        "place": listed.column("place"),
        "song": song,
        "code": code,
        "message": nothing,
        "figure": nothing,
    }
    content = parquet_bytes(pa.table(columns).cast(arrow_schema(Probed)))
    return Done(
        [job.store.write_bytes(f"probed/{job.bucket}.parquet", content)], {"rows": len(ids)}
    )


def cut_slice(out: str, name: str) -> None:
    """The real thing, unless it is done."""
    run_bucket(cut.STAGE, Job(out, name, RECIPE))


def cut_fast(out: str, name: str) -> None:
    """What cutting these inputs gives, made without a record per clip, unless it is done."""
    run_bucket(replace(cut.STAGE, run=_cut_fast), Job(out, name, RECIPE))


def _cut_fast(job: Job) -> Done:
    listed, probed = (
        read_table(job.store, f"{folder}/{job.bucket}.parquet").combine_chunks()
        for folder in ("listing", "probed")
    )
    dead = pc.is_null(probed.column("song"))
    inputs = pa.table(
        {
            "place": listed.column("place"),
            "ledger": _structs(
                LedgerRow,
                listed.num_rows,
                {
                    "unit": "input",
                    "key": listed.column("row"),
                    "uri": pc.struct_field(listed.column("source"), "uri"),
                    "stage": "cut",
                    "outcome": pc.if_else(dead, "dead", "used"),
                    "code": probed.column("code"),
                    "message": "",
                    "figure": "",
                    "clips": 0,
                },
            ),
        }
    )
    alive = pc.invert(dead)
    listed, probed = listed.filter(alive), probed.filter(alive)
    song_id = pc.struct_field(probed.column("song"), "song_id")
    clips = _structs(
        Clip,
        listed.num_rows,
        {
            "clip_key": pc.binary_join_element_wise(song_id, "-0-10000", ""),
            "song": probed.column("song"),
            "source": listed.column("source"),
            "start_s": 0.0,
            "end_s": 10.0,
            "extended_end_s": 12.5,
            "split": "train",
            "group": pc.binary_join_element_wise("song:", song_id, ""),
            "captions": listed.column("captions"),
        },
    )
    found = pa.table(
        {"place": listed.column("place"), "stated": listed.column("split"), "clip": clips}
    )
    files = [
        job.store.write_bytes(
            f"cut/{job.bucket}.parquet", parquet_bytes(found.cast(arrow_schema(CandidateClip)))
        ),
        job.store.write_bytes(
            f"cut/{job.bucket}.inputs.parquet", parquet_bytes(inputs.cast(arrow_schema(CutInput)))
        ),
    ]
    return Done(files, {"rows": inputs.num_rows, "candidates": found.num_rows})


def _structs(kind: type[Record], rows: int, columns: dict[str, Any]) -> pa.StructArray:
    """A column of records; a plain value stands for every row."""
    schema = arrow_schema(kind)
    arrays = [
        value.cast(field.type).combine_chunks()
        if isinstance(value, pa.ChunkedArray)
        else pa.array([value] * rows, field.type)
        for field, value in ((field, columns[field.name]) for field in schema)
    ]
    return pa.StructArray.from_arrays(arrays, fields=list(schema))


def stage_bucket(out: str, name: str) -> None:
    """All stages but the first on a bucket: what closing reads of them."""
    for stage in ORDER[1:]:
        run_bucket(stub(stage), Job(out, name, RECIPE))


def stub(stage: Stage) -> Stage:
    """The stage in its place, with files in the size of real ones where closing reads them, and no
    work.
    """
    return replace(
        stage,
        run={"annotate": _annotate, "pack": _pack, "verify": _verify}.get(stage.name, _nothing),
        tools=lambda _: {},
    )


def _nothing(_: Job) -> Done:
    return Done([], {"clips": 1})


def _annotate(job: Job) -> Done:
    content = _annotations(_clips(job))
    return Done(
        [job.store.write_bytes(f"annotations/{job.bucket}.parquet", content)],
        {"clips": _clips(job)},
    )


def _pack(job: Job) -> Done:
    count = _clips(job) * _SAMPLES
    shard = {
        "bytes": count * 150_000,
        "count": count,
        "duration_s": count * 10.0,
        "sha256": "0" * 64,
    }
    return Done(
        [job.store.write_json(f"shards/{job.bucket}.json", shard)],
        {"planned": count, "written": count},
    )


def _verify(job: Job) -> Done:
    return Done(
        [job.store.write_records(f"verified/{job.bucket}.parquet", Relabelled, [])],
        {"samples": _clips(job)},
    )


def _clips(job: Job) -> int:
    return int(job.store.read_sealed(f"clips/{job.bucket}.done.json")["counts"]["clips"])


@lru_cache(maxsize=1024)
def _annotations(count: int) -> bytes:
    tool = {"tool": "stub", "version": "1", "licence": "CC0-1.0", "confidence": 0.5}
    beats = Beats(
        times_s=tuple(index / 2 for index in range(25)),
        numbers=tuple(index % 4 + 1 for index in range(25)),
        **tool,
    )
    chords = Chords(
        segments=tuple(
            ChordSegment(start_s=index, end_s=index + 1, label="C:maj") for index in range(12)
        ),
        **tool,
    )
    labels = Labels(
        duration_s=12.5,
        beats=beats,
        meter=Meter(beats_per_bar=4, **tool),
        tempo=Tempo(bpm=120.0, **tool),
        chords=chords,
        key=KeyLabel(tonic=0, mode="major", **tool),
    )
    measures = Measures(
        peak=0.5, rms_db=-20.0, silent_share=0.0, clipped_share=0.0, downmix=Downmix.NONE
    )
    one = table_of(
        Annotation, [Annotation(clip_key="0" * 16 + "-0-10000", labels=labels, measures=measures)]
    )
    return parquet_bytes(one.take(pa.array([0] * count)))
