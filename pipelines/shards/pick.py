"""One sample of a target, with everything about it that can be shown."""

from collections.abc import Iterable
from itertools import chain, islice
from typing import Final, NamedTuple

from pipelines.audio.decode import Wave
from pipelines.errors import DeadInput, PipelineError
from pipelines.shards.audio import Depth, SoundFormat, listened, sample_wave
from pipelines.shards.find import FoundShards, ShardProblem
from pipelines.shards.read import RawSample, SampleMember, as_ours, read_shard
from schemas.identity import Split
from schemas.sample import Sample

_TEXT_LIMIT: Final = 1 << 20
# samples and problems, in search of one with a caption: shards may be far away
_LOOKED_AT: Final = 1000


class Picked(NamedTuple):
    """A sample as the shard holds it, our record of it where it is ours, what its audio's header
    says, its texts, its problems.
    """

    raw: RawSample
    ours: Sample | None
    sound: SoundFormat | None
    texts: tuple[tuple[SampleMember, str], ...]
    problems: tuple[ShardProblem, ...]


def pick(found: FoundShards, key: str = "") -> Picked:
    """The first sample whose key starts with `key`; without a key, one that shows most.

    In the shard where it stands, one with exactly that key goes first. Without a key that is the
    first sample with a caption, of train before other splits, or else the first; a foreign sample
    is taken as it is.

    Raises `PipelineError` where there is none, naming a problem that may be why.
    """
    problems: list[ShardProblem] = list(found.problems)
    picked = _of_key(found, key, problems) if key else _captioned(found, problems)
    if picked:
        return picked
    why = "; there are problems, which `obbligato shards verify` lists" if problems else ""
    raise PipelineError(
        f"no sample has a key that starts with {key!r}{why}"
        if key
        else f"no sample can be read{why}"
    )


def _of_key(found: FoundShards, key: str, problems: list[ShardProblem]) -> Picked | None:
    """The sample of a key, or the first of those that start with it; problems met are added."""
    for shard in found.shards:
        first: Picked | None = None
        for entry in read_shard(shard):
            if isinstance(entry, ShardProblem):
                problems.append(entry)
            elif entry.key == key:
                return _picked(entry, problems)
            elif first is None and entry.key.startswith(key):
                first = _picked(entry, problems)  # now: a shard is read on past it
        if first:
            return first
    return None


def _captioned(found: FoundShards, problems: list[ShardProblem]) -> Picked | None:
    """The first sample with a caption, or the first where none of those looked at has one."""
    first: Picked | None = None
    shards = sorted(found.shards, key=lambda shard: shard.split is not Split.TRAIN)
    entries = chain.from_iterable(map(read_shard, shards))
    for entry in islice(entries, _LOOKED_AT):
        if isinstance(entry, ShardProblem):
            problems.append(entry)
            continue
        ours = as_ours(entry)
        if ours is None or (isinstance(ours, Sample) and ours.captions):
            return _picked(entry, problems)
        first = first or _picked(entry, problems)
    return first


def wave_of(found: FoundShards, picked: Picked) -> Wave:
    """The audio of a picked sample of ours in mono, read from its shard once more.

    Raises `PipelineError` where the sample is not ours, is gone meanwhile, or has no audio that can
    be decoded.
    """
    key = picked.raw.key
    if picked.ours is None:
        raise PipelineError(
            f"{key} is not a sample of Obbligato: only those have beats and chords to draw"
        )
    for shard in found.shards:
        for entry in read_shard(shard) if shard.name == picked.raw.shard else ():
            if isinstance(entry, RawSample) and entry.key == key and entry.audio:
                return sample_wave(entry.content(entry.audio))
    raise PipelineError(f"{key} has no audio in {picked.raw.shard}")


def _picked(raw: RawSample, before: Iterable[ShardProblem]) -> Picked:
    problems = [
        problem for problem in before if problem.shard == raw.shard and problem.key == raw.key
    ]
    ours, sound = as_ours(raw), None
    if isinstance(ours, ShardProblem):
        problems.append(ours)
    for measured in listened([raw], lambda sample: True, Depth.HEADER):
        sound = sound or measured.sound
        problems += [measured.entry] if isinstance(measured.entry, ShardProblem) else []
    texts: list[tuple[SampleMember, str]] = []
    for part in raw.texts:
        try:
            texts.append(
                (part, raw.content(part)[:_TEXT_LIMIT].decode("utf-8", "backslashreplace"))
            )
        except DeadInput as error:
            problems.append(
                ShardProblem(shard=raw.shard, key=raw.key, code=error.code, message=error.message)
            )
    return Picked(
        raw, ours if isinstance(ours, Sample) else None, sound, tuple(texts), tuple(problems)
    )
