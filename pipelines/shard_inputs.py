"""Audio in WebDataset shards as input rows: one per sample, with the caption and metadata its JSON holds."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any, Final

from pipelines.errors import DeadInput
from pipelines.guarded_json import JSON_LIMIT, json_object, too_large
from pipelines.tars import Member, read_members
from schemas.corpus import InputRow, Outcome, Source
from schemas.identity import stable_hash
from schemas.recipe import IngestRecipe

_AUDIO: Final = frozenset(["wav", "flac", "ogg", "oga", "opus", "mp3", "aif", "aiff", "m4a", "aac", "w64", "caf", "au"])


@dataclass
class _Parts:
    """The members of one key as they come, side by side."""

    key: str
    offset: int  # of the first one
    audio: list[Member] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    problem: str = ""
    repeated: bool = False

    @property
    def complete(self) -> bool:
        """Whether both its audio and its JSON have been seen."""
        return bool(self.audio and self.facts)


def shard_rows(uri: str, opened: IO[bytes], modified: str, recipe: IngestRecipe) -> Iterator[InputRow]:
    """Rows of a shard's samples, each as it ends. A sample's members stand side by side: a key that comes again later is a dead row.

    Raises `DeadInput` where it is no tar; damage further on is one dead row, the rest is used. One sample is held at a time, and of
    those before it a hash of their keys.
    """
    known: set[int] = set()
    part: _Parts | None = None
    try:
        for member in read_members(opened):
            key = _key(member)
            if key is None:
                continue
            if part is None or key != part.key:
                if part is not None:
                    yield _row(uri, part, modified, recipe)
                hashed = stable_hash(key)
                part = _Parts(key, member.offset, repeated=hashed in known)
                known.add(hashed)
            _take(part, member, opened)
    except DeadInput as error:
        if part is None:
            raise
        if not part.complete:
            part.problem = "was cut off by the damage that follows it"
        yield _row(uri, part, modified, recipe)
        yield InputRow(row=f"{uri}#", source=Source(uri=uri), outcome=Outcome.DEAD, code="damaged_shard", message=_text(error.message))
        return
    if part is not None:
        yield _row(uri, part, modified, recipe)


def _key(member: Member) -> str | None:
    """The key of a member's sample; none for what belongs to none: folders, links, and the side files of macOS."""
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
            stated = json_object(content) if extension == "json" else {"caption": content.decode("utf-8", "replace").strip(), **part.facts}
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


def _problem(part: _Parts) -> tuple[str, str]:
    """What is wrong with a sample, as code and message; empty where nothing is."""
    if part.repeated:
        return "repeated_key", "comes again after other keys; only the first is used. A sample's members must stand side by side, once"
    if part.problem:
        return "bad_sample", part.problem
    if not part.audio:
        return "bad_sample", "has no audio beside its JSON"
    if len(part.audio) > 1:
        return "bad_sample", f"has {len(part.audio)} audio members under one key"
    return "", ""


def _row(uri: str, part: _Parts, modified: str, recipe: IngestRecipe) -> InputRow:
    name = _text(f"{uri}#{part.key}")
    code, message = _problem(part)
    if code:
        again = f" (again at byte {part.offset})" if part.repeated else ""
        return InputRow(row=f"{name}{again}", source=Source(uri=uri), outcome=Outcome.DEAD, code=code, message=message)
    audio, facts = part.audio[0], part.facts
    caption = next((facts[key] for key in ("caption", "main_caption", "text") if isinstance(facts.get(key), str)), "").strip()
    source = Source(
        uri=uri, member=_text(audio.name), member_offset=audio.offset, member_bytes=audio.size,
        licence=str(facts.get("licence") or facts.get("license") or recipe.licence),
        metadata=json.dumps({key: value for key, value in facts.items() if key != "caption"}, sort_keys=True, ensure_ascii=False),
        **{key: str(facts.get(key) or "") for key in ("title", "artist", "album", "genre")},
    )  # fmt: skip
    return InputRow(row=name, source=source, size=audio.size, modified=modified, captions=(caption,) if caption else ())
