"""Do labels move as the audio does? Labels extracted again from every variant, against the moved
ones and against the truth.

    python tests/benchmarks/variants.py BUILD TRUTH_FOLDER [--workers 2]

BUILD is a build of clips whose truth stands in TRUTH_FOLDER as JSON (beats, meter, chords, key,
tempo_bpm; see truth_of). Prints two tables: agreement with the moved labels, and agreement with the
moved truth with the paired difference from the originals (95 % bootstrap over clips). A missing
label counts as a miss.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import fmean

import numpy as np

from pipelines.annotators import RATE_HZ
from pipelines.annotators.windows import annotate_waves
from pipelines.audio.decode import decoded, resampled
from pipelines.build.outputs import Job
from pipelines.engine import bucket
from pipelines.engine.child_process import CHILDREN, Death
from pipelines.labels.agreement import agreement
from pipelines.labels.transform import cut, sped_up, transposed
from pipelines.stages.output.verify import read_back
from pipelines.storage.store import Store
from schemas.agreement import LabelAgreement
from schemas.chord import NO_CHORD, Chord
from schemas.identity import variant_kind
from schemas.labels import Beats, Chords, ChordSegment, KeyLabel, Labels, Meter, Tempo
from schemas.pitch import parse_note
from schemas.recipe import AnnotateRecipe, LimitsRecipe, Recipe

FIGURES = tuple(LabelAgreement.model_fields)


def truth_of(path: Path) -> Labels:
    """Labels from a truth file: beats [[time, number]], meter [n, 4], tempo_bpm, chords [{start,
    end, label}], key or null.
    """
    found = json.loads(path.read_text())
    claim = {
        "confidence": 1.0,
        "tool": "truth",
        "version": "1",
        "licence": "CC0-1.0",
        "origin": "stated",
    }
    segments = [
        ChordSegment(start_s=chord["start"], end_s=chord["end"], label=known(chord["label"]))
        for chord in found["chords"]
    ]
    key = found["key"]
    return Labels(
        duration_s=found["duration"],
        beats=Beats(
            times_s=tuple(beat[0] for beat in found["beats"]),
            numbers=tuple(beat[1] for beat in found["beats"]),
            **claim,
        ),
        meter=Meter(beats_per_bar=found["meter"][0], **claim),
        tempo=Tempo(bpm=found.get("tempo_bpm_mean") or found["tempo_bpm"], **claim),
        chords=Chords(segments=tuple(segments), **claim),
        key=KeyLabel(**({"tonic": key["tonic_pc"], "mode": key["mode"]} if key else {}), **claim),
    )


def known(label: str) -> str:
    """A truth label in our vocabulary: qualities outside it keep root and third, which is all that
    is compared.
    """
    if label == NO_CHORD:
        return label
    try:
        return Chord.parse(label).harte
    except ValueError:
        root, _, quality = label.partition(":")
        minor = quality.startswith(("min", "dim", "hdim"))
        return Chord(root=parse_note(root), quality="min" if minor else "maj").harte


def relabel(flacs: Sequence[bytes], recipe: AnnotateRecipe) -> list[Labels]:
    """Labels extracted from FLACs; runs in a worker's child."""
    audio = [decoded(content) for content in flacs]
    return annotate_waves(
        [resampled(excerpt.wave, excerpt.rate_hz, RATE_HZ) for excerpt in audio], recipe
    )


def measure(job: Job, truths: dict[str, Labels]) -> list[dict[str, object]]:
    """Both agreements of every sample of a bucket."""
    rows: list[dict[str, object]] = []
    with bucket.child(LimitsRecipe()) as child:
        for batch in bucket.batches(list(read_back(job.store.path(f"shards/{job.bucket}.tar"))), 8):
            found = child.run(relabel, [item.flac for item in batch], job.recipe.annotate)
            for item, labels in zip(batch, found, strict=True):
                if isinstance(labels, Death):
                    raise SystemExit(f"{item.sample.key}: {labels.message}")
                sample = item.sample
                truth = truths[Path(sample.source.uri).stem]
                moved = transposed(
                    cut(sped_up(truth, sample.change.speed), sample.duration_s),
                    sample.change.semitones,
                )
                kind = variant_kind(sample.change.variant).value
                rows.append(
                    {
                        "clip": sample.clip_key,
                        "kind": kind,
                        "moved": agreement(sample.labels, labels),
                        "truth": agreement(moved, labels),
                    }
                )
    return rows


def means(rows: list[dict[str, object]], against: str, figure: str) -> dict[str, float]:
    """Mean of a figure per clip."""
    found: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        value = getattr(row[against], figure)
        if value is not None:
            found[str(row["clip"])].append(value)
    return {clip: fmean(values) for clip, values in found.items()}


def paired(variant: dict[str, float], original: dict[str, float]) -> tuple[float, float, float]:
    """Mean difference variant − original over clips that have both, with its 95 % bootstrap
    interval (10,000 draws, seed 0).
    """
    both = np.array(
        [variant[clip] - original[clip] for clip in sorted(variant.keys() & original.keys())]
    )
    rng = np.random.default_rng(0).choice(both, (10_000, len(both))).mean(axis=1)
    low, high = np.percentile(rng, (2.5, 97.5))
    return float(both.mean()), float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("build")
    parser.add_argument("truth", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    truths = {path.stem: truth_of(path) for path in arguments.truth.glob("r*.json")}
    names = [
        name.removesuffix(".tar")
        for name in Store(arguments.build).names("shards")
        if name.endswith(".tar")
    ]
    with ThreadPoolExecutor(arguments.workers) as pool:
        rows = [
            row
            for part in pool.map(
                lambda name: measure(Job(arguments.build, name, Recipe()), truths), names
            )
            for row in part
        ]
    CHILDREN.close()
    by_kind = {
        kind: [row for row in rows if row["kind"] == kind]
        for kind in ("original", "pitch", "speed", "volume")
    }
    print("re-extracted against the moved labels\n| kind | samples | " + " | ".join(FIGURES) + " |")
    for kind, found in by_kind.items():
        figures = [
            fmean(value for row in found if (value := getattr(row["moved"], name)) is not None)
            for name in FIGURES
        ]
        print(
            f"| {kind} | {len(found)} | " + " | ".join(f"{value:.3f}" for value in figures) + " |"
        )
    print(
        (
            "\n"
            "re-extracted against the moved truth: mean, "
            "and paired difference from the originals [95 %]\n"
            "| kind | "
        )
        + " | ".join(FIGURES)
        + " |"
    )
    for kind, found in by_kind.items():
        cells = []
        for name in FIGURES:
            mine, original = means(found, "truth", name), means(by_kind["original"], "truth", name)
            mean, low, high = paired(mine, original)
            cells.append(
                f"{fmean(mine.values()):.3f}"
                + ("" if kind == "original" else f" ({mean:+.3f} [{low:+.3f}, {high:+.3f}])")
            )
        print(f"| {kind} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
