"""Counting what is usual in a corpus, sample by sample.

Memory is bounded: there are counters alone, and rare progressions are let go.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from schemas.chord import Chord
from schemas.labels import Chords
from schemas.pitch import Key, Mode
from schemas.sample import Sample
from training.prompt_controls.corpus import (
    MAX_BPM,
    MAX_FIRST_BEAT_MS,
    MAX_METER,
    OFFSET_STEP_MS,
    PROGRESSION_LENGTH,
    UNSURE_METER,
    CorpusStatistics,
    ModeChords,
    frequent_harmony,
    most_frequent,
    relative,
)

# Confidences are calibrated, so what is counted is right more often than not, and the wrong ones
# are spread over many values. A stricter gate would count the easy pieces alone: a steady 4/4 with
# drums.
MIN_CONFIDENCE: Final = 0.5
# A pair of chords is right where both are: 0.7 × 0.7 is about a half. The key that they are counted
# in must be as sure.
MIN_CHORDS_CONFIDENCE: Final = 0.7
_MAX_BEATS_PER_CHORD: Final = 64
# Once there are so many different progressions, the rarer half goes. 50,000 short texts take about
# 5 MB.
_PROGRESSIONS_HELD: Final = 50_000


class _Length(NamedTuple):
    """A chord without its bass and how long it lasts; none where no chord sounds."""

    chord: Chord | None
    length_s: float


def corpus_statistics(samples: Iterable[Sample]) -> CorpusStatistics:
    """What is usual in these samples, which are to be those of the train split.

    The same samples in the same order give the same.
    """
    counts = CorpusCounts()
    for sample in samples:
        counts.add(sample)
    return counts.statistics()


def _sure_meter(sample: Sample) -> int | None:
    meter = sample.meter
    if (
        meter.confidence < MIN_CONFIDENCE
        or meter.beats_per_bar is None
        or meter.beats_per_bar > MAX_METER
    ):
        return None
    return meter.beats_per_bar


def _sure_bpm(sample: Sample) -> float | None:
    tempo = sample.tempo
    if tempo.confidence < MIN_CONFIDENCE or tempo.bpm is None or not 1 <= tempo.bpm <= MAX_BPM:
        return None
    return tempo.bpm


class CorpusCounts:
    """Counters that samples are added to.

    Labels that are empty, or less sure than the limits above, are not counted.
    """

    def __init__(self) -> None:
        self._samples = 0
        self._tempos: defaultdict[int, Counter[int]] = defaultdict(Counter)
        self._meters: Counter[int] = Counter()
        self._keys: Counter[str] = Counter()
        self._beats_per_chord: defaultdict[int, Counter[int]] = defaultdict(Counter)
        self._first_beats: defaultdict[int, Counter[int]] = defaultdict(Counter)
        self._harmony: defaultdict[Mode, _HarmonyCounts] = defaultdict(_HarmonyCounts)

    def add(self, sample: Sample) -> None:
        """Counts one sample more."""
        self._samples += 1
        meter, bpm = _sure_meter(sample), _sure_bpm(sample)
        if meter is not None:
            self._meters[meter] += 1
        if bpm is not None:
            self._tempos[meter or UNSURE_METER][round(bpm)] += 1
        self._add_first_beat(sample)
        lengths = (
            _lengths(sample.chords) if sample.chords.confidence >= MIN_CHORDS_CONFIDENCE else []
        )
        if meter is not None and bpm is not None:
            self._add_beats_per_chord(
                lengths[1:-1], meter, bpm
            )  # the window may have cut the first and the last
        self._add_key(sample, lengths)

    def statistics(self) -> CorpusStatistics:
        """All counts so far."""
        return CorpusStatistics(
            samples=self._samples,
            tempos=_sorted_each(self._tempos),
            meters=dict(sorted(self._meters.items())),
            keys=dict(sorted(self._keys.items())),
            beats_per_chord=_sorted_each(self._beats_per_chord),
            first_beats=_sorted_each(self._first_beats),
            harmony={mode: counts.harmony() for mode, counts in sorted(self._harmony.items())},
        )

    def _add_beats_per_chord(self, lengths: Sequence[_Length], meter: int, bpm: float) -> None:
        for one in lengths:
            beats = round(min(one.length_s * bpm / 60, 2 * _MAX_BEATS_PER_CHORD))
            if one.chord is not None and 1 <= beats <= _MAX_BEATS_PER_CHORD:
                self._beats_per_chord[meter][beats] += 1

    def _add_first_beat(self, sample: Sample) -> None:
        beats = sample.beats
        if beats.times_s and min(beats.confidence, beats.downbeat_confidence) >= MIN_CONFIDENCE:
            steps = round(min(beats.times_s[0] * 1000, 2 * MAX_FIRST_BEAT_MS) / OFFSET_STEP_MS)
            if steps * OFFSET_STEP_MS > MAX_FIRST_BEAT_MS or beats.numbers[0] > MAX_METER:
                return
            self._first_beats[beats.numbers[0]][steps * OFFSET_STEP_MS] += 1

    def _add_key(self, sample: Sample, lengths: list[_Length]) -> None:
        label = sample.key_label
        if label.tonic is None or label.mode is None or label.confidence < MIN_CONFIDENCE:
            return
        self._keys[Key(tonic=label.tonic, mode=label.mode).name] += 1
        if lengths and label.confidence >= MIN_CHORDS_CONFIDENCE:
            self._harmony[label.mode].add(
                [None if one.chord is None else relative(one.chord, label.tonic) for one in lengths]
            )


class _HarmonyCounts:
    """Counts of the chords of one mode, relative to the tonic."""

    def __init__(self) -> None:
        self.first: Counter[str] = Counter()
        self.follows: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.progressions: Counter[str] = Counter()

    def add(self, chords: list[str | None]) -> None:
        """The chords of one sample in order; none, where no chord sounds, parts its neighbours."""
        self.first.update([chord for chord in chords if chord is not None][:1])
        for before, after in pairwise(chords):
            if before is not None and after is not None:
                self.follows[before][after] += 1
        for start in range(len(chords) - PROGRESSION_LENGTH + 1):
            window = [
                chord for chord in chords[start : start + PROGRESSION_LENGTH] if chord is not None
            ]
            if len(window) == PROGRESSION_LENGTH:
                self.progressions[" ".join(window)] += 1
        if len(self.progressions) > _PROGRESSIONS_HELD:
            self.progressions = Counter(most_frequent(self.progressions, _PROGRESSIONS_HELD // 2))

    def harmony(self) -> ModeChords:
        """The most frequent of them as a record."""
        return frequent_harmony(self.first, self.follows, self.progressions)


def _lengths(chords: Chords) -> list[_Length]:
    """Chords in root position with their lengths, immediate repeats merged."""
    out: list[_Length] = []
    for segment in chords.segments:
        chord = segment.chord and segment.chord.replaced(bass=None)
        length_s = segment.end_s - segment.start_s
        if out and out[-1].chord == chord:
            out[-1] = _Length(chord, out[-1].length_s + length_s)
        else:
            out.append(_Length(chord, length_s))
    return out


def _sorted_each(counts: defaultdict[int, Counter[int]]) -> dict[int, dict[int, int]]:
    return {key: dict(sorted(row.items())) for key, row in sorted(counts.items())}
