"""Does looking at the least sure clips first find errors? The order of `obbligato review` against
chance, on composed pieces, whose truth is exact.

    python -m tests.benchmarks.review_order demo/corpus [--share 0.1] [--goal 3]

An error is a label of a clip that is wrong: key, meter; tempo by more than 4 %; chords in more than
half of the time, by root and third; beats or bars with an F-measure under 0.5. Of the share of
clips looked at first: how many times as many errors as among as many clips at random, with the
interval of 2,000 bootstraps over songs. Beside the order by the chance that all labels are right,
which the page has, that by the weakest label. The exit status is 1 where the page's order misses
its goal.
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from pipelines.build.outputs import Job
from pipelines.build.plans import read_plan
from pipelines.build.tables import ANNOTATIONS, CLIPS
from pipelines.labels.agreement import agreement
from pipelines.labels.doubt import all_right, confidences
from pipelines.labels.transform import clip_labels
from pipelines.storage.store import Store
from pipelines.synthesis.recovery import clip_truth
from schemas.agreement import LabelAgreement
from schemas.labels import Labels
from schemas.recipe import Recipe

PAGE: Final = "chance that all are right"
BOOTSTRAPS: Final = 2000
WRONG: Final = 0.5  # an agreement below it is an error


class LookedAt(NamedTuple):
    """A clip: its song, its labels, and how many of them are wrong."""

    song: str
    labels: Labels
    errors: int


def clips_of(corpus: str) -> list[LookedAt]:
    """Clips of a corpus of composed pieces, with their errors."""
    found: list[LookedAt] = []
    for bucket in read_plan(Store(corpus)).buckets:
        job = Job(corpus, bucket, Recipe())
        heard = {row.clip_key: row.labels for row in ANNOTATIONS.read(job)}
        for clip in CLIPS.read(job):
            if clip.clip_key in heard:
                labels = heard[clip.clip_key]
                right = agreement(clip_truth(clip), clip_labels(labels, clip.length_s))
                found.append(LookedAt(clip.song.song_id, labels, errors(right)))
    return found


def errors(right: LabelAgreement) -> int:
    """How many labels are wrong; what the truth does not say is none."""
    values = (getattr(right, name) for name in LabelAgreement.model_fields)
    return sum(value is not None and value < WRONG for value in values)


def weakest(labels: Labels) -> float:
    """The chance that the least sure label is right."""
    return min(confidences(labels).values())


def times_chance(clips: list[LookedAt], rank: Callable[[Labels], float], share: float) -> float:
    """Errors among the first clips of an order, over those among as many at random; 1 where there
    are none at all.
    """
    total = sum(clip.errors for clip in clips)
    first = sorted(clips, key=lambda clip: rank(clip.labels))[: max(1, round(share * len(clips)))]
    return sum(clip.errors for clip in first) / (total * len(first) / len(clips)) if total else 1.0


def interval(
    clips: list[LookedAt], rank: Callable[[Labels], float], share: float
) -> tuple[float, float]:
    """95 % of bootstraps over songs."""
    by_song: dict[str, list[LookedAt]] = defaultdict(list)
    for clip in clips:
        by_song[clip.song].append(clip)
    songs, rng = sorted(by_song), np.random.default_rng(0)
    drawn = [
        times_chance([clip for at in picks for clip in by_song[songs[at]]], rank, share)
        for picks in rng.integers(len(songs), size=(BOOTSTRAPS, len(songs)))
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus")
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--goal", type=float, default=3.0)
    options = parser.parse_args()
    clips = clips_of(options.corpus)
    total = sum(clip.errors for clip in clips)
    songs = len({clip.song for clip in clips})
    print(f"{len(clips)} clips of {songs} songs, {total} errors in "
          f"{sum(clip.errors > 0 for clip in clips)} of them\n")  # fmt: skip
    print(f"| order | times chance, first {options.share:.0%} | 95 % |\n|---|---:|---:|")
    found = {}
    for name, rank in ((PAGE, all_right), ("weakest label", weakest)):
        found[name] = times_chance(clips, rank, options.share)
        low, high = interval(clips, rank, options.share)
        print(f"| {name} | {found[name]:.2f} | {low:.2f} to {high:.2f} |")
    if found[PAGE] < options.goal:
        print(f"FAILED: under {options.goal:g} times chance")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
