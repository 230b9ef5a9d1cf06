"""What an autoencoder of waves, and the critic beside it, learn from a batch.

Shapes: B clips, A channels of the wave, S samples, C latent channels, T latent frames, P parts of
the loss, D draws of a clip.
"""

from typing import Final, NamedTuple

import torch
from torch import nn
from torch.func import functional_call
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.parametrize import remove_parametrizations

from pipelines.codecs.wave_net import WaveNet
from pipelines.codecs.wave_shape import KlBottleneck, RvqBottleneck
from training.codec.critic import Critic, WindowJudgement, critic_loss, feature_loss, likeness_loss
from training.codec.spectral_loss import SpectralLoss
from training.codec.wave_recipe import WaveRecipe

# of the loss, in the order of `Lesson.forward`'s second tensor; `prior` is what the bottleneck adds
PARTS: Final = ("spectra", "wave", "prior", "likeness", "features", "critic")
DRAWS: Final = 2  # uniform ones of a clip: whether codebooks are left out, and how many
_QUIET: Final = 0.05  # root mean square below which a clip counts the less, the quieter it is


class Rebuilt(NamedTuple):
    """A batch through the autoencoder, and what its bottleneck adds to the loss."""

    played_BAS: torch.Tensor
    prior_B: torch.Tensor


class Lesson(nn.Module):
    """An autoencoder and its critic as one module, so that processes share both alike."""

    def __init__(self, recipe: WaveRecipe) -> None:
        super().__init__()
        self._rules, self._bottleneck = recipe.loss, recipe.bottleneck
        self.net = with_weight_norm(WaveNet(recipe.net, recipe.bottleneck))
        self.critic = Critic(recipe.critic, recipe.net.wave_channels)
        self.spectral = SpectralLoss(recipe.loss.windows, recipe.net.rate_hz)

    def forward(
        self,
        waves_BAS: torch.Tensor,
        noise_BCT: torch.Tensor,
        draws_BD: torch.Tensor,
        is_judged: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss of each clip, (B,), and its parts before they are weighed, (B, P)."""
        rules = self._rules
        rebuilt = self._rebuilt(waves_BAS, noise_BCT, draws_BD)
        played_BAS = rebuilt.played_BAS.float()
        with torch.autocast(waves_BAS.device.type, enabled=False):  # levels want all digits
            spectra_B = self.spectral(waves_BAS, played_BAS)
            wave_B = _relative_distance(waves_BAS, played_BAS)
        total_B = rules.spectra * spectra_B + rules.wave * wave_B + rebuilt.prior_B
        if is_judged:
            music, played = self.critic(waves_BAS), self.critic(played_BAS.detach())
            judged = self._as_judged(played_BAS)
            likeness_B, features_B = likeness_loss(judged), feature_loss(music, judged)
            critic_B = critic_loss(music, played)
            total_B = total_B + rules.critic * likeness_B + rules.features * features_B + critic_B
        else:
            likeness_B = features_B = critic_B = torch.zeros_like(total_B)
            # processes that share gradients wait for those of all weights
            total_B = total_B + 0 * sum(one.sum() for one in self.critic.parameters())
        parts = (spectra_B, wave_B, rebuilt.prior_B, likeness_B, features_B, critic_B)
        return total_B, torch.stack([part.detach() for part in parts], dim=1)

    def _rebuilt(
        self, waves_BAS: torch.Tensor, noise_BCT: torch.Tensor, draws_BD: torch.Tensor
    ) -> Rebuilt:
        net, rules = self.net, self._bottleneck
        if isinstance(rules, KlBottleneck):
            posterior = net.posterior(waves_BAS)
            played_BAS = net.decoder(posterior.drawn(noise_BCT))
            return Rebuilt(played_BAS, rules.weight * posterior.divergence())
        assert net.books is not None  # the net was made by the same rules
        found = net.books(net.encoder(waves_BAS), books_used(draws_BD, rules))
        prior_B = rules.commitment * found.commitment_B + found.codebook_B
        return Rebuilt(net.decoder(found.rounded_BCT), prior_B)

    def _as_judged(self, played_BAS: torch.Tensor) -> list[WindowJudgement]:
        """The critic's judgement, by which the autoencoder learns and the critic does not."""
        fixed = {name: one.detach() for name, one in self.critic.named_parameters()}
        judged: list[WindowJudgement] = functional_call(self.critic, fixed, (played_BAS,))
        return judged


def books_used(draws_BD: torch.Tensor, rules: RvqBottleneck) -> torch.Tensor:
    """How many codebooks each clip goes through: all, or as many as are drawn, (B,).

    >>> draws = torch.tensor([[0.9, 0.1], [0.2, 0.5], [0.2, 0.99]])
    >>> books_used(draws, RvqBottleneck(books=4, dropout=0.5)).tolist()
    [4, 3, 4]
    """
    few_B = 1 + (draws_BD[:, 1] * rules.books).long()
    return torch.where(draws_BD[:, 0] < rules.dropout, few_B, rules.books)


def _relative_distance(heard_BAS: torch.Tensor, played_BAS: torch.Tensor) -> torch.Tensor:
    """Root mean square of the difference, relative to that of what is heard: (B,)."""
    apart_B = ((heard_BAS - played_BAS).square().mean(dim=(1, 2)) + 1e-10).sqrt()
    return apart_B / (heard_BAS.square().mean(dim=(1, 2)).sqrt() + _QUIET)


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
