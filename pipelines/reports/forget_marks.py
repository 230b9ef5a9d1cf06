"""Markers of a build whose files change from without, renewed for what the files are then."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from pipelines.build.markers import marker_name, read_marker
from pipelines.build.outputs import Job, Partition, Table
from pipelines.build.plans import sizes_of
from pipelines.build.tables import CLIPS, LISTING, MIXES, VERIFIED, folders_of
from pipelines.engine.stage import Stage, fingerprints
from pipelines.errors import Damaged, PipelineError
from pipelines.reports.forget_files import Rewritten
from pipelines.storage.store import Published, Store
from schemas.build import FileFacts, Marker
from schemas.recipe import Recipe

_BASE: Final[dict[Partition, Table[Any]]] = {
    Partition.LISTING: LISTING,
    Partition.BUCKETS: CLIPS,
}
# what of a marker's counts each kind of file that lost rows stands for, by stage
_COUNTS: Final[Mapping[str, Mapping[str, str]]] = {
    "listing": {"rows": "listing.parquet"},
    "probe": {"rows": "listing.parquet"},
    "cut": {"rows": "listing.parquet", "candidates": "cut.parquet"},
    "clips": {"clips": "clips"},
    "annotate": {"clips": "clips", "annotated": "annotations", "dead": "annotations.dead"},
    "embed_audio": {"clips": "clips", "embedded": "embeddings", "dead": "embeddings.dead"},
    "filter": {
        "clips": "verdicts", "rejected": "rejected", "original_only": "original_only",
    },
    "vary": {"clips": "kept", "samples": "variants", "dead": "variants.dead"},
    "mix": {"samples": "mixes", "rejected": "mixes.refused", "dead": "mixes.dead"},
    "move_labels": {"samples": "moved_labels"},
    "encode": {"clips": "clips", "encoded": "latents", "dead": "latents.dead"},
    "pack": {
        "clips": "clips", "written": "shards", "rejected": "samples_rejected",
        "dead": "samples_dead",
    },
    "verify": {"clips": "clips", "samples": "shards", "relabelled": "verified"},
}  # fmt: skip


class Marks:
    """Markers of a build that are taken away while files change, and given back for the files as
    they are then: of the steps that had done their bucket of what stood there.
    """

    def __init__(self, store: Store, recipe: Recipe, stages: Sequence[Stage]) -> None:
        self._store, self._recipe = store, recipe
        self._stages = [stage for stage in stages if stage.enabled(recipe)]
        self._taken: dict[tuple[str, str], Marker] = {}
        self._current = {stage.name: self._in_force(stage) for stage in self._stages}

    def over(self, partition: Partition) -> list[Stage]:
        """The stages over a partition that have left something."""
        return [stage for stage in self._stages if stage.partition is partition]

    def _jobs(self, partition: Partition) -> list[Job]:
        names = sizes_of(partition, self._store)
        return [Job(self._store.url, name, self._recipe) for name in names]

    def _in_force(self, stage: Stage) -> set[str]:
        """Buckets or slices that a stage need not do again."""
        if stage.partition not in _BASE:
            return set()
        jobs = self._jobs(stage.partition)
        with suppress(FileNotFoundError, Damaged, PipelineError):
            marked = zip(jobs, fingerprints(stage, jobs), strict=True)
            return {job.bucket for job, mark in marked if self._fingerprint(stage, job) == mark}
        return set()

    def _fingerprint(self, stage: Stage, job: Job) -> str:
        with suppress(FileNotFoundError, Damaged):
            return read_marker(self._store, stage.folder, job.bucket).fingerprint
        return ""

    def open(self, partition: Partition, name: str) -> None:
        """Take the markers of a bucket or slice away."""
        for folder in folders_of(partition):
            with suppress(FileNotFoundError):
                self._taken[(folder, name)] = read_marker(self._store, folder, name)
                self._store.delete(marker_name(folder, name))

    def close(self, partition: Partition, name: str, done: Rewritten) -> None:
        """Give them back, in the order of the steps: each stands on those before."""
        # what lists inputs and assigns clips is no stage: the marker is of the file's content
        base = _BASE[partition]
        self._give_back(base.folder, name, done, _COUNTS[base.folder], None)
        for stage in self.over(partition):
            counts = _COUNTS.get(stage.name, {})
            self._give_back(stage.folder, name, done, counts, stage)

    def _give_back(
        self,
        folder: str,
        name: str,
        done: Rewritten,
        counts: Mapping[str, str],
        stage: Stage | None,
    ) -> None:
        marker = self._taken.pop((folder, name), None)
        if marker is None:
            return
        files = {
            file: _facts(done.files.get(file), facts)
            for file, facts in marker.files.items()
            if file not in done.gone
        }
        fresh = {
            count: value - done.removed[counts[count]] if count in counts else value
            for count, value in marker.counts.items()
            if isinstance(value, int)
        }
        if "planned" in fresh:
            fresh["planned"] = fresh["written"] + fresh["rejected"] + fresh["dead"]
        job = Job(self._store.url, name, self._recipe)
        own = next((files[file].sha256 for file in files), "") if stage is None else ""
        if stage is not None and name in self._current[stage.name]:
            own = self._one_fingerprint(stage, job)
        # labels of the song that were extracted again are missing: `verify` chooses others; and
        # mixes in which it was the guest: `mix` looks for others
        is_short = (folder == VERIFIED.folder and done.removed["verified"] > 0) or (
            folder == MIXES.folder and done.removed["guests"] > 0
        )
        self._store.write_sealed(
            marker_name(folder, name),
            marker.replaced(
                fingerprint="" if is_short else own or marker.fingerprint,
                files=files,
                counts={**marker.counts, **fresh},
            ).as_json(),
        )

    def _one_fingerprint(self, stage: Stage, job: Job) -> str:
        if stage.shuffle is not None:
            return ""  # of all buckets together: renewed at the end
        return next(iter(fingerprints(stage, [job])))

    def renew_shuffles(self) -> None:
        """Fingerprints of steps in which buckets know of each other, once all are done."""
        for stage in self.over(Partition.BUCKETS):
            jobs = self._jobs(Partition.BUCKETS)
            is_current = len(self._current[stage.name]) >= len(jobs)
            if stage.shuffle is None or not is_current or not jobs:
                continue
            for job, mark in zip(jobs, fingerprints(stage, jobs), strict=True):
                marker = read_marker(self._store, stage.folder, job.bucket)
                self._store.write_sealed(
                    marker_name(stage.folder, job.bucket),
                    marker.replaced(fingerprint=mark).as_json(),
                )


def _facts(published: Published | None, before: FileFacts) -> FileFacts:
    if published is None:
        return before
    return FileFacts(bytes=published.bytes, sha256=published.sha256)
