"""What is usual in a corpus: the counts that fill what a caption leaves open.

They are stored beside a checkpoint.
"""

from collections.abc import Mapping
from typing import Annotated, Final, TypeVar

from pydantic import AfterValidator, Field, StringConstraints

from schemas.chord import Chord, ChordQuality
from schemas.pitch import Key, Mode
from schemas.record import Record

UNSURE_METER: Final = 0  # in the place of beats per bar: tempos of samples whose meter is not sure
# first beats are counted to the nearest of these steps: a beat tracker's own jitter, 1 / 20 s
OFFSET_STEP_MS: Final = 50
# 156 chords make 24,336 pairs; those past the thousand most frequent are single slips of the
# annotator. A model card shows a few dozen progressions at most.
MAX_PAIRS: Final = 1000
MAX_PROGRESSIONS: Final = 100
PROGRESSION_LENGTH: Final = 4

K = TypeVar("K", int, str)
# Labels and models of others may say anything; what is beyond these is not music, and is not
# counted.
MAX_BPM: Final = 1000
MAX_METER: Final = 64
MAX_FIRST_BEAT_MS: Final = 600_000
Count = Annotated[int, Field(ge=1, le=1 << 53)]
Bpm = Annotated[int, Field(ge=1, le=MAX_BPM)]
Beat = Annotated[int, Field(ge=1, le=MAX_METER)]  # beats of a bar, or the number of one
RelativeChord = Annotated[
    str, StringConstraints(pattern=rf"^(?:\d|1[01]):(?:{'|'.join(ChordQuality)})$")
]


def _checked_key(name: str) -> str:
    return Key.parse(name).name


KeyName = Annotated[str, AfterValidator(_checked_key)]


class ModeChords(Record):
    """Chords of one mode, each as semitones above the tonic and its quality: ``0:min``, ``8:maj``.

    Inversions count as root positions.
    """

    # the first chord of a clip, which may begin anywhere in its song
    first: dict[RelativeChord, Count]
    # chord → the next, another one; the most frequent pairs alone
    follows: dict[RelativeChord, dict[RelativeChord, Count]]
    progressions: dict[str, Count]  # four chords in a row, spaces between; the most frequent alone


class CorpusStatistics(Record):
    """Counts over samples whose labels are sure enough (`counting.py` says how sure).

    Copies at other speeds and pitches count like any sample: what a model was trained on is what it
    is used to.
    """

    # looked at; 0 where nothing was counted and the figures are common knowledge
    samples: int = Field(ge=0)
    # beats per bar (0: unsure) → BPM, rounded → samples
    tempos: dict[Annotated[int, Field(ge=UNSURE_METER, le=MAX_METER)], dict[Bpm, Count]]
    meters: dict[Beat, Count]  # beats per bar → samples
    keys: dict[KeyName, Count]  # "A minor" → samples
    # beats per bar → beats that a chord lasts → chords
    beats_per_chord: dict[Beat, dict[Beat, Count]]
    # number of the first beat in its bar → when it falls, in ms → samples
    first_beats: dict[Beat, dict[Annotated[int, Field(ge=0, le=MAX_FIRST_BEAT_MS)], Count]]
    harmony: dict[Mode, ModeChords]

    def joined(self, other: "CorpusStatistics") -> "CorpusStatistics":
        """The counts of both; pairs and progressions that one of them had cut off stay off."""
        modes = {**self.harmony, **other.harmony}
        return CorpusStatistics(
            samples=self.samples + other.samples,
            tempos=_sum_each(self.tempos, other.tempos),
            meters=_sum(self.meters, other.meters),
            keys=_sum(self.keys, other.keys),
            beats_per_chord=_sum_each(self.beats_per_chord, other.beats_per_chord),
            first_beats=_sum_each(self.first_beats, other.first_beats),
            harmony={
                mode: _joined_harmony(self.harmony.get(mode), other.harmony.get(mode))
                for mode in sorted(modes)
            },
        )


def relative(chord: Chord, tonic: int) -> str:
    """A chord as semitones above a tonic and its quality, the bass left out.

    >>> relative(Chord.parse("F:maj/3"), 9)
    '8:maj'
    """
    return f"{(chord.root - tonic) % 12}:{chord.quality}"


def above(tonic: int, chord: str) -> Chord:
    """The chord that a relative one is above a tonic.

    >>> above(9, "8:maj").harte
    'F:maj'
    """
    steps, _, quality = chord.partition(":")
    return Chord(root=(tonic + int(steps)) % 12, quality=ChordQuality(quality))


def frequent_harmony(
    first: Mapping[str, int],
    follows: Mapping[str, Mapping[str, int]],
    progressions: Mapping[str, int],
) -> ModeChords:
    """Harmony with the most frequent pairs and progressions; of equal counts the earlier name."""
    pairs = {
        f"{before} {after}": count
        for before, row in follows.items()
        for after, count in row.items()
    }
    frequent: dict[str, dict[str, int]] = {}
    for pair, count in sorted(most_frequent(pairs, MAX_PAIRS).items()):
        before, _, after = pair.partition(" ")
        frequent.setdefault(before, {})[after] = count
    return ModeChords(
        first=dict(sorted(first.items())),
        follows=frequent,
        progressions=dict(sorted(most_frequent(progressions, MAX_PROGRESSIONS).items())),
    )


def most_frequent(counts: Mapping[str, int], limit: int) -> dict[str, int]:
    """The `limit` largest counts, the largest first; of equal ones the earlier name."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:limit])


def _sum(one: Mapping[K, int], other: Mapping[K, int]) -> dict[K, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in sorted(one.keys() | other.keys())}


def _sum_each(
    one: Mapping[K, Mapping[K, int]], other: Mapping[K, Mapping[K, int]]
) -> dict[K, dict[K, int]]:
    return {
        key: _sum(one.get(key, {}), other.get(key, {})) for key in sorted(one.keys() | other.keys())
    }


def _joined_harmony(one: ModeChords | None, other: ModeChords | None) -> ModeChords:
    known = [harmony for harmony in (one, other) if harmony is not None]
    first, second = known[0], known[-1]
    if len(known) == 1:
        return first
    return frequent_harmony(
        _sum(first.first, second.first),
        _sum_each(first.follows, second.follows),
        _sum(first.progressions, second.progressions),
    )


def _loop(*chords: str) -> ModeChords:
    """Harmony of one progression that goes round and round."""
    follows = {
        before: {after: 1} for before, after in zip(chords, (*chords[1:], chords[0]), strict=True)
    }
    return ModeChords(first={chords[0]: 1}, follows=follows, progressions={" ".join(chords): 1})


# Where nothing was counted. 120 BPM and 4/4 are what a Standard MIDI File means that states neither
# tempo nor time signature (RP-001, 1996); C major and A minor are the keys without accidentals. The
# loops are the most common ones of popular music: I V vi IV, and i VI III VII, the same chords from
# A minor.
NEUTRAL: Final = CorpusStatistics(
    samples=0,
    tempos={4: {120: 1}},
    meters={4: 1},
    keys={"A minor": 1, "C major": 1},
    beats_per_chord={},
    first_beats={1: {0: 1}},
    harmony={
        Mode.MAJOR: _loop("0:maj", "7:maj", "9:min", "5:maj"),
        Mode.MINOR: _loop("0:min", "8:maj", "3:maj", "10:maj"),
    },
)
