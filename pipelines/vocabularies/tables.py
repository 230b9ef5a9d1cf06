"""Tables with captions, tags and names, read for a vocabulary: CSV, TSV, JSON lines, Parquet."""

import json
import os
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from pipelines.captioning.metadata import listed
from pipelines.errors import DeadInput, PipelineError, WrongArgument
from pipelines.inputs.manifests import MANIFESTS, manifest_rows
from pipelines.storage.store import Store
from schemas.corpus import InputRow
from schemas.recipe import IngestRecipe

ASPECTS: Final = "aspect_list"  # MusicCaps's name for a clip's tags
COLUMNS: Final = ("caption", ASPECTS, "title", "artist", "album", "licence")
# a name that no table has: what such columns hold is of no concern here, and must not refuse a row
_NO_COLUMN: Final = "\x1f"


class Track(NamedTuple):
    """The names of a track; "" where one is not known."""

    title: str
    artist: str
    album: str


class Row(NamedTuple):
    """What a row says. `aspects` are as they stand: not cleaned, and perhaps none."""

    caption: str
    aspects: tuple[str, ...]
    track: Track
    licence: str


def rows_of(table: str, columns: Mapping[str, str]) -> Iterator[Row | DeadInput]:
    """Rows of a table, and why others cannot be read.

    `columns` maps our names (`COLUMNS`) to the table's own, where they differ.

    Raises `PipelineError` for a table that is not there or cannot be read.
    """
    folder, name = os.path.split(table)
    if os.path.splitext(name)[1].lower() not in MANIFESTS:
        raise PipelineError(
            f"{table} is not a table: expected a name that ends in {', '.join(sorted(MANIFESTS))}"
        )
    store = Store(folder or ".")
    if not store.exists(name):
        raise WrongArgument(f"{table} does not exist")
    # Manifests name audio, which is of no concern here: every row gets the same name.
    mapped = {ours: theirs for ours, theirs in columns.items() if ours != ASPECTS}
    recipe = IngestRecipe(
        uri_template="/row",
        column_map={
            "start_s": _NO_COLUMN,
            "end_s": _NO_COLUMN,
            "split": _NO_COLUMN,
            "genre": _NO_COLUMN,
            **mapped,
        },
    )
    try:
        with store.open(name) as opened:
            for found in manifest_rows(table, opened, recipe):
                yield (
                    DeadInput(found.code, found.message)
                    if found.outcome
                    else _row(found, columns.get(ASPECTS, ASPECTS))
                )
    except DeadInput as error:
        raise PipelineError(f"{table} {error.message}") from error


def _row(found: InputRow, aspects: str) -> Row:
    source = found.source
    return Row(
        caption=found.captions[0] if found.captions else "",
        aspects=tuple(listed(json.loads(source.metadata).get(aspects))),
        track=Track(source.title, source.artist, source.album),
        licence=source.licence,
    )
