"""Samples of a WebDataset shard, read strictly: what is not as it should be comes out as a
`ShardProblem` among them.

Grouping is the stock reader's: neighbouring members with the same name up to the first dot are a
sample.
"""

import re
from collections.abc import Iterator, Sequence
from typing import IO, Any, Final, NamedTuple

from pydantic import ValidationError

from pipelines.errors import DeadInput, machine_faults, readable
from pipelines.guarded.json_objects import JSON_LIMIT, json_object, too_large
from pipelines.shards.find import UNPACKED_LIMIT, Shard, ShardProblem, opened_shard
from pipelines.storage.tar import Member, read_members
from schemas.identity import variant_kind
from schemas.sample import Sample

AUDIO: Final = frozenset(
    ("wav", "flac", "ogg", "oga", "opus", "mp3", "aif", "aiff", "m4a", "aac", "w64", "caf", "au")
)
_TEXT: Final = ("txt", "caption")  # what foreign sets write a caption into where there is no JSON
# key and extension, as the stock reader splits them
_NAME: Final = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]*)", re.DOTALL)
# members that the stock reader knows to be none of a sample's
_META: Final = re.compile(r"__[^/]*__(?:$|/)")
_ENDS: Final = ("damaged_shard", "not_a_tar")  # problems after which nothing of a shard is read
_BLOCK: Final = 512
# an hour of 16-bit stereo at 44.1 kHz is 635 MB of WAV, 350 MB of FLAC: no training sample
_PART_LIMIT: Final = 256 << 20


class SampleMember(NamedTuple):
    """A member of a sample: name in the tar, extension in lower case, offset of its bytes."""

    name: str
    key: str
    extension: str
    offset: int
    size: int


class RawSample(NamedTuple):
    """A sample as the shard holds it. Its bytes can be read until the next one is asked for."""

    shard: str
    key: str
    parts: tuple[SampleMember, ...]
    facts: dict[str, Any] | None  # its JSON, or none where there is none or it cannot be read
    file: IO[bytes]

    @property
    def audio(self) -> SampleMember | None:
        """The member with the sound: ``key.flac`` before ``key.vocals.flac``."""
        return next(iter(_of_type(self.parts, AUDIO)), None)

    @property
    def texts(self) -> tuple[SampleMember, ...]:
        """Members of plain text."""
        return tuple(part for part in self.parts if part.extension in _TEXT)

    def content(self, part: SampleMember) -> bytes:
        """A member's bytes. Raises `DeadInput` for more than 256 MiB."""
        if part.size > _PART_LIMIT:
            raise DeadInput(
                "too_large",
                (
                    f"{readable(part.name)} has {part.size / 2**20:.0f} "
                    f"MiB, limit {_PART_LIMIT / 2**20:g} MiB"
                ),
            )
        self.file.seek(part.offset)
        return self.file.read(part.size)


Entry = RawSample | ShardProblem


def read_shard(shard: Shard, unpacked_limit: int = UNPACKED_LIMIT) -> Iterator[Entry]:
    """Samples of a shard in order, and every problem where it stands.

    Never raises for what the shard holds.

    Whole samples before damage are given, the one that it cuts is not. A key that comes again later
    is a problem, and only its first sample is given. Raises `MachineFault`, which says nothing of
    the shard.
    """
    try:
        with (
            machine_faults(f"reading {readable(shard.name)}"),
            opened_shard(shard, unpacked_limit) as opened,
        ):
            yield from _entries(shard.name, opened.file, opened.cut)
    except DeadInput as error:
        yield ShardProblem(shard=shard.name, key="", code=error.code, message=error.message)
    except OSError as error:
        yield ShardProblem(
            shard=shard.name, key="", code="unreadable", message=f"cannot be read: {error}"
        )


def _entries(shard: str, file: IO[bytes], cut: str) -> Iterator[Entry]:
    known: set[str] = set()
    # extensions of the sample before: a whole one has no fewer
    before: frozenset[str] = frozenset(("json",))
    group: list[SampleMember] = []
    damage = ShardProblem(shard=shard, key="", code="damaged_shard", message=cut) if cut else None
    for found in _parts(shard, file):
        if isinstance(found, ShardProblem):
            if found.code not in _ENDS:
                yield found
            elif damage is None:
                damage = found
            continue
        if group and found.key != group[0].key:
            yield from _sample(shard, file, group, known)
            before, group = frozenset(part.extension for part in group), []
        group.append(found)
    if damage and _is_cut(group, before):
        yield ShardProblem(
            shard=shard,
            key=readable(group[0].key),
            code="cut_sample",
            message="is cut by the damage that follows; not used",
        )
    elif group:
        yield from _sample(shard, file, group, known)
    if damage:
        yield damage
    elif not known:
        yield ShardProblem(shard=shard, key="", code="empty", message="holds no samples")


def _is_cut(group: list[SampleMember], before: frozenset[str]) -> bool:
    """Whether the last sample lacks an extension that the one before has."""
    return bool(group) and not before <= {part.extension for part in group}


def _parts(shard: str, file: IO[bytes]) -> Iterator[SampleMember | ShardProblem]:
    """Members that belong to samples; damage is the last problem."""
    end = -1
    try:
        for member in read_members(file):
            end = member.offset - (-member.size // _BLOCK) * _BLOCK if member.is_file else -1
            found = _part(shard, file, member)
            if found is not None:
                yield found
    except DeadInput as error:
        yield ShardProblem(shard=shard, key="", code=error.code, message=readable(error.message))
    else:
        file.seek(max(end, 0))
        if end >= 0 and not file.read(1):
            yield ShardProblem(
                shard=shard,
                key="",
                code="no_end",
                message=(
                    "has no end-of-archive block: its writer "
                    "was stopped, and samples may be missing"
                ),
            )


def _part(shard: str, file: IO[bytes], member: Member) -> SampleMember | ShardProblem | None:
    named = _NAME.fullmatch(member.name)
    if not member.is_file:
        file.seek(member.offset - _BLOCK + 156)  # the byte of a tar's header that states the type
        message = f"{member.name!r} is a link, device, pipe or sparse file: not followed, not read"
        if file.read(1) == b"5":  # a folder
            return None
        return ShardProblem(
            shard=shard,
            key=readable(named[1] if named else ""),
            code="not_a_file",
            message=readable(message),
        )
    if named:
        return SampleMember(member.name, named[1], named[2].lower(), member.offset, member.size)
    if _META.search(member.name):
        return None
    return ShardProblem(
        shard=shard,
        key="",
        code="no_sample",
        message=readable(f"{member.name!r} belongs to no sample: expected key.extension"),
    )


def _sample(
    shard: str, file: IO[bytes], group: Sequence[SampleMember], known: set[str]
) -> Iterator[Entry]:
    key = readable(group[0].key)

    def problem(code: str, message: str) -> ShardProblem:
        return ShardProblem(shard=shard, key=key, code=code, message=message)

    if key in known:
        yield problem(
            "repeated_key",
            (
                "comes again after other keys; only the first is used. "
                "A sample's members must stand side by side, once"
            ),
        )
        return
    known.add(key)
    parts = {part.extension: part for part in reversed(group)}
    for extension, first in sorted(parts.items()):
        if sum(part.extension == extension for part in group) > 1:
            yield problem(
                "repeated_member",
                (
                    f"has more than one .{readable(extension)} member; "
                    f"the first, at byte {first.offset}, is used"
                ),
            )
    if key.startswith("/") or ".." in key.split("/"):
        yield problem(
            "unsafe_name",
            "leads out of the folder it would be unpacked into; never written under this name",
        )
    ordered = tuple(reversed(parts.values()))
    yield from (problem(*row) for row in _audio_problems(ordered))
    made = RawSample(shard, key, ordered, None, file)
    try:
        made = made._replace(facts=_facts(made))
    except DeadInput as error:
        yield problem(error.code, error.message)
    yield made


def _audio_problems(parts: tuple[SampleMember, ...]) -> Iterator[tuple[str, str]]:
    audio = _of_type(parts, AUDIO)
    plain = [part.extension for part in audio if "." not in part.extension]
    if not audio:
        yield (
            "no_audio",
            (
                "has no audio: its members are "
                f"{readable(', '.join('.' + part.extension for part in parts[:8]))}"
            ),
        )
    elif len(plain) > 1:
        yield (
            "several_audio",
            (
                f"has {len(plain)} audio members, "
                f"{', '.join('.' + name for name in plain)}: which is meant is not stated"
            ),
        )


def _of_type(parts: Sequence[SampleMember], types: frozenset[str]) -> list[SampleMember]:
    """Parts of a file type, those named ``key.type`` first, then ``key.more.type``."""
    return sorted(
        (part for part in parts if part.extension.rpartition(".")[2] in types),
        key=lambda part: "." in part.extension,
    )


def _facts(sample: RawSample) -> dict[str, Any] | None:
    found = _of_type(sample.parts, frozenset(("json",)))
    if not found:
        if sample.texts or not sample.audio:  # without audio, that is what is said
            return None
        raise DeadInput("no_json", "has no JSON")
    if found[0].size > JSON_LIMIT:
        raise too_large(found[0].size)
    return json_object(sample.content(found[0]))


def as_ours(raw: RawSample) -> Sample | ShardProblem | None:
    """The record of one of our own samples.

    A problem where it breaks the contract, none for a foreign sample.
    """
    if raw.facts is None or not {"schema_version", "clip_key"} <= raw.facts.keys():
        return None
    try:
        sample = Sample.model_validate(raw.facts)
        variant_kind(sample.change.variant)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        message = readable(f"breaks the contract at {where or 'top'}: {first['msg']}")
        return ShardProblem(shard=raw.shard, key=raw.key, code="contract", message=message)
    except ValueError as error:
        return ShardProblem(
            shard=raw.shard,
            key=raw.key,
            code="contract",
            message=readable(f"breaks the contract: {error}"),
        )
    if sample.key != raw.key:
        return ShardProblem(
            shard=raw.shard,
            key=raw.key,
            code="contract",
            message=f"breaks the contract: its JSON is of {sample.key}",
        )
    return sample
