"""Mixes, and whether their labels hold: labels extracted again from each mix beside its host's
grid, the truth, and the grid of another mix, which is what chance gives.

    python -m tests.benchmarks.mixes BUILD [--most 100] [--wide]

BUILD is a finished build; nothing is written. Of composed pieces, the truth lies beside the audio.
"""

import argparse
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from pipelines.annotators import RATE_HZ
from pipelines.annotators.windows import annotate_waves
from pipelines.audio.decode import Wave, decoded_at
from pipelines.build.outputs import Job
from pipelines.build.plans import read_plan
from pipelines.build.tables import CLIPS
from pipelines.engine.child_process import Death
from pipelines.labels.agreement import agreement, f_measure
from pipelines.labels.transform import excerpt, sped_up, transposed
from pipelines.stages.labels.mix import (
    PlannedMix,
    make_mixes,
    mixable_clips,
    plan_mixes,
    request_of,
)
from pipelines.stages.labels.vary import Copy
from pipelines.storage.store import Store
from schemas.agreement import LabelAgreement
from schemas.chord import NO_CHORD, Chord
from schemas.corpus import Clip
from schemas.identity import stable_hash
from schemas.labels import Chords, Labels
from schemas.recipe import MixRecipe, Recipe

RESAMPLES: Final = 2000
WIDE: Final = MixRecipe(  # for a build of few recordings, of which hardly two fit
    mixes=8,
    speed_max=0.25,
    semitones_max=6,
    min_beats_confidence=0.8,
    min_downbeats_confidence=0.6,
    min_meter_confidence=0.7,
    min_key_confidence=0.5,
)


class Measured(NamedTuple):
    """A mix: what was planned, the labels that are extracted from it, and the truth of both."""

    planned: PlannedMix
    again: Labels
    truth: Labels | None
    guest_truth: Labels | None


def measured(build: str, recipe: Recipe, most: int) -> Iterator[Measured]:
    """Mixes of a build's clips, all of them among themselves, the first by a hash of their keys."""
    jobs = [Job(build, name, recipe) for name in read_plan(Store(build)).buckets]
    clips = [clip for job in jobs for clip in mixable_clips(job, CLIPS.read(job))]
    found = (plan for plan in plan_mixes(clips, recipe) if isinstance(plan, PlannedMix))
    plans = [plan for plan in found if piece_of(plan.host.clip) != piece_of(plan.guest.clip)]
    plans.sort(key=lambda plan: stable_hash(plan.key))
    for plan in plans[:most]:
        paths = plan.host.clip.source.uri, plan.guest.clip.source.uri
        [made] = make_mixes([request_of(plan, *paths)], recipe.vary)
        if isinstance(made, Death):
            continue
        [again] = annotate_waves([_heard(made)], recipe.annotate)
        host, guest = plan.host.clip, plan.guest.clip
        yield Measured(plan, again, _truth(host, host.end_s), _moved(plan, guest))


def _heard(copy: Copy) -> Wave:
    """A copy's sound as shards give it back, at the annotators' rate."""
    return decoded_at(copy.content, RATE_HZ)


def piece_of(clip: Clip) -> str:
    """The piece that a file is an excerpt of: ``song`` of ``song_a.ogg`` and ``song_b.ogg``."""
    return re.sub(r"_(a|b|lowrate)$", "", Path(clip.source.uri).stem)


def _truth(clip: Clip, end_s: float) -> Labels | None:
    path = Path(clip.source.uri).with_suffix(".truth.json")
    if not path.exists():
        return None
    return excerpt(Labels.model_validate_json(path.read_text()), clip.start_s, end_s)


def _moved(plan: PlannedMix, guest: Clip) -> Labels | None:
    """The guest's truth as it is heard in its speed and key; its times begin at the guest's."""
    truth = _truth(guest, guest.extended_end_s)
    if truth is None:
        return None
    return transposed(sped_up(truth, plan.pairing.speed), plan.pairing.semitones)


def beat_figures(rows: Sequence[Measured]) -> dict[str, list[float]]:
    """F-measures of the beats that are heard in each mix, against each grid."""
    found: dict[str, list[float]] = {"host": [], "truth": [], "next": [], "next guest": []}
    for row, other in zip(rows, [*rows[1:], rows[0]], strict=True):
        heard = row.again.beats.times_s
        grids = {
            "host": row.planned.host.own.beats.times_s,
            "truth": row.truth.beats.times_s if row.truth else (),
            "next": other.planned.host.own.beats.times_s,
            "next guest": _guest_grid(other.planned),
        }
        for name, grid in grids.items():
            if (figure := f_measure(grid, heard)) is not None:
                found[name].append(figure)
    return found


def _guest_grid(plan: PlannedMix) -> tuple[float, ...]:
    """The beats of a guest as it was before it was made to fit."""
    guest = plan.guest
    return tuple(time for time in guest.labels.beats.times_s if time < guest.clip.length_s)


def others(rows: Sequence[Measured]) -> dict[str, list[float]]:
    """Downbeats, meter, tempo and key that are heard, against those of the host."""
    found: dict[str, list[float]] = {}
    for row in rows:
        figures = agreement(row.planned.host.own, row.again)
        for name in LabelAgreement.model_fields:
            if (figure := getattr(figures, name)) is not None:
                found.setdefault(name, []).append(figure)
    return found


class ChordTime(NamedTuple):
    """Seconds of a mix in which both true chords are one (or not), and how many of them are right:
    by the chords extracted again, by those of the host's label, and by either of the two.
    """

    one_s: float = 0.0
    extracted_s: float = 0.0
    host_s: float = 0.0
    two_s: float = 0.0
    as_host_s: float = 0.0
    as_guest_s: float = 0.0


def chord_time(row: Measured) -> ChordTime:
    """How the chords extracted from a mix lie beside those of both truths."""
    if row.truth is None or row.guest_truth is None:
        return ChordTime()
    offset_s = row.planned.pairing.offset_s
    own = row.planned.host.own.chords
    found = dict.fromkeys(ChordTime._fields, 0.0)
    step_s = 0.05
    for time_s in np.arange(step_s / 2, row.planned.host.own.duration_s, step_s):
        host = _majmin(row.truth.chords, time_s)
        guest = _majmin(row.guest_truth.chords, time_s - offset_s)
        heard = _majmin(row.again.chords, time_s)
        if host is None or guest is None:
            continue
        if host == guest:
            found["one_s"] += step_s
            found["extracted_s"] += step_s * (heard == host)
            found["host_s"] += step_s * (_majmin(own, time_s) == host)
        else:
            found["two_s"] += step_s
            found["as_host_s"] += step_s * (heard == host)
            found["as_guest_s"] += step_s * (heard == guest)
    return ChordTime(**found)


def _majmin(chords: Chords, time_s: float) -> tuple[int, str] | None:
    for segment in chords.segments:
        if segment.start_s <= time_s < segment.end_s and segment.label != NO_CHORD:
            chord = Chord.parse(segment.label)
            return chord.root, "min" if chord.quality.value.startswith(
                ("min", "dim", "hdim")
            ) else "maj"
    return None


def interval(values: Sequence[float], songs: Sequence[str]) -> str:
    """Mean, and 95 % by a bootstrap over the hosts' songs."""
    rng = np.random.default_rng(0)
    by_song: dict[str, list[float]] = {}
    for song, value in zip(songs, values, strict=True):
        by_song.setdefault(song, []).append(value)
    groups = list(by_song.values())
    means = []
    for _ in range(RESAMPLES):
        chosen = rng.integers(len(groups), size=len(groups))
        means.append(np.mean([value for index in chosen for value in groups[index]]))
    low, high = np.percentile(means, [2.5, 97.5])
    return f"{np.mean(values):.3f} [{low:.3f}, {high:.3f}], n = {len(values)}"


def main() -> None:
    """Print the figures."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("build")
    asked.add_argument("--most", type=int, default=100)
    asked.add_argument("--wide", action="store_true", help="less sure, and further apart")
    options = asked.parse_args()
    recipe = Recipe(mix=WIDE if options.wide else MixRecipe(mixes=1))
    rows = list(measured(options.build, recipe, options.most))
    songs = [piece_of(row.planned.host.clip) for row in rows]
    print(f"{len(rows)} mixes of {len(set(songs))} songs")
    for row in rows:
        clips, figure = (
            (row.planned.host.clip, row.planned.guest.clip),
            f_measure(row.planned.host.own.beats.times_s, row.again.beats.times_s),
        )
        sure = min(one.labels.beats.confidence for one in (row.planned.host, row.planned.guest))
        print(*map(piece_of, clips), f"sure {sure:.2f} F {figure:.3f}")
    for name, figures in beat_figures(rows).items():
        if figures:
            print(f"beats, against {name}: {interval(figures, songs[: len(figures)])}")
    for name, figures in others(rows).items():
        print(f"{name} as the host's label: {np.mean(figures):.3f}, n = {len(figures)}")
    times = [chord_time(row) for row in rows]
    total = {name: sum(getattr(time, name) for time in times) for name in ChordTime._fields}
    if total["one_s"] and total["two_s"]:
        print(
            f"both chords one: {total['one_s']:.0f} s, right: "
            f"extracted {total['extracted_s'] / total['one_s']:.3f}, "
            f"host's label {total['host_s'] / total['one_s']:.3f}"
        )
        print(
            f"two chords: {total['two_s']:.0f} s, extracted is "
            f"the host's {total['as_host_s'] / total['two_s']:.3f}, "
            f"the guest's {total['as_guest_s'] / total['two_s']:.3f}"
        )
    for is_one, name in ((True, "one key"), (False, "relative keys")):
        heard = Counter(_key_heard(row) for row in rows if _of_one_mode(row.planned) is is_one)
        print(f"key that is heard in mixes of {name}: {dict(heard)}")


def _of_one_mode(plan: PlannedMix) -> bool:
    return plan.host.labels.key.mode is plan.guest.labels.key.mode


def _key_heard(row: Measured) -> str:
    """Whose key is heard in a mix, of the host's and its relative."""
    heard, host = row.again.key.key, row.planned.host.own.key.key
    if heard is None or host is None:
        return "none"
    if heard == host:
        return "the host's"
    return "its relative" if heard == host.relative() else "another"


if __name__ == "__main__":
    main()
