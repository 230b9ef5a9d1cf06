"""Audio in WebDataset shards as input rows: one per sample, with what its JSON holds."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any, Final

from pipelines.errors import DeadInput
from pipelines.guarded.json_objects import JSON_LIMIT, json_object, too_large
from pipelines.storage.tar import Member, read_members
from schemas.corpus import InputRow, Outcome, Source
from schemas.identity import stable_hash
from schemas.recipe import IngestRecipe

_AUDIO: Final = frozenset(
    ["wav", "flac", "ogg", "oga", "opus", "mp3", "aif", "aiff", "m4a", "aac", "w64", "caf", "au"]
)
_SIDE_BY_SIDE: Final = "A sample's members must stand side by side, once"
_AGAIN: Final = f"comes again after other keys; not used. {_SIDE_BY_SIDE}"


@dataclass
class _Parts:
    """The members of one key as they come, side by side."""

    key: str
    offset: int  # of the first one
    audio: list[Member] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    problem: str = ""

    @property
    def complete(self) -> bool:
        """Whether both its audio and its JSON have been seen."""
        return bool(self.audio and self.facts)


def shard_rows(
    uri: str, opened: IO[bytes], modified: str, recipe: IngestRecipe
) -> Iterator[InputRow]:
    """Rows of a shard's samples, each as it ends.

    A sample's members stand side by side: a key that comes again later is a dead row.

    Where the first sample of that key had no JSON it is listed once more, as dead: what followed
    may have been its licence. Raises `DeadInput` where it is not a tar; damage further on is one
    dead row, the rest is used. One sample is held at a time, and of those before it a hash of their
    keys.
    """
    rows = _Rows(uri, modified, recipe)
    part: _Parts | None = None
    try:
        for member in read_members(opened):
            key = _key(member)
            if key is None:
                continue
            if part is not None and key != part.key:
                yield from rows.of(part)
            if part is None or key != part.key:
                part = _Parts(key, member.offset)
            _take(part, member, opened)
    except DeadInput as error:
        if part is None:
            raise
        if not part.complete:
            part.problem = "was cut off by the damage that follows it"
        yield from rows.of(part)
        yield InputRow(
            row=f"{uri}#",
            source=Source(uri=uri),
            outcome=Outcome.DEAD,
            code="damaged_shard",
            message=_text(error.message),
        )
        return
    if part is not None:
        yield from rows.of(part)


class _Rows:
    """Rows of one shard, which know the keys that came before."""

    def __init__(self, uri: str, modified: str, recipe: IngestRecipe) -> None:
        self._uri, self._modified, self._recipe = uri, modified, recipe
        # by hash of a key: where the audio of a sample without JSON stands that was used; else -1
        self._bare: dict[int, int] = {}

    def of(self, part: _Parts) -> Iterator[InputRow]:
        """What a sample gives: its row, used or dead."""
        hashed = stable_hash(part.key)
        name = _text(f"{self._uri}#{part.key}")
        bare = self._bare.get(hashed)
        if bare is not None:
            yield self._dead(f"{name} (again at byte {part.offset})", "repeated_key", _AGAIN)
            if bare >= 0:
                yield self._dead(
                    name,
                    "repeated_key",
                    f"has no JSON, and comes again at byte {part.offset}. {_SIDE_BY_SIDE}",
                    bare,
                )
            self._bare[hashed] = -1
            return
        problem = _problem(part)
        self._bare[hashed] = -1 if problem or part.complete else part.audio[0].offset
        yield (
            self._dead(name, "bad_sample", problem)
            if problem
            else _row(name, self._uri, part, self._modified, self._recipe)
        )

    def _dead(self, name: str, code: str, message: str, offset: int = 0) -> InputRow:
        source = Source(uri=self._uri, member_offset=offset)
        return InputRow(row=name, source=source, outcome=Outcome.DEAD, code=code, message=message)


def _key(member: Member) -> str | None:
    """The key of a member's sample.

    None for what belongs to none: folders, links, and the side files of macOS.
    """
    folder, name = os.path.split(member.name)
    if name.startswith("._") or not member.is_file:
        return None
    return os.path.join(folder, name.partition(".")[0])


def _take(part: _Parts, member: Member, opened: IO[bytes]) -> None:
    extension = member.name.rpartition("/")[2].partition(".")[2].lower()
    if extension in _AUDIO:
        part.audio.append(member)
    elif extension in ("json", "txt", "caption"):
        try:
            content = _content(opened, member)
            stated = (
                json_object(content)
                if extension == "json"
                else {"caption": content.decode("utf-8", "replace").strip(), **part.facts}
            )
            part.facts, part.problem = stated, ""
        except DeadInput as error:
            part.facts, part.problem = {}, error.message


def _content(opened: IO[bytes], member: Member) -> bytes:
    if member.size > JSON_LIMIT:
        raise too_large(member.size)
    opened.seek(member.offset)
    return opened.read(member.size)


def _text(name: str) -> str:
    """A name that a tar holds as text that can be written anywhere."""
    return name.encode("utf-8", "backslashreplace").decode()


def _problem(part: _Parts) -> str:
    """What is wrong with a sample; empty where nothing is."""
    if part.problem:
        return part.problem
    if not part.audio:
        return "has no audio beside its JSON"
    return f"has {len(part.audio)} audio members under one key" if len(part.audio) > 1 else ""


def _row(name: str, uri: str, part: _Parts, modified: str, recipe: IngestRecipe) -> InputRow:
    audio, facts = part.audio[0], part.facts
    caption = next(
        (
            facts[key]
            for key in ("caption", "main_caption", "text")
            if isinstance(facts.get(key), str)
        ),
        "",
    ).strip()
    texts = {key: str(facts.get(key) or "") for key in ("title", "artist", "album", "genre")}
    others = {key: value for key, value in facts.items() if key != "caption"}
    source = Source(
        uri=uri,
        member=_text(audio.name),
        member_offset=audio.offset,
        member_bytes=audio.size,
        licence=str(facts.get("licence") or facts.get("license") or recipe.licence),
        metadata=json.dumps(others, sort_keys=True, ensure_ascii=False),
        **texts,
    )
    return InputRow(
        row=name,
        source=source,
        size=audio.size,
        modified=modified,
        captions=(caption,) if caption else (),
    )
