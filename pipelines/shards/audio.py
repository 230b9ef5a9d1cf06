"""Audio inside shards: its length and form, found in a child process that may crash."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Final, NamedTuple

from pipelines.audio.decode import Wave, decoded, header, probe
from pipelines.engine import bucket
from pipelines.engine.child_process import Child, Death
from pipelines.errors import DeadInput, is_of_the_machine
from pipelines.shards.find import ShardProblem
from pipelines.shards.read import Entry, RawSample
from pipelines.storage.temporary import temporary_file
from schemas.recipe import IngestRecipe, LimitsRecipe

# a foreign set may hold single drum hits; only no sound at all is a problem
_LIMITS: Final = IngestRecipe(min_clip_s=0.001)
_BATCH: Final = 16
_BATCH_BYTES: Final = 32 << 20
# bytes of memory that a byte of JSON may become: an empty list is three of them
_JSON_GROWTH: Final = 30


class Depth(StrEnum):
    """How far audio is read."""

    HEADER = "header"  # the file's own word, or the whole file where libsndfile cannot read it
    WHOLE = "whole"  # decoded to its end


class SoundFormat(NamedTuple):
    """What a piece of audio is."""

    rate_hz: int
    channels: int
    duration_s: float


class MeasuredEntry(NamedTuple):
    """An entry of a shard with its audio measured: none where not asked for, or not there."""

    entry: Entry
    sound: SoundFormat | None


def listened(
    entries: Iterable[Entry], measures: Callable[[RawSample], bool], depth: Depth
) -> Iterator[MeasuredEntry]:
    """Entries in order, the audio of `measures` samples measured.

    Audio that cannot be is a `ShardProblem` right after its sample.

    A sample's own bytes can no longer be read from what comes out.
    """
    read = (
        (entry, _bytes(entry) if isinstance(entry, RawSample) and measures(entry) else None)
        for entry in entries
    )
    with bucket.child(LimitsRecipe()) as child:
        for batch in bucket.batches_by_bytes(read, _BATCH, _BATCH_BYTES, _held):
            yield from _measured(batch, child, depth)


def _held(read: tuple[Entry, bytes | Death | None]) -> int:
    entry, content = read
    return len(content or b"") + _facts_bytes(entry)


def _facts_bytes(entry: Entry) -> int:
    """Bytes of memory that a sample's facts may take."""
    parts = entry.parts if isinstance(entry, RawSample) and entry.facts is not None else ()
    return sum(_JSON_GROWTH * part.size for part in parts if part.extension.endswith("json"))


def _bytes(sample: RawSample) -> bytes | Death | None:
    if sample.audio is None:
        return None
    try:
        return sample.content(sample.audio)
    except DeadInput as error:
        return Death(error.code, error.message, error.figure)


def _measured(
    waiting: Sequence[tuple[Entry, bytes | Death | None]], child: Child, depth: Depth
) -> Iterator[MeasuredEntry]:
    contents = [content for _, content in waiting if isinstance(content, bytes)]
    answers = iter(child.run(measure, contents, depth) if contents else [])
    for entry, content in waiting:
        answer = next(answers) if isinstance(content, bytes) else content
        yield MeasuredEntry(entry, answer if isinstance(answer, SoundFormat) else None)
        if isinstance(answer, Death) and isinstance(entry, RawSample):
            message = (
                "its audio cannot be used: "
                f"{answer.message}{f' ({answer.figure})' if answer.figure else ''}"
            )
            yield MeasuredEntry(
                ShardProblem(shard=entry.shard, key=entry.key, code=answer.code, message=message),
                None,
            )


def measure(contents: Sequence[bytes], depth: Depth) -> list[SoundFormat | Death]:
    """What each piece of audio is; runs in the child."""
    return [_measure(content, depth) for content in contents]


def _measure(content: bytes, depth: Depth) -> SoundFormat | Death:
    with temporary_file("audio of a shard", named=True) as file:
        file.write(content)
        file.flush()
        try:
            if depth is Depth.HEADER:
                with suppress(DeadInput):  # containers that only ffmpeg reads are probed
                    return SoundFormat(*header(file.name))
            found = probe(file.name, _LIMITS)
            return SoundFormat(found.rate_hz, found.channels, found.duration_s)
        except DeadInput as error:
            return Death(error.code, error.message, error.figure)
        except (OSError, ValueError, RuntimeError, ArithmeticError) as error:
            if is_of_the_machine(error):
                raise
            return Death("undecodable", f"{type(error).__name__}: {error}")


def sample_wave(content: bytes) -> Wave:
    """The audio of one of our samples in mono, decoded in a child.

    Raises `DeadInput` where it cannot be.
    """
    with bucket.child(LimitsRecipe()) as child:
        (answer,) = child.run(decode, [content], None)
    if isinstance(answer, Death):
        raise DeadInput(answer.code, answer.message, answer.figure)
    return answer


def decode(contents: Sequence[bytes], _context: None) -> list[Wave | Death]:
    """Waves of small files from memory; runs in the child."""
    return [_decode(content) for content in contents]


def _decode(content: bytes) -> Wave | Death:
    try:
        return decoded(content).wave
    except DeadInput as error:
        return Death(error.code, error.message, error.figure)
