"""What an autoencoder of waves, and the critic beside it, learn from a batch.

Shapes: B clips, A channels of the wave, S samples, C latent channels, T latent frames, D draws of a
clip.
"""

from typing import Final, NamedTuple

import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.parametrize import remove_parametrizations

from pipelines.codecs.wave_net import WaveNet
from pipelines.codecs.wave_shape import KlBottleneck, RvqBottleneck
from training.codec.judged_lesson import Graded, JudgedLesson
from training.codec.revival import Revival, TakenEntries
from training.codec.wave_recipe import WaveRecipe

DRAWS: Final = 2  # uniform ones of a clip: whether codebooks are left out, and how many


class Rebuilt(NamedTuple):
    """A batch through the autoencoder, and what its bottleneck adds to the loss."""

    played_BAS: torch.Tensor
    prior_B: torch.Tensor


class Lesson(JudgedLesson):
    """An autoencoder and its critic."""

    PARTS = (*JudgedLesson.PARTS, "prior")  # what the bottleneck adds
    net: WaveNet

    def __init__(self, recipe: WaveRecipe) -> None:
        net = with_weight_norm(WaveNet(recipe.net, recipe.bottleneck))
        super().__init__(net, recipe, recipe.net.rate_hz, recipe.net.wave_channels)
        self._bottleneck = recipe.bottleneck
        self.revival = (
            Revival(recipe.bottleneck) if isinstance(recipe.bottleneck, RvqBottleneck) else None
        )
        self.taken: list[TakenEntries] = []  # by what was learned, until somebody takes it

    def forward(
        self,
        waves_BAS: torch.Tensor,
        noise_BCT: torch.Tensor,
        frames_B: torch.Tensor,
        draws_BD: torch.Tensor,
        is_judged: bool,
    ) -> Graded:
        """Loss of each clip, and its parts."""
        rebuilt = self._rebuilt(waves_BAS, noise_BCT, frames_B, draws_BD)
        graded = self.graded(waves_BAS, rebuilt.played_BAS, is_judged=is_judged)
        prior_B = rebuilt.prior_B
        return Graded(
            graded.total_B + prior_B, torch.cat([graded.parts_BP, prior_B.detach()[:, None]], dim=1)
        )

    def _rebuilt(
        self,
        waves_BAS: torch.Tensor,
        noise_BCT: torch.Tensor,
        frames_B: torch.Tensor,
        draws_BD: torch.Tensor,
    ) -> Rebuilt:
        net, rules = self.net, self._bottleneck
        if isinstance(rules, KlBottleneck):
            posterior = net.posterior(waves_BAS)
            played_BAS = net.decoder(posterior.drawn(noise_BCT))
            return Rebuilt(played_BAS, rules.weight * posterior.divergence())
        assert net.books is not None  # the net was made by the same rules
        found = net.books(net.encoder(waves_BAS), books_used(draws_BD, rules))
        if torch.is_grad_enabled():
            self.taken.append(TakenEntries.of(found, frames_B))
        prior_B = rules.commitment * found.commitment_B + found.codebook_B
        return Rebuilt(net.decoder(found.rounded_BCT), prior_B)


def books_used(draws_BD: torch.Tensor, rules: RvqBottleneck) -> torch.Tensor:
    """How many codebooks each clip goes through: all, or as many as are drawn, (B,).

    >>> draws = torch.tensor([[0.9, 0.1], [0.2, 0.5], [0.2, 0.99]])
    >>> books_used(draws, RvqBottleneck(books=4, dropout=0.5)).tolist()
    [4, 3, 4]
    """
    few_B = 1 + (draws_BD[:, 1] * rules.books).long()
    return torch.where(draws_BD[:, 0] < rules.dropout, few_B, rules.books)


def with_weight_norm(net: WaveNet) -> WaveNet:
    """The same net, whose convolutions learn direction and length of their weights apart."""
    for module in list(net.modules()):  # each gets parts, or loses them
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            weight_norm(module)
    return net


def without_weight_norm(net: WaveNet) -> WaveNet:
    """The same net with plain weights."""
    for module in list(net.modules()):  # each gets parts, or loses them
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            remove_parametrizations(module, "weight")
    return net
