"""The whole latent-diffusion model: a net, the embeddings of beats and chords, the objective.

The text encoder and the codec are frozen and stand outside: the model takes states and latents.

Shapes: B samples, C latent channels, T latent frames, F latent bands, L tokens, D width of a token,
R frame rows.
"""

from typing import Final, NamedTuple, cast

import torch
from torch import nn

from training.conditions import Condition
from training.conditions.beats import BeatBatch, BeatEmbedding, batched_beats
from training.conditions.chords import ChordBatch, ChordEmbedding, batched_chords
from training.conditions.embeddings import Jump
from training.conditions.timing import TimingEmbedding
from training.conditions.tokens import Context, Tokens, joined_rows, joined_tokens
from training.errors import TrainingError
from training.nets import Net, NetConfig, net_of
from training.objectives import ObjectiveConfig, objective_of

_TOLD: Final = 1000.0  # nets are told times in thousandths


class Conditions(NamedTuple):
    """The conditions of a batch; null tokens stand for what is not known or was dropped."""

    text: Tokens  # of the empty prompt where the text was dropped
    beats: BeatBatch
    chords: ChordBatch
    # start of the clip and length of its song; NaN where a sample's were dropped
    seconds_B2: torch.Tensor | None = None
    rows_BTR: torch.Tensor | None = None  # frame rows; zeros where nothing is known

    def to(self, device: torch.device | str) -> "Conditions":
        """The same on another device."""
        seconds_B2 = None if self.seconds_B2 is None else self.seconds_B2.to(device)
        rows_BTR = None if self.rows_BTR is None else self.rows_BTR.to(device)
        return Conditions(
            self.text.to(device),
            self.beats.to(device),
            self.chords.to(device),
            seconds_B2,
            rows_BTR,
        )

    def joined(self, other: "Conditions") -> "Conditions":
        """The samples of both, one after the other.

        Raises `TrainingError` where only one knows seconds, or has frame rows.
        """
        return Conditions(
            joined_tokens(self.text, other.text),
            self.beats.joined(other.beats),
            self.chords.joined(other.chords),
            _both("seconds", self.seconds_B2, other.seconds_B2),
            _both("frame rows", self.rows_BTR, other.rows_BTR),
        )

    def first(self, count: int) -> "Conditions":
        """The first samples alone."""
        text = Tokens(self.text.states_BLD[:count], self.text.mask_BL[:count])
        seconds_B2 = None if self.seconds_B2 is None else self.seconds_B2[:count]
        beats = BeatBatch(*(part[:count] for part in self.beats))
        chords = ChordBatch(*(part[:count] for part in self.chords))
        rows_BTR = None if self.rows_BTR is None else self.rows_BTR[:count]
        return Conditions(text, beats, chords, seconds_B2, rows_BTR)

    def text_alone(self) -> "Conditions":
        """The same batch without its controls; seconds stay."""
        rows = len(self.text.mask_BL)
        device = self.text.states_BLD.device
        return self._replace(
            beats=batched_beats([None] * rows).to(device),
            chords=batched_chords([None] * rows).to(device),
            rows_BTR=None if self.rows_BTR is None else torch.zeros_like(self.rows_BTR),
        )

    def unconditional(self, empty_text: Tokens) -> "Conditions":
        """The same batch with everything dropped but its seconds.

        `empty_text` is the empty prompt's, one row.
        """
        rows = len(self.text.mask_BL)
        text = Tokens(
            empty_text.states_BLD.expand(rows, -1, -1), empty_text.mask_BL.expand(rows, -1)
        )
        return self.text_alone()._replace(text=text.to(self.text.states_BLD.device))

    def without_seconds(self) -> "Conditions":
        """The same batch without its seconds."""
        if self.seconds_B2 is None:
            return self
        return self._replace(seconds_B2=torch.full_like(self.seconds_B2, torch.nan))


def _both(
    what: str, first: torch.Tensor | None, second: torch.Tensor | None
) -> torch.Tensor | None:
    """Rows of both batches; none where neither has any."""
    if (first is None) != (second is None):
        raise TrainingError(f"only one of two batches has {what}")
    return None if first is None or second is None else joined_rows(first, second)


class JumpGoal(NamedTuple):
    """What a student should have predicted of jumps, for each sample."""

    ends_B: torch.Tensor  # times
    guidance_B: torch.Tensor
    prediction_BCTF: torch.Tensor
    # of the error of jumps of no length, under no guidance: denoising, as its teacher learned it
    score_weight: float


class LatentDiffusion(nn.Module):
    """What is trained: a noisy latent and conditions to a loss per sample.

    >>> from training.munet.config import preset
    >>> from training.objectives.diffusion import DiffusionConfig
    >>> with torch.device("meta"):
    ...     model = LatentDiffusion(preset("base"), DiffusionConfig())
    >>> round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 1)
    1416.4
    """

    def __init__(
        self, config: NetConfig, objective: ObjectiveConfig, *, checkpointing: bool = False
    ) -> None:
        super().__init__()
        self.kind = config.kind  # by which its weights are named
        self.add_module(self.kind, net_of(config, checkpointing=checkpointing))
        clock = (config.time_unit_s, config.time_base)
        self.beats = (
            BeatEmbedding(config.control_width, *clock)
            if Condition.BEATS in config.controls
            else None
        )
        self.chords = (
            ChordEmbedding(config.control_width, config.chord_roots, *clock)
            if Condition.CHORDS in config.controls
            else None
        )
        self.timing = TimingEmbedding(config.text_width) if config.attends_to_seconds else None
        self.objective = objective_of(objective)

    @property
    def net(self) -> Net:
        """The net."""
        return cast(Net, self.get_submodule(self.kind))

    def context(self, conditions: Conditions) -> Context:
        """The tokens of every condition that the net attends to."""
        text = conditions.text
        if self.timing is not None and conditions.seconds_B2 is not None:
            text = self.timing(text, conditions.seconds_B2)
        tokens = {Condition.TEXT: text}
        if self.beats is not None:
            tokens[Condition.BEATS] = self.beats(conditions.beats)
        if self.chords is not None:
            tokens[Condition.CHORDS] = self.chords(conditions.chords)
        return tokens

    def added_seconds(self, conditions: Conditions) -> torch.Tensor | None:
        """The seconds that the net itself takes: none where they are tokens."""
        return None if self.timing is not None else conditions.seconds_B2

    def unconditional(self, conditions: Conditions, empty_text: Tokens) -> Conditions:
        """Conditions with everything dropped that is dropped together in training, which is what
        guidance leads away from: seconds stay, unless they are tokens.
        """
        dropped = conditions.unconditional(empty_text)
        return dropped if self.timing is None else dropped.without_seconds()

    @property
    def is_student(self) -> bool:
        """Whether it jumps."""
        return self.net.config.jumps

    @staticmethod
    def jump(ends_B: torch.Tensor, guidance_B: torch.Tensor | None = None) -> Jump:
        """What a student is told: the times at which jumps end, and guidance, without which it is
        1.
        """
        guidance_B = torch.ones_like(ends_B) if guidance_B is None else guidance_B
        return Jump(ends_B * _TOLD, guidance_B)

    def predict(
        self,
        noisy_BCTF: torch.Tensor,
        times_B: torch.Tensor,
        conditions: Conditions,
        frames_B: torch.Tensor | None = None,
        jump: Jump | None = None,
    ) -> torch.Tensor:
        """The net's prediction, shaped as the latent; a student's, where it is told no jump, of one
        that has no length and no guidance: what there is of latent and of noise.
        """
        return self._predicted(noisy_BCTF, times_B, conditions, frames_B, jump)

    def _predicted(
        self,
        noisy_BCTF: torch.Tensor,
        times_B: torch.Tensor,
        conditions: Conditions,
        frames_B: torch.Tensor | None,
        jump: Jump | None = None,
    ) -> torch.Tensor:
        if jump is None and self.is_student:
            jump = self.jump(times_B)
        return self.net(
            noisy_BCTF,
            self.objective.steps(times_B),
            self.context(conditions),
            self.added_seconds(conditions),
            conditions.rows_BTR,
            frames_B,
            jump,
        )

    def forward(
        self,
        latents_BCTF: torch.Tensor,
        conditions: Conditions,
        noise_BCTF: torch.Tensor,
        times_B: torch.Tensor,
        frames_B: torch.Tensor | None = None,
        goal: JumpGoal | None = None,
    ) -> torch.Tensor:
        """Loss of each sample at the drawn noise and time: (B,); a student's with that of jumps,
        where it has a goal.

        `frames_B` says how many frames of each are not padding.
        """
        noisy_BCTF = self.objective.noised(latents_BCTF, noise_BCTF, times_B)
        if goal is None:
            prediction = self._predicted(noisy_BCTF, times_B, conditions, frames_B)
            return self.objective.loss(prediction, latents_BCTF, noise_BCTF, times_B, frames_B)
        jump = self.jump(goal.ends_B, goal.guidance_B)
        if not goal.score_weight:
            prediction = self._predicted(noisy_BCTF, times_B, conditions, frames_B, jump)
            return self.objective.distance(prediction, goal.prediction_BCTF, times_B, frames_B)
        jumped, denoised = self._predicted(
            torch.cat([noisy_BCTF] * 2),
            torch.cat([times_B] * 2),
            conditions.joined(conditions),
            None if frames_B is None else torch.cat([frames_B] * 2),
            jump.joined(self.jump(times_B)),
        ).chunk(2)
        score_B = self.objective.loss(denoised, latents_BCTF, noise_BCTF, times_B, frames_B)
        jumped_B = self.objective.distance(jumped, goal.prediction_BCTF, times_B, frames_B)
        return jumped_B + goal.score_weight * score_B
