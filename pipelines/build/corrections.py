"""Corrections of a build: a sealed file for each song, to which people add and nothing else does.

They are an input of their bucket, as audio is: what depends on labels reads them by
`annotations_in_force`, and has them in its fingerprint by `corrections_seen`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pipelines.build.outputs import Job
from pipelines.build.tables import ANNOTATIONS, CLIPS, CORRECTIONS
from pipelines.errors import Damaged
from pipelines.labels.corrected import corrected, folded
from pipelines.storage.store import Store, digest
from schemas.labels import Annotation, Correction, Corrections

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


def corrections_of(job: Job) -> dict[str, Correction]:
    """What is in force of the corrections of a bucket's clips, by clip."""
    store = job.store
    known = set(corrected_songs(store))
    if not known:
        return {}
    clips = set(CLIPS.read_arrow(store, job.bucket, ["clip_key"]).column("clip_key").to_pylist())
    songs = sorted(known & {clip.partition("-")[0] for clip in clips})
    edits = (edit for song_id in songs for edit in read_corrections(store, song_id))
    return {clip: edit for clip, edit in folded(edits).items() if clip in clips}


def corrections_seen(job: Job) -> Any:
    """What a fingerprint says of a bucket's corrections; none where there are none."""
    found = corrections_of(job)
    if not found:
        return None
    return {clip: edit.model_dump(mode="json") for clip, edit in sorted(found.items())}


def annotations_in_force(
    job: Job, corrections: Mapping[str, Correction] | None = None
) -> list[Annotation]:
    """A bucket's annotations, with what people set right in place of what was heard.

    `corrections` are those of `corrections_of`, for whoever has read them.
    """
    edits = corrections_of(job) if corrections is None else corrections
    return [
        row.replaced(labels=corrected(row.labels, edits[row.clip_key]))
        if row.clip_key in edits
        else row
        for row in ANNOTATIONS.read(job)
    ]


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
