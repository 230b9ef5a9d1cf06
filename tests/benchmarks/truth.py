"""How true the labels are: our annotators and the tools they stand beside, against clips whose
truth is known.

    python -m tests.benchmarks.truth FOLDER [FOLDER …] [--batch 64] [--peers] [--meters 2,3,4]
                                     [--raw]

What a FOLDER holds stands in `training/annotator_training/known_truth.py`. Prints one row of
figures per annotator (mir_eval; means over clips), CPU seconds per 10 s of audio, and how far our
confidences can be believed. Chordino joins where `vamp` and `chord-extractor` are installed.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipelines.annotators import RATE_HZ
from pipelines.annotators.windows import annotate_waves
from pipelines.audio.decode import Wave
from schemas.labels import Labels
from schemas.recipe import AnnotateRecipe
from tests.benchmarks.truth_peers import PEERS
from training.annotator_training.known_truth import FIGURES, as_estimate, clips, scores

BINS = np.linspace(0, 1, 11)


def table(rows: dict[str, tuple[list[dict[str, float]], float]]) -> str:
    """Means and CPU seconds as Markdown."""
    lines = [
        "| annotator | " + " | ".join(FIGURES) + " | CPU s per 10 s |",
        "|---|" + "---:|" * (len(FIGURES) + 1),
    ]
    for name, (figures, cpu_s) in rows.items():
        means = [[row[column] for row in figures if column in row] for column in FIGURES]
        lines.append(
            f"| {name} | "
            + " | ".join(f"{np.mean(mean):.3f}" if mean else "" for mean in means)
            + f" | {cpu_s:.3f} |"
        )
    return "\n".join(lines)


def reliability(pairs: dict[str, list[tuple[float, float]]]) -> str:
    """Per label: expected calibration error (ten bins), and the gate that keeps 60 % of the clips
    with what is right above it.
    """
    lines = [
        "| label | clips | right | mean confidence | ECE | gate that keeps 60 % | right above it |",
        "|---|" + "---:|" * 6,
    ]
    for label, rows in pairs.items():
        confidence, right = np.array(rows).T
        gate = float(np.quantile(confidence, 0.4))
        above = right[confidence >= gate].mean()
        error = expected_error(confidence, right)
        lines.append(
            f"| {label} | {len(rows)} | {right.mean():.3f} | {confidence.mean():.3f} | "
            f"{error:.3f} | {gate:.2f} | {above:.3f} |"
        )
    return "\n".join(lines)


def expected_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error: |mean confidence − share right| over ten equal bins, weighed by
    their clips.
    """
    bins = np.clip(np.digitize(confidence, BINS) - 1, 0, len(BINS) - 2)
    parts = [bins == part for part in set(bins.tolist())]
    return float(
        sum(abs(confidence[part].mean() - right[part].mean()) * part.mean() for part in parts)
    )


def curve(pairs: dict[str, list[tuple[float, float]]]) -> str:
    """The reliability curve: what share is right in each fifth of confidence, and of how many
    clips.
    """
    edges = np.linspace(0, 1, 6)
    lines = [
        "| label | " + " | ".join(f"{low:.1f}-{high:.1f}" for low, high in pairwise(edges)) + " |",
        "|---|" + "---:|" * 5,
    ]
    for label, rows in pairs.items():
        confidence, right = np.array(rows).T
        bins = np.clip(np.digitize(confidence, edges) - 1, 0, 4)
        cells = [
            f"{right[bins == part].mean():.2f} ({(bins == part).sum()})"
            if (bins == part).any()
            else ""
            for part in range(5)
        ]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def believed(labels: Labels, figures: dict[str, float]) -> dict[str, tuple[float, float]]:
    """Confidence and outcome of each label that has both."""
    claims = {
        "beats": (labels.beats.confidence, "beats"),
        "downbeats": (labels.beats.downbeat_confidence, "downbeats"),
        "meter": (labels.meter.confidence, "meter"),
        "tempo": (labels.tempo.confidence, "tempo"),
        "chords": (labels.chords.confidence, "sevenths"),
        "key": (labels.key.confidence, "key"),
    }
    return {
        label: (confidence, figures[column])
        for label, (confidence, column) in claims.items()
        if column in figures
    }


def _one_by_one(peer: Callable[[Wave], Any], waves: Sequence[Wave]) -> list[Any]:
    return [peer(wave) for wave in waves]


def timed(
    annotate: Callable[[list[Wave]], list[Any]], waves: Sequence[Wave], batch: int
) -> tuple[list[Any], float]:
    """What an annotator says of each wave, and its CPU seconds per 10 s of audio; models are loaded
    before.
    """
    annotate([waves[0]])
    began = time.process_time()
    found = [
        row
        for start in range(0, len(waves), batch)
        for row in annotate(list(waves[start : start + batch]))
    ]
    return found, (time.process_time() - began) / sum(len(wave) for wave in waves) * RATE_HZ * 10


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--peers", action="store_true", help="the other tools too")
    parser.add_argument("--meters", default="3,4")
    parser.add_argument("--raw", action="store_true", help="labels below their gates too")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    recipe = AnnotateRecipe(meters=tuple(int(meter) for meter in arguments.meters.split(",")))
    if arguments.raw:
        recipe = recipe.replaced(
            min_beats_confidence=0, min_chords_confidence=0, min_key_confidence=0
        )
    for folder in arguments.folders:
        known = list(clips(folder))
        waves = [clip.wave for clip in known]
        labels, cpu_s = timed(lambda part: annotate_waves(part, recipe), waves, arguments.batch)
        figures = [
            scores(clip.truth, as_estimate(row)) for clip, row in zip(known, labels, strict=True)
        ]
        rows = {"obbligato": (figures, cpu_s)}
        for name, peer in PEERS.items() if arguments.peers else ():
            found, peer_s = timed(partial(_one_by_one, peer), waves, 1)
            rows[name] = (
                [scores(clip.truth, row) for clip, row in zip(known, found, strict=True)],
                peer_s,
            )
        pairs: dict[str, list[tuple[float, float]]] = {}
        for row, figure in zip(labels, figures, strict=True):
            for label, pair in believed(row, figure).items():
                pairs.setdefault(label, []).append(pair)
        print(
            (
                f"\n## {folder.name}: {len(known)} "
                f"clips\n\n{table(rows)}\n\n{reliability(pairs)}\n\n{curve(pairs)}"
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
