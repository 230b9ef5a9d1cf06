"""The training samples nearest to clips by their sound, and which of them are the same music.

Every original and variant that a model learned from is looked at: patches of each are compared with
those of all clips (exact search), and the nearest songs' fingerprints prove a copy or not.

Shapes: N patches, D dimensions.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from pipelines.audio.decode import Wave, decoded
from pipelines.audio.fingerprint import changed_energies
from pipelines.engine import bucket
from pipelines.errors import DeadInput
from pipelines.search.exact import nearest
from schemas.identity import Split
from training.data.examples import AUDIO, guarded, members_of, parsed
from training.data.index import CorpusIndex, Range, index_corpus, read_ranges
from training.errors import BadData
from training.metrics.copies import SEMITONES, SPEEDS, CopyProof, copy_proofs
from training.metrics.patches import Vectors, patch_vectors

MOST: Final = 5  # songs that each clip's fingerprint is compared with
_PATCHES: Final = 32  # nearest ones of each patch of a clip
# patches of the speeds between are near enough to rank a copy first
_SEARCHED_SPEEDS: Final = SPEEDS[::2]
_AT_ONCE: Final = 256
_BEFORE_S: Final = 2.0  # of a long sample, kept before where a clip's music should begin


class SoundingClip(NamedTuple):
    """A mono wave with its rate."""

    wave: Wave
    rate_hz: int


class TrainingSample(NamedTuple):
    """A sample that was learned from: its key, its song, where its bytes stand."""

    key: str
    song_id: str
    place: Range


class NearestSample(NamedTuple):
    """A sample near to a clip: how similar their nearest patches are, and what fingerprints say."""

    sample: TrainingSample
    similarity: float
    proof: CopyProof


class TrainingPatches:
    """Patches of all training samples of corpora, as blocks to search in; whose they are is known
    of those that were gone through.
    """

    def __init__(self, corpora: Sequence[str], watch: Callable[[int], None]) -> None:
        self.indexes: tuple[CorpusIndex, ...] = tuple(
            index_corpus(target, Split.TRAIN) for target in corpora
        )
        self.samples: list[TrainingSample] = []
        self.unusable = 0
        self.owners: list[int] = []
        self.starts_s: list[float] = []
        self._watch = watch

    def blocks(self) -> Iterator[Vectors]:
        """Vectors (N, D) of some samples at a time."""
        for index in self.indexes:
            for numbers in bucket.batches(range(len(index)), _AT_ONCE):
                places = [index.range_of(number) for number in numbers]
                found = [
                    self._vectors(place, content)
                    for place, content in zip(places, read_ranges(places), strict=True)
                ]
                self._watch(len(self.samples) + self.unusable)
                yield np.concatenate(found)

    def _vectors(self, place: Range, content: bytes | Exception) -> Vectors:
        try:
            sample, sound = guarded(content, lambda good: _read(place, good))
        except DeadInput:
            self.unusable += 1
            return patch_vectors(np.zeros(1, np.float32), 1).vectors_ND
        patches = patch_vectors(sound.wave, sound.rate_hz)
        self.owners += [len(self.samples)] * len(patches.starts_s)
        self.starts_s += patches.starts_s
        self.samples.append(sample)
        return patches.vectors_ND


def _read(place: Range, content: bytes) -> tuple[TrainingSample, SoundingClip]:
    members = members_of(content)
    sample = parsed(members)
    if AUDIO not in members:
        raise DeadInput("missing_member", f"has no .{AUDIO}")
    audio = decoded(members[AUDIO])
    return (
        TrainingSample(sample.key, sample.song_id, place),
        SoundingClip(audio.wave, audio.rate_hz),
    )


class _Near(NamedTuple):
    """A training sample with a patch near one of a clip, which would begin `start_s` into it."""

    sample: int
    similarity: float
    start_s: float


def nearest_samples(
    clips: Sequence[SoundingClip], training: TrainingPatches
) -> list[tuple[NearestSample, ...]]:
    """For each clip the nearest sample of each of the 5 nearest songs, proved copies first, then
    by how well levels correlate; none for silence.

    Raises `BadData` where no training sample can be used.
    """
    searched, owners = _searched(clips)
    found = nearest(searched.vectors_ND, training.blocks(), _PATCHES)
    if not training.samples:
        raise BadData(
            f"none of {training.unusable} training samples can be used: "
            f"their shards need a .{AUDIO} member in each"
        )
    near: list[list[_Near]] = [[] for _ in clips]
    for query, (ids, scores) in enumerate(zip(*found, strict=True)):
        for row, score in zip(ids.tolist(), scores.tolist(), strict=True):
            start_s = training.starts_s[row] - searched.starts_s[query]
            near[owners[query]].append(_Near(training.owners[row], score, start_s))
    return [
        _proved(clip, _best_by_song(one, training), training)
        for clip, one in zip(clips, near, strict=True)
    ]


class _Searched(NamedTuple):
    """Patches of all clips at all speeds, and when each begins in its clip."""

    vectors_ND: Vectors
    starts_s: list[float]


def _searched(clips: Sequence[SoundingClip]) -> tuple[_Searched, list[int]]:
    vectors, starts, owners = [], list[float](), list[int]()
    for number, clip in enumerate(clips):
        for speed in _SEARCHED_SPEEDS:
            patches = patch_vectors(clip.wave, clip.rate_hz, speed)
            vectors.append(patches.vectors_ND)
            # of the clip as it sounds at this speed
            starts += [start_s / speed for start_s in patches.starts_s]
            owners += [number] * len(patches.starts_s)
    return _Searched(np.concatenate(vectors), starts), owners


def _best_by_song(near: Sequence[_Near], training: TrainingPatches) -> list[_Near]:
    best: dict[str, _Near] = {}
    for one in sorted(near, key=lambda one: (-one.similarity, one.sample)):
        best.setdefault(training.samples[one.sample].song_id, one)
    return list(best.values())[:MOST]


def _proved(
    clip: SoundingClip, near: Sequence[_Near], training: TrainingPatches
) -> tuple[NearestSample, ...]:
    changed = changed_energies(clip.wave, clip.rate_hz, SPEEDS, SEMITONES)
    length_s = len(clip.wave) / clip.rate_hz
    samples = [training.samples[one.sample] for one in near]
    begins_s = [max(0.0, one.start_s - _BEFORE_S) for one in near]
    energies = []
    for sample, begin_s in zip(samples, begins_s, strict=True):
        sound = sound_of_sample(sample)
        end_s = begin_s + SPEEDS[-1] * length_s + 2 * _BEFORE_S
        part = sound.wave[round(begin_s * sound.rate_hz) : round(end_s * sound.rate_hz)]
        energies.append(changed_energies(part, sound.rate_hz, (1.0,), (0,))[1.0, 0])
    found = [
        NearestSample(
            sample,
            round(min(1.0, one.similarity), 4),
            proof._replace(shift_s=round(proof.shift_s + begin_s, 2)),
        )
        for sample, one, begin_s, proof in zip(
            samples, near, begins_s, copy_proofs(changed, energies), strict=True
        )
    ]
    return tuple(
        sorted(
            found, key=lambda one: (not one.proof.is_copy, -one.proof.correlation, one.sample.key)
        )
    )


def sound_of_sample(sample: TrainingSample) -> SoundingClip:
    """The sound of a sample that was read before. Raises `DeadInput` where it has changed."""
    return guarded(audio_bytes(sample), lambda good: SoundingClip(*decoded(good)[:2]))


def audio_bytes(sample: TrainingSample) -> bytes | Exception:
    """The file of a sample's sound, as its shard holds it."""
    [content] = read_ranges([sample.place])
    return content if isinstance(content, Exception) else members_of(content)[AUDIO]
