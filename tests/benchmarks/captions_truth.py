"""Drawn truth of a made-up clip, and whether a stated fact holds of it: arithmetic on names, apart
from the pipeline's own.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipelines.captioning.metadata import Metadata
from schemas.corpus import Change
from schemas.fact import Fact, FactKind
from schemas.identity import keyed_rng
from schemas.labels import Beats, Chords, ChordSegment, KeyLabel, Labels, Meter, Tempo

HOW = {"confidence": 0.95, "tool": "drawn", "version": "1", "licence": "CC0"}
NAMES = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
DEGREES = {"3": 4, "b3": 3, "5": 7}
QUALITIES = ("maj", "min", "7", "maj7", "min7", "dim", "sus4", "maj", "min")
MARKS = {
    "largo": 0,
    "larghetto": 60,
    "adagio": 66,
    "andante": 76,
    "moderato": 108,
    "allegro": 120,
    "presto": 168,
    "prestissimo": 200,
}
HALF = 0.51  # a tempo is written in whole beats, of labels in hundredths


@dataclass(frozen=True)
class SampledTruth:
    """What is true of one clip: chords are (root, quality, bass) with their starts."""

    bpm: float
    meter: int
    tonic: int
    mode: str
    chords: tuple[tuple[int, str, str], ...]
    starts: tuple[float, ...]
    named: frozenset[str]

    def labels(self) -> Labels:
        """The truth as labels of 10 s."""
        names = [f"{NAMES[root]}:{quality}{bass}" for root, quality, bass in self.chords]
        ends = (*self.starts[1:], 10.0)
        spans = zip(self.starts, ends, names, strict=True)
        segments = tuple(
            ChordSegment(start_s=start, end_s=end, label=name) for start, end, name in spans
        )
        return Labels(
            duration_s=10,
            beats=Beats(**HOW),
            meter=Meter(beats_per_bar=self.meter, **HOW),
            tempo=Tempo(bpm=self.bpm, **HOW),
            chords=Chords(segments=segments, **HOW),
            key=KeyLabel(tonic=self.tonic, mode=self.mode, **HOW),
        )


def sampled_truth(name: str, metadata: Metadata) -> SampledTruth:
    """Random truth that depends on the name alone."""
    rng = keyed_rng(0, name, "benchmark")
    several = [
        (int(rng.integers(12)), str(rng.choice(QUALITIES)), str(rng.choice(["", "", "", "/5"])))
        for _ in range(8)
    ]
    chords = several[: int(rng.integers(2, 9))]
    if rng.random() < 0.4:
        chords = several[: int(rng.integers(2, 5))] * 2
    starts = tuple(sorted(rng.choice(np.arange(1, 100), len(chords) - 1, replace=False) / 10))
    return SampledTruth(
        bpm=round(float(rng.uniform(45, 195)), 2),
        meter=int(rng.choice([2, 3, 4, 4, 4, 5, 6, 7])),
        tonic=int(rng.integers(12)),
        mode=str(rng.choice(["major", "minor"])),
        chords=tuple(chords),
        starts=(0.0, *(float(start) for start in starts)),
        named=frozenset((*metadata.instruments, *metadata.moods)),
    )


def pitch(name: str) -> int:
    """Pitch class of a note name."""
    return (LETTERS[name[0]] + name.count("#") - name.count("b")) % 12


def chord_of(label: str) -> tuple[int, str, int]:
    """Root, quality and bass, as pitch classes, of a Harte label."""
    head, _, degree = label.partition("/")
    root, _, quality = head.partition(":")
    return pitch(root), quality, (pitch(root) + DEGREES.get(degree, 0)) % 12


def transformed_chords(
    truth: SampledTruth, change: Change
) -> tuple[list[tuple[int, str, int]], list[float]]:
    """The changed chords without immediate repeats, and their starts."""
    chords: list[tuple[int, str, int]] = []
    starts: list[float] = []
    for (root, quality, bass), start in zip(truth.chords, truth.starts, strict=True):
        moved = (root + change.semitones) % 12
        chord = (moved, quality, (moved + (7 if bass else 0)) % 12)
        if not chords or chords[-1] != chord:
            chords.append(chord)
            starts.append(start / change.speed)
    return chords, starts


def is_right(fact: Fact, truth: SampledTruth, change: Change) -> bool:
    """Whether a fact holds of the changed truth."""
    return _RIGHT[fact.kind](fact.text, truth, change)


def _bpm(value: str, truth: SampledTruth, change: Change) -> bool:
    return abs(float(value) - truth.bpm * change.speed) <= HALF


def _tempo_word(value: str, truth: SampledTruth, change: Change) -> bool:
    near = (truth.bpm * change.speed - HALF, truth.bpm * change.speed + HALF)
    return value in [
        max((low, word) for word, low in MARKS.items() if low <= bpm)[1] for bpm in near
    ]


def _key(value: str, truth: SampledTruth, change: Change) -> bool:
    tonic, _, mode = value.rpartition(" ")
    return mode == truth.mode and (
        not tonic or pitch(tonic) == (truth.tonic + change.semitones) % 12
    )


def _chords(value: str, truth: SampledTruth, change: Change) -> bool:
    return [chord_of(label) for label in value.split()] == transformed_chords(truth, change)[0]


def _timed_chords(value: str, truth: SampledTruth, change: Change) -> bool:
    pairs = [one.split("@") for one in value.split()]
    chords, starts = transformed_chords(truth, change)
    near = all(
        abs(float(at) - start) <= 0.051 for (_, at), start in zip(pairs, starts, strict=False)
    )
    return near and [chord_of(label) for label, _ in pairs] == chords


def _dynamics(value: str, truth: SampledTruth, change: Change) -> bool:
    return (
        value == ("crescendo" if change.gain_end > change.gain_start else "decrescendo")
        and change.gain_end != change.gain_start
    )


def _named(value: str, truth: SampledTruth, change: Change) -> bool:
    return value in truth.named


_RIGHT: dict[FactKind, Callable[[str, SampledTruth, Change], bool]] = {
    FactKind.BPM: _bpm,
    FactKind.TEMPO_WORD: _tempo_word,
    FactKind.METER: lambda value, truth, change: int(value) == truth.meter,
    FactKind.KEY: _key,
    FactKind.CHORDS: _chords,
    FactKind.TIMED_CHORDS: _timed_chords,
    FactKind.DYNAMICS: _dynamics,
    FactKind.INSTRUMENT: _named,
    FactKind.MOOD: _named,
    FactKind.TIME: lambda value, truth, change: False,  # we state none
}
