"""A corpus of tones that a test edits, and the quick recipe that builds it: annotators that read
nothing, and one variant.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import soundfile

from flows.build.local import build
from pipelines.beam.options import Engine
from pipelines.stages.output.verify import read_back
from schemas.dataset import Dataset
from schemas.recipe import Recipe
from schemas.sample import Sample
from tests.support.small_build import SMALL

TONE_S: Final = 9.0

PLAIN = SMALL.replaced(
    annotate=SMALL.annotate.replaced(
        beats="tests.support.plug_ins.plain_annotator",
        chords="tests.support.plug_ins.plain_annotator",
        key="tests.support.plug_ins.plain_annotator",
    ),
    vary=SMALL.vary.replaced(semitones=(2,), speeds=0, volumes=0),
    verify=SMALL.verify.replaced(relabel_clips=0),
)

# the same by an annotator that waits until it may go on
PATIENT = PLAIN.replaced(
    annotate=PLAIN.annotate.replaced(key="tests.support.plug_ins.patient_annotator")
)


class Corpus:
    """A manifest of tones that a test edits, and its build."""

    def __init__(self, folder: Path, songs: int) -> None:
        self.folder, self.out = folder, folder / "out"
        self.rows: dict[int, dict[str, str]] = {}
        for number in range(songs):
            self.add(number)

    def add(self, number: int, *, duration_s: float = TONE_S, **cells: str) -> None:
        times_s = np.arange(round(duration_s * 44_100)) / 44_100
        soundfile.write(
            self.folder / f"{number}.flac",
            0.3 * np.sin(2 * np.pi * (200 + 10 * number) * times_s),
            44_100,
        )
        self.rows[number] = {
            "uri": f"{number}.flac",
            "caption": f"Tone number {number}.",
            "split": "train",
            **cells,
        }

    def write(self) -> None:
        with (self.folder / "songs.csv").open("w", newline="") as out:
            writer = csv.DictWriter(out, fieldnames=["uri", "caption", "split"])
            writer.writeheader()
            writer.writerows(self.rows.values())

    def build(self, recipe: Recipe = PLAIN, *, shrink: bool = False) -> Dataset:
        self.write()
        return build(
            [str(self.folder / "songs.csv")],
            str(self.out),
            recipe,
            Engine(),
            lambda _: None,
            shrink=shrink,
        )

    def samples(self) -> Iterator[tuple[str, Sample]]:
        for shard in sorted((self.out / "shards").glob("*.tar")):
            yield from ((shard.stem, read.sample) for read in read_back(str(shard)))
