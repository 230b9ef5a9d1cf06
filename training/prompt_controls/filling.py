"""What nobody states, filled from a corpus: the usual meter and tempo, sampled key and chords."""

import math
from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate
from typing import Final, Generic, NamedTuple, TypeVar

import numpy as np

from pipelines.captioning.tempo_words import BpmRange
from schemas.chord import Chord
from schemas.pitch import Key, Mode
from training.prompt_controls.corpus import NEUTRAL, CorpusStatistics, ModeChords, above
from training.prompt_controls.requested import Provenance

K = TypeVar("K", int, str)
V = TypeVar("V")
# A meter of fewer tempos than this does not tell its median: all tempos do.
_ENOUGH_TEMPOS: Final = 20
# The ends of a mechanical metronome's scale, in place of those that a word leaves open; 20 BPM
# below its slowest.
_METRONOME_BPM: Final = (40.0, 208.0)
_SLOWEST_BPM: Final = 20.0
_FASTEST_BPM: Final = 400.0  # what the parser of captions takes for a tempo
PHRASE_CHORDS: Final = 4  # the commonest length of a loop in popular music
# clips are cut anywhere in a song; only where half of them begin alike is that a habit
_USUAL_SHARE: Final = 0.5


class Filled(NamedTuple, Generic[V]):
    """What was filled in, and from where."""

    value: V
    source: Provenance


class FirstBeat(NamedTuple):
    """When the first beat falls, and its number in the bar."""

    time_s: float
    number: int


def filled_meter(statistics: CorpusStatistics, rng: np.random.Generator | None) -> Filled[int]:
    """The most usual meter, or one drawn."""
    known = _counted_or_neutral(statistics, statistics.meters, NEUTRAL.meters)
    return Filled(_sampled(known.counts, rng) if rng else _most(known.counts), known.source)


def filled_tempo(
    statistics: CorpusStatistics,
    beats_per_bar: int,
    *,
    span: BpmRange,
    least_bpm: float,
    rng: np.random.Generator | None,
) -> Filled[float]:
    """The median tempo of a meter, or one drawn, within what words and the number of chords allow.

    Where the corpus has none in there, it is the (geometric) middle of what words allow, else the
    least that holds the chords.
    """
    by_meter: Mapping[int, int] = statistics.tempos.get(beats_per_bar, {})
    if sum(by_meter.values()) < _ENOUGH_TEMPOS:
        by_meter = {}
        for row in statistics.tempos.values():
            by_meter = {
                bpm: by_meter.get(bpm, 0) + row.get(bpm, 0) for bpm in sorted({*by_meter, *row})
            }
    fitting = {
        bpm: count
        for bpm, count in by_meter.items()
        if span.low <= bpm < span.high and bpm >= least_bpm
    }
    if statistics.samples and fitting:
        return Filled(float(_sampled(fitting, rng) if rng else _median(fitting)), Provenance.CORPUS)
    is_stated = span.low > 0 or span.high < _METRONOME_BPM[1]
    middle = _middle(span) if is_stated else float(_median(NEUTRAL.tempos[4]))
    least = float(math.ceil(least_bpm))
    return Filled(
        least if middle < least < min(span.high, _FASTEST_BPM) else middle, Provenance.DEFAULT
    )


def _middle(span: BpmRange) -> float:
    """The geometric middle of a range of tempos, in whole BPM; open ends as on a metronome."""
    slowest, fastest = _METRONOME_BPM
    low = span.low or (slowest if span.high > slowest else _SLOWEST_BPM)
    high = min(span.high, max(fastest, span.low))
    return float(round(math.sqrt(low * high)))


def usual_first_beat(statistics: CorpusStatistics, beats_per_bar: int) -> FirstBeat:
    """How at least half of the clips begin, else with a downbeat at 0 s."""
    counts = {
        (number, at_ms): count
        for number, row in statistics.first_beats.items()
        for at_ms, count in row.items()
    }
    if counts:
        number, at_ms = max(sorted(counts), key=counts.__getitem__)
        if counts[number, at_ms] >= _USUAL_SHARE * sum(counts.values()) and number <= beats_per_bar:
            return FirstBeat(at_ms / 1000, number)
    return FirstBeat(0.0, 1)


def sampled_key(
    statistics: CorpusStatistics, mode: Mode | None, rng: np.random.Generator
) -> Filled[Key]:
    """A key as likely as it is in the corpus, of a mode if one is requested."""

    def of_mode(keys: dict[str, int]) -> dict[str, int]:
        return {
            name: count for name, count in keys.items() if mode is None or name.endswith(f" {mode}")
        }

    known = _counted_or_neutral(statistics, of_mode(statistics.keys), of_mode(NEUTRAL.keys))
    return Filled(Key.parse(_sampled(known.counts, rng)), known.source)


def sampled_chords(
    statistics: CorpusStatistics, key: Key, rng: np.random.Generator
) -> Filled[tuple[Chord, ...]]:
    """A phrase of four chords in a key, each drawn by how often it follows the one before; the last
    one also leads back to the first.

    Fewer than four where nothing is known to follow.
    """
    harmony, source = (
        statistics.harmony.get(key.mode),
        Provenance.CORPUS if statistics.samples else Provenance.DEFAULT,
    )
    if harmony is None or not harmony.first:
        harmony, source = NEUTRAL.harmony[key.mode], Provenance.DEFAULT
    phrase = [_sampled(harmony.first, rng)]
    while len(phrase) < PHRASE_CHORDS:
        after = _after(harmony, phrase)
        if not after:
            break
        phrase.append(_sampled(after, rng))
    return Filled(tuple(above(key.tonic, chord) for chord in phrase), source)


def _after(harmony: ModeChords, phrase: list[str]) -> Mapping[str, int]:
    """What may follow a phrase, and how often it did; for its last chord, what also leads back to
    the first, if anything does.
    """
    after = harmony.follows.get(phrase[-1], {})
    if len(phrase) < PHRASE_CHORDS - 1:
        return after
    back = {
        chord: count * harmony.follows.get(chord, {}).get(phrase[0], 0)
        for chord, count in after.items()
    }
    closing = {chord: count for chord, count in back.items() if count}
    return closing or {chord: count for chord, count in after.items() if chord != phrase[0]}


def usual_beats_per_chord(statistics: CorpusStatistics, beats_per_bar: int) -> int:
    """The most usual length of a chord among those that go with the bar: a part of it, or one, two
    or four bars; else one bar.
    """
    parts = [beats for beats in range(1, beats_per_bar + 1) if beats_per_bar % beats == 0]
    fitting = {*parts, 2 * beats_per_bar, 4 * beats_per_bar}
    counts = {
        beats: count
        for beats, count in statistics.beats_per_chord.get(beats_per_bar, {}).items()
        if beats in fitting
    }
    return _most(counts) if counts else beats_per_bar


class _FixedChords(NamedTuple, Generic[K]):
    counts: Mapping[K, int]
    source: Provenance


def _counted_or_neutral(
    statistics: CorpusStatistics, counted: Mapping[K, int], neutral: Mapping[K, int]
) -> _FixedChords[K]:
    """The corpus's counts where there are any, else common knowledge."""
    return (
        _FixedChords(counted, Provenance.CORPUS)
        if counted and statistics.samples
        else _FixedChords(neutral, Provenance.DEFAULT)
    )


def _most(counts: Mapping[K, int]) -> K:
    """The most frequent one; of equals the first in order."""
    return min(counts, key=lambda one: (-counts[one], one))


def _median(counts: Mapping[int, int]) -> int:
    """The (lower) median of counted numbers."""
    return _at(counts, (sum(counts.values()) - 1) // 2)


def _sampled(counts: Mapping[K, int], rng: np.random.Generator) -> K:
    """One of them, as likely as it is frequent, whatever the order in which they were counted."""
    return _at(counts, int(rng.integers(sum(counts.values()))))


def _at(counts: Mapping[K, int], position: int) -> K:
    """The one at a place, from 0, of all that were counted, in order."""
    names = sorted(counts)
    return names[bisect_right(list(accumulate(counts[name] for name in names)), position)]
