"""The recipe of a training of predictors: every knob, with a default and its reason."""

from typing import Self

from pydantic import Field, model_validator

from schemas.errors import SchemaError
from schemas.record import Confidence, Record
from training.data.prompts import PromptConfig
from training.run.recipe import Decay, OptimRecipe, TextRecipe


class PredictorRun(Record):
    """How a training goes."""

    steps: int = Field(
        240, ge=1, description="Steps; the best weights on validation are kept. Minutes on a CPU."
    )
    seed: int = Field(0, ge=0, description="Keys every draw: weights, order, prompts.")
    survey: int = Field(
        1000, ge=1, description="Train samples whose counts the predictors begin with."
    )
    validate_every: int = Field(
        20, ge=1, description="Steps between losses on the validation split."
    )
    visits: int = Field(
        6,
        ge=1,
        description=(
            "How often each validation sample is looked at, "
            "with other sentences left out each time."
        ),
    )


class PredictorData(Record):
    """Which samples are learned from."""

    shards: tuple[str, ...] = Field(
        (), description="Builds, folders of shards, globs or URLs; the command line names them."
    )
    batch: int = Field(64, ge=1, description="Samples of a step.")
    hinted: Confidence = Field(
        0.4,
        description=(
            "Chance, each, that the tempo and the pace of chords "
            "are hinted at where the prompt leaves them open."
        ),
    )
    validation: int = Field(
        400, ge=0, description="Samples of the validation split that decide which weights are kept."
    )
    unusable: Confidence = Field(
        0.01, description="Share of samples that may turn out unusable before training stops."
    )


class PredictorNet(Record):
    """Sizes.

    Small: a few hundred songs tell little of how words go with music, and larger nets learn songs
    by heart.
    """

    width: int = Field(64, ge=4, le=4096, description="Width of a state.")
    heads: int = Field(4, ge=1, le=4096, description="Heads of attention.")
    layers: int = Field(2, ge=1, le=64, description="Layers of the chord decoder.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Of states, in training.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.width % self.heads:
            raise SchemaError(
                f"model.width {self.width} is not a multiple of model.heads {self.heads}"
            )
        return self


class PredictorRecipe(Record):
    """A whole training."""

    run: PredictorRun = PredictorRun()
    data: PredictorData = PredictorData()
    text: TextRecipe = TextRecipe(cache_mb=500)
    model: PredictorNet = PredictorNet()
    # Captions state most things; what they leave open is learned where sentences are left out, so
    # most visits leave some out.
    prompts: PromptConfig = PromptConfig(
        paraphrased=0.5, masking=1, masked_min=0.2, masked_max=0.75, drop_all=0, drop_each=0.02
    )
    optim: OptimRecipe = OptimRecipe(
        lr=3e-3, warmup_steps=20, decay=Decay.COSINE, weight_decay=0.05, ema=0.95
    )
