"""An upsampler as the loop trains it: what it learns from a batch.

Shapes: B clips of a micro-batch, S samples, G waves that are shown of what is given, N noises, D
draws of a clip.
"""

from typing import Final, NamedTuple

import torch
from torch.nn.functional import pad

from training.data.loading import TrainingBatch
from training.excerpts.learner import ClipLearner
from training.objectives import objective_of
from training.objectives.flow import Flow, FlowConfig
from training.run.parallel import World, wrapped
from training.run.prefetch import moved
from training.run.recipe import Parallel
from training.upsampler.levels import GIVEN, ShownLevels
from training.upsampler.net import UpsamplerNet
from training.upsampler.recipe import UpsamplerRecipe

DRAWS: Final = 2  # uniform ones of a clip: how much noise, how much blur
_REACH: Final = 5  # samples to each side that blur takes in. Noise2Music: ten in all
_LINE: Final = Flow(FlowConfig())  # what is given goes to noise in a straight line


class ReadyPairs(NamedTuple):
    """A micro-batch on the device: music, what is given of it, and what each was made of."""

    batch: TrainingBatch
    waves_BS: torch.Tensor
    given_BS: torch.Tensor
    noise_BNS: torch.Tensor
    times_B: torch.Tensor
    draws_BD: torch.Tensor
    frames_B: torch.Tensor


class UpsamplerLearner(ClipLearner[ReadyPairs]):
    """The network, and the objective's loss of what it says."""

    recipe: UpsamplerRecipe
    model: UpsamplerNet

    def __init__(self, recipe: UpsamplerRecipe, world: World) -> None:
        self.recipe, self._objective = recipe, objective_of(recipe.objective)
        self._levels = ShownLevels(recipe.net)
        torch.manual_seed(recipe.run.seed)
        model = UpsamplerNet(recipe.net).to(world.device)
        net = wrapped(model, world, Parallel.DDP, recipe.run.precision)
        super().__init__(recipe, world, model, net)

    def ready(self, batch: TrainingBatch) -> ReadyPairs:
        """A micro-batch on the device."""
        waves_BS, given_BS = batch.sounds.unbind(1)
        noise_BNS = batch.noise_BCTF.reshape(len(waves_BS), 1 + GIVEN, -1)
        parts = (waves_BS, given_BS, noise_BNS, batch.times_B, batch.draws_BD, batch.frames_B)
        return ReadyPairs(batch, *moved(parts, self.world.device))

    def losses(self, batch: ReadyPairs) -> torch.Tensor:
        """Loss of each clip, (B,), with what is given as it is."""
        return self._losses(batch, torch.zeros_like(batch.draws_BD))

    def _learned_losses(self, batch: ReadyPairs) -> torch.Tensor:
        return self._losses(batch, batch.draws_BD)

    def _losses(self, batch: ReadyPairs, draws_BD: torch.Tensor) -> torch.Tensor:
        shape, rules = self.recipe.net, self.recipe.corruption
        added_BS = self._levels.added(batch.waves_BS - batch.given_BS)
        noise_BS, given_noise_BGS = batch.noise_BNS[:, 0], batch.noise_BNS[:, 1:]
        given_times_B = rules.noise * draws_BD[:, 0]
        given_BGS = self._levels.given(blurred(batch.given_BS, rules.blur * draws_BD[:, 1]))
        worse_BGS = _LINE.noised(given_BGS, given_noise_BGS, given_times_B)
        noisy_BS = self._objective.noised(added_BS, noise_BS, batch.times_B)
        with self.precision():
            said_BS = self.net(
                noisy_BS, worse_BGS, self._objective.steps(batch.times_B), given_times_B
            )
        said, added, noise = (one[:, None, :, None] for one in (said_BS, added_BS, noise_BS))
        own_B = batch.frames_B * shape.hop
        loss_B = self._objective.loss(said, added, noise, batch.times_B, own_B)
        return loss_B * (own_B > 0)


def blurred(waves_BS: torch.Tensor, spread_B: torch.Tensor) -> torch.Tensor:
    """Waves weighed along samples by a normal distribution of each clip's spread.

    >>> blurred(torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([0.0])).tolist()
    [[0.0, 1.0, 0.0]]
    """
    offsets_O = torch.arange(-_REACH, _REACH + 1, device=waves_BS.device)
    weights_BO = (-0.5 * (offsets_O / spread_B.clamp(min=1e-3)[:, None]).square()).exp()
    weights_BO = weights_BO / weights_BO.sum(1, keepdim=True)
    windows_BSO = pad(waves_BS, (_REACH, _REACH)).unfold(1, 2 * _REACH + 1, 1)
    return torch.einsum("bso,bo->bs", windows_BSO, weights_BO)
