"""The nets.

Each begins with the counts of its corpus as its answer, and learns what words change about it.

Shapes: B samples, L tokens of text, D width of a state, W width of a net, N heads, H hints, K
classes, C chords of a sequence.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.functional import pad

from training.conditions.tokens import Tokens
from training.control_predictors.hints import BEAT_FEATURES, CHORD_FEATURES
from training.control_predictors.recipe import PredictorNet
from training.control_predictors.targets import (
    BEGIN,
    CHORDS,
    MAX_BEATS,
    MAX_SEGMENTS,
    METERS,
    MODES,
    TEMPOS,
)


class PredictedPart(StrEnum):
    """What is predicted, each by weights of its own."""

    METER = "meter"
    TEMPO = "tempo"
    MODE = "mode"
    CHORDS = "chords"


class ChordRows(NamedTuple):
    """Sequences of chords, padded.

    `previous` is what stands before each; `numbers` say where in the bar each begins, from 1.
    """

    previous_BC: torch.Tensor
    tokens_BC: torch.Tensor
    beats_BC: torch.Tensor  # 0: not known
    numbers_BC: torch.Tensor


class Reached(NamedTuple):
    """What a decoder knows at each position before the chord is said, and what holds there beside
    it: tempo, meter, mode, beat of the bar.
    """

    states_BCW: torch.Tensor
    around_BCW: torch.Tensor


class Trusting(nn.Module):
    """A net that knows how far to trust the text.

    Few songs are learned by heart from their words sooner than words are understood.

    In training the text is withheld every other time, so that the rest is learned without it; then
    `trust`, from 0 to 1, says how much of what the text adds is used.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trust = nn.Parameter(torch.ones(()), requires_grad=False)

    def text_share(self, rows: int) -> torch.Tensor:
        """How much of the text each row uses."""
        return (
            torch.bernoulli(torch.full((rows,), 0.5)) if self.training else self.trust.expand(rows)
        )


class Guess(Trusting):
    """One of a closed set: how usual it is, what hints and what the text change about that.

    Heads of attention weigh the text's tokens by what they say, not by where they stand.
    """

    def __init__(self, config: PredictorNet, text_width: int, hints: int, classes: int) -> None:
        super().__init__()
        self.usual_K = nn.Parameter(torch.zeros(classes))
        self.norm = nn.LayerNorm(text_width)
        self.look = nn.Linear(text_width, config.heads)
        self.read = nn.Linear(text_width, config.width // config.heads)
        self.drop = nn.Dropout(config.dropout)
        self.from_hints = _answers(config, hints, classes) if hints else None
        self.from_text = _answers(config, config.width + hints, classes)

    def forward(self, text: Tokens, hints_BH: torch.Tensor) -> torch.Tensor:
        """Logits (B, K)."""
        states_BLD = self.norm(text.states_BLD)
        weights_BLN = (
            self.look(states_BLD)
            .masked_fill(~text.mask_BL[..., None], float("-inf"))
            .softmax(dim=1)
        )
        read_BNW = torch.einsum("bln,blw->bnw", weights_BLN, self.read(states_BLD))
        added_BK = (
            self.from_text(torch.cat([self.drop(read_BNW.flatten(1)), hints_BH], dim=1))
            * self.text_share(len(hints_BH))[:, None]
        )
        logits_BK: torch.Tensor = self.usual_K + added_BK
        return logits_BK if self.from_hints is None else logits_BK + self.from_hints(hints_BH)

    @torch.no_grad()
    def begin_with(self, shares: Sequence[float]) -> None:
        """Answer these shares as long as nothing is learned."""
        self.usual_K.copy_(torch.tensor(shares).log())


class ChordDecoder(Trusting):
    """A transformer decoder over chords above a tonic, which attends to the text; each chord is
    followed by its length in beats.
    """

    def __init__(self, config: PredictorNet, text_width: int) -> None:
        super().__init__()
        width = config.width
        self.chord = nn.Embedding(BEGIN + 1, width)
        self.place = nn.Embedding(MAX_SEGMENTS, width)
        self.number = nn.Embedding(max(METERS) + 1, width)
        self.hint = nn.Linear(CHORD_FEATURES, width)
        self.text = nn.Sequential(nn.LayerNorm(text_width), nn.Linear(text_width, width))
        layer = nn.TransformerDecoderLayer(
            width,
            config.heads,
            2 * width,
            config.dropout,
            "gelu",
            batch_first=True,
            norm_first=True,
        )
        self.decoder = nn.TransformerDecoder(layer, config.layers, nn.LayerNorm(width))
        self.say = nn.Linear(width, len(CHORDS))
        self.last = nn.Sequential(
            nn.Linear(3 * width, width), nn.GELU(), nn.Linear(width, MAX_BEATS)
        )
        nn.init.zeros_(self.say.weight)

    def forward(
        self, text: Tokens, hints_BH: torch.Tensor, rows: ChordRows
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of each chord (B, C, K), and of its length from one beat on (B, C, beats), given
        those before it.
        """
        reached = self.reached(text, hints_BH, rows)
        return self.say(reached.states_BCW), self.lengths(reached, rows.tokens_BC)

    def reached(self, text: Tokens, hints_BH: torch.Tensor, rows: ChordRows) -> Reached:
        """Where the sequences have got to before each of their chords is said."""
        around_BCW = self.number(rows.numbers_BC) + self.hint(hints_BH)[:, None]
        length = rows.tokens_BC.shape[1]
        positions_C = torch.arange(length).clamp(max=MAX_SEGMENTS - 1)
        text_BLW = self.text(text.states_BLD) * self.text_share(len(hints_BH))[:, None, None]
        states_BCW = self.decoder(
            self.chord(rows.previous_BC) + self.place(positions_C) + around_BCW,
            text_BLW,
            tgt_mask=torch.ones(length, length, dtype=torch.bool).triu(1),
            memory_key_padding_mask=~text.mask_BL,
            tgt_is_causal=True,
        )
        return Reached(states_BCW, around_BCW)

    def lengths(self, reached: Reached, tokens_BC: torch.Tensor) -> torch.Tensor:
        """Logits of the length of chords (B, C, beats), once they are said."""
        logits_BCK: torch.Tensor = self.last(
            torch.cat([reached.states_BCW, self.chord(tokens_BC), reached.around_BCW], dim=-1)
        )
        return logits_BCK

    @torch.no_grad()
    def begin_with(self, shares: Sequence[float]) -> None:
        """Answer these shares of chords as long as nothing is learned."""
        self.say.bias.copy_(torch.tensor(shares).log())


class PredictorNets(nn.Module):
    """All of them. No weight is shared, so each can be kept from when it was best."""

    def __init__(self, config: PredictorNet, text_width: int) -> None:
        super().__init__()
        self.meter = Guess(config, text_width, BEAT_FEATURES, len(METERS))
        self.tempo = Guess(config, text_width, BEAT_FEATURES, TEMPOS)
        self.mode = Guess(config, text_width, 0, len(MODES))
        self.chords = ChordDecoder(config, text_width)

    def part(self, part: PredictedPart) -> Guess | ChordDecoder:
        """One of them."""
        found: Guess | ChordDecoder = getattr(self, part)
        return found

    def trust(self, share: float) -> None:
        """Let each hear so much of the text."""
        for part in PredictedPart:
            self.part(part).trust.fill_(share)


def _answers(config: PredictorNet, width: int, classes: int) -> nn.Sequential:
    """Logits from a vector, with one layer between; zero before anything is learned."""
    last = nn.Linear(config.width, classes, bias=False)
    nn.init.zeros_(last.weight)
    return nn.Sequential(
        nn.Linear(width, config.width), nn.GELU(), nn.Dropout(config.dropout), last
    )


def padded_rows(rows: Sequence[torch.Tensor]) -> torch.Tensor:
    """Whole numbers of several sequences as one tensor (B, C), the shorter ones filled with zeros;
    at least one place long.
    """
    longest = max(1, *(len(row) for row in rows))
    return torch.stack([pad(row.long(), (0, longest - len(row))) for row in rows])
