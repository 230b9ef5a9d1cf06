"""What a net that plays waves, and the critic beside it, learn from music and what was played.

Shapes: B clips, A channels of the wave, S samples, P parts of the loss.
"""

from typing import ClassVar, Final, NamedTuple

import torch
from torch import nn
from torch.func import functional_call

from training.codec.critic import Critic, WindowJudgement, critic_loss, feature_loss, likeness_loss
from training.codec.judged_recipe import JudgedRecipe
from training.codec.spectral_loss import SpectralLoss

_QUIET: Final = 0.05  # root mean square below which a clip counts the less, the quieter it is


class Graded(NamedTuple):
    """The loss of each clip, (B,), and its parts before they are weighed, (B, P)."""

    total_B: torch.Tensor
    parts_BP: torch.Tensor


class JudgedLesson(nn.Module):
    """A net and its critic as one module, so that processes share both alike."""

    PARTS: ClassVar[tuple[str, ...]] = ("spectra", "wave", "likeness", "features", "critic")

    def __init__(self, net: nn.Module, recipe: JudgedRecipe, rate_hz: int, channels: int) -> None:
        super().__init__()
        self._rules = recipe.loss
        self.net = net
        self.critic = Critic(recipe.critic, channels)
        self.spectral = SpectralLoss(recipe.loss.windows, rate_hz)

    def graded(
        self, music_BAS: torch.Tensor, played_BAS: torch.Tensor, *, is_judged: bool
    ) -> Graded:
        """How far from music is what was played of it; `is_judged`: by the critic too."""
        rules, played_BAS = self._rules, played_BAS.float()
        with torch.autocast(music_BAS.device.type, enabled=False):  # levels want all digits
            spectra_B = self.spectral(music_BAS, played_BAS)
            wave_B = _relative_distance(music_BAS, played_BAS)
        total_B = rules.spectra * spectra_B + rules.wave * wave_B
        if is_judged:
            music, played = self.critic(music_BAS), self.critic(played_BAS.detach())
            judged = self._as_judged(played_BAS)
            likeness_B, features_B = likeness_loss(judged), feature_loss(music, judged)
            critic_B = critic_loss(music, played)
            total_B = total_B + rules.critic * likeness_B + rules.features * features_B + critic_B
        else:
            likeness_B = features_B = critic_B = torch.zeros_like(total_B)
            # processes that share gradients wait for those of all weights
            total_B = total_B + 0 * sum(one.sum() for one in self.critic.parameters())
        parts = (spectra_B, wave_B, likeness_B, features_B, critic_B)
        return Graded(total_B, torch.stack([part.detach() for part in parts], dim=1))

    def _as_judged(self, played_BAS: torch.Tensor) -> list[WindowJudgement]:
        """The critic's judgement, by which the net learns and the critic does not."""
        fixed = {name: one.detach() for name, one in self.critic.named_parameters()}
        judged: list[WindowJudgement] = functional_call(self.critic, fixed, (played_BAS,))
        return judged


def _relative_distance(heard_BAS: torch.Tensor, played_BAS: torch.Tensor) -> torch.Tensor:
    """Root mean square of the difference, relative to that of what is heard: (B,)."""
    apart_B = ((heard_BAS - played_BAS).square().mean(dim=(1, 2)) + 1e-10).sqrt()
    return apart_B / (heard_BAS.square().mean(dim=(1, 2)).sqrt() + _QUIET)
