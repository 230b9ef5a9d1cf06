"""What an evaluation found of songs learned by heart, as it is stored in `report.json`."""

from typing import NamedTuple

from schemas.record import Record
from training.metrics.copies import CopyProof
from training.metrics.summary import Figure


class PlayedClip(NamedTuple):
    """A clip that was played, as a file; the key of the training sample whose caption and controls
    it was asked by, if any.
    """

    name: str
    caption: str
    path: str
    asked_key: str = ""


class NearestTraining(Record):
    """A training sample near a clip: the likeness of their sounds, the share of equal fingerprint
    bits, how alike their levels are, and how the clip differs where they agree best.
    """

    key: str
    song_id: str
    corpus: str  # address of its shard
    similarity: float  # cosine of the nearest patches
    agreement: float
    correlation: float  # of levels by time and pitch
    is_copy: bool
    semitones: int  # that the clip is higher
    speed: float  # of the clip, times the sample's
    begins_s: float  # where in the sample the clip's music begins


class MemorizedClip(Record):
    """A clip and the nearest sample of each of the nearest songs."""

    name: str
    caption: str
    by_training_prompt: bool  # asked for by a caption that was learned from, with its controls
    # the sample whose caption was asked for, where it was learned from
    asked_key: str = ""
    nearest: tuple[NearestTraining, ...]  # copies first, then the most similar; none for silence
    audio: str = ""  # paths within the report's folder
    nearest_audio: str = ""

    @property
    def is_copy(self) -> bool:
        """Whether the clip is proved to be music that was learned from."""
        return any(one.is_copy for one in self.nearest)

    @property
    def likelihood(self) -> tuple[bool, float]:
        """What clips are ranked by: copies first, each by how well it agrees."""
        return self.is_copy, max(
            (one.agreement + one.correlation for one in self.nearest), default=0.0
        )

    @property
    def nearness(self) -> float:
        """How well levels correlate with the nearest sample's; 0 for silence."""
        return max((one.correlation for one in self.nearest), default=0.0)


class CopyShares(Record):
    """Of one set of clips, the share that are proved copies, and the share that lie nearer to what
    was learned from than 99 of 100 held-out pieces do.
    """

    copies: Figure
    nearer: Figure | None = None  # none without held-out music


class MemorizationReport(Record):
    """Whether songs were learned by heart: clips beside all that was learned from, and beside
    held-out music that stands in their place.
    """

    corpora: tuple[str, ...]  # whose train shards were searched
    not_searched: tuple[str, ...] = ()  # corpora that the model learned from as well
    samples: int  # originals and variants that were searched
    unusable: int
    roundtrip: bool  # held-out music went through the model's codec, as what it plays did
    yardstick: float | None = None  # the correlation of levels that 1 % of held-out pieces exceed
    held_out: CopyShares | None = None
    played: CopyShares | None = None  # by prompts that were not learned from
    by_training_prompts: CopyShares | None = None
    all_played: CopyShares
    clips: tuple[MemorizedClip, ...]


def nearest_training(
    sample_key: str, song_id: str, corpus: str, *, similarity: float, proof: CopyProof
) -> NearestTraining:
    """A proof, which says how the clip has to be changed, as how the clip differs."""
    return NearestTraining(
        key=sample_key,
        song_id=song_id,
        corpus=corpus,
        similarity=similarity,
        agreement=proof.agreement,
        correlation=proof.correlation,
        is_copy=proof.is_copy,
        semitones=-proof.semitones,
        speed=round(1 / proof.speed, 4),
        begins_s=proof.shift_s,
    )
