"""Members of shards as files, under names that lead nowhere else."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Final

from pipelines.errors import DeadInput, PipelineError
from pipelines.shard_finding import Found, Problem, readable
from pipelines.shard_json import pretty_json
from pipelines.shard_reading import Part, RawSample, read_shard
from pipelines.store import Store

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST: Final = 120  # with a temporary prefix it stays under the 255 bytes that file systems allow


def safe_name(name: str) -> str:
    """A member's name as one plain file name; a changed one carries a hash, so that two never meet.

    >>> safe_name("00112233445566aa-0-10000-orig.flac"), safe_name("../../etc/passwd.wav")
    ('00112233445566aa-0-10000-orig.flac', 'etc_passwd-4a75bd36.wav')
    """
    plain = _UNSAFE.sub("_", readable(name)).strip("._-")
    if plain == name and len(name) <= _LONGEST:
        return name
    mark = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    stem, _, extension = plain.partition(".")
    stem = re.sub(r"^[._-]+", "", stem) or "sample"
    return f"{stem[:60]}-{mark}.{extension[-40:]}"


def extract(found: Found, folder: str, keys: Sequence[str], *, force: bool = False) -> Iterator[str | Problem]:
    """Write samples' members into a folder or URL, JSON indented; gives each file's name, and problems.

    `keys` are keys or the start of some; none for all. Raises `PipelineError` where a file exists (unless `force`) or a key matches nothing.
    """
    store = Store(folder)
    written: dict[str, str] = {}
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
                yield _write(store, shard.name, entry, part, written, force)
    if unmatched:
        raise PipelineError(f"no sample has a key that starts with {sorted(unmatched)[0]!r}")


def _write(store: Store, shard: str, sample: RawSample, part: Part, written: dict[str, str], force: bool) -> str | Problem:
    name = safe_name(part.name)
    if name in written:
        message = f"{name} was written from {written[name]} already; extract the shards into folders of their own"
        return Problem(shard=shard, key=sample.key, code="repeated_key", message=message)
    if not force and store.exists(name):
        raise PipelineError(f"{store.path(name)} exists: name another folder, or --force to replace what is there")
    try:
        content = (
            pretty_json(sample.facts).encode() + b"\n" if part.extension == "json" and sample.facts is not None else sample.content(part)
        )
    except DeadInput as error:
        return Problem(shard=shard, key=sample.key, code=error.code, message=error.message)
    store.write_bytes(name, content)
    written[name] = shard
    return name
