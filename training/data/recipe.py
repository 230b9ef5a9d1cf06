"""What is learned from: the data section of a recipe."""

from itertools import pairwise
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from schemas.errors import SchemaError
from schemas.record import Confidence, Record
from training.conditions.limits import TokenLimits

MOST_TOKENS: Final = 20_000  # of a clip of an hour, five a second and more


class SampleRecipe(Record):
    """Which samples are learned from, and how many at a time."""

    shards: tuple[str, ...] = Field(
        (), description="Builds, folders of shards, globs or URLs; the command line names them."
    )
    weights: tuple[float, ...] = Field(
        (),
        description=(
            "Share of each of the shards' corpora, such as a small "
            "curated one beside a large one. Empty: all as one."
        ),
    )
    seconds: float = Field(
        10.0,
        gt=0,
        le=3600,
        description=(
            "How much of a sample is learned; a shorter one is padded. TANGO: 10.24; Mustango: 10."
        ),
    )
    batch: int = Field(
        32,
        ge=1,
        description="Samples of a step, over all processes. Mustango's effective batch: 32.",
    )
    micro_batch: int = Field(
        8,
        ge=1,
        description=(
            "Samples that a process takes through the net at once, at most; "
            "a step gathers as many as it needs."
        ),
    )
    workers: int = Field(
        2, ge=0, description="Processes that read ahead, for each training process. 0: none."
    )
    unusable: Confidence = Field(
        0.01, description="Share of samples that may turn out unusable before training stops."
    )
    without: tuple[str, ...] = Field(
        (),
        description=(
            "Keys of samples that are left out, such as those that a message has named; they "
            "count as unusable."
        ),
    )
    validation: int = Field(
        64,
        ge=0,
        description="Samples of the validation split whose loss is followed, with fixed noise.",
    )


class DataRecipe(SampleRecipe):
    """What a model learns from."""

    level_curves: Confidence = Field(
        0.0,
        description=(
            "Chance of a visit that is made louder and softer by a curve drawn for it, its "
            "dynamics with it, so that these are a control beside beats and chords. Takes latents "
            "that are levels (mel), or audio."
        ),
    )
    beats: int | None = Field(
        None,
        ge=1,
        le=MOST_TOKENS,
        description=(
            "Beats of a clip that are told as tokens, at most. None: 50, as Mustango has it for "
            "10 s, and of longer clips as many a second. Frame rows tell all."
        ),
    )
    chords: int | None = Field(
        None, ge=1, le=MOST_TOKENS, description="And chords. None: 20, and as many a second."
    )

    silence: bool = Field(
        False,
        description=(
            "Learn that it is silent behind the end of shorter samples, as Stable Audio does, so "
            "that a piece may be asked for that is shorter than `seconds`. Takes a model that is "
            "told seconds, to which such a sample is the end of its song. Else padding is left out."
        ),
    )

    buckets: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (),
        description=(
            "Seconds, ascending, that batches of shorter samples are padded to, where clips are of "
            "unlike length: batches hold samples that are about as long. Empty: all are padded to "
            "`seconds`, and any stand together."
        ),
    )

    @model_validator(mode="after")
    def _check_buckets(self) -> Self:
        steps = (0.0, *self.buckets, self.seconds)
        if any(later <= before for before, later in pairwise(steps)):
            raise SchemaError(
                f"data.buckets {list(self.buckets)} are not ascending lengths below data.seconds "
                f"{self.seconds:g}, which is the last bucket"
            )
        if self.buckets and self.silence:
            raise SchemaError(
                "data.buckets and data.silence: silence fills all samples up to one length; take "
                "one of them"
            )
        return self

    @property
    def limits(self) -> TokenLimits:
        """Beats and chords that are told as tokens, at most."""
        return TokenLimits.of(self.seconds, self.beats, self.chords)
