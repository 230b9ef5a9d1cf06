"""Are confidences that `obbligato review --refit` fits better where the shipped ones are off, and
no worse where they are right?

    python -m tests.benchmarks.refit demo/corpus [--draws 40]

Clips and their confidences are a build's; how far labels are right is drawn, so that it is known
how far the confidences are off: in each world the log odds of being right are shift + slope × those
of the confidence, and a label is right or wrong by that chance. A listener judges the least sure
clips whole, as the page orders them. Measured on songs of which no clip was judged, all labels
together: log loss in nats and expected calibration error (ten equal bins), before and after. The
exit status is 1 where a goal is missed: of the mean over draws, log loss and calibration error are
lower from 50 clips on where confidences are off, and log loss is at most 0.002 nats higher where
they are right.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from pipelines.build.outputs import Job
from pipelines.build.plans import read_plan
from pipelines.build.tables import ANNOTATIONS
from pipelines.labels.calibration import chance_at, log_odds
from pipelines.labels.doubt import all_right, confidences
from pipelines.labels.refit import (
    LABELS,
    Floats,
    ReviewedClip,
    calibration_of,
    refitted,
)
from pipelines.storage.store import Store
from schemas.agreement import LabelAgreement
from schemas.calibration import Calibration
from schemas.labels import Annotation
from schemas.recipe import Recipe

# shift and slope of the log odds
WORLDS: Final = {
    "right": (0.0, 1.0),
    "much too sure": (-2.0, 1.0),
    "too sure": (-1.0, 1.0),
    "not sure enough": (1.0, 1.0),
    "says too little": (0.0, 0.5),
}
JUDGED: Final = (20, 50, 100, 200)
ENOUGH: Final = 50
MOST_WORSE: Final = 0.002  # nats a label
_BINS: Final = 10


class Held(NamedTuple):
    """Held-out labels: confidences, and which are right."""

    chance: Floats
    right: Floats

    @property
    def log_loss(self) -> float:
        odds = np.array([log_odds(chance) for chance in self.chance])
        return float((np.logaddexp(0, odds) - odds * self.right).mean())

    @property
    def ece(self) -> float:
        bins = np.minimum((self.chance * _BINS).astype(int), _BINS - 1)
        gaps = np.bincount(bins, weights=self.chance - self.right, minlength=_BINS)
        return float(np.abs(gaps).sum() / len(self.chance))


def drawn(
    rows: Sequence[Annotation], world: tuple[float, float], rng: np.random.Generator
) -> list[ReviewedClip]:
    """What a listener would say of all clips of a world."""
    shift, slope = world
    found = []
    for row in rows:
        odds = {label: shift + slope * log_odds(confidences(row.labels)[label])
                for label in LABELS}  # fmt: skip
        right = {label: float(rng.random() < 1 / (1 + np.exp(-odds[label]))) for label in LABELS}
        song = row.clip_key.partition("-")[0]
        found.append(ReviewedClip(song, row.labels, LabelAgreement(**right)))
    return found


def held_out(rows: Sequence[ReviewedClip], calibration: Calibration) -> Held:
    pairs = [
        (
            chance_at(getattr(calibration, label), confidences(row.heard)[label]),
            getattr(row.right, label),
        )
        for row in rows
        for label in LABELS
    ]
    chance, right = np.array(pairs).T
    return Held(chance, right)


class Trial(NamedTuple):
    """One draw: labels that got a curve; log loss and calibration error before and after."""

    curves: int
    log_loss: tuple[float, float]
    ece: tuple[float, float]


def trial(rows: Sequence[Annotation], world: tuple[float, float], count: int, seed: int) -> Trial:
    clips = drawn(rows, world, np.random.default_rng([seed, count]))
    judged = clips[:count]
    songs = {one.song_id for one in judged}
    rest = [one for one in clips if one.song_id not in songs]
    calibration = calibration_of(refitted(judged))
    before, after = held_out(rest, Calibration()), held_out(rest, calibration)
    curves = sum(getattr(calibration, label) is not None for label in LABELS)
    return Trial(curves, (before.log_loss, after.log_loss), (before.ece, after.ece))


def annotated(corpus: str) -> list[Annotation]:
    """Clips of which all was heard, the least sure first."""
    jobs = [Job(corpus, bucket, Recipe()) for bucket in read_plan(Store(corpus)).buckets]
    rows = [row for job in jobs for row in ANNOTATIONS.read(job)]
    whole = [row for row in rows if row.labels.beats.times_s and row.labels.key.mode]
    return sorted(whole, key=lambda row: (all_right(row.labels), row.clip_key))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus")
    parser.add_argument("--draws", type=int, default=40)
    options = parser.parse_args()
    rows = annotated(options.corpus)
    print(f"{len(rows)} clips; {options.draws} draws a row\n")
    print("| confidences are | judged | curves of 6 | log loss | refitted | lower in | ECE | "
          "refitted |\n|---|---:|---:|---:|---:|---:|---:|---:|")  # fmt: skip
    missed = []
    for name, world in WORLDS.items():
        for count in JUDGED:
            trials = [trial(rows, world, count, seed) for seed in range(options.draws)]
            loss, ece = (np.array([getattr(one, what) for one in trials])
                         for what in ("log_loss", "ece"))  # fmt: skip
            lower = (loss[:, 1] < loss[:, 0]).mean()
            (loss_before, loss_after), (ece_before, ece_after) = loss.mean(axis=0), ece.mean(axis=0)
            curves = np.mean([one.curves for one in trials])
            print(f"| {name} | {count} | {curves:.1f} | {loss_before:.4f} | {loss_after:.4f} | "
                  f"{lower:.0%} | {ece_before:.3f} | {ece_after:.3f} |")  # fmt: skip
            better = loss_after < loss_before and ece_after < ece_before
            if name == "right":
                met = loss_after <= loss_before + MOST_WORSE
            else:
                met = better or count < ENOUGH
            if not met:
                missed.append(f"{name}, {count} clips")
    print(f"\nFAILED: {'; '.join(missed)}" if missed else "\nall goals are met")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
