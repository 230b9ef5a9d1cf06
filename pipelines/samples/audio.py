"""The audio of a bucket's samples, as FLAC: where vary or mix put it, or, where a recipe dropped
that, in the bucket's shard; their latents and codes.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final, NamedTuple

from pipelines.build.markers import marker_name
from pipelines.build.outputs import Job, Tar
from pipelines.build.tables import CODES, LATENTS, MIXES, SHARDS, VARIANTS
from pipelines.errors import Damaged, PipelineError
from pipelines.storage.tar import read_members
from schemas.corpus import Augmented, Encoded, Mixed
from schemas.sample import audio_name

_ENDINGS: Final = {LATENTS.folder: "latent.npy", CODES.folder: "codes.npy"}


class VariantFile(NamedTuple):
    """A file of audio in a tar of variants or mixes: that tar's folder, its name, and where its
    bytes stand.
    """

    folder: str
    name: str
    offset: int
    bytes: int


def pieces(row: Augmented) -> Iterator[VariantFile]:
    """A sample's audio, and its copies at lower rates."""
    folder = MIXES.folder if isinstance(row, Mixed) else VARIANTS.folder
    yield VariantFile(folder, audio_name(row.sample_key), row.offset, row.bytes)
    yield from (
        VariantFile(folder, audio_name(row.sample_key, copy.rate_hz), copy.offset, copy.bytes)
        for copy in row.copies
    )


@contextmanager
def read_audio(job: Job) -> Iterator[Callable[[VariantFile], bytes]]:
    """A function from a piece of audio to its FLAC: from the variants or mixes, or, where a recipe
    dropped them, from the shard itself.

    Raises `PipelineError` where they were dropped and the shard is not whole.
    """
    tars = (VARIANTS, *((MIXES,) if job.recipe.mixes else ()))
    with ExitStack() as opened:
        readers = {tar.folder: opened.enter_context(_reading(job, tar)) for tar in tars}
        yield lambda piece: readers[piece.folder](piece)


@contextmanager
def _reading(job: Job, tar: Tar[Any]) -> Iterator[Callable[[VariantFile], bytes]]:
    kept = tar.archive.exists(job)
    if not kept and not _whole(job):
        job.store.delete(marker_name(tar.folder, job.bucket))
        raise PipelineError(
            f"{job.bucket}: its {tar.folder} were dropped and its shard "
            "is damaged or gone; build again, and both are made anew"
        )
    with job.store.open((tar.archive if kept else SHARDS).path(job)) as opened:
        offsets = {} if kept else {member.name: member.offset for member in read_members(opened)}

        def read(piece: VariantFile) -> bytes:
            opened.seek(piece.offset if kept else offsets[piece.name])
            return opened.read(piece.bytes)

        yield read


def _whole(job: Job) -> bool:
    """Whether a bucket's shard is there and is the file its index describes."""
    if not (SHARDS.exists(job) and SHARDS.index.exists(job)):
        return False
    try:
        index = SHARDS.read_index(job)
    except Damaged:
        return False
    return job.store.sha256(SHARDS.path(job)) == index.sha256


def encoded_name(kind: Tar[Encoded], key: str) -> str:
    """Name of a sample's latents or codes, in the tar of them and in shards.

    >>> encoded_name(LATENTS, "k"), encoded_name(CODES, "k")
    ('k.latent.npy', 'k.codes.npy')
    """
    return f"{key}.{_ENDINGS[kind.folder]}"


@contextmanager
def read_encoded(job: Job, kind: Tar[Encoded]) -> Iterator[Callable[[str], bytes]]:
    """A function from a sample's key to its latents (C, T, F), float16, or codes (L, T), uint16, as
    a NumPy file.
    """
    rows = {row.sample_key: row for row in kind.read(job)}
    with kind.open(job) as opened:

        def read_one(key: str) -> bytes:
            opened.seek(rows[key].offset)
            return opened.read(rows[key].bytes)

        yield read_one
