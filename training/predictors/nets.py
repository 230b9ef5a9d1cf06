"""The nets. Each begins with the counts of its corpus as its answer, and learns what words change about it.

Shapes: B samples, L tokens of text, D width of a state, W width of a net, N heads, H hints, K classes, C chords of a sequence.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.functional import pad

from training.conditions.tokens import Tokens
from training.predictors.hints import BEAT_FEATURES, CHORD_FEATURES
from training.predictors.recipe import PredictorNet
from training.predictors.targets import BEGIN, CHORDS, MAX_BEATS, METERS, MODES, TEMPOS


class Part(StrEnum):
    """What is predicted, each by weights of its own."""

    METER = "meter"
    TEMPO = "tempo"
    MODE = "mode"
    CHORDS = "chords"


class ChordRows(NamedTuple):
    """Sequences of chords, padded. `previous` is what stands before each; `numbers` say where in the bar each begins, from 1."""

    previous_BC: torch.Tensor
    tokens_BC: torch.Tensor
    beats_BC: torch.Tensor  # 0: not known
    numbers_BC: torch.Tensor


class Guess(nn.Module):
    """One of a closed set, from text and hints. Heads of attention weigh the text's tokens by what they say, not by where they stand."""

    def __init__(self, config: PredictorNet, text_width: int, hints: int, classes: int) -> None:
        super().__init__()
        self.look = nn.Linear(text_width, config.heads)
        self.read = nn.Linear(text_width, config.width // config.heads)
        self.mix = nn.Sequential(
            nn.Dropout(config.dropout), nn.Linear(config.width + hints, config.width), nn.GELU(), nn.Dropout(config.dropout)
        )
        self.say = nn.Linear(config.width, classes)
        nn.init.zeros_(self.say.weight)

    def forward(self, text: Tokens, hints_BH: torch.Tensor) -> torch.Tensor:
        """Logits (B, K)."""
        weights_BLN = self.look(text.states_BLD).masked_fill(~text.mask_BL[..., None], float("-inf")).softmax(dim=1)
        read_BNW = torch.einsum("bln,blw->bnw", weights_BLN, self.read(text.states_BLD))
        logits_BK: torch.Tensor = self.say(self.mix(torch.cat([read_BNW.flatten(1), hints_BH], dim=1)))
        return logits_BK


class ChordDecoder(nn.Module):
    """A transformer decoder over chords above a tonic, which attends to the text; each chord is followed by its length in beats."""

    def __init__(self, config: PredictorNet, text_width: int) -> None:
        super().__init__()
        width = config.width
        self.chord = nn.Embedding(BEGIN + 1, width)
        self.number = nn.Embedding(max(METERS) + 1, width)
        self.hint = nn.Linear(CHORD_FEATURES, width)
        self.text = nn.Linear(text_width, width)
        layer = nn.TransformerDecoderLayer(width, config.heads, 2 * width, config.dropout, "gelu", batch_first=True, norm_first=True)
        self.decoder = nn.TransformerDecoder(layer, config.layers, nn.LayerNorm(width))
        self.say = nn.Linear(width, len(CHORDS))
        self.last = nn.Sequential(nn.Linear(3 * width, width), nn.GELU(), nn.Linear(width, MAX_BEATS))
        nn.init.zeros_(self.say.weight)

    def forward(self, text: Tokens, hints_BH: torch.Tensor, rows: ChordRows) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of each chord (B, C, K), and of its length from one beat on (B, C, beats), given those before it.

        There is no position: what comes next depends on the chords, on the beat, and on how the text goes with them.
        """
        number_BCW, hint_B1W = self.number(rows.numbers_BC), self.hint(hints_BH)[:, None]
        states_BCW = self.chord(rows.previous_BC) + number_BCW + hint_B1W
        length = states_BCW.shape[1]
        later_CC = torch.ones(length, length, dtype=torch.bool, device=states_BCW.device).triu(1)
        out_BCW = self.decoder(
            states_BCW, self.text(text.states_BLD), tgt_mask=later_CC, memory_key_padding_mask=~text.mask_BL, tgt_is_causal=True
        )
        said_BCW = self.chord(rows.tokens_BC)
        beats_BCK = self.last(torch.cat([out_BCW, said_BCW, number_BCW + hint_B1W], dim=-1))
        return self.say(out_BCW), beats_BCK


class PredictorNets(nn.Module):
    """All of them. No weight is shared, so each can be kept from when it was best."""

    def __init__(self, config: PredictorNet, text_width: int) -> None:
        super().__init__()
        self.meter = Guess(config, text_width, BEAT_FEATURES, len(METERS))
        self.tempo = Guess(config, text_width, BEAT_FEATURES, TEMPOS)
        self.mode = Guess(config, text_width, 0, len(MODES))
        self.chords = ChordDecoder(config, text_width)

    def part(self, part: Part) -> Guess | ChordDecoder:
        """One of them."""
        found: Guess | ChordDecoder = getattr(self, part)
        return found

    @torch.no_grad()
    def begin_with(self, shares: dict[Part, Sequence[float]]) -> None:
        """Let each answer shares of the corpus as long as it has learned nothing."""
        for part, values in shares.items():
            self.part(part).say.bias.copy_(torch.tensor(values).log())


def padded_rows(rows: Sequence[torch.Tensor]) -> torch.Tensor:
    """Whole numbers of several sequences as one tensor (B, C), the shorter ones filled with zeros; at least one place long."""
    longest = max(1, *(len(row) for row in rows))
    return torch.stack([pad(row.long(), (0, longest - len(row))) for row in rows])
