"""A folder of pieces with a manifest, as a user's corpus would be, and each piece's truth."""

import csv
from pathlib import Path
from typing import Final

import soundfile as sf

from pipelines.errors import PipelineError
from pipelines.synthesis.compose import compose
from pipelines.synthesis.plan import BLOCK
from pipelines.synthesis.render import render
from pipelines.synthesis.score import LICENCE, TOOL, Instrument, Score, truth
from schemas.identity import Split, keyed_rng
from schemas.pitch import Mode
from schemas.record import Record

MANIFEST: Final = "songs.csv"
RATE_HZ: Final = 44100
# Places in a block of twelve. Each of the two splits gets both meters, both modes and two kinds of
# harmony.
_HELD_OUT: Final = {1: Split.VALIDATION, 6: Split.VALIDATION, 3: Split.TEST, 8: Split.TEST}
_MOODS: Final = {
    Mode.MAJOR: ("friendly", "hopeful", "sunny", "carefree", "open-hearted", "content"),
    Mode.MINOR: ("wistful", "brooding", "moonlit", "yearning", "mysterious", "bittersweet"),
}
_PLACES: Final = (
    "Harbour",
    "Orchard",
    "Lantern",
    "Meadow",
    "Staircase",
    "Ferry",
    "Attic",
    "Lighthouse",
    "Courtyard",
    "Bridge",
    "Garden",
    "Station",
)
_TIMES: Final = ("Morning", "Evening", "Winter", "Harvest", "Midnight", "Spring")
_GENRES: Final = {
    (Instrument.STRINGS, Instrument.ORGAN): "folk pop",
    (Instrument.ORGAN, Instrument.STRINGS): "soul",
    (Instrument.STRINGS, Instrument.STRINGS): "folk",
}
_PLAYING: Final = {
    (Instrument.STRINGS, Instrument.ORGAN): "Plucked strings play the melody over a warm organ",
    (Instrument.ORGAN, Instrument.STRINGS): "An organ sings the melody over plucked strings",
    (
        Instrument.STRINGS,
        Instrument.STRINGS,
    ): "Plucked strings play both the melody and the accompaniment",
}


class ManifestRow(Record):
    """One song as the manifest lists it; `uri` is relative to the manifest."""

    uri: str
    licence: str
    title: str
    artist: str
    genre: str
    caption: str
    split: Split


def write_songs(folder: Path, songs: int = 12, seed: int = 0) -> Path:
    """Write `songs` pieces to `folder`: 16-bit FLAC at 44.1 kHz, truth as JSON, and last the
    manifest, whose path is returned.

    Of every twelve songs eight are in train and two each in validation and test. The same arguments
    give the same bytes.
    """
    if songs < 1:
        raise PipelineError(f"cannot write {songs} songs: ask for one or more")
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[ManifestRow] = []
    for index in range(songs):
        score = compose(index, seed)
        sf.write(
            folder / f"{score.name}.flac",
            render(score, RATE_HZ),
            RATE_HZ,
            subtype="PCM_16",
            format="FLAC",
        )
        (folder / f"{score.name}.truth.json").write_text(
            truth(score).model_dump_json(indent=1) + "\n", encoding="utf-8"
        )
        rows.append(described(score, index, seed))
    manifest = folder / MANIFEST
    with manifest.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(
            file, fieldnames=list(ManifestRow.model_fields), lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(row.model_dump(mode="json") for row in rows)
    return manifest


def described(score: Score, index: int, seed: int) -> ManifestRow:
    """The manifest's row of a piece.

    Its caption says who plays and in what mood, and nothing that a label says.

    >>> described(compose(0), 0, 0).split
    <Split.TRAIN: 'train'>
    """
    rng = keyed_rng(seed, score.name, "words")
    mood = _MOODS[score.key.mode][int(rng.integers(6))]
    second = _MOODS[score.key.mode][int(rng.integers(6))]
    band = (
        "with a round bass and a small drum kit",
        "while bass and drums play underneath",
        "and a bass and light drums join in",
    )
    character = f"The mood is {mood}." if mood == second else f"The mood is {mood} and {second}."
    players = (score.lead, score.backing)
    return ManifestRow(
        uri=f"{score.name}.flac",
        licence=LICENCE,
        title=f"{_TIMES[int(rng.integers(len(_TIMES)))]} {_PLACES[index % len(_PLACES)]}",
        artist=f"Obbligato {TOOL}",
        genre=_GENRES[players],
        caption=f"{_PLAYING[players]}, {band[int(rng.integers(len(band)))]}. {character}",
        split=_HELD_OUT.get(index % BLOCK, Split.TRAIN),
    )
