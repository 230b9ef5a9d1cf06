"""The listening page written: chosen clips, their audio, histograms, and what was not used."""

import base64
import json
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, cast

from flows.errors import UsageError
from flows.screens.histograms import count_lines, histograms, key_pairs, text_histograms
from flows.screens.plain import plain
from flows.screens.report.foreign import show_foreign
from flows.screens.report.page import MARK, page_html
from flows.screens.report.parts import BlockParts, FileParts, PageParts
from flows.screens.report.records import ClipRow
from flows.screens.report.rows import SampleOfClip, clip_of_samples, row_of
from flows.screens.report.show import show_sample
from pipelines.shards.chosen import Choice, ChosenSample, choose, read_chosen
from pipelines.shards.find import FoundShards, ShardProblem
from pipelines.shards.stats import Stats, count_all
from schemas.agreement import LabelAgreement
from schemas.corpus import LedgerRow

PAGE: Final = "index.html"
EMBEDDED_MOST: Final = 50
_FOLDER: Final = "data-"  # then a hash of what is in it
_PART: Final = ".part-"  # what a run has not finished
_OURS: Final = re.compile(rf"{_FOLDER}[0-9a-f]{{16}}|{re.escape(_PART)}[0-9a-f]{{12}}")
_ROWS: Final = 500  # of the list in one part
_CLIPS_BYTES: Final = 512 << 10  # of clips in one part
_AUDIO_IN_FOLDER: Final = 1000
_LONGEST_AUDIO: Final = 32 << 20  # bytes of one sample's; a script of them is a third larger
_MOST_UNUSED: Final = 5000

Watch = Callable[[str, int], Callable[[int], None]]


@dataclass(frozen=True, kw_only=True)
class Material:
    """What a page is made of: shards and their name, and of a build what was not used and how far
    labels agree that were extracted again, by sample.
    """

    name: str
    version: str
    found: FoundShards
    unused: Sequence[LedgerRow] = ()
    heard_again: dict[str, LabelAgreement] = field(default_factory=dict)


class WrittenReport(NamedTuple):
    """The page, the clips and samples on it, how many clips there are, and bytes in all."""

    page: Path
    clips: int
    of: int
    samples: int
    bytes: int

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return {**self._asdict(), "page": str(self.page)}


def write_report(
    material: Material, out: Path, most: int, watch: Watch, *, embed: bool = False
) -> WrittenReport:
    """Write the page of at most `most` clips (0: all) into a folder, or as one file.

    What an earlier report left there is replaced once the new one is whole; the page is the old or
    the new at any moment. Raises `UsageError` for a folder that holds anything else.
    """
    _check_out(out)
    out.mkdir(parents=True, exist_ok=True)
    for left in _folders(out):
        if left.name.startswith(_PART):
            shutil.rmtree(left, ignore_errors=True)
    fresh = out / f"{_PART}{uuid.uuid4().hex[:12]}"
    fresh.mkdir()
    try:
        return _published(material, out, fresh, most, watch, embed=embed)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def remove_report(out: Path) -> None:
    """Remove a report that an earlier run wrote into a folder; nothing else is touched."""
    if not out.is_dir():
        return
    for folder in _folders(out):
        shutil.rmtree(folder, ignore_errors=True)
    page = out / PAGE
    if page.is_file() and MARK in _start(page):
        page.unlink()
    with suppress(OSError):  # something else is in it
        out.rmdir()


def _check_out(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file: name a folder")
    for entry in out.iterdir() if out.is_dir() else ():
        is_page = entry.name == PAGE and entry.is_file() and MARK in _start(entry)
        if not is_page and entry not in _folders(out):
            raise UsageError(
                f"{out} holds something else than a report ({entry.name}): name a new folder "
                "by --out"
            )


def _folders(out: Path) -> list[Path]:
    """Folders that reports have left in a folder: of their data, and of what was not finished."""
    entries = sorted(out.iterdir())
    return [entry for entry in entries if _OURS.fullmatch(entry.name) and entry.is_dir()]


def _start(file: Path) -> str:
    with file.open("rb") as opened:
        return opened.read(4096).decode("utf-8", "replace")


def _published(
    material: Material, out: Path, fresh: Path, most: int, watch: Watch, *, embed: bool
) -> WrittenReport:
    data = fresh / "data"
    data.mkdir()
    with tempfile.TemporaryFile(dir=fresh) as blocks:
        parts: PageParts = BlockParts(cast("IO[bytes]", blocks)) if embed else FileParts(data)
        about = write_parts(parts, material, choose(material.found, most), watch)
        folder = "" if embed else f"{_FOLDER}{parts.digest}"
        blocks.seek(0)
        page = fresh / PAGE
        with page.open("wb") as written:
            before, after = page_html(
                f"{about['name']}: report", {**about, "folder": folder}, loads=not embed
            )
            written.write(before.encode())
            shutil.copyfileobj(blocks, written)
            written.write(after.encode())
    size = page.stat().st_size + (0 if embed else parts.bytes)
    _replace(out, page, data if folder else None, folder)
    return WrittenReport(out / PAGE, about["clips"], about["of"], about["samples"], size)


def _replace(out: Path, page: Path, data: Path | None, folder: str) -> None:
    """Put data and page in their places, the page last, and remove what an earlier one left."""
    if data and (out / folder).exists():  # the same parts; whole or not is not known
        (out / folder).rename(page.parent / "before")
    if data:
        data.rename(out / folder)
    os.replace(page, out / PAGE)
    for earlier in _folders(out):
        if earlier.name.startswith(_FOLDER) and earlier.name != folder:
            shutil.rmtree(earlier, ignore_errors=True)


def write_parts(
    parts: PageParts, material: Material, choice: Choice, watch: Watch
) -> dict[str, Any]:
    """Write all parts of a page of these clips; gives what the page says of itself."""
    return _PageWriter(parts, material).all_parts(choice, watch)


class _PageWriter:
    """Parts being written as samples come: audio at once, a shard's clips at its end."""

    def __init__(self, parts: PageParts, material: Material) -> None:
        self._parts, self._material = parts, material
        self._clips: dict[str, list[SampleOfClip]] = {}
        self._shard = ""
        self._rows: list[ClipRow] = []
        self._page: list[dict[str, Any]] = []
        self._page_bytes = self._pages = self._audio = self._samples = 0
        self._problems: list[ShardProblem] = []

    def all_parts(self, choice: Choice, watch: Watch) -> dict[str, Any]:
        """Write all; gives what the page says of itself."""
        found = self._material.found
        done, clips = watch("clips", len(choice.clips)), 0
        for entry in read_chosen(found, choice):
            if isinstance(entry, ShardProblem):
                self._problems.append(entry)
                continue
            if entry.shard != self._shard:
                self._end_of_shard(entry.shard)
            self._add(entry)
            if len(self._rows) + len(self._clips) > clips:
                clips = len(self._rows) + len(self._clips)
                done(clips)
        self._end_of_shard("")
        self._end_of_page()
        rows = [self._rows[at : at + _ROWS] for at in range(0, len(self._rows), _ROWS)]
        for number, part in enumerate(rows):
            self._parts.put(f"rows/{number:04d}", [row.model_dump(mode="json") for row in part])
        self._parts.put("statistics", _statistics(count_all(found)))
        unused = list(_unused(self._material.unused, self._problems))
        self._parts.put("unused", unused[:_MOST_UNUSED])
        return {
            "name": plain(self._material.name),
            "version": self._material.version,
            "clips": len(self._rows),
            "of": choice.of,
            "samples": self._samples,
            "rows": len(rows),
            "unused": len(unused),
        }

    def _add(self, chosen: ChosenSample) -> None:
        audio = self._put_audio(chosen)
        if chosen.ours:
            again = self._material.heard_again.get(chosen.key)
            shown = show_sample(chosen, chosen.ours, audio, again)
        else:
            shown = show_foreign(chosen, audio)
        self._samples += 1
        self._clips.setdefault(chosen.clip, []).append(SampleOfClip(shown, chosen.ours))

    def _put_audio(self, chosen: ChosenSample) -> str:
        """The name of a sample's audio among the parts: a number, whatever its key is."""
        if not 0 < len(chosen.audio) <= _LONGEST_AUDIO:
            return ""
        folder, number = divmod(self._audio, _AUDIO_IN_FOLDER)
        self._audio += 1
        name = f"audio/{folder:03d}/{number:03d}"
        self._parts.put(name, base64.b64encode(chosen.audio).decode())
        return name

    def _end_of_shard(self, following: str) -> None:
        for name in sorted(self._clips):
            samples = self._clips[name]
            clip = clip_of_samples(name, samples)
            plain_clip = clip.model_dump(mode="json")
            size = len(json.dumps(plain_clip))
            if self._page and self._page_bytes + size > _CLIPS_BYTES:
                self._end_of_page()
            self._page.append(plain_clip)
            self._page_bytes += size
            self._rows.append(row_of(clip, samples, self._pages, len(self._page) - 1))
        self._clips, self._shard = {}, following

    def _end_of_page(self) -> None:
        if self._page:
            self._parts.put(f"clips/{self._pages:05d}", self._page)
            self._page, self._page_bytes = [], 0
            self._pages += 1


def _statistics(stats: Stats) -> dict[str, Any]:
    """Counts and histograms, as `shards stats` has them."""
    return {
        "counts": [line._asdict() for line in count_lines(stats)],
        "keys": [[one._asdict() for one in pair] for pair in key_pairs(stats.keys)],
        "charts": [
            {"title": chart.title, "bars": [bar._asdict() for bar in chart.bars]}
            for chart in (*histograms(stats), *text_histograms(stats))
        ],
    }


def _unused(
    ledger: Sequence[LedgerRow], problems: Sequence[ShardProblem]
) -> Iterator[dict[str, str]]:
    """Rows of what is not in the shards or not as it should be, and why."""
    for row in ledger:
        yield {
            "outcome": row.outcome.value,
            "what": plain(row.key),
            "where": plain(row.stage),
            "code": plain(row.code),
            "why": plain(" ".join(word for word in (row.figure, row.message) if word)),
            "from": plain(row.uri),
        }
    for problem in problems:
        yield {
            "outcome": "problem",
            "what": plain(problem.key),
            "where": plain(problem.shard),
            "code": plain(problem.code),
            "why": plain(problem.message),
            "from": "",
        }
