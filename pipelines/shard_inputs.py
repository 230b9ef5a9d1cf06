"""Audio in WebDataset shards as input rows: one per sample, with the caption and metadata its JSON holds."""

import json
import os
from collections.abc import Iterator
from typing import IO, Any, Final

from pipelines.errors import DeadInput
from pipelines.tars import Member, read_members
from schemas.corpus import InputRow, Outcome, Source
from schemas.recipe import IngestRecipe

_AUDIO: Final = frozenset(["wav", "flac", "ogg", "oga", "opus", "mp3", "aif", "aiff", "m4a", "aac", "w64", "caf", "au"])
_JSON_LIMIT: Final = 1 << 24


class _Parts:
    """The members of one key as they come."""

    def __init__(self) -> None:
        self.audio: list[Member] = []
        self.facts: dict[str, Any] = {}
        self.problem = ""

    @property
    def complete(self) -> bool:
        """Whether both its audio and its JSON have been seen."""
        return bool(self.audio and self.facts)


def shard_rows(uri: str, opened: IO[bytes], modified: str, recipe: IngestRecipe) -> Iterator[InputRow]:
    """Rows of a shard's samples. Raises `DeadInput` where it is no tar; damage further on is one dead row, the rest is used."""
    parts: dict[str, _Parts] = {}
    damage = ""
    try:
        for member in read_members(opened):
            _take(parts, member, opened)
    except DeadInput as error:
        if not parts:
            raise
        damage = error.message
    if damage and parts and not list(parts.values())[-1].complete:
        list(parts.values())[-1].problem = "was cut off by the damage that follows it"
    for key, part in parts.items():
        yield _row(f"{uri}#{key}", uri, part, modified, recipe)
    if damage:
        yield InputRow(row=f"{uri}#", source=Source(uri=uri), outcome=Outcome.DEAD, code="damaged_shard", message=damage)


def _take(parts: dict[str, _Parts], member: Member, opened: IO[bytes]) -> None:
    folder, name = os.path.split(member.name)
    stem, _, extension = name.partition(".")
    if name.startswith("._") or not member.is_file:
        return
    part = parts.setdefault(os.path.join(folder, stem), _Parts())
    if extension.lower() in _AUDIO:
        part.audio.append(member)
    elif extension.lower() == "json":
        part.facts, part.problem = _facts(opened, member)
    elif extension.lower() in ("txt", "caption"):
        part.facts = {"caption": _content(opened, member).decode("utf-8", "replace").strip(), **part.facts}


def _content(opened: IO[bytes], member: Member) -> bytes:
    opened.seek(member.offset)
    return opened.read(min(member.size, _JSON_LIMIT))


def _facts(opened: IO[bytes], member: Member) -> tuple[dict[str, Any], str]:
    try:
        found = json.loads(_content(opened, member), parse_constant=lambda _: None)
        return (found, "") if isinstance(found, dict) else ({}, "its JSON is no object")
    except (ValueError, RecursionError) as error:
        return {}, f"its JSON cannot be read: {error}"


def _row(name: str, uri: str, part: _Parts, modified: str, recipe: IngestRecipe) -> InputRow:
    name = name.encode("utf-8", "backslashreplace").decode()
    if part.problem or len(part.audio) != 1:
        message = part.problem or (
            "has no audio beside its JSON" if not part.audio else f"has {len(part.audio)} audio members under one key"
        )
        return InputRow(row=name, source=Source(uri=uri), outcome=Outcome.DEAD, code="bad_sample", message=message)
    audio = part.audio[0]
    caption = next((part.facts[key] for key in ("caption", "main_caption", "text") if isinstance(part.facts.get(key), str)), "")
    texts = {key: str(part.facts.get(key) or "") for key in ("title", "artist", "album", "genre")}
    try:
        metadata = json.dumps({key: value for key, value in part.facts.items() if key != "caption"}, sort_keys=True, ensure_ascii=False)
        "".join((metadata, caption, *texts.values())).encode()
    except (UnicodeEncodeError, RecursionError):
        return InputRow(
            row=name, source=Source(uri=uri), outcome=Outcome.DEAD, code="bad_sample", message="its JSON holds half a Unicode character"
        )
    member = audio.name.encode("utf-8", "backslashreplace").decode()
    source = Source(
        uri=uri, member=member, member_offset=audio.offset, member_bytes=audio.size,
        licence=str(part.facts.get("licence") or part.facts.get("license") or recipe.licence), metadata=metadata, **texts,
    )  # fmt: skip
    return InputRow(row=name, source=source, size=audio.size, modified=modified, captions=(caption.strip(),) if caption.strip() else ())
