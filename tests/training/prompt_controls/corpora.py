"""Corpora for tests: samples with chosen labels, and statistics made by hand."""

from collections.abc import Mapping
from itertools import accumulate, pairwise
from types import MappingProxyType

from schemas.labels import Beats, Chords, ChordSegment, KeyLabel, Meter, Tempo
from schemas.pitch import Key, Mode
from schemas.sample import Sample
from tests.pipelines.shards.shard_samples import our_sample
from training.prompt_controls.corpus import CorpusStatistics, ModeChords


def sample(
    *,
    bpm: float | None = 120,
    meter: int | None = 4,
    key: str | None = "A minor",
    chords: str = "",
    beats_each: tuple[int, ...] = (),
    first: tuple[float, int] | None = (0.0, 1),
    sure: float = 0.9,
    confidences: Mapping[str, float] = MappingProxyType({}),
) -> Sample:
    """A sample whose chords last so many beats each; `confidences` by the label's name replace
    `sure`.
    """

    def how(name: str) -> dict[str, object]:
        return {
            "confidence": confidences.get(name, sure),
            "tool": "truth",
            "version": "1",
            "licence": "CC0",
        }

    labels = chords.split()
    times_s = [
        0.0,
        *accumulate(beats * 60 / (bpm or 120) for beats in beats_each or (4,) * len(labels)),
    ]
    segments = tuple(
        ChordSegment(start_s=at, end_s=end, label=label)
        for label, (at, end) in zip(labels, pairwise(times_s), strict=True)
    )
    found = Key.parse(key) if key else None
    return our_sample(
        beats=Beats(
            times_s=(first[0],) if first else (),
            numbers=(first[1],) if first else (),
            downbeat_confidence=sure,
            **how("beats"),
        ),
        meter=Meter(beats_per_bar=meter, **how("meter")),
        tempo=Tempo(bpm=bpm, **how("tempo")),
        chords=Chords(segments=segments, **how("chords")),
        key_label=KeyLabel(tonic=found and found.tonic, mode=found and found.mode, **how("key")),
    )


# Mostly slow waltzes in D minor, some fast pieces in four in F major.
WALTZES = CorpusStatistics(
    samples=100,
    tempos={0: {200: 1}, 3: {70: 10, 80: 25, 90: 30, 150: 1}, 4: {120: 5, 140: 20, 160: 8}},
    meters={3: 66, 4: 33},
    keys={"D minor": 60, "F major": 20},
    beats_per_chord={3: {3: 40, 6: 50, 2: 99}, 4: {2: 30, 4: 10}},
    first_beats={1: {0: 30, 100: 60}, 2: {100: 10}},
    harmony={
        Mode.MINOR: ModeChords(
            first={"0:min": 10},
            follows={
                "0:min": {"5:min": 9},
                "5:min": {"7:7": 9},
                "7:7": {"0:min": 90, "8:maj": 5, "3:maj": 1},
                "8:maj": {"0:min": 2},
            },
            progressions={"0:min 5:min 7:7 0:min": 9},
        ),
        Mode.MAJOR: ModeChords(first={"0:maj": 1}, follows={}, progressions={}),
    },
)

SAMPLES_IN_THREE = [
    sample(
        bpm=90,
        meter=3,
        key="A minor",
        chords="A:min F:maj D:min A:min F:maj",
        beats_each=(3, 3, 3, 3, 3),
    ),
    sample(
        bpm=90, meter=3, key="E minor", chords="E:min C:maj A:min E:min", beats_each=(3, 3, 3, 3)
    ),
]
