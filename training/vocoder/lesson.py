"""A vocoder as the loop trains it: what it learns from a batch.

Shapes: B clips of a micro-batch, S samples, M mel bands, N mel frames, D draws of a clip.
"""

from typing import NamedTuple

import torch

from pipelines.codecs.mel import RATE_HZ, MelCodec
from pipelines.codecs.vocoder_net import VocoderNet
from training.codec.judged_learner import JudgedLearner
from training.codec.judged_lesson import Graded, JudgedLesson
from training.data.loading import TrainingBatch
from training.run.parallel import World
from training.run.prefetch import moved
from training.vocoder.corruption import corrupted
from training.vocoder.recipe import VocoderRecipe


class VocoderLesson(JudgedLesson):
    """A vocoder and its critic."""

    net: VocoderNet

    def __init__(self, recipe: VocoderRecipe) -> None:
        super().__init__(VocoderNet(recipe.net), recipe, RATE_HZ, channels=1)
        self._corruption, self._mel = recipe.corruption, MelCodec()

    def forward(
        self,
        waves_BS: torch.Tensor,
        noise_BMN: torch.Tensor,
        draws_BD: torch.Tensor,
        is_judged: bool,
    ) -> Graded:
        """Loss of each clip, and its parts; of draws of 0 levels are as they are."""
        with torch.autocast(waves_BS.device.type, enabled=False):
            levels_BMN = self._mel.levels(waves_BS)
            worse_BMN = corrupted(levels_BMN, noise_BMN, draws_BD, self._corruption)
        played_BS = self.net(worse_BMN)
        return self.graded(waves_BS[:, None], played_BS[:, None], is_judged=is_judged)


class ReadyClips(NamedTuple):
    """A micro-batch on the device, and what it was made of."""

    batch: TrainingBatch
    waves_BS: torch.Tensor
    noise_BMN: torch.Tensor
    frames_B: torch.Tensor
    draws_BD: torch.Tensor


class VocoderLearner(JudgedLearner[ReadyClips]):
    """Vocoder and critic."""

    def __init__(self, recipe: VocoderRecipe, world: World) -> None:
        torch.manual_seed(recipe.run.seed)
        super().__init__(recipe, world, VocoderLesson(recipe).to(world.device))

    def ready(self, batch: TrainingBatch) -> ReadyClips:
        """A micro-batch on the device; noise of latents, unfolded, is noise of levels."""
        noise_BMN = MelCodec().levels_of(batch.noise_BCTF)
        return ReadyClips(
            batch,
            *moved((batch.sounds, noise_BMN, batch.frames_B, batch.draws_BD), self.world.device),
        )

    def _graded(self, batch: ReadyClips, *, is_judged: bool, is_learned: bool) -> Graded:
        draws_BD = batch.draws_BD if is_learned else torch.zeros_like(batch.draws_BD)
        graded: Graded = self.net(batch.waves_BS, batch.noise_BMN, draws_BD, is_judged)
        return graded
