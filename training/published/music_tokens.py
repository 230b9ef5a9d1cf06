"""Mustango's embeddings of beats and chords as ours: the same tokens, laid out otherwise.

Theirs put a beat's time, or a chord's root and time, as interleaved sines and cosines beside
one-hot kinds, and map that linearly; a kind of its own says "nothing is known". Since each is one
linear map of a sum of parts, ours holds the same with its columns in other places, roots as a
table.

Shapes: D width of a token.
"""

from typing import Final

import torch

from schemas.chord import ChordQuality
from training.conditions.beats import MAX_NUMBER
from training.conditions.chords import QUALITIES
from training.errors import TrainingError
from training.run.tensor_files import Weights

TIME_UNIT_S: Final = 1.0  # their times count seconds
TIME_BASE: Final = 10_001.0
BEATS: Final = "beat_embedding_layer.beat_ffn"
CHORDS: Final = "chord_embedding_layer.chord_ffn"
BIAS: Final = "FME.translation_bias"  # of roots
_BEAT_KINDS: Final = 7  # padding, none, and numbers 1 to 5
_CHORD_KINDS: Final = 12
_INVERSIONS: Final = 4  # padding, none, inverted, root position
_NONE: Final = 1  # "no chord", among roots, kinds and inversions alike
_INVERTED, _ROOT_POSITION = 2, 3
_FIRST_ROOT: Final = 2  # A, and so on upwards by semitones
_A: Final = 9
# their ten kinds of chords; what they have no kind for is told as its triad, or nearest to it
_KINDS: Final = {
    ChordQuality.MAJ: 2,
    ChordQuality.MAJ7: 3,
    ChordQuality.MIN: 4,
    ChordQuality.MIN6: 5,
    ChordQuality.MIN7: 6,
    ChordQuality.HDIM7: 7,
    ChordQuality.MAJ6: 8,
    ChordQuality.DOM7: 9,
    ChordQuality.AUG: 10,
    ChordQuality.DIM: 11,
    ChordQuality.DIM7: 11,
    ChordQuality.SUS2: 2,
    ChordQuality.SUS4: 2,
}


def our_beats(published: Weights) -> Weights:
    """The parameters of `BeatEmbedding`.

    Dropped beats are to them fifty equal paddings at 0 s, of which attention finds the mean: one
    such token. Raises `TrainingError` where the shapes are not theirs.
    """
    weight, bias_D = _linear(published, BEATS, _BEAT_KINDS)
    kinds, times = weight[:, :_BEAT_KINDS], weight[:, _BEAT_KINDS:]
    # their beats above five do not exist: those share the fifth's column
    numbers = [min(number, _BEAT_KINDS - 2) + 1 for number in range(1, MAX_NUMBER + 1)]
    return {
        "mix.weight": torch.cat([kinds[:, numbers], _times(times)], dim=1),
        "mix.bias": bias_D,
        "null_D": bias_D + kinds[:, 0] + _at_zero(times),
    }


def our_chords(published: Weights) -> Weights:
    """The parameters of `ChordEmbedding` with roots in a table.

    Dropped chords are to them a "no chord" at 0 s. Raises `TrainingError` where the shapes are
    not theirs.
    """
    weight, bias_D = _linear(published, CHORDS, _CHORD_KINDS + _INVERSIONS, times=2)
    width = len(bias_D)
    roots, kinds, inversions, times = torch.split(
        weight, [width, _CHORD_KINDS, _INVERSIONS, width], dim=1
    )
    translation_D = published[BIAS].reshape(-1) if BIAS in published else torch.empty(0)
    if translation_D.shape != bias_D.shape:
        raise TrainingError(f"{BIAS} is missing, or not {width} wide: roots cannot be told")
    none_D = kinds[:, _NONE] + inversions[:, _NONE] + roots @ _root(_NONE, translation_D)
    classes = [(root - _A) % 12 + _FIRST_ROOT for root in range(12)]
    basses = [_ROOT_POSITION] + [_INVERTED] * 11
    return {
        "root.weight": torch.stack([_root(index, translation_D) for index in classes]),
        "mix.weight": torch.cat(
            [
                roots,
                kinds[:, [_KINDS[quality] for quality in QUALITIES]],
                none_D[:, None],
                inversions[:, basses],
                _times(times),
            ],
            dim=1,
        ),
        "mix.bias": bias_D,
        "null_D": bias_D + none_D + _at_zero(times),
    }


def _linear(
    published: Weights, name: str, kinds: int, times: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """A linear map's weight and bias, its inputs being kinds and so many encoded numbers."""
    weight, bias_D = published.get(f"{name}.weight"), published.get(f"{name}.bias")
    if weight is None or bias_D is None:
        raise TrainingError(f"{name} is missing among the weights")
    if weight.shape != (len(bias_D), kinds + times * len(bias_D)):
        raise TrainingError(
            f"{name}.weight is {tuple(weight.shape)}, not Mustango's for tokens {len(bias_D)} wide"
        )
    return weight, bias_D


def _root(index: int, translation_D: torch.Tensor) -> torch.Tensor:
    """Their embedding of a number: with the base of 1 that they leave, one sine and one cosine over
    and over, and a learned bias.
    """
    angle = torch.tensor(float(index))
    pair = torch.stack([angle.sin(), angle.cos()])
    return pair.repeat(len(translation_D) // 2) + translation_D


def _times(columns: torch.Tensor) -> torch.Tensor:
    """Their sines and cosines take turns; ours come one after the other."""
    return torch.cat([columns[:, 0::2], columns[:, 1::2]], dim=1)


def _at_zero(columns: torch.Tensor) -> torch.Tensor:
    """What a time of 0 s adds: sines are 0, cosines 1."""
    return columns[:, 1::2].sum(1)
