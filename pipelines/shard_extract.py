"""Members of shards as files, under names that lead nowhere else."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Final

from pipelines.errors import DeadInput, PipelineError
from pipelines.guarded_json import pretty_json
from pipelines.shard_finding import Found, Problem, readable
from pipelines.shard_reading import Part, RawSample, read_shard
from pipelines.store import Store

_SAFE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST: Final = 120  # with a temporary prefix it stays under the 255 bytes that file systems allow


def safe_name(name: str) -> str:
    """A member's name as one plain file name; a changed one carries a hash, so that two never meet.

    >>> safe_name("00112233445566aa-0-10000-orig.flac"), safe_name("../../etc/passwd.wav")
    ('00112233445566aa-0-10000-orig.flac', 'etc_passwd-31b85184.wav')
    """
    if _SAFE.fullmatch(name) and len(name) <= _LONGEST:
        return name
    folder, slash, last = readable(name).rpartition("/")
    stem, _, extension = last.partition(".")
    mark = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    plain = _UNSAFE.sub("_", f"{folder}{slash}{stem}").strip("_-")
    suffix = ".".join(_UNSAFE.sub("_", part) for part in extension.split(".") if part)
    return f"{plain[:60] or 'sample'}-{mark}.{suffix[-40:] or 'bin'}"


def extract(found: Found, folder: str, keys: Sequence[str], *, force: bool = False) -> Iterator[str | Problem]:
    """Write samples' members into a folder or URL, JSON indented; gives each file's name, and problems.

    `keys` are keys or the start of some; none for all. Raises `PipelineError` where a file exists (unless `force`)
    or a key matches nothing.
    """
    yield from found.problems
    writing = _Writing(Store(folder), force)
    unmatched = set(keys)
    for shard in found.shards:
        for entry in read_shard(shard):
            matching = {key for key in keys if entry.key.startswith(key)}
            unmatched -= matching if isinstance(entry, RawSample) else set()
            if keys and not matching and (isinstance(entry, RawSample) or entry.key):
                continue
            if isinstance(entry, Problem):
                yield entry
                continue
            for part in entry.parts:
                yield writing.write(entry, part)
    if unmatched:
        raise PipelineError(f"no sample has a key that starts with {sorted(unmatched)[0]!r}")


class _Writing:
    """A folder being filled: nothing is written twice, and nothing over what was there."""

    def __init__(self, store: Store, force: bool) -> None:
        self._store, self._force = store, force
        self._from: dict[str, str] = {}  # names written, and the shard of each

    def write(self, sample: RawSample, part: Part) -> str | Problem:
        """Write one member; gives the name of its file."""
        name = safe_name(part.name)
        if name in self._from:
            message = f"{name} was written from {self._from[name]} already; extract the shards into folders of their own"
            return Problem(shard=sample.shard, key=sample.key, code="repeated_key", message=message)
        if not self._force and self._store.exists(name):
            raise PipelineError(f"{self._store.path(name)} exists: name another folder, or --force to replace what is there")
        try:
            is_json = part.extension == "json" and sample.facts is not None
            content = pretty_json(sample.facts or {}).encode() + b"\n" if is_json else sample.content(part)
        except DeadInput as error:
            return Problem(shard=sample.shard, key=sample.key, code=error.code, message=error.message)
        try:
            self._store.write_bytes(name, content)
        except OSError as error:
            raise PipelineError(f"{self._store.path(name)} cannot be written: {error.strerror or error}") from error
        self._from[name] = sample.shard
        return name
