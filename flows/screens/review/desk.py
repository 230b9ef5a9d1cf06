"""What the page asks and is told: the labels of a clip that are in force, what can be chosen in
their place, and edits, each kept as soon as it is made.
"""

import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from flows.screens.plain import plain
from flows.screens.report.show import show_labels
from pipelines.build.corrections import (
    add_correction,
    annotations_in_force,
    corrections_of,
    last_tips,
)
from pipelines.build.outputs import Job
from pipelines.build.plans import read_plan
from pipelines.build.tables import ANNOTATIONS, CLIPS, VERDICTS
from pipelines.build.versions import last_version
from pipelines.errors import WrongArgument
from pipelines.labels.corrected import PARTS
from pipelines.labels.doubt import all_right
from pipelines.labels.edits import Corrector, correction, parsed_edit
from pipelines.labels.lead_sheet import symbol
from pipelines.labels.transform import clip_labels
from pipelines.storage.lock import hold
from pipelines.storage.store import Store
from schemas.chord import NO_CHORD
from schemas.corpus import Clip
from schemas.errors import SchemaError
from schemas.labels import Annotation, ChordSegment, Correction, Labels
from schemas.pitch import Key, pretty
from schemas.recipe import Recipe

_MOST_CHOICES: Final = 24  # chords that are offered: a song has fewer


class ReviewDesk:
    """A build whose labels somebody sets right. Threads may share one."""

    def __init__(self, build: str, recipe: Recipe, who: str, licence: str) -> None:
        self.store = Store(build)
        self._url, self._recipe, self._who, self._licence = build, recipe, who, licence
        self._writing = threading.Lock()
        self.made = 0  # edits
        self._buckets = read_plan(self.store).buckets
        self._bucket_of = {
            key: bucket for bucket in self._buckets for key in self._clip_keys(bucket)
        }

    def _clip_keys(self, bucket: str) -> list[str]:
        column = CLIPS.read_arrow(self.store, bucket, ["clip_key"]).column("clip_key")
        keys: list[str] = column.to_pylist()
        return keys

    def _job(self, bucket: str) -> Job:
        return Job(self._url, bucket, self._recipe)

    def unsure(self) -> dict[str, float]:
        """Clips that are kept, and the chance that all labels of each are right."""
        found: dict[str, float] = {}
        for job in map(self._job, self._buckets):
            kept = {row.clip_key for row in VERDICTS.read(job) if row.keep}
            annotations = annotations_in_force(job)
            found |= {
                row.clip_key: all_right(row.labels) for row in annotations if row.clip_key in kept
            }
        return found

    def state(self, clip_key: str) -> dict[str, Any]:
        """What the page shows of a clip's original: its labels in force, what was set right, and
        what can be chosen.
        """
        clip, labels, edit = self._found(clip_key)
        own = clip_labels(labels, clip.length_s)
        shown = {
            name: [one if isinstance(one, int | float) else one.model_dump() for one in values]
            for name, values in show_labels(own).items()
        }
        key = own.key.key
        return {
            **shown,
            "key": key.name if key else "",
            "meter": own.meter.beats_per_bar,
            "harte": [segment.label for segment in own.chords.segments],
            "set": list(_set_right(edit)),
            "offered": {
                "chords": self._chords(clip, key),
                "keys": self._keys(clip, key),
            },
            "waiting": self.waiting(),
        }

    def edit(self, clip_key: str, value: object) -> dict[str, Any]:
        """Make an edit of a clip, and give what the page shows of it then.

        Raises `WrongArgument` for what cannot be done, and `PipelineError` while a run holds the
        build.
        """
        try:
            wanted = parsed_edit(value)
            with self._writing, hold(self.store, "obbligato review"):
                clip, labels, _ = self._found(clip_key)
                by = Corrector.now(self._who, self._licence)
                add_correction(self.store, correction(clip.clip_key, labels, wanted, by))
                self.made += 1
        except SchemaError as error:
            raise WrongArgument(str(error)) from error
        return self.state(clip_key)

    def waiting(self) -> int:
        """Songs with corrections that the last build did not know."""
        version = last_version(self.store)
        built = version.corrections if version is not None else {}
        return sum(built.get(name) != tip for name, tip in last_tips(self.store).items())

    def _found(self, clip_key: str) -> tuple[Clip, Labels, Correction | None]:
        """A clip, its labels in force over its extended window, and its correction."""
        job = self._job(self._bucket_of[clip_key]) if clip_key in self._bucket_of else None
        annotated = {row.clip_key: row for row in annotations_in_force(job)} if job else {}
        if job is None or clip_key not in annotated:
            raise WrongArgument(f"{plain(clip_key)} is not a labelled clip of {self._url}")
        clip = next(row for row in CLIPS.read(job) if row.clip_key == clip_key)
        return clip, annotated[clip_key].labels, corrections_of(job).get(clip_key)

    def _heard(self, clip: Clip) -> list[Annotation]:
        """What was heard in all clips of a clip's song, which stand in one bucket."""
        rows = ANNOTATIONS.read(self._job(self._bucket_of[clip.clip_key]))
        return [row for row in rows if row.clip_key.startswith(clip.song.song_id)]

    def _chords(self, clip: Clip, key: Key | None) -> list[dict[str, str]]:
        """Chords heard in the song, the longest first, and no chord."""
        seconds: Counter[str] = Counter()
        for row in self._heard(clip):
            for segment in row.labels.chords.segments:
                seconds[segment.label] += round((segment.end_s - segment.start_s) * 1000)
        ranked = sorted(seconds, key=lambda label: (-seconds[label], label))[:_MOST_CHOICES]
        labels = dict.fromkeys([*ranked, NO_CHORD])
        one = {"start_s": 0, "end_s": 1}
        return [
            {"label": label, "name": symbol(ChordSegment(label=label, **one), key)}
            for label in labels
        ]

    def _keys(self, clip: Clip, key: Key | None) -> list[dict[str, str]]:
        """Keys heard in the song, and those that are taken for the one in force: the relative, the
        parallel, those a fifth above and below.
        """
        heard = [row.labels.key.key for row in self._heard(clip)]
        near = _near(key) if key else []
        keys = dict.fromkeys(one.name for one in [*heard, key, *near] if one is not None)
        return [{"label": name, "name": pretty(name)} for name in keys]


def _near(key: Key) -> list[Key]:
    """Keys that are mistaken for a key."""
    parallel = key.replaced(mode="minor" if key.mode == "major" else "major")
    return [key.relative(), parallel, key.transposed(7), key.transposed(5)]


def _set_right(edit: Correction | None) -> Iterator[Mapping[str, str]]:
    """What was set right, by whom and when; the meter goes with the beats."""
    for part in PARTS if edit is not None else ():
        said = getattr(edit, part)
        if said is None or part == "meter":
            continue
        is_reason = isinstance(said, str)
        who = edit.who if edit and is_reason else said.tool.partition(" by ")[2]
        when = edit.when if edit and is_reason else said.version
        reason = plain(said) if is_reason else ""
        yield {"part": part, "who": plain(who), "when": when, "reason": reason}
