"""The recipe of a masked model of codes: every knob, with a default and its source; a preset."""

from typing import Final, Self

from pydantic import Field, model_validator

from schemas.codec import CodeFacts
from schemas.errors import SchemaError
from schemas.record import Confidence, Record
from training.conditions import Condition, SecondsAs
from training.data.prompts import PromptConfig
from training.data.recipe import SampleRecipe
from training.dit.config import DitConfig
from training.errors import TrainingError
from training.run.recipe import (
    CodecRecipe,
    Decay,
    LearningRecipe,
    OptimRecipe,
    StepsRecipe,
    TextRecipe,
)
from training.samplers.rounds_config import RoundsConfig

PREFIX: Final = "tokens-"  # of presets, among those of other models


class CodesRecipe(Record):
    """The codes that are learned: the codec's, of which shards hold them."""

    books: int = Field(9, ge=2, le=64, description="Codebooks of the codec.")
    entries: int = Field(1024, ge=2, le=65_536, description="Entries of each.")
    coarse: int = Field(
        3,
        ge=1,
        le=63,
        description=(
            "The first books, filled in by themselves; then the finer ones, given these. "
            "VampNet: 4 of 14."
        ),
    )
    coarse_visits: Confidence = Field(
        0.6, description="Share of visits in which coarse books are learned; else the finer ones."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.coarse >= self.books:
            raise SchemaError(
                f"coarse {self.coarse} of {self.books} books: leave one at least that is finer"
            )
        return self

    def check_codec(self, facts: CodeFacts) -> None:
        """Raise `TrainingError` where a codec has other codes."""
        if (self.books, self.entries) != (facts.books, facts.entries):
            raise TrainingError(
                f"{facts.codec} has {facts.books} codebooks of {facts.entries} entries, but the "
                f"model takes {self.books} of {self.entries}: set codes.books={facts.books} and "
                f"codes.entries={facts.entries}, or take another codec"
            )


class TokensRecipe(LearningRecipe):
    """A whole training of a masked model of codes."""

    codec: CodecRecipe = CodecRecipe(name="wave")
    text: TextRecipe = TextRecipe()
    codes: CodesRecipe = CodesRecipe()
    model: DitConfig
    prompts: PromptConfig = PromptConfig()
    sampling: RoundsConfig = RoundsConfig()

    @model_validator(mode="after")
    def _check_model(self) -> Self:
        if self.model.latent_bands != 1 or self.model.patch != 1 or self.model.jumps:
            raise SchemaError(
                "a model of codes has model.latent_bands=1, model.patch=1 and model.jumps=false"
            )
        if self.model.controls:
            raise SchemaError(
                "a model of codes takes controls as frame rows: set model.controls=[], and "
                "model.rows"
            )
        if self.model.seconds or self.model.seconds_as is not SecondsAs.ADDED:
            raise SchemaError(
                "a model of codes takes no seconds of a song: leave model.seconds and "
                "model.seconds_as out"
            )
        if self.prompts.drop_seconds:
            raise SchemaError("prompts.drop_seconds: a model of codes takes no seconds; leave 0")
        if self.codec.vocoder:
            raise SchemaError("codec.vocoder: a model of codes plays by its codec alone; leave it")
        return self


# Hours of a CPU; of `wave` with 9 books at 62.5 frames a second 320 frames at a time.
_TINY: Final = TokensRecipe(
    model=DitConfig(
        latent_channels=128,
        latent_bands=1,
        width=192,
        depth=6,
        head_width=32,
        text_width=384,
        control_width=128,
        controls=(),
        rows=(Condition.BEATS, Condition.CHORDS, Condition.KEY),
    ),
    data=SampleRecipe(seconds=5.12, batch=8, micro_batch=8, workers=1),
    run=StepsRecipe(steps=6000, checkpoint_every=500, validate_every=500),
    text=TextRecipe(cache_mb=1500),
    prompts=PromptConfig(drop_all=0.1),
    optim=OptimRecipe(lr=1e-3, warmup_steps=100, decay=Decay.COSINE, ema=0.998),
)

READY_TOKENS: Final = {f"{PREFIX}tiny": _TINY}


def ready_tokens(name: str) -> TokensRecipe:
    """A ready recipe by its name. Raises `TrainingError` for any other name.

    >>> ready_tokens("tokens-tiny").codes.coarse
    3
    """
    if name not in READY_TOKENS:
        raise TrainingError(f"no preset called {name!r}: expected {', '.join(READY_TOKENS)}")
    return READY_TOKENS[name]
