"""Stage *cut*: the windows of each probed input, as candidates for clips.

Cheap: no audio is opened.
"""

import json
from typing import Final

from pipelines.build.markers import Done
from pipelines.build.outputs import Job
from pipelines.build.tables import CANDIDATES, CUT_INPUTS, FORGOTTEN_CODE, LISTING, PROBED
from pipelines.engine.stage import Stage
from pipelines.errors import DeadInput
from pipelines.storage.arrow import table_of
from schemas.corpus import (
    CandidateClip,
    Clip,
    CutInput,
    InputRow,
    LedgerRow,
    Outcome,
    Probed,
    Song,
    Source,
    Unit,
)
from schemas.identity import Split, clip_key
from schemas.recipe import Clips, Group, IngestRecipe, WindowMeaning

_TOLERANCE_S: Final = 0.05  # a window may end this far past the file: tables round
_KNOBS: Final = (
    "clips",
    "clip_s",
    "spaced_clips",
    "keep_last",
    "min_clip_s",
    "window",
    "extend",
    "group",
)


def cut_slice(job: Job) -> Done:
    """Candidates and ledger rows of a slice's inputs."""
    listed = LISTING.read(job)
    probed = PROBED.read(job)
    inputs: list[CutInput] = []
    found: list[CandidateClip] = []
    for row, probe in zip(listed, probed, strict=True):
        ledger, candidates = cut(row, probe, job.recipe.ingest)
        inputs.append(CutInput(place=row.place, ledger=ledger))
        found += candidates
    files = [
        CANDIDATES.write_arrow(job, table_of(CandidateClip, found)),
        CUT_INPUTS.write_arrow(job, table_of(CutInput, inputs)),
    ]
    return Done(files, {"rows": len(inputs), "candidates": len(found)})


def cut(
    row: InputRow, probed: Probed, recipe: IngestRecipe
) -> tuple[LedgerRow, list[CandidateClip]]:
    """What one input gives: clips, or the reason why none."""
    if probed.song is None:
        stage = "probe" if row.outcome is None else "list_inputs"
        left_out = Outcome.REJECTED if probed.code == FORGOTTEN_CODE else Outcome.DEAD
        outcome = row.outcome or left_out
        return _ledger(row, stage, outcome, probed.code, probed.message, probed.figure), []
    try:
        spans = windows(row, probed.song, recipe)
        if spans[0][1] - spans[0][0] < recipe.min_clip_s:
            raise DeadInput(
                "too_short",
                "shorter than ingest.min_clip_s",
                f"{spans[0][1] - spans[0][0]:.3f} s, limit {recipe.min_clip_s:g} s",
            )
    except DeadInput as error:
        return _ledger(row, "cut", Outcome.DEAD, error.code, error.message, error.figure), []
    group, song = group_of(row.source, probed.song, recipe.group), probed.song
    made = [
        CandidateClip(
            place=row.place, stated=row.split, clip=_clip(row, song, start_s, end_s, group, recipe)
        )
        for start_s, end_s in spans
    ]
    return _ledger(row, "cut", Outcome.USED), made


def windows(row: InputRow, song: Song, recipe: IngestRecipe) -> list[tuple[float, float]]:
    """Windows (start_s, end_s) that an input gives.

    Raises `DeadInput` where its own window lies past the file's end.
    """
    if row.start_s is not None or row.end_s is not None:
        if recipe.window is WindowMeaning.ALREADY_CUT:
            return [(0.0, song.duration_s)]
        start_s = row.start_s or 0.0
        end_s = song.duration_s if row.end_s is None else row.end_s
        if start_s < 0 or end_s > song.duration_s + _TOLERANCE_S or start_s >= song.duration_s:
            figure = f"window {start_s:g}-{end_s:g} s, file {song.duration_s:g} s"
            raise DeadInput(
                "past_end",
                (
                    "the window lies outside the file; if the file is that "
                    "window already, set ingest.window = 'already_cut'"
                ),
                figure,
            )
        return [(start_s, min(end_s, song.duration_s))]
    # windows are rounded, and must not end past the song
    return [
        (start_s, min(end_s, song.duration_s))
        for start_s, end_s in _cut_song(song.duration_s, recipe)
    ]


def _cut_song(duration_s: float, recipe: IngestRecipe) -> list[tuple[float, float]]:
    """Windows of a whole song. One shorter than a window is one clip.

    >>> _cut_song(25.0, IngestRecipe()), _cut_song(25.0, IngestRecipe(keep_last=True))[-1]
    ([(0.0, 10.0), (10.0, 20.0)], (20.0, 25.0))
    """
    size = recipe.clip_s
    whole = int(duration_s / size + 1e-6)
    if whole == 0:
        return [(0.0, duration_s)]
    if recipe.clips is Clips.FIRST:
        return [(0.0, size)]
    if recipe.clips is Clips.SPACED:
        count = min(recipe.spaced_clips, whole)
        step = (duration_s - size) / max(1, count - 1)
        return [(round(index * step, 3), round(index * step + size, 3)) for index in range(count)]
    found = [(index * size, index * size + size) for index in range(whole)]
    rest = duration_s - whole * size
    return (
        [*found, (whole * size, duration_s)]
        if recipe.keep_last and rest >= recipe.min_clip_s
        else found
    )


def _ledger(
    row: InputRow, stage: str, outcome: Outcome, code: str = "", message: str = "", figure: str = ""
) -> LedgerRow:
    return LedgerRow(
        unit=Unit.INPUT,
        key=row.row,
        uri=row.source.uri,
        stage=stage,
        outcome=outcome,
        code=code,
        message=message,
        figure=figure,
    )


def _clip(
    row: InputRow, song: Song, start_s: float, end_s: float, group: str, recipe: IngestRecipe
) -> Clip:
    given = row.start_s is not None or row.end_s is not None
    reach_s = end_s if given else min(song.duration_s, start_s + (end_s - start_s) * recipe.extend)
    return Clip(
        clip_key=clip_key(song.song_id, start_s, end_s - start_s),
        song=song,
        source=_with_window(row),
        start_s=start_s,
        end_s=end_s,
        extended_end_s=round(reach_s, 6),
        split=Split.TRAIN,
        group=group,
        captions=row.captions,
    )


def _with_window(row: InputRow) -> Source:
    """The source, with the window that a table gave it kept among its metadata."""
    if row.start_s is None and row.end_s is None:
        return row.source
    metadata = {**json.loads(row.source.metadata), "start_s": row.start_s, "end_s": row.end_s}
    return row.source.replaced(metadata=json.dumps(metadata, sort_keys=True, ensure_ascii=False))


def group_of(source: Source, song: Song, group: Group) -> str:
    """What splits must not part; a song without the album or artist asked for stands alone."""
    artist = " ".join(source.artist.lower().split())
    album = " ".join(source.album.lower().split())
    if group is Group.ARTIST and artist:
        return f"artist:{artist}"
    if group is Group.ALBUM and album:
        return f"album:{artist}/{album}"
    return f"song:{song.song_id}"


STAGE: Final = Stage(
    name="cut",
    version=2,
    reads=(LISTING, PROBED),
    writes=(CANDIDATES, CUT_INPUTS),
    knobs=tuple(f"ingest.{knob}" for knob in _KNOBS),
    run=cut_slice,
)
