"""Corrections of a build: a sealed file for each song, to which people add and nothing else does.

They are an input of their bucket, as audio is: what depends on labels reads them by
`annotations_in_force`, and has them in its fingerprint by `laid_over`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipelines.build.calibrations import calibration_in_force
from pipelines.build.outputs import Job
from pipelines.build.tables import ANNOTATIONS, CLIPS, CORRECTIONS
from pipelines.errors import Damaged
from pipelines.labels.calibration import calibrated
from pipelines.labels.corrected import corrected, folded
from pipelines.labels.refit import ReviewedClip, judged
from pipelines.storage.store import Store, digest
from schemas.labels import Annotation, Correction, Corrections
from schemas.recipe import Recipe

_SUFFIX = ".json"


def corrections_file(song_id: str) -> str:
    """Where the corrections of a song's clips stand."""
    return f"{CORRECTIONS}/{song_id}{_SUFFIX}"


def corrected_songs(store: Store) -> list[str]:
    """Songs that have corrections."""
    names = store.names(CORRECTIONS)
    return [name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)]


def read_corrections(store: Store, song_id: str) -> tuple[Correction, ...]:
    """All corrections of a song's clips, oldest first. Raises `Damaged`."""
    try:
        return store.read_stated(corrections_file(song_id), Corrections).edits
    except FileNotFoundError:
        return ()
    except Damaged as error:
        raise Damaged(
            f"{error}. It holds what somebody set right by hand, which no build makes anew: put a "
            "copy of it back rather"
        ) from error


def add_correction(store: Store, edit: Correction) -> None:
    """Add a correction to those of its song."""
    song_id = edit.clip_key.partition("-")[0]
    edits = (*read_corrections(store, song_id), edit)
    store.write_sealed(corrections_file(song_id), Corrections(edits=edits).model_dump(mode="json"))


def looked_up(store: Store, recipe: Recipe) -> Job:
    """A job of no bucket yet that holds what is the same for all of them, for whoever shares out
    work: whether anything was set right, and the calibration in force.
    """
    job = Job(store.url, "", recipe, may_be_corrected=bool(corrected_songs(store)))
    return job._replace(calibration=calibration_in_force(job))


def corrections_of(job: Job) -> dict[str, Correction]:
    """What is in force of the corrections of a bucket's clips, by clip."""
    store = job.store
    known = set(corrected_songs(store)) if job.may_be_corrected else set()
    if not known:
        return {}
    clips = set(CLIPS.read_arrow(store, job.bucket, ["clip_key"]).column("clip_key").to_pylist())
    songs = sorted(known & {clip.partition("-")[0] for clip in clips})
    edits = (edit for song_id in songs for edit in read_corrections(store, song_id))
    return {clip: edit for clip, edit in folded(edits).items() if clip in clips}


def laid_over(job: Job) -> Any:
    """What a fingerprint says of what is laid over a bucket's annotations, its corrections and the
    build's calibration; none where there is neither.
    """
    edits, calibration = corrections_of(job), calibration_in_force(job)
    found = {clip: edit.model_dump(mode="json") for clip, edit in sorted(edits.items())}
    if calibration is not None:
        found["calibration"] = calibration.model_dump(mode="json")
    return found or None


def annotations_in_force(
    job: Job, corrections: Mapping[str, Correction] | None = None
) -> list[Annotation]:
    """A bucket's annotations: confidences by the recipe's calibration, and what people set right
    in place of what was heard.

    `corrections` are those of `corrections_of`, for whoever has read them.
    """
    edits = corrections_of(job) if corrections is None else corrections
    calibration = calibration_in_force(job)
    rows = ANNOTATIONS.read(job)
    if calibration is not None:
        rows = [row.replaced(labels=calibrated(row.labels, calibration)) for row in rows]
    return [
        row.replaced(labels=corrected(row.labels, edits[row.clip_key]))
        if row.clip_key in edits
        else row
        for row in rows
    ]


def judged_clips(jobs: Iterable[Job]) -> Iterator[ReviewedClip]:
    """Clips that somebody has set right or confirmed in all that was heard, with how far that was
    right; `refit` learns from them.
    """
    for job in jobs:
        edits = corrections_of(job)
        for row in ANNOTATIONS.read(job) if edits else ():
            edit = edits.get(row.clip_key)
            right = judged(row.labels, edit) if edit is not None else None
            if right is not None:
                yield ReviewedClip(row.clip_key.partition("-")[0], row.labels, right)


def tips(edits: Iterable[Correction]) -> Iterator[str]:
    """A hash after each correction, of it and all before: a file to which something was added
    still holds the hashes that it had.
    """
    tip = ""
    for edit in edits:
        tip = digest([tip, edit.model_dump(mode="json")])
        yield tip


def last_tips(store: Store) -> dict[str, str]:
    """The last hash of each song's corrections, by file."""
    found = ((song_id, read_corrections(store, song_id)) for song_id in corrected_songs(store))
    return {corrections_file(song_id): [*tips(edits)][-1] for song_id, edits in found if edits}
