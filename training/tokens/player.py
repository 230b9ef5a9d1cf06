"""A trained masked model of codes that plays: prompts, controls and kept codes to sound.

Shapes: B pieces, L codebooks, T latent frames.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Self

import torch

from pipelines.audio.decode import Wave
from pipelines.codecs import open_codec
from pipelines.codecs.layout import for_files
from pipelines.codecs.token_codec import TokenCodec, code_facts, with_codes
from pipelines.trust.trusted import check_trust
from training.conditions.clip_controls import ClipControls
from training.conditions.rows import FrameGrid, batched_rows
from training.diffusion.text_encoder import TextEncoder, open_text_encoder
from training.errors import TrainingError
from training.generation.generate import GenerationRequest
from training.generation.windows import Window, windows
from training.run.checkpoints import (
    CORPUS,
    EMA,
    RECIPE,
    Checkpoint,
    find_checkpoint,
    is_of_codes,
)
from training.run.corpus_survey import CorpusSurvey
from training.run.model_weights import check_shapes, fill
from training.run.parallel import autocast, device_of
from training.run.recipe import Precision, foreign_names
from training.samplers.rounds_config import RoundsConfig
from training.timed_controls.joining import controls_within
from training.tokens.net import TokenConditions, TokenNet
from training.tokens.recipe import TokensRecipe
from training.tokens.rounds import GuidedConditions, filled

_OVERLAP: Final = 1 / 3  # of a window, which goes on from as much of the one before


class KeptCodes(NamedTuple):
    """Codes of a whole piece, and which of them are kept; (L, T) both."""

    codes_LT: torch.Tensor
    kept_LT: torch.Tensor

    @classmethod
    def nothing(cls, books: int, frames: int) -> Self:
        """All is played anew."""
        codes_LT = torch.zeros(books, frames, dtype=torch.int64)
        return cls(codes_LT, torch.zeros_like(codes_LT, dtype=torch.bool))


class TokenPlayer(NamedTuple):
    """A checkpoint, ready to play."""

    name: str
    recipe: TokensRecipe
    survey: CorpusSurvey
    model: TokenNet
    codec: TokenCodec
    encoder: TextEncoder
    device: torch.device

    @classmethod
    def of(cls, target: str, device: str = "auto") -> Self:
        """The averaged weights of a checkpoint, or of the last one of a run's folder.

        Raises `TrainingError`, and `NotTrusted` where its recipe names what nobody has named by
        hand for the run.
        """
        checkpoint = find_checkpoint(target, files=(EMA, RECIPE, CORPUS))
        recipe = checkpoint.record(RECIPE, TokensRecipe)
        survey = checkpoint.record(CORPUS, CorpusSurvey)
        check_trust(checkpoint.run, foreign_names(recipe.text, recipe.codec))
        chosen = device_of(device)
        codec = with_codes(open_codec(recipe.codec.name, recipe.codec.source, str(chosen)))
        if not codec.facts.has_latents_of(survey.codec):
            raise TrainingError(
                f"{checkpoint.name} plays through {survey.codec}, "
                f"but the codec found here is {codec.facts}"
            )
        recipe.codes.check_codec(code_facts(codec))
        model = _model_of(recipe, checkpoint).to(chosen).eval()
        encoder = open_text_encoder(
            recipe.text.source, str(chosen), recipe.text.max_tokens, recipe.text.encoder
        )
        return cls(checkpoint.name, recipe, survey, model, codec, encoder, chosen)

    @property
    def rate_hz(self) -> int:
        """The codec's."""
        return self.codec.facts.rate_hz

    @property
    def refined_by(self) -> tuple[str, ...]:
        """Nothing plays beside it."""
        return ()

    @property
    def seconds(self) -> float:
        """How much is played at once: what was learned at a time."""
        learned_s, longest_s = self.recipe.data.seconds, self.survey.longest_s
        return min(learned_s, longest_s) if longest_s else learned_s

    def codes(
        self,
        requests: Sequence[GenerationRequest],
        begun: KeptCodes,
        *,
        seed: int = 0,
        sampling: RoundsConfig | None = None,
    ) -> torch.Tensor:
        """Codes of requests, window after window: (B, L, T). Kept ones stay as they are.

        Times of controls are of the first frame on. Same arguments, same codes.
        """
        codes_BLT = begun.codes_LT.expand(len(requests), -1, -1).clone()
        facts = self.codec.facts
        most = facts.frames(round(self.seconds * facts.rate_hz))
        plan = windows(begun.kept_LT.all(0), most, round(most * _OVERLAP))
        for number, window in enumerate(plan):
            part = slice(window.start, window.end)
            codes_BLT[:, :, part] = self._window(
                [
                    one._replace(key=f"{one.key}/{number}" if number else one.key)
                    for one in requests
                ],
                codes_BLT[:, :, part],
                begun.kept_LT[:, part] | window.known_T,
                window,
                seed,
                sampling or self.recipe.sampling,
            )
        return codes_BLT

    def _window(
        self,
        requests: Sequence[GenerationRequest],
        codes_BLT: torch.Tensor,
        kept_LT: torch.Tensor,
        window: Window,
        seed: int,
        rules: RoundsConfig,
    ) -> torch.Tensor:
        per_s = self.codec.facts.frames_per_s
        start_s, end_s = window.start / per_s, window.end / per_s
        controls = [controls_within(one.controls, start_s, end_s) for one in requests]
        precision = self.recipe.run.precision if self.device.type == "cuda" else Precision.FP32
        with torch.no_grad(), autocast(self.device, precision):
            return filled(
                self.model,
                codes_BLT.to(self.device),
                kept_LT.expand_as(codes_BLT).to(self.device),
                self._conditions([one.prompt for one in requests], controls, codes_BLT.shape[2]),
                keys=[one.key for one in requests],
                seed=seed,
                rules=rules,
            ).cpu()

    def _conditions(
        self, prompts: Sequence[str], controls: Sequence[ClipControls], frames: int
    ) -> GuidedConditions:
        grid = FrameGrid(frames, self.codec.facts.frames_per_s)
        rows_BTR = batched_rows(controls, grid, self.recipe.model.rows, sure=True)
        if rows_BTR is not None:
            rows_BTR = rows_BTR.to(self.device)
        text = self.encoder.encode(prompts).to(self.device)
        empty = self.encoder.encode([""] * len(prompts)).to(self.device)
        unknown = None if rows_BTR is None else torch.zeros_like(rows_BTR)
        return GuidedConditions(TokenConditions(text, rows_BTR), TokenConditions(empty, unknown))

    def decoded(self, codes_BLT: torch.Tensor) -> list[Wave]:
        """The sounds of codes."""
        with torch.no_grad():
            return for_files(self.codec.decode_codes(codes_BLT.to(self.device)))


def _model_of(recipe: TokensRecipe, checkpoint: Checkpoint) -> TokenNet:
    """The net that plays; no more memory is taken than its weights have numbers."""
    weights = checkpoint.mapped_weights(EMA)
    with torch.device("meta"):  # shapes alone
        check_shapes(TokenNet(recipe.model, recipe.codes), weights, checkpoint.name)
    model = TokenNet(recipe.model, recipe.codes)
    fill(dict(model.named_parameters()), weights, checkpoint.name)
    return model


def is_tokens_run(target: str) -> bool:
    """Whether a target's checkpoint is of a masked model of codes.

    Raises `TrainingError` where there is none.
    """
    return is_of_codes(find_checkpoint(target, files=(RECIPE,)))
