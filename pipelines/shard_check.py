"""Shards checked: checksum and keys against the index beside, our own samples against the contract, audio to its end."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from pipelines.errors import DeadInput
from pipelines.shard_audio import Depth, Sound, listened
from pipelines.shard_finding import Found, Problem, Shard, index_of, open_file, readable
from pipelines.shard_reading import RawSample, as_ours, read_shard
from pipelines.store import sha256_of
from pipelines.tars import sample_offsets
from schemas.identity import stable_hash
from schemas.sample import Sample

_TOLERANCE_S = 0.001  # stored lengths are whole milliseconds


class Checked(NamedTuple):
    """What was checked without a problem of its own: shards read, samples and their seconds."""

    shards: int
    samples: int
    duration_s: float


def check(found: Found) -> Iterator[Problem | Checked]:
    """Every problem of a target in order, and a count per shard. A key that two shards hold is a problem."""
    yield from found.problems
    places: dict[int, int] = {}  # hash of a key to the number of its shard: 1 million keys take about 100 MB
    for number, shard in enumerate(found.shards):
        for result in _check_shard(shard):
            if isinstance(result, str):
                first = places.setdefault(stable_hash(result), number)
                if first != number:
                    yield Problem(shard=shard.name, key=result, code="repeated_key", message=f"stands in {found.shards[first].name} too")
            else:
                yield result


def _check_shard(shard: Shard) -> Iterator[Problem | Checked | str]:
    """Problems, the key of each sample, and at the end the count."""
    try:
        index = index_of(shard)
    except DeadInput as error:
        index = None
        yield Problem(shard=shard.name, key="", code=error.code, message=error.message)
    keys: list[str] = []
    samples = 0
    duration_s = 0.0
    must_be_ours = index is not None or shard.split is not None
    for entry, sound in listened(read_shard(shard), lambda raw: True, Depth.WHOLE):
        if isinstance(entry, Problem):
            yield entry
            continue
        yield from _check_sample(shard, entry, sound, must_be_ours)
        duration_s += sound.duration_s if sound else 0.0
        samples += entry.audio is not None
        keys.append(entry.key)
        yield entry.key
    if index is not None:
        yield from _check_index(shard, index, keys)
    yield Checked(1, samples, duration_s)


def _check_sample(shard: Shard, raw: RawSample, sound: Sound | None, must_be_ours: bool) -> Iterator[Problem]:
    def problem(code: str, message: str) -> Problem:
        return Problem(shard=shard.name, key=raw.key, code=code, message=message)

    sample = as_ours(raw)
    if isinstance(sample, Problem):
        yield sample
    elif sample is None and must_be_ours and raw.facts is not None:
        yield problem("contract", "breaks the contract: its JSON is no record of ours, though the shard is")
    elif isinstance(sample, Sample):
        if shard.split not in (None, sample.split):
            yield problem("split", f"its JSON says {sample.split}, the shard's name {shard.split}")
        if sound and (sound.rate_hz, sound.channels) != (sample.rate_hz, sample.channels):
            stated = f"its JSON says {sample.rate_hz} Hz, {sample.channels} channels"
            yield problem("audio_form", f"its audio has {sound.rate_hz} Hz, {sound.channels} channels; {stated}")
        if sound and abs(sound.duration_s - sample.duration_s) > _TOLERANCE_S:
            yield problem("audio_length", f"its audio lasts {sound.duration_s:.3f} s, its JSON says {sample.duration_s:.3f} s")


def _check_index(shard: Shard, index: dict[str, Any], keys: list[str]) -> Iterator[Problem]:
    def problem(code: str, message: str) -> Problem:
        return Problem(shard=shard.name, key="", code=code, message=message)

    try:
        with open_file(shard) as file:
            sha256 = sha256_of(file)
            offsets = sample_offsets(file)
    except (OSError, DeadInput):
        return  # a problem of the reading already
    if sha256 != index["sha256"]:
        yield problem("checksum", f"its SHA-256 is not the one in {shard.stem}.json: the file was changed or damaged")
    if index.get("keys") != keys:
        stated = index["keys"] if isinstance(index.get("keys"), list) else []
        missing = [str(key) for key in stated if key not in set(keys)]
        named = f"; first missing: {readable(missing[0])}" if missing else ""
        yield problem("index_keys", f"{shard.stem}.json lists {len(stated)} keys, {len(keys)} samples were read{named}")
    if index.get("offsets", offsets) != offsets:
        yield problem("index_offsets", f"{shard.stem}.json says otherwise where its samples begin: training would read other bytes as them")
