"""The training recipe: every knob of a run, typed, with a default and its source."""

from enum import StrEnum
from typing import Final, Self

from pydantic import Field, model_validator

from pipelines.codecs import CODECS
from pipelines.trust.trusted import named_model, named_plug_in
from schemas.errors import SchemaError
from schemas.record import Record
from training.adapters.config import AdapterRecipe
from training.data.prompts import PromptConfig
from training.data.recipe import DataRecipe, SampleRecipe
from training.diffusion.text_encoder import MAX_TOKENS, MINILM, OURS, TEXT_ENCODERS
from training.distillation.config import DistilRecipe
from training.errors import TrainingError
from training.nets import NetConfig
from training.objectives import ObjectiveConfig
from training.objectives.diffusion import DiffusionConfig
from training.objectives.flow import FlowConfig
from training.released.config import ReleasedConfig
from training.samplers.config import OF_ALL_NETS, OF_DIFFUSION, SamplingConfig, check_sampler

_LEAST_UNTOLD: Final = 0.02  # of visits without any condition, for guidance to have learned them


class Decay(StrEnum):
    """How the learning rate goes down after its warm-up, to zero at the last step."""

    CONSTANT = "constant"  # not at all
    LINEAR = "linear"
    COSINE = "cosine"


class Parallel(StrEnum):
    """How several processes share the work."""

    DDP = "ddp"  # each has the whole model
    FSDP = "fsdp"  # each has a share of its weights, gradients and moments (FSDP2)


class Precision(StrEnum):
    """In what the net computes; weights, moments and losses are float32 in any case."""

    FP32 = "fp32"
    BF16 = "bf16"


class CodecRecipe(Record):
    """What turns sound into latents and back."""

    name: str = Field(
        "mel",
        description=(
            "mel, audioldm, encodec, dac, oobleck, same, vae, wave, or the name of a plug-in or "
            "module. Shards encoded with it are read as they are."
        ),
    )
    source: str = Field("", description="Id or folder of its weights. Empty: its own default.")
    vocoder: str = Field(
        "",
        description=(
            "Of mel and vae, the folder of the vocoder that plays them (`obbligato train "
            "vocoder`). Empty: Griffin-Lim. Latents are the same."
        ),
    )


class TextRecipe(Record):
    """The frozen text encoder."""

    encoder: str = Field(
        OURS, description="transformers (MiniLM and T5), or the name of a plug-in or module."
    )
    source: str = Field(
        MINILM,
        description=(
            "minilm, or the id or folder of a T5 (Mustango: "
            "google/flan-t5-large), or of a plug-in's weights."
        ),
    )
    max_tokens: int = Field(MAX_TOKENS, ge=2, description="What of a prompt is beyond is not read.")
    cache_mb: float = Field(
        0,
        ge=0,
        description=(
            "Memory for states of prompts seen before. "
            "Prompts are then encoded one by one: for encoders that run on a CPU."
        ),
    )


class OptimRecipe(Record):
    """How weights move."""

    lr: float = Field(
        4.5e-5, gt=0, description="Learning rate after the warm-up. Mustango: 4.5e-5."
    )
    warmup_steps: int = Field(
        0, ge=0, description="Steps over which it rises from zero. Noise2Music: 10000."
    )
    decay: Decay = Field(
        Decay.LINEAR, description="How it goes down. TANGO: linear. Noise2Music: cosine."
    )
    beta1: float = Field(0.9, ge=0, lt=1, description="Of AdamW. TANGO and Noise2Music: 0.9.")
    beta2: float = Field(0.999, ge=0, lt=1, description="Of AdamW. TANGO and Noise2Music: 0.999.")
    weight_decay: float = Field(0.01, ge=0, description="Of AdamW. TANGO: 0.01. 0 makes it Adam.")
    clip: float = Field(
        1.0,
        gt=0,
        description=(
            "Norm above which a step's gradient is scaled down. "
            "Usual for diffusion transformers: 1."
        ),
    )
    ema: float = Field(
        0.9999,
        ge=0,
        lt=1,
        description=(
            "Decay of the averaged weights, which play; "
            "in early steps lower. Noise2Music: 0.9999. 0: no average."
        ),
    )


class StepsRecipe(Record):
    """How the steps of a run go."""

    steps: int = Field(
        100_000, ge=1, description="Steps of the whole run. Its length decides the decay."
    )
    seed: int = Field(0, ge=0, description="Keys every draw: weights, order, prompts, noise.")
    device: str = Field(
        "auto", pattern=r"^(auto|cpu|cuda)$", description="auto: a GPU where there is one."
    )
    precision: Precision = Field(Precision.FP32, description="fp32 or bf16. On a GPU: bf16.")
    checkpoint_every: int = Field(1000, ge=1, description="Steps between checkpoints.")
    keep: int = Field(3, ge=1, description="Checkpoints kept; older ones are removed.")
    keep_moments: int = Field(
        3,
        ge=1,
        description=(
            "Of these, checkpoints with the optimizer's moments, half of their bytes: from those "
            "a run can go on, from older ones it can be played."
        ),
    )
    skipped_losses: int = Field(
        0,
        ge=0,
        description=(
            "Steps of a run that are left out where their loss or gradient is not a number, "
            "before it ends with an error."
        ),
    )
    log_every: int = Field(20, ge=1, description="Steps between lines of the log.")
    validate_every: int = Field(
        500, ge=1, description="Steps between losses on the validation split."
    )
    wandb: str = Field(
        "",
        description="Project on Weights & Biases that mirrors the log. Empty: TensorBoard alone.",
    )


class RunRecipe(StepsRecipe):
    """How a model's run goes."""

    start_from: str = Field(
        "",
        description=(
            "A run, or one of its checkpoints, whose averaged weights this one begins with. Empty: "
            "random ones."
        ),
    )
    compile: bool = Field(
        False,
        description=(
            "Compile the net's blocks (torch.compile): a GPU wants it; its first step takes longer."
        ),
    )
    checkpointing: bool = Field(
        False,
        description=(
            "Compute activations twice rather than keep them: less memory, a third more time."
        ),
    )
    parallel: Parallel = Field(
        Parallel.DDP, description="How several processes share the work: ddp or fsdp."
    )
    play_every: int = Field(
        5000, ge=1, description="Steps between sounds and pictures of fixed prompts."
    )
    played: int = Field(4, ge=0, description="How many prompts of the validation split those are.")
    survey: int = Field(
        2000,
        ge=1,
        description=(
            "Train samples that sentences per prompt "
            "and the statistics for sampling are taken from."
        ),
    )


class LearningRecipe(Record):
    """What every training by the loop goes by, whatever it trains."""

    run: StepsRecipe = StepsRecipe()
    data: SampleRecipe = SampleRecipe()
    optim: OptimRecipe = OptimRecipe()

    @model_validator(mode="after")
    def _check_data(self) -> Self:
        if self.data.batch % self.data.micro_batch:
            raise SchemaError(
                f"data.batch {self.data.batch} is not a multiple "
                f"of data.micro_batch {self.data.micro_batch}"
            )
        if self.data.weights and len(self.data.weights) != len(self.data.shards):
            raise SchemaError(
                f"{len(self.data.weights)} weights for {len(self.data.shards)} corpora of shards"
            )
        return self


class TrainRecipe(LearningRecipe):
    """A whole run."""

    run: RunRecipe = RunRecipe()
    data: DataRecipe = DataRecipe()
    codec: CodecRecipe = CodecRecipe()
    text: TextRecipe = TextRecipe()
    model: NetConfig
    objective: ObjectiveConfig = DiffusionConfig()
    prompts: PromptConfig = PromptConfig()
    adapter: AdapterRecipe = AdapterRecipe()
    distil: DistilRecipe = DistilRecipe()
    sampling: SamplingConfig = SamplingConfig()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.adapter.is_used and not self.run.start_from:
            raise SchemaError(
                "adapter.rank and adapter.frozen leave weights as they are: name those to begin "
                "with in run.start_from"
            )
        if isinstance(self.objective, FlowConfig) and self.sampling.sampler in OF_DIFFUSION:
            raise SchemaError(
                f"sampling.sampler={self.sampling.sampler} is for objective.kind=diffusion: with "
                f"flow take {', '.join(one for one in OF_ALL_NETS if one not in OF_DIFFUSION)}"
            )
        if self.prompts.drop_seconds and isinstance(self.model, ReleasedConfig):
            raise SchemaError(
                "prompts.drop_seconds: a released transformer is told seconds in any case; leave 0"
            )
        if self.data.silence and not self.model.seconds:
            raise SchemaError(
                "data.silence: nothing tells this model when music ends: set model.seconds=true"
            )
        self._check_sampling()
        if self.sampling.guidance != 1 and self._untold() < _LEAST_UNTOLD:
            raise SchemaError(
                f"all conditions are dropped in {self._untold():.2%} of visits, but "
                f"sampling.guidance {self.sampling.guidance:g} leads away from just that: raise "
                f"prompts.drop_all to {_LEAST_UNTOLD:g} or more, or set sampling.guidance=1"
            )
        return self

    def _check_sampling(self) -> None:
        """Raise `SchemaError` where a model, such as a student, cannot play as it says."""
        try:
            check_sampling(self, self.sampling)
        except TrainingError as error:
            raise SchemaError(str(error)) from error

    def _untold(self) -> float:
        """The share of visits in which text, beats and chords are all dropped, at least."""
        rules = self.prompts
        controls = max(rules.drop_controls, rules.drop_each**2)
        return rules.drop_all + (1 - rules.drop_all) * rules.drop_each * controls


def check_sampling(recipe: TrainRecipe, sampling: SamplingConfig) -> None:
    """Raise `TrainingError` where a recipe's model cannot be played so."""
    check_sampler(sampling, is_student=recipe.model.jumps)
    low, high = recipe.distil.guidance
    if recipe.model.jumps and not low <= sampling.guidance <= high:
        raise TrainingError(
            f"sampling.guidance {sampling.guidance:g} is not one that this student was told of: "
            f"{low:g} to {high:g} (distil.guidance)"
        )


def foreign_names(text: TextRecipe, codec: CodecRecipe | None = None) -> tuple[str, ...]:
    """What a model's recipe names beyond our own, as ``knob=value``: plug-ins, models of others.

    See `pipelines.trust.trusted`.

    >>> foreign_names(TextRecipe(), CodecRecipe())
    ()
    >>> foreign_names(TextRecipe(), CodecRecipe(name="company.codec"))
    ('codec.name=company.codec',)
    """
    encoder = named_plug_in("text.encoder", text.encoder, TEXT_ENCODERS)
    names = [encoder, named_model("text.source", text.source, by_others=bool(encoder))]
    if codec is not None:
        name = named_plug_in("codec.name", codec.name, CODECS)
        names += [name, named_model("codec.source", codec.source, by_others=bool(name))]
    return tuple(name for name in names if name)
