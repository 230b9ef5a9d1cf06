"""Chords as a condition: root, quality, bass and time (Mustango, arXiv 2311.08355).

The published vocabulary has 11 qualities and a flag for inversions; ours is that of `schemas`, and
the bass is given as its interval above the root, which is the same in every transposition.

Shapes: B samples, L chords, D width of a token.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import nn
from torch.nn.functional import one_hot

from schemas.chord import ChordQuality
from schemas.labels import Chords, ChordSegment
from training.conditions import ChordRoots
from training.conditions.embeddings import (
    BASE,
    TIME_UNIT_S,
    FundamentalMusicEmbedding,
    MusicPositionalEncoding,
)
from training.conditions.limits import MAX_CHORDS
from training.conditions.tokens import Tokens, joined_rows, padded_length

QUALITIES: Final = tuple(ChordQuality)
# a segment that says N: no chord sounds, which is something known
NO_CHORD_QUALITY: Final = len(QUALITIES)
# in the place of a quality: no chords are known, or they were dropped
_NULL: Final = len(QUALITIES) + 1


class ChordBatch(NamedTuple):
    """Chords of a batch; a quality is an index into `QUALITIES`, else no chord, null or padding."""

    roots_BL: torch.Tensor  # pitch classes, 0 = C
    qualities_BL: torch.Tensor
    basses_BL: torch.Tensor  # semitones above the root; 0 in root position
    times_s_BL: torch.Tensor  # where each begins
    mask_BL: torch.Tensor

    def to(self, device: torch.device | str) -> "ChordBatch":
        """The same on another device."""
        return ChordBatch(*(part.to(device) for part in self))

    def joined(self, other: "ChordBatch") -> "ChordBatch":
        """The samples of both, one after the other."""
        return ChordBatch(
            *(joined_rows(ours, theirs) for ours, theirs in zip(self, other, strict=True))
        )


class _ChordNumbers(NamedTuple):
    """One segment in numbers, in the order of `ChordBatch`."""

    root: int
    quality: int
    bass: int
    start_s: float


def _chord_numbers(segment: ChordSegment) -> _ChordNumbers:
    chord = segment.chord
    if chord is None:
        return _ChordNumbers(0, NO_CHORD_QUALITY, 0, segment.start_s)
    bass = chord.root if chord.bass is None else chord.bass
    return _ChordNumbers(
        chord.root, QUALITIES.index(chord.quality), (bass - chord.root) % 12, segment.start_s
    )


def batched_chords(chords: Sequence[Chords | None], limit: int = MAX_CHORDS) -> ChordBatch:
    """The chords of several samples, padded to one length.

    Of more than `limit` segments the first are kept. A sample without chords, or none where they
    were dropped, is the null token alone.

    >>> first = ChordSegment(start_s=0, end_s=1, label="A:min/b3")
    >>> silent = ChordSegment(start_s=1, end_s=2, label="N")
    >>> how = dict(confidence=1, tool="t", version="1", licence="CC0")
    >>> batch = batched_chords([Chords(segments=(first, silent), **how)])
    >>> [part[0, :2].tolist() for part in batch]
    [[9, 0], [1, 13], [3, 0], [0.0, 1.0], [True, True]]
    """
    rows = [
        [] if one is None else list(map(_chord_numbers, one.segments[:limit])) for one in chords
    ]
    shape = (len(rows), padded_length([len(row) for row in rows]))
    roots_BL, qualities_BL, basses_BL = (torch.full(shape, fill) for fill in (0, _NULL, 0))
    times_s_BL, mask_BL = torch.zeros(shape), torch.zeros(shape, dtype=torch.bool)
    mask_BL[:, 0] = True
    for index, row in enumerate(rows):
        if row:
            for part, numbers in zip(
                (roots_BL, qualities_BL, basses_BL, times_s_BL), zip(*row, strict=True), strict=True
            ):
                part[index, : len(row)] = torch.tensor(numbers)
            mask_BL[index, : len(row)] = True
    return ChordBatch(roots_BL, qualities_BL, basses_BL, times_s_BL, mask_BL)


class ChordEmbedding(nn.Module):
    """One linear map of root, quality, bass and time; a vector of its own where none are known.

    "No chord" has a quality, but neither root nor bass: zeros stand for both.
    """

    def __init__(
        self,
        width: int,
        roots: ChordRoots = ChordRoots.SINUSOIDS,
        unit_s: float = TIME_UNIT_S,
        base: float = BASE,
    ) -> None:
        super().__init__()
        self.root = (
            FundamentalMusicEmbedding(width)
            if roots is ChordRoots.SINUSOIDS
            else nn.Embedding(12, width)
        )
        self.when = MusicPositionalEncoding(width, unit_s, base)
        self.mix = nn.Linear(2 * width + len(QUALITIES) + 1 + 12, width)
        self.null_D = nn.Parameter(torch.randn(width) * 0.02)

    def forward(self, batch: ChordBatch) -> Tokens:
        """Tokens of a batch."""
        sounds_BL1 = (batch.qualities_BL < NO_CHORD_QUALITY)[..., None]
        parts = (
            self.root(batch.roots_BL) * sounds_BL1,
            one_hot(batch.qualities_BL.clamp(max=NO_CHORD_QUALITY), NO_CHORD_QUALITY + 1),
            one_hot(batch.basses_BL, 12) * sounds_BL1,
            self.when(batch.times_s_BL),
        )
        states_BLD = self.mix(torch.cat([part.to(self.null_D.dtype) for part in parts], dim=-1))
        known_BL1 = (batch.qualities_BL != _NULL)[..., None]
        return Tokens(
            torch.where(known_BL1, states_BLD, self.null_D.to(states_BLD.dtype)),
            batch.mask_BL,
            batch.times_s_BL,
        )
