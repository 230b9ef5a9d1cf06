"""Conditions of a model beside the noisy latent: a text, and controls of the music.

A condition reaches the net in up to two forms. As *tokens* (text; beats, chords), which attention
looks up: from records to padded batches (`BeatBatch`, `ChordBatch`), a module that embeds them, and
`Tokens`; what is missing, empty or dropped becomes one null token that is learned, so that no row
of attention is ever masked as a whole. As *frame rows* (`rows`), laid out at the latent's frame
rate: what holds in each frame, and whether it is known there.
"""

from enum import StrEnum
from typing import Final


class Condition(StrEnum):
    """What a model can be conditioned on.

    The first three in the order in which an attention site attends to them.
    """

    TEXT = "text"
    BEATS = "beats"  # beats and bars
    CHORDS = "chords"
    KEY = "key"
    DYNAMICS = "dynamics"
    MELODY = "melody"
    ONSETS = "onsets"


class ChordRoots(StrEnum):
    """How the root of a chord becomes a vector of its token."""

    SINUSOIDS = "sinusoids"
    TABLE = "table"


class SecondsAs(StrEnum):
    """How a net is told where in its piece a clip begins, and how long the piece is."""

    ADDED = "added"  # to how far the latent is on the way to noise
    TOKENS = "tokens"  # behind the text


CONTROLS: Final = tuple(condition for condition in Condition if condition is not Condition.TEXT)
# measured on the sound: what is asked for by a curve, or not at all
CURVES: Final = (Condition.DYNAMICS, Condition.MELODY, Condition.ONSETS)
