"""Markers: what says that a bucket of a step is done, and of which files, by bytes and SHA-256."""

import hashlib
import platform
from collections.abc import Iterator
from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from pipelines.build.outputs import Job
from pipelines.build.tables import MARKER, TAKEN_OVER
from pipelines.errors import Damaged
from pipelines.storage.store import Published, Store
from schemas.build import FileFacts, Marker
from schemas.counts import Counts


class Done(NamedTuple):
    """What a stage did with a bucket: files published, and counts by name."""

    files: list[Published]
    counts: Counts


def marker_name(folder: str, bucket: str) -> str:
    """File that says a bucket is done."""
    return f"{folder}/{bucket}{MARKER}"


def read_marker(store: Store, folder: str, bucket: str) -> Marker:
    """A bucket's marker. Raises `Damaged`, and `FileNotFoundError` where none is."""
    return store.read_stated(marker_name(folder, bucket), Marker)


class BucketMarkers:
    """The markers of a bucket, by folder, each of them read once."""

    def __init__(self, store: Store, bucket: str) -> None:
        self._store = store
        self.read = cache(lambda folder: read_marker(store, folder, bucket))

    def whole(self, folder: str) -> Marker | None:
        """The marker, where it stands whole and every file it names is there in its full size, or
        was dropped on purpose.
        """
        try:
            marker = self.read(folder)
        except (FileNotFoundError, Damaged):
            return None
        whole = all(
            facts.dropped or self._store.size(file) == facts.bytes
            for file, facts in marker.files.items()
        )
        return marker if whole else None


def whole_marker(store: Store, folder: str, bucket: str) -> Marker | None:
    """A bucket's marker, where it and its files stand whole."""
    return BucketMarkers(store, bucket).whole(folder)


class Altered(NamedTuple):
    """A file that is not what was written, and what is wrong with it."""

    file: str
    wrong: str

    def __str__(self) -> str:
        """One line for the reader."""
        return f"{self.file} {self.wrong}"


def altered_files(store: Store, folder: str, bucket: str) -> Iterator[Altered]:
    """Files of a bucket that are not what its marker says was written.

    Raises `Damaged` where the marker is not.
    """
    for name, facts in read_marker(store, folder, bucket).files.items():
        if facts.dropped:
            continue
        size = store.size(name)
        if size is None:
            yield Altered(name, "is missing")
        elif size != facts.bytes:
            yield Altered(name, f"has {size} bytes, of {facts.bytes} that were written")
        elif store.sha256(name) != facts.sha256:
            yield Altered(name, "is not what was written: its SHA-256 has changed")


def check_files(store: Store, folder: str, bucket: str) -> None:
    """Raise `Damaged` where a file of a bucket is not the one that was written.

    The next run makes it anew.
    """
    altered = next(altered_files(store, folder, bucket), None)
    if altered is not None:
        invalidate(store, folder, bucket)
        raise Damaged(f"{altered}; run again, and it is made anew")


def read_checked(store: Store, folder: str, bucket: str, name: str) -> bytes:
    """A small file of a bucket, read once.

    Raises `Damaged` where it is not what its marker says was written.
    """
    content = store.read_bytes(name)
    facts = read_marker(store, folder, bucket).files.get(name)
    if facts is None or hashlib.sha256(content).hexdigest() != facts.sha256:
        invalidate(store, folder, bucket)
        raise Damaged(
            f"{name} is not what was written: "
            "its SHA-256 has changed; run again, and it is made anew"
        )
    return content


def invalidate(store: Store, folder: str, bucket: str) -> None:
    """Make the next run do a bucket of a stage again, and first those whose files only that bucket
    still held.
    """
    store.delete(marker_name(folder, bucket))
    for before in TAKEN_OVER.get(folder, ()):
        with suppress(FileNotFoundError, Damaged):
            if any(facts.dropped for facts in read_marker(store, before, bucket).files.values()):
                store.delete(marker_name(before, bucket))


def write_marker(folder: str, job: Job, expected: str, done: Done) -> None:
    """Say that a bucket is done: always the last file written."""
    files = {file.name: FileFacts(bytes=file.bytes, sha256=file.sha256) for file in done.files}
    _seal(
        job.store,
        folder,
        job.bucket,
        Marker(fingerprint=expected, files=files, counts=done.counts, cpu=cpu_capability()),
    )


def _seal(store: Store, folder: str, bucket: str, marker: Marker) -> None:
    store.write_sealed(marker_name(folder, bucket), marker.as_json())


def publish_marked(folder: str, job: Job, file: str, content: bytes, counts: Counts) -> str:
    """Publish a file and its marker unless the same content stands there already; returns the
    fingerprint, its hash.
    """
    mark = hashlib.sha256(content).hexdigest()
    if marked_fingerprint(job.store, folder, job.bucket) != mark:
        job.store.delete(marker_name(folder, job.bucket))
        write_marker(folder, job, mark, Done([job.store.write_bytes(file, content)], counts))
    return mark


def marked_fingerprint(store: Store, folder: str, bucket: str) -> str:
    """Fingerprint of a bucket whose files are there, else empty."""
    marker = whole_marker(store, folder, bucket)
    return marker.fingerprint if marker is not None else ""


def remove_others(store: Store, folder: str, kept: set[str]) -> None:
    """Remove files of buckets that are no longer in force."""
    for name in store.names(folder):
        if name.split(".", 1)[0] not in kept:
            store.delete(f"{folder}/{name}")


def drop_file(job: Job, folder: str, name: str) -> None:
    """Remove a file that a later stage has taken over; its marker remembers what it was."""
    marker = read_marker(job.store, folder, job.bucket)
    files = {**marker.files, name: marker.files[name].replaced(dropped=True)}
    _seal(job.store, folder, job.bucket, marker.replaced(files=files))
    job.store.delete(name)


@lru_cache(maxsize=1)
def cpu_capability() -> str:
    """Vector instructions of this machine, on which the last bits of floats may depend.

    Recorded, never matched.
    """
    try:
        flags = Path("/proc/cpuinfo").read_text().split("flags", 1)[1].split("\n", 1)[0].split()
    except (OSError, IndexError):
        return platform.machine()
    best = next(
        (name for name in ("avx512f", "avx2", "avx", "sse4_2") if name in flags), "baseline"
    )
    return f"{platform.machine()} {best}"
