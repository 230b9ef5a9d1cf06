"""Pseudo-labels: texts that a joint embedding of music and text has chosen for a clip, with all
that speaks for them.
"""

from pydantic import Field

from schemas.caption import Caption
from schemas.identity import ClipKey, SampleKey, Split
from schemas.record import Confidence, Record
from schemas.vocabulary import Form

Similarity = float  # cosine, -1 to 1


class CandidateText(Record):
    """One of the texts of a vocabulary that lie nearest to a clip."""

    entry: int = Field(ge=0)  # its row in the build's vocabulary
    text: str
    form: Form
    vocabulary: str  # the file it came from
    source: str  # of the text, as that file states it
    licence: str
    rank: int = Field(ge=1)  # 1 is the nearest
    similarity: Similarity


class Matched(Record):
    """A clip's candidates: of each vocabulary the nearest first."""

    clip_key: ClipKey
    candidates: tuple[CandidateText, ...]


class Frequency(Record):
    """How many clips of the corpus have a text among their candidates."""

    entry: int
    clips: int = Field(ge=1)


class PseudoLabel(Record):
    """A text that was chosen for a sample, and why: it was the `rank`-th nearest of its vocabulary.

    `frequency` is the number of clips in the corpus that have it among their candidates; rare ones
    are chosen more often.
    """

    text: str
    form: Form
    vocabulary: str
    source: str
    licence: str
    rank: int = Field(ge=1)
    similarity: Similarity
    frequency: int = Field(ge=1)
    model: str  # the embedder, and the checksum of its weights
    model_licence: str


class Labelled(Record):
    """A sample's pseudo-labels, and the captions that are made of them."""

    sample_key: SampleKey
    pseudo_labels: tuple[PseudoLabel, ...]
    captions: tuple[Caption, ...]


class NearDuplicate(Record):
    """Another clip that is the same recording as this one."""

    clip_key: ClipKey
    twin: ClipKey
    twin_split: Split
    similarity: Similarity  # of the embeddings
    agreement: Confidence  # share of the fingerprints' bits that agree
    shift_s: float  # how much later the same music is in the near-duplicate
