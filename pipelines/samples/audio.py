"""The audio of a bucket's samples, as FLAC: where vary put it, or, where a recipe dropped that, in
the bucket's shard.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from pipelines.engine.stage import Job, marker_name
from pipelines.errors import DeadInput, PipelineError
from pipelines.guarded.json_objects import json_record
from pipelines.stages.labels.vary import audio_name
from pipelines.storage.tar import read_members
from schemas.corpus import Varied
from schemas.shard import ShardIndex


class Piece(NamedTuple):
    """A file of audio in the tar of variants: its name, and where its bytes stand."""

    name: str
    offset: int
    bytes: int


def pieces(row: Varied) -> Iterator[Piece]:
    """A sample's audio, and its copies at lower rates."""
    yield Piece(audio_name(row.sample_key), row.offset, row.bytes)
    yield from (
        Piece(audio_name(row.sample_key, copy.rate_hz), copy.offset, copy.bytes)
        for copy in row.copies
    )


@contextmanager
def read_audio(job: Job) -> Iterator[Callable[[Piece], bytes]]:
    """A function from a piece of audio to its FLAC: from the variants, or, where a recipe dropped
    them, from the shard itself.

    Raises `PipelineError` where they were dropped and the shard is not whole.
    """
    variants = f"variants/{job.bucket}.tar"
    kept = job.store.exists(variants)
    if not kept and not _whole(job):
        job.store.delete(marker_name("variants", job.bucket))
        raise PipelineError(
            f"{job.bucket}: its variants were dropped and its shard "
            "is damaged or gone; build again, and both are made anew"
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
    try:
        index = json_record(ShardIndex, job.store.read_bytes(f"{name}.json"))
    except DeadInput:
        return False
    return job.store.sha256(f"{name}.tar") == index.sha256
