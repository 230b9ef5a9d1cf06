"""Conditions of a model beside the noisy latent: a text, beats, chords.

From records to padded batches to the tokens that attention reads.

Each condition has the same three steps: a batch of plain numbers with a mask (`BeatBatch`,
`ChordBatch`), a module that embeds it (`BeatEmbedding`, `ChordEmbedding`), and `Tokens`, which
every attention site takes. What is missing, empty or dropped becomes one null token that is
learned, so that no row of attention is ever masked as a whole.
"""

from enum import StrEnum


class Condition(StrEnum):
    """What a model can be conditioned on, in the order in which an attention site attends to it."""

    TEXT = "text"
    BEATS = "beats"
    CHORDS = "chords"
