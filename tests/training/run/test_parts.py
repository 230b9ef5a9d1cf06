"""The small parts of a run: rates, averages, kept states, pace."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from pipelines.storage.store import Store
from training.conditions.tokens import Tokens
from training.diffusion.text_encoder import TextCache, open_text_encoder
from training.errors import TrainingError
from training.munet.config import MuNetConfig
from training.objectives.diffusion import DiffusionConfig
from training.run.ema import Ema
from training.run.fit import shared
from training.run.learner import rate_at
from training.run.metrics_log import MetricsLog, spectrogram_picture
from training.run.parallel import World
from training.run.presets import READY, ready_recipe
from training.run.recipe import Decay, OptimRecipe
from training.run.throughput import flops_per_sample


@pytest.mark.parametrize(
    ("decay", "halfway", "last"),
    [(Decay.CONSTANT, 1.0, 1.0), (Decay.LINEAR, 0.5, 0.01), (Decay.COSINE, 0.5, 0.00024672)],
)
def test_the_rate_rises_then_falls(decay: Decay, halfway: float, last: float) -> None:
    rules = OptimRecipe(lr=1.0, warmup_steps=100, decay=decay)
    assert [rate_at(rules, step, 200) for step in (0, 49, 99, 100)] == [0.01, 0.5, 1.0, 1.0]
    assert rate_at(rules, 150, 200) == pytest.approx(halfway)
    assert rate_at(rules, 199, 200) == pytest.approx(last, rel=1e-4)
    assert rate_at(OptimRecipe(lr=1.0, decay=decay), 0, 10) == 1.0


def test_an_average_follows_by_its_decay_and_changes_places_with_the_weights() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    ema = Ema(model, 0.5)
    with torch.no_grad():
        model.weight.fill_(1.0)
    ema.update(0)  # decay 1 / 10
    with ema.playing():
        assert model.weight.item() == pytest.approx(0.9)
    assert model.weight.item() == 1.0
    ema.update(1000)  # decay 0.5
    with ema.playing():
        assert model.weight.item() == pytest.approx(0.95)


class _Letters:
    """An encoder whose states are a prompt's letters, and that counts what it is asked."""

    width, identity = 1, "letters"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, prompts: Sequence[str]) -> Tokens:
        self.asked += prompts
        states = torch.zeros(len(prompts), 8, 1)
        mask = torch.zeros(len(prompts), 8, dtype=torch.bool)
        for row, prompt in enumerate(prompts):
            states[row, : len(prompt), 0] = torch.tensor(
                [float(ord(letter)) + 0.3 for letter in prompt]
            )
            mask[row, : len(prompt)] = True
        return Tokens(states, mask)


def test_states_are_kept_and_the_first_time_is_as_the_second() -> None:
    encoder = _Letters()
    kept = TextCache(encoder, 1)
    first, second = kept.encode(["ab", "c"]), kept.encode(["c", "ab"])
    assert encoder.asked == ["ab", "c"]
    assert torch.equal(first.states_BLD[0], second.states_BLD[1])
    assert first.mask_BL.sum(1).tolist() == [2, 1]


def test_memory_for_states_has_an_end() -> None:
    encoder = _Letters()
    kept = TextCache(encoder, 6 / 2**20)  # six bytes: three letters in half precision
    for prompt in ("ab", "cd", "ab"):
        kept.encode([prompt])
    assert encoder.asked == ["ab", "cd", "ab"]


def test_without_memory_prompts_are_encoded_together() -> None:
    encoder = _Letters()
    TextCache(encoder, 0).encode(["ab", "ab"])
    assert encoder.asked == ["ab", "ab"]


def test_presets_are_as_published() -> None:
    base, n2m = READY["base"], READY["n2m"]
    assert (base.optim.lr, base.data.batch, base.sampling.steps, base.sampling.guidance) == (
        4.5e-5,
        32,
        200,
        3.0,
    )
    assert (base.prompts.drop_all, base.prompts.drop_each, base.prompts.paraphrased) == (
        0.05,
        0.05,
        0.85,
    )
    assert (n2m.prompts.drop_all, n2m.prompts.drop_each, n2m.sampling.guidance) == (0.1, 0, 7)
    assert (base.model.rows, base.objective, base.sampling.clamp) == (
        (),
        DiffusionConfig(snr_gamma=None),
        False,
    )
    rules = n2m.optim
    assert (
        rules.lr,
        rules.warmup_steps,
        rules.decay,
        rules.beta1,
        rules.beta2,
        rules.weight_decay,
        rules.ema,
    ) == (
        1e-4,
        10_000,
        Decay.COSINE,
        0.9,
        0.999,
        0,
        0.9999,
    )


@pytest.mark.parametrize("drop_all", [0.0, 0.019])
def test_guidance_away_from_what_is_never_learned_is_refused(drop_all: float) -> None:
    recipe = READY["n2m"]
    rare = recipe.prompts.replaced(drop_all=drop_all)
    with pytest.raises(ValidationError, match="all conditions are dropped in"):
        recipe.replaced(prompts=rare)
    unguided = recipe.sampling.replaced(guidance=1.0)
    assert recipe.replaced(prompts=rare, sampling=unguided).prompts == rare


def test_a_process_takes_no_more_at_once_than_its_share_of_a_step() -> None:
    base = READY["base"]
    base = base.replaced(data=base.data.replaced(shards=("corpus",)))
    cpu = torch.device("cpu")
    assert [shared(base, World(0, ranks, cpu)).data.micro_batch for ranks in (1, 2, 8)] == [
        16,
        16,
        4,
    ]
    with pytest.raises(TrainingError, match="cannot be shared by 3 processes in micro-batches of"):
        shared(base, World(0, 3, cpu))


def test_operations_of_a_pass_are_counted() -> None:
    """A net of convolutions alone, by hand: a product is two operations, and going back costs twice
    as much as going forward.
    """
    recipe = ready_recipe("tiny-munet")
    one = flops_per_sample(recipe, 64, 80, 8)
    assert flops_per_sample(recipe, 64, 160, 8) > 1.9 * one
    wider = recipe.replaced(
        model=MuNetConfig.model_validate(recipe.model.model_dump() | {"layers": 2})
    )
    assert flops_per_sample(wider, 64, 80, 8) > 1.3 * one
    assert one == pytest.approx(3.76e9, rel=0.01)


def test_a_tone_is_a_bright_line_at_its_height() -> None:
    times = np.arange(16_000) / 16_000
    picture = spectrogram_picture(np.sin(2 * np.pi * 1000 * times).astype(np.float32))
    assert picture.shape[0] == 257
    middle = picture[:, picture.shape[1] // 2]
    assert 256 - int(middle.argmax()) == 64  # bins of 15.6 Hz, low ones at the bottom
    assert middle.max() > 250
    assert middle[:100].max() < 60


def test_a_log_that_goes_on_keeps_the_step_of_its_checkpoint_and_drops_what_came_after(
    tmp_path: Path,
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def heard(done: int, *steps: int) -> None:
        journal = MetricsLog(Store(str(tmp_path)), lambda _: None, done=done)
        for step in steps:
            journal.validation(step, float(step + 100 * done))
        journal.close()

    heard(0, 1, 2, 3)
    heard(2, 3, 4)
    log = EventAccumulator(str(tmp_path / "tensorboard"))
    log.Reload()
    assert [(point.step, point.value) for point in log.Scalars("loss/validation")] == [
        (1, 1.0),
        (2, 2.0),
        (3, 203.0),
        (4, 204.0),
    ]


def test_states_of_text_are_the_same_whatever_is_computed_in_around_them() -> None:
    encoder = open_text_encoder()
    plain = encoder.encode(["A flute plays in C minor."]).states_BLD
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(encoder.encode(["A flute plays in C minor."]).states_BLD, plain)
