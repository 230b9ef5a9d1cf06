"""Shards checked: checksum and keys against the index beside, our own samples against the contract,
audio to its end.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from pipelines.build.tables import DATASET
from pipelines.build.versions import last_version, version_file, version_names
from pipelines.errors import DeadInput, PipelineError, machine_faults, readable
from pipelines.guarded.json_objects import JSON_LIMIT
from pipelines.shards.audio import Depth, SoundFormat, listened
from pipelines.shards.find import FoundShards, Shard, ShardProblem, index_of, open_file
from pipelines.shards.read import RawSample, as_ours, read_shard
from pipelines.storage.store import Store, sha256_of
from pipelines.storage.tar import sample_offsets
from pipelines.trust.build_folder import check_files
from schemas.identity import stable_hash
from schemas.sample import Sample
from schemas.shard import ListedShard, ShardIndex

_TOLERANCE_S = 0.001  # stored lengths are whole milliseconds


class Checked(NamedTuple):
    """What was checked without a problem of its own: shards read, samples and their seconds."""

    shards: int
    samples: int
    duration_s: float


def check(found: FoundShards) -> Iterator[ShardProblem | Checked]:
    """Every problem of a target in order, and a count per shard.

    A key that two shards hold is a problem.
    """
    yield from found.problems
    yield from _check_version(found.build)
    # hash of a key to the number of its shard: 1 million keys take about 100 MB
    first_numbers: dict[int, int] = {}
    for number, shard in enumerate(found.shards):
        for result in _check_shard(shard, found.listed.get(shard.path)):
            if isinstance(result, str):
                first = first_numbers.setdefault(stable_hash(result), number)
                if first != number:
                    yield ShardProblem(
                        shard=shard.name,
                        key=result,
                        code="repeated_key",
                        message=f"stands in {found.shards[first].name} too",
                    )
            else:
                yield result


def _check_version(build: str) -> Iterator[ShardProblem]:
    """Compare a build's dataset.json with its last version's hash of it, if it has versions."""
    if not build:
        return
    try:
        store = Store(build)
        check_files(store)
        large = [
            name
            for name in version_names(store)
            if (store.size(version_file(name)) or 0) > JSON_LIMIT
        ]
        version = None if large else last_version(store)
        if version is not None and version.documents.get(DATASET) not in (
            None,
            store.sha256(DATASET),
        ):
            mismatch = (
                f"is not the one that the build's version {version.number} was published with"
            )
            yield ShardProblem(shard=DATASET, key="", code="version", message=mismatch)
    except (PipelineError, OSError) as error:
        yield ShardProblem(
            shard=DATASET,
            key="",
            code="version",
            message=f"cannot be compared with the build's versions: {error}",
        )


@dataclass
class _ShardContents:
    """What was read of a shard."""

    keys: list[str] = field(default_factory=list)
    samples: int = 0  # those with audio
    sounding_s: float = 0.0  # of their audio
    stated_s: list[float] = field(default_factory=list)  # lengths as our own samples state them


def _check_shard(
    shard: Shard, listed: ListedShard | None
) -> Iterator[ShardProblem | Checked | str]:
    """Problems, the key of each sample, and at the end the count."""
    try:
        index = index_of(shard)
    except DeadInput as error:
        index = None
        yield ShardProblem(shard=shard.name, key="", code=error.code, message=error.message)
    seen = _ShardContents()
    must_be_ours = index is not None or shard.split is not None
    for entry, sound in listened(read_shard(shard), lambda raw: True, Depth.WHOLE):
        if isinstance(entry, ShardProblem):
            yield entry
            continue
        sample = as_ours(entry)
        yield from _check_sample(shard, entry, sample, sound, must_be_ours)
        if isinstance(sample, Sample):
            seen.stated_s.append(sample.duration_s)
        seen.sounding_s += sound.duration_s if sound else 0.0
        seen.samples += entry.audio is not None
        seen.keys.append(entry.key)
        yield entry.key
    yield from _check_stated(shard, index, listed, seen)
    yield Checked(1, seen.samples, seen.sounding_s)


def _check_sample(
    shard: Shard,
    raw: RawSample,
    sample: Sample | ShardProblem | None,
    sound: SoundFormat | None,
    must_be_ours: bool,
) -> Iterator[ShardProblem]:
    def problem(code: str, message: str) -> ShardProblem:
        return ShardProblem(shard=shard.name, key=raw.key, code=code, message=message)

    if isinstance(sample, ShardProblem):
        yield sample
    elif sample is None and must_be_ours and raw.facts is not None:
        yield problem(
            "contract", "breaks the contract: its JSON is not a record of ours, though the shard is"
        )
    elif isinstance(sample, Sample):
        if shard.split not in (None, sample.split):
            yield problem("split", f"its JSON says {sample.split}, the shard's name {shard.split}")
        if sound and (sound.rate_hz, sound.channels) != (sample.rate_hz, sample.channels):
            stated = f"its JSON says {sample.rate_hz} Hz, {sample.channels} channels"
            yield problem(
                "audio_form",
                f"its audio has {sound.rate_hz} Hz, {sound.channels} channels; {stated}",
            )
        if sound and abs(sound.duration_s - sample.duration_s) > _TOLERANCE_S:
            yield problem(
                "audio_length",
                (
                    f"its audio lasts {sound.duration_s:.3f} s, "
                    f"its JSON says {sample.duration_s:.3f} s"
                ),
            )


def _check_stated(
    shard: Shard, index: ShardIndex | None, listed: ListedShard | None, seen: _ShardContents
) -> Iterator[ShardProblem]:
    """Compare what the index and dataset.json say of a shard with what it is."""
    if index is None and listed is None:
        return
    try:
        with machine_faults(f"reading {readable(shard.name)}"), open_file(shard) as file:
            found = {
                "sha256": sha256_of(file),
                "bytes": file.tell(),
                "count": len(seen.keys),
                "split": shard.split,
            }
            offsets = sample_offsets(file) if index is not None else []
    except (OSError, DeadInput):
        return  # a problem of the reading already
    if index is not None:
        yield from _check_index(shard, index, seen, found, tuple(offsets))
    stated = listed.model_dump(exclude={"file"}, exclude_none=True) if listed is not None else {}
    other = [
        f"{name} {value}, found {found[name]}"
        for name, value in stated.items()
        if value != found[name]
    ]
    if other:
        yield ShardProblem(
            shard=shard.name,
            key="",
            code="dataset",
            message=f"dataset.json says otherwise of it: {'; '.join(other)}",
        )


def _check_index(
    shard: Shard,
    index: ShardIndex,
    seen: _ShardContents,
    found: Mapping[str, object],
    offsets: tuple[int, ...],
) -> Iterator[ShardProblem]:
    def problem(code: str, message: str) -> ShardProblem:
        return ShardProblem(shard=shard.name, key="", code=code, message=message)

    file = f"{shard.stem}.json"
    if found["sha256"] != index.sha256:
        yield problem(
            "checksum", f"its SHA-256 is not the one in {file}: the file was changed or damaged"
        )
    if found["bytes"] != index.bytes:
        yield problem(
            "index_bytes", f"{file} says {index.bytes} bytes, the file has {found['bytes']}"
        )
    if len(seen.keys) != index.count:
        yield problem(
            "index_count", f"{file} says {index.count} samples, {len(seen.keys)} were read"
        )
    if list(index.keys) != seen.keys:
        known = set(seen.keys)
        missing = next((key for key in index.keys if key not in known), None)
        named = "" if missing is None else f"; first missing: {readable(missing)}"
        yield problem(
            "index_keys",
            f"{file} lists {len(index.keys)} keys, {len(seen.keys)} samples were read{named}",
        )
    duration_s = round(sum(seen.stated_s), 3)  # as `pack` writes it
    if len(seen.stated_s) == len(seen.keys) and index.duration_s not in (None, duration_s):
        yield problem(
            "index_duration",
            f"{file} says {index.duration_s} s, its samples last {duration_s} s together",
        )
    if index.offsets not in (None, offsets):
        yield problem(
            "index_offsets",
            (
                f"{file} says otherwise where its samples begin: "
                "training would read other bytes as them"
            ),
        )
