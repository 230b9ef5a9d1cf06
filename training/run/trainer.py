"""One step of learning: what its batches do to a model, its optimizer and averaged weights.

Shapes: B samples of a micro-batch, C latent channels, T latent frames, F latent bands, N bands of
noise.
"""

from collections.abc import Sequence
from contextlib import nullcontext

import torch

from pipelines.codecs import Codec
from training.adapters.freezing import learned, prepare
from training.data.loading import TrainingBatch
from training.diffusion.model import Conditions, JumpGoal, LatentDiffusion
from training.diffusion.text_encoder import TextCache
from training.distillation.config import TargetNet
from training.distillation.teacher import Teacher
from training.run.checkpoints import ADAPTER, EMA
from training.run.compiled import compile_parts, fixed_lengths
from training.run.learner import LaunchedStep, Learner
from training.run.model_weights import begin_with
from training.run.parallel import World, wrapped
from training.run.prefetch import ReadyBatch, moved
from training.run.recipe import TrainRecipe
from training.run.step_figures import NOISE_BANDS, StepFigures, read_figures, summed_figures
from training.run.tensor_files import Weights


class Trainer(Learner[ReadyBatch]):
    """A latent-diffusion model that is trained, in one process of however many.

    `begun` are the weights that a run begins with; all that is new in its net begins as nothing. A
    student has a teacher, who is whole in each process, and in no checkpoint.
    """

    recipe: TrainRecipe
    model: LatentDiffusion

    def __init__(
        self,
        recipe: TrainRecipe,
        codec: Codec,
        states: TextCache,
        world: World,
        begun: Weights | None = None,
        teacher: Teacher | None = None,
    ) -> None:
        self.recipe, self.codec, self.states = recipe, codec, states
        torch.manual_seed(recipe.run.seed)
        model = LatentDiffusion(
            recipe.model, recipe.objective, checkpointing=recipe.run.checkpointing
        ).to(world.device)
        if begun is not None:
            begin_with(model, begun)
        prepare(model, recipe.adapter, begun or ())
        if recipe.run.compile:
            compile_parts(model)
        net = wrapped(model, world, recipe.run.parallel, recipe.run.precision)
        is_adapted = recipe.adapter.is_used
        super().__init__(
            recipe,
            world,
            model,
            net,
            # a checkpoint holds all, but for what stays as it was loaded
            stays=set(begun or ()) - learned(model).keys() if is_adapted else (),
            played=ADAPTER if is_adapted else EMA,
        )
        self.teacher = teacher
        if teacher is not None:
            teacher.model.to(world.device)
            self.empty_text = states.encode([""]).to(world.device)
            if recipe.run.compile:
                compile_parts(teacher.model)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, frames and bands of a latent."""
        facts = self.codec.facts
        return facts.channels, self.frames_of(self.recipe.data.seconds), facts.bands

    def frames_of(self, seconds: float) -> int:
        """Latent frames of so many seconds."""
        facts = self.codec.facts
        return facts.frames(round(seconds * facts.rate_hz))

    def _summed(
        self, batches: Sequence[ReadyBatch], losses: Sequence[torch.Tensor], *, stopping: bool
    ) -> torch.Tensor:
        """Losses by how much noise there was."""
        counted_B = torch.cat([batch.frames_B for batch in batches]) > 0
        times_B = torch.cat([batch.times_B for batch in batches])
        return summed_figures(
            self.world,
            torch.cat([*losses]).float(),
            counted_B,
            (times_B * NOISE_BANDS).long().clamp(max=NOISE_BANDS - 1),
            stopping,
        )

    def figures(self, launched: LaunchedStep) -> StepFigures:
        """What a step gave, as soon as the device is done with it."""
        return read_figures(launched.numbers.read(), lr=launched.lr, batch=self.recipe.data.batch)

    def ready(self, batch: TrainingBatch) -> ReadyBatch:
        """A micro-batch on the device, states of its text with it."""
        return ReadyBatch(
            batch,
            self.latents(batch),
            self.conditions(batch),
            *moved(
                (batch.noise_BCTF, batch.times_B, batch.frames_B, batch.draws_BD),
                self.world.device,
            ),
        )

    def losses(self, batch: ReadyBatch) -> torch.Tensor:
        """Loss of each sample of a batch: (B,)."""
        with self.precision():
            loss_B: torch.Tensor = self.net(
                batch.latents_BCTF,
                batch.conditions,
                batch.noise_BCTF,
                batch.times_B,
                batch.frames_B,
                self._goal(batch),
            )
        return loss_B

    def _goal(self, batch: ReadyBatch) -> JumpGoal | None:
        """Where a student's jumps should lead; none where nothing is distilled."""
        if self.teacher is None:
            return None
        by_average = self.teacher.rules.target is TargetNet.EMA
        with self.ema.playing() if by_average else nullcontext():
            return self.teacher.goal(
                self.model,
                self.model.objective.noised(batch.latents_BCTF, batch.noise_BCTF, batch.times_B),
                batch.conditions,
                self.empty_text,
                self.teacher.jumps(batch.times_B, batch.draws_BD),
                batch.frames_B,
            )

    def conditions(self, batch: TrainingBatch) -> Conditions:
        """The conditions of a batch, on the device."""
        text = self.states.encode(batch.prompts)
        conditions = batch.conditioning(text, with_seconds=self.recipe.model.seconds)
        conditions = moved(conditions, self.world.device)
        if not self.recipe.run.compile:
            return conditions
        return fixed_lengths(conditions, self.recipe.data.limits)

    def latents(self, batch: TrainingBatch) -> torch.Tensor:
        """Latents of a batch on the device."""
        sounds = moved(batch.sounds, self.world.device)
        if sounds.dim() == 4:
            return sounds
        with torch.no_grad():
            return self.codec.encode(sounds)
