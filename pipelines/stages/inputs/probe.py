"""Stage *probe*: probe and hash each input of a slice of the listing.

What cannot be used is dead by name.
"""

from collections.abc import Container
from typing import Any, Final

from pipelines.audio import decode
from pipelines.audio.decode import Probe
from pipelines.audio.probe import probe_files
from pipelines.build.markers import Done
from pipelines.build.outputs import Job
from pipelines.build.tables import FORGOTTEN, FORGOTTEN_CODE, LISTING, PROBED
from pipelines.engine import bucket
from pipelines.engine.child_process import Death
from pipelines.engine.stage import Stage
from pipelines.errors import DeadInput, machine_faults
from pipelines.storage.remote import without_query
from schemas.corpus import InputRow, Probed, Song
from schemas.recipe import IngestRecipe

_PROBE_BATCH: Final = 16
_FORGOTTEN: Final = (
    "taken out for good; obbligato forget --undo lets it in, by its id in ledger/forgotten.json"
)
_KNOBS: Final = ("max_file_mb", "max_duration_s", "min_rate_hz", "max_rate_hz", "max_channels")


def probe_slice(job: Job) -> Done:
    """Probe the inputs of a slice; what cannot be used is dead by name."""
    rows = LISTING.read(job)
    waiting = [row for row in rows if row.outcome is None]
    probed = [
        Probed(place=row.place, code=row.code, message=row.message, figure=row.figure)
        for row in rows
        if row.outcome is not None
    ]
    forgotten = FORGOTTEN.read(job.store).songs if FORGOTTEN.exists(job.store) else {}
    with bucket.local_files(job) as local, bucket.child(job.recipe.limits) as child:
        for batch in bucket.batches(waiting, _PROBE_BATCH):
            paths = [_path_or_death(local, row, job.recipe.ingest) for row in batch]
            readable = [path for path in paths if isinstance(path, str)]
            found = iter(child.run(probe_files, readable, job.recipe.ingest))
            for row, path in zip(batch, paths, strict=True):
                result = path if isinstance(path, Death) else next(found)
                probed.append(_probed(row, result, forgotten))
            bucket.progress(len(batch))
    probed.sort(key=lambda row: row.place)
    return Done([PROBED.write(job, probed)], {"rows": len(rows)})


def _path_or_death(local: Any, row: InputRow, recipe: IngestRecipe) -> str | Death:
    if row.size > recipe.max_file_mb * 2**20:
        return Death(
            "too_large",
            "raise ingest.max_file_mb to use it",
            f"{row.size / 2**20:.0f} MiB, limit {recipe.max_file_mb:g} MiB",
        )
    try:
        with machine_faults(f"{row.row} cannot be fetched"):
            path: str = local(row.source)
    except DeadInput as error:
        return Death(error.code, error.message, error.figure)
    except (OSError, ValueError) as error:
        return Death("unreadable", f"cannot be fetched: {without_query(str(error))}")
    return path


def _probed(row: InputRow, result: Probe | Death, forgotten: Container[str]) -> Probed:
    if isinstance(result, Probe) and result.sha256[:16] in forgotten:
        return Probed(place=row.place, code=FORGOTTEN_CODE, message=_FORGOTTEN)
    if isinstance(result, Death):
        return Probed(
            place=row.place, code=result.code, message=result.message, figure=result.figure
        )
    song = Song(
        song_id=result.sha256[:16],
        rate_hz=result.rate_hz,
        channels=result.channels,
        duration_s=round(result.duration_s, 6),
    )
    return Probed(place=row.place, song=song)


STAGE: Final = Stage(
    name="probe",
    version=1,
    reads=(LISTING,),
    writes=(PROBED,),
    knobs=tuple(f"ingest.{knob}" for knob in _KNOBS),
    run=probe_slice,
    tools=lambda _recipe: decode.tools(),
)
