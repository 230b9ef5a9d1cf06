"""Members of shards as files, under names that lead nowhere else."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Final

from pipelines.errors import DeadInput, PipelineError, readable
from pipelines.guarded.json_objects import pretty_json
from pipelines.shards.find import FoundShards, ShardProblem
from pipelines.shards.read import RawSample, SampleMember, read_shard
from pipelines.storage.store import Store

_SAFE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_SAFE_EXTENSION: Final = re.compile(r"[A-Za-z0-9_.-]*[A-Za-z0-9]")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_-]+")
# with an extension and a temporary prefix it stays under the 255 bytes that file systems allow
_LONGEST_KEY: Final = 80
_LONGEST_EXTENSION: Final = 40


def safe_name(name: str) -> str:
    """A member's name as one plain file name.

    What is changed carries a hash of what it was, so that no two keys become one.

    Members of one sample keep one stem, and so belong together.

    >>> safe_name("00112233445566aa-0-10000-orig.flac")
    '00112233445566aa-0-10000-orig.flac'
    >>> safe_name("../up.flac"), safe_name("../up.json")
    ('up-8c722b8a.flac', 'up-8c722b8a.json')
    """
    folder, slash, last = name.rpartition("/")
    stem, dot, extension = last.partition(".")
    return f"{_safe_key(folder + slash + stem)}.{_safe_extension(extension) if dot else 'bin'}"


def _safe_key(key: str) -> str:
    if _SAFE.fullmatch(key) and len(key) <= _LONGEST_KEY:
        return key
    plain = _UNSAFE.sub("_", readable(key)).strip("_-")
    return f"{plain[:60] or 'sample'}-{_mark(key)}"


def _safe_extension(extension: str) -> str:
    if _SAFE_EXTENSION.fullmatch(extension) and len(extension) <= _LONGEST_EXTENSION:
        return extension
    plain = ".".join(_UNSAFE.sub("_", part) for part in readable(extension).split(".") if part)
    return f"{_mark(extension)}.{plain[-30:].strip('.') or 'bin'}"


def _mark(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def extract(
    found: FoundShards, folder: str, keys: Sequence[str], *, force: bool = False
) -> Iterator[str | ShardProblem]:
    """Write samples' members into a folder or URL, JSON indented; gives file names and problems.

    `keys` are keys or the start of some; none for all. Raises `PipelineError` where a file exists
    (unless `force`) or a key matches nothing.
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
            if isinstance(entry, ShardProblem):
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

    def write(self, sample: RawSample, part: SampleMember) -> str | ShardProblem:
        """Write one member; gives the name of its file."""
        name = safe_name(part.name)
        if name in self._from:
            message = (
                f"{name} was written from {self._from[name]} already; "
                "extract the shards into folders of their own"
            )
            return ShardProblem(
                shard=sample.shard, key=sample.key, code="repeated_key", message=message
            )
        if not self._force and self._store.exists(name):
            raise PipelineError(
                f"{self._store.path(name)} exists: "
                "name another folder, or --force to replace what is there"
            )
        try:
            is_json = part.extension == "json" and sample.facts is not None
            content = (
                pretty_json(sample.facts or {}).encode() + b"\n"
                if is_json
                else sample.content(part)
            )
        except DeadInput as error:
            return ShardProblem(
                shard=sample.shard, key=sample.key, code=error.code, message=error.message
            )
        try:
            self._store.write_bytes(name, content)
        except OSError as error:
            raise PipelineError(
                f"{self._store.path(name)} cannot be written: {error.strerror or error}"
            ) from error
        self._from[name] = sample.shard
        return name
