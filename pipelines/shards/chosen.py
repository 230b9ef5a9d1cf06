"""Some clips of a target, each with all its samples: drawn by the hash of their names, so that the
same target gives the same ones.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from pipelines.engine import bucket
from pipelines.engine.child_process import Child, Death
from pipelines.errors import DeadInput
from pipelines.shards.find import FoundShards, Shard, ShardProblem, index_of
from pipelines.shards.outline import Outline, outlines
from pipelines.shards.read import RawSample, as_ours, read_shard
from schemas.errors import SchemaError
from schemas.identity import stable_hash, variant_kind
from schemas.recipe import LimitsRecipe
from schemas.sample import Sample

_BATCH: Final = 16
_BATCH_BYTES: Final = 32 << 20
_TEXT_LIMIT: Final = 1 << 16


class Choice(NamedTuple):
    """Names of the clips that were chosen, the shards that hold them, and how many clips the target
    has.
    """

    clips: frozenset[str]
    shards: frozenset[str]
    of: int


@dataclass(frozen=True, kw_only=True)
class ChosenSample:
    """A sample of a chosen clip: our record of it, or a foreign one's JSON and texts; its audio as
    it stands in the shard, with its extension.
    """

    clip: str
    key: str
    shard: str
    ours: Sample | None
    facts: dict[str, Any]
    texts: tuple[str, ...]
    audio: bytes
    extension: str
    outline: Outline | None


def clip_of(key: str) -> str:
    """The clip of a sample, as its key names it; a foreign sample is a clip of its own.

    >>> clip_of("00112233445566aa-0-10000-pd3"), clip_of("piano/0007-x")
    ('00112233445566aa-0-10000', 'piano/0007-x')
    """
    clip, _, variant = key.rpartition("-")
    try:
        variant_kind(variant)
    except SchemaError:
        return key
    return clip or key


def _by_hash(name: str) -> Any:
    return stable_hash("report", name), name


def choose(found: FoundShards, most: int, rank: Callable[[str], Any] = _by_hash) -> Choice:
    """At most `most` clips of all shards, those that rank lowest; 0 for all.

    By default those whose names have the lowest hashes: of a corpus that grows, most of them stay.
    """
    holders: dict[str, set[str]] = {}
    for shard in found.shards:
        for key in _keys(shard):
            holders.setdefault(clip_of(key), set()).add(shard.name)
    names = list(holders)
    if most:
        names = heapq.nsmallest(most, names, key=rank)
    shards = frozenset(shard for name in names for shard in holders[name])
    return Choice(frozenset(names), shards, len(holders))


def _keys(shard: Shard) -> Iterator[str]:
    """Keys of a shard, as its index has them, or else as it is read."""
    try:
        index = index_of(shard)
    except DeadInput:
        index = None
    if index is not None:
        yield from index.keys
        return
    for entry in read_shard(shard):
        if isinstance(entry, RawSample):
            yield entry.key


def read_chosen(found: FoundShards, choice: Choice) -> Iterator[ChosenSample | ShardProblem]:
    """Samples of these clips in the order of the shards, and problems of the shards that hold them.

    A sample whose audio cannot be decoded comes without an outline, and the reason is a problem.
    """
    yield from found.problems
    with bucket.child(LimitsRecipe()) as child:
        for shard in found.shards:
            if shard.name in choice.shards:
                yield from _of_shard(shard, choice.clips, child)


def _of_shard(
    shard: Shard, chosen: frozenset[str], child: Child
) -> Iterator[ChosenSample | ShardProblem]:
    problems: list[ShardProblem] = []
    samples = _samples(shard, chosen, problems)
    for batch in bucket.batches_by_bytes(
        samples, _BATCH, _BATCH_BYTES, lambda sample: len(sample.audio)
    ):
        yield from problems
        problems.clear()
        yield from _outlined(batch, child)
    yield from problems


def _samples(
    shard: Shard, chosen: frozenset[str], problems: list[ShardProblem]
) -> Iterator[ChosenSample]:
    """Samples of a shard that were chosen; problems are listed as they are met."""
    for entry in read_shard(shard):
        if isinstance(entry, ShardProblem):
            problems.append(entry)
            continue
        if clip_of(entry.key) not in chosen:
            continue
        ours = as_ours(entry)
        if isinstance(ours, ShardProblem):
            problems.append(ours)
        try:
            yield _sample(entry, ours if isinstance(ours, Sample) else None)
        except DeadInput as error:
            problems.append(
                ShardProblem(
                    shard=entry.shard, key=entry.key, code=error.code, message=error.message
                )
            )


def _sample(raw: RawSample, ours: Sample | None) -> ChosenSample:
    part = raw.audio
    texts = (raw.content(text)[:_TEXT_LIMIT] for text in raw.texts)
    return ChosenSample(
        clip=ours.clip_key if ours else raw.key,
        key=raw.key,
        shard=raw.shard,
        ours=ours,
        facts=raw.facts or {},
        texts=tuple(text.decode("utf-8", "backslashreplace") for text in texts),
        audio=raw.content(part) if part else b"",
        extension=part.extension.rpartition(".")[2] if part else "",
        outline=None,
    )


def _outlined(waiting: list[ChosenSample], child: Child) -> Iterator[ChosenSample | ShardProblem]:
    """Samples with their outlines, which a child draws: audio is hostile."""
    sounding = [sample.audio for sample in waiting if sample.audio]
    answers = iter(child.run(outlines, sounding, None) if sounding else [])
    for sample in waiting:
        answer = next(answers) if sample.audio else None
        if isinstance(answer, Outline):
            yield replace(sample, outline=answer)
            continue
        yield sample
        if isinstance(answer, Death):
            figure = f" ({answer.figure})" if answer.figure else ""
            yield ShardProblem(
                shard=sample.shard,
                key=sample.key,
                code=answer.code,
                message=f"its audio cannot be drawn: {answer.message}{figure}",
            )
