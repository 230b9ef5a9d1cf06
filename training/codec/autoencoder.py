"""A small variational autoencoder for the codec `vae`: spectrograms to latents and back.

Shapes: B clips, S samples, N mel frames, M mel bands.
"""

from pathlib import Path
from typing import Any, Final, Self

import torch
from pydantic import Field, model_validator

from pipelines.codecs.mel import BANDS, HOP, MelCodec
from pipelines.codecs.vae import FOLDER
from schemas.errors import SchemaError
from schemas.identity import Split, keyed_rng
from schemas.record import Record
from training.data.examples import ReadingRules
from training.data.index import index_corpus
from training.data.loading import BatchShare, Samples, TrainingBatch, batches
from training.data.order import SampleOrder
from training.data.prompts import PromptConfig
from training.errors import BadData, TrainingError
from training.run.learner import rate_at
from training.run.metrics_log import ReportLine
from training.run.parallel import device_of
from training.run.recipe import Decay, OptimRecipe

_NORM_GROUPS: Final = 32  # of diffusers' AutoencoderKL
_UNUSABLE: Final = 0.01  # share of samples, as in a training recipe


class AutoencoderRecipe(Record):
    """An autoencoder's shape and training."""

    widths: tuple[int, ...] = Field(
        (32, 32, 32),
        min_length=1,
        description="Channels at each level; each but the last halves time and bands.",
    )
    latent_channels: int = Field(8, ge=1, description="Channels of the latent. AudioLDM: 8.")
    steps: int = Field(
        700, ge=1, description="Steps of the training; with the defaults ten minutes of one CPU."
    )
    batch: int = Field(8, ge=1, description="Windows of a step.")
    frames: int = Field(
        64,
        ge=8,
        description=(
            "Mel frames of a window: 64 are two seconds. A multiple of what the levels halve."
        ),
    )
    lr: float = Field(
        1e-3,
        gt=0,
        description="Learning rate of AdamW at its highest; it falls to zero as a cosine.",
    )
    kl: float = Field(
        1e-4,
        ge=0,
        description=(
            "Weight of the divergence from a standard normal. "
            "Latent diffusion: 1e-6; small sets want more."
        ),
    )
    workers: int = Field(1, ge=0, description="Processes that read ahead.")
    log_every: int = Field(50, ge=1, description="Steps between lines.")
    seed: int = Field(0, ge=0, description="Keys weights, order and windows.")
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda)$", description="auto: a GPU where there is one."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        halved = 2 ** (len(self.widths) - 1)
        if self.frames % halved or BANDS % halved:
            raise SchemaError(
                f"{len(self.widths)} widths halve both axes {len(self.widths) - 1} times: frames "
                f"{self.frames} and the {BANDS} bands "
                f"must be multiples of {halved}"
            )
        if any(width % _NORM_GROUPS for width in self.widths):
            raise SchemaError(
                f"widths {list(self.widths)}: each must be a multiple "
                f"of {_NORM_GROUPS}, the groups of its norms"
            )
        return self


class Fitted(Record):
    """How good an autoencoder is: mean absolute error of levels, in units of the spectrogram's
    spread, over the last steps.
    """

    error: float
    scale: float  # what latents are multiplied by, to have unit variance
    folder: str


def train_autoencoder(
    shards: str, out: Path, recipe: AutoencoderRecipe, report: ReportLine
) -> Fitted:
    """Train on a corpus's train split and write the codec's folder.

    Raises `TrainingError` and `BadData`.
    """
    if (out / FOLDER).exists():
        raise TrainingError(
            f"{out} holds a codec already, on which latents may depend: take another folder"
        )
    device = device_of(recipe.device)
    mel, model = MelCodec(), autoencoder_of(recipe).to(device)
    rules = OptimRecipe(lr=recipe.lr, warmup_steps=min(50, recipe.steps // 10), decay=Decay.COSINE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rules.lr)
    errors, spreads, unusable = [], [], 0
    with batches(
        _samples(shards, recipe),
        BatchShare(recipe.batch, recipe.batch),
        first_step=0,
        last_step=recipe.steps,
        workers=recipe.workers,
    ) as loader:
        for step, batch in enumerate(loader):
            for group in optimizer.param_groups:
                group["lr"] = rate_at(rules, step, recipe.steps)
            unusable += len(batch.unusable)
            _check_usable(batch, unusable, (step + 1) * recipe.batch)
            levels_B1NM = _windows(mel.levels(batch.sounds.to(device)), batch, recipe, step)
            posterior = model.encode(levels_B1NM).latent_dist
            latents = posterior.mode() + posterior.std * _noise(posterior.std, recipe, step)
            error = (model.decode(latents).sample - levels_B1NM).abs().mean()
            loss = error + recipe.kl * posterior.kl().mean() / levels_B1NM[0].numel()
            if not torch.isfinite(loss):
                raise BadData(
                    f"the loss of {', '.join(batch.keys)} "
                    "is not a number; nothing was written. Lower lr"
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), rules.clip)
            optimizer.step()
            errors.append(float(error.detach()))
            spreads.append(float(posterior.mode().detach().std()))
            if (step + 1) % recipe.log_every == 0:
                report(
                    f"step {step + 1} of {recipe.steps} · error "
                    f"{sum(errors[-recipe.log_every :]) / recipe.log_every:.4f}"
                )
    last = max(1, recipe.steps // 20)
    scale = last / sum(spreads[-last:])
    model.register_to_config(scaling_factor=scale)
    model.save_pretrained(str(out / FOLDER))
    return Fitted(error=sum(errors[-last:]) / last, scale=scale, folder=str(out))


def _check_usable(batch: TrainingBatch, unusable: int, taken: int) -> None:
    if unusable > max(len(batch.keys) - 1, _UNUSABLE * taken):
        reasons = "; ".join(sorted({one.reason for one in batch.unusable}))
        raise BadData(f"{unusable} of {taken} samples were unusable: {reasons}")


def autoencoder_of(recipe: AutoencoderRecipe) -> Any:
    """A fresh network of a recipe, drawn by its seed."""
    from diffusers import AutoencoderKL

    levels = len(recipe.widths)
    torch.manual_seed(recipe.seed)
    return AutoencoderKL(
        in_channels=1,
        out_channels=1,
        latent_channels=recipe.latent_channels,
        block_out_channels=recipe.widths,
        layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
    )


def _samples(shards: str, recipe: AutoencoderRecipe) -> Samples:
    facts = MelCodec().facts
    corpus = index_corpus(shards, Split.TRAIN)
    # of a longer sample, the first ten seconds
    frames = 10 * facts.rate_hz // facts.samples_per_frame
    reading = ReadingRules(facts, False, frames, PromptConfig(), 1.0, recipe.seed)
    return Samples([corpus], SampleOrder([len(corpus)], seed=recipe.seed), reading)


def _windows(
    levels_BMN: torch.Tensor, batch: TrainingBatch, recipe: AutoencoderRecipe, step: int
) -> torch.Tensor:
    """A drawn window of each clip that is usable, within what is its own: (B, 1, N, M)."""
    rng = keyed_rng(recipe.seed, str(step), "windows")
    mel_frames_B = (batch.frames_B * MelCodec().facts.samples_per_frame // HOP).tolist()
    starts = [int(rng.integers(max(1, frames - recipe.frames + 1))) for frames in mel_frames_B]
    cut = [
        level_MN[:, start : start + recipe.frames]
        for level_MN, start, frames in zip(levels_BMN, starts, mel_frames_B, strict=True)
        if frames
    ]
    return torch.stack(cut).transpose(1, 2)[:, None]


def _noise(like: torch.Tensor, recipe: AutoencoderRecipe, step: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
    return torch.randn(like.shape, generator=rng).to(like)
