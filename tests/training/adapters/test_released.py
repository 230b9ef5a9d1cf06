"""Frame rows and low-rank changes on released transformers, by diffusers' own classes: nothing at
first, and learned in a few steps.

Small ones of each kind, with random weights, as diffusers saves them.
"""

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from diffusers import AceStepTransformer1DModel, StableAudioDiTModel, StableAudioProjectionModel
from diffusers.models.embeddings import get_1d_rotary_pos_embed
from pydantic import ValidationError
from torch import nn

from training.adapters.config import AdapterRecipe
from training.adapters.freezing import learned, prepare
from training.adapters.low_rank import merged
from training.conditions import Condition
from training.conditions.rows import row_width
from training.conditions.tokens import Tokens
from training.errors import TrainingError
from training.nets import compiled_parts, net_of, shared_parts
from training.released.config import Family, ReleasedConfig
from training.released.net import ReleasedNet
from training.run.presets import ready_recipe
from training.run.throughput import flops_per_sample

ROWS = (Condition.BEATS, Condition.CHORDS)
TEXT, FRAMES = 16, 11
ATTENTION = AdapterRecipe(rank=2, alpha=4, targets=("to_q", "to_k", "to_v", "to_out.0"))


def stable_audio() -> StableAudioDiTModel:
    return StableAudioDiTModel(
        sample_size=16,
        in_channels=8,
        out_channels=8,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        num_key_value_attention_heads=1,
        cross_attention_dim=16,
        cross_attention_input_dim=TEXT,
        time_proj_dim=16,
        global_states_input_dim=2 * TEXT,
    )


def ace_step() -> AceStepTransformer1DModel:
    return AceStepTransformer1DModel(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        in_channels=24,
        audio_acoustic_hidden_dim=8,
        sliding_window=4,
        encoder_hidden_size=TEXT,
    )


def config(family: Family, base: Any, rows: tuple[Condition, ...] = ROWS) -> ReleasedConfig:
    shape = {name: value for name, value in base.config.items() if not name.startswith("_")}
    projection = {"text_encoder_dim": 12, "conditioning_dim": TEXT, "min_value": 0, "max_value": 64}
    stable = family is Family.STABLE_AUDIO
    return ReleasedConfig(
        family=family,
        shape=shape,
        projection=projection if stable else {},
        latent_channels=4,
        latent_bands=2,
        text_width=12 if stable else TEXT,
        rows=rows,
        row_width=8,
        seconds=stable,
    )


class Released:
    """A released transformer from disk, and what it is given."""

    def __init__(self, family: Family, folder: Path) -> None:
        torch.manual_seed(0)
        made = stable_audio() if family is Family.STABLE_AUDIO else ace_step()
        for parameter in made.parameters():
            if not parameter.any():
                nn.init.normal_(parameter, std=0.1)
        made.save_pretrained(folder)
        self.family, self.base = family, type(made).from_pretrained(folder).eval()
        self.projection = StableAudioProjectionModel(12, TEXT, 0, 64)
        width = 12 if family is Family.STABLE_AUDIO else TEXT
        rng = torch.Generator().manual_seed(1)
        self.x = torch.randn(2, 4, FRAMES, 2, generator=rng)
        self.text = Tokens(
            torch.randn(2, 6, width, generator=rng),
            torch.tensor([[1] * 6, [1] * 4 + [0] * 2]).bool(),
        )
        self.steps, self.seconds = torch.tensor([100.0, 700.0]), torch.tensor([[0, 8], [3, 30.0]])
        self.rows = torch.rand(2, FRAMES, row_width(ROWS), generator=rng)

    def net(self, rows: tuple[Condition, ...] = ROWS) -> ReleasedNet:
        torch.manual_seed(2)
        made = net_of(config(self.family, self.base, rows)).eval()
        assert isinstance(made, ReleasedNet)
        made.base.load_state_dict(self.base.state_dict())
        if made.projection is not None:
            made.projection.load_state_dict(self.projection.state_dict())
        return made

    def predicted(self, net: ReleasedNet, rows: torch.Tensor | None = None) -> torch.Tensor:
        seconds = self.seconds if self.family is Family.STABLE_AUDIO else None
        out: torch.Tensor = net(self.x, self.steps, {Condition.TEXT: self.text}, seconds, rows)
        return out

    def by_itself(self) -> torch.Tensor:
        """What diffusers' class computes, called as diffusers' pipeline calls it."""
        x_BTC, times_B = self.x.transpose(1, 2).flatten(2), self.steps / 1000
        text = self.text.states_BLD * self.text.mask_BL[..., None]
        if self.family is Family.ACE_STEP:
            context = torch.cat([torch.zeros_like(x_BTC), torch.ones_like(x_BTC)], dim=-1)
            out = self.base(x_BTC, times_B, times_B, text, context).sample
            return self._grid(out)
        told = self.projection(self.text.states_BLD, self.seconds[:, :1], self.seconds[:, 1:])
        ends = [told.seconds_start_hidden_states, told.seconds_end_hidden_states]
        states = told.text_hidden_states * self.text.mask_BL[..., None]
        out = self.base(
            x_BTC.transpose(1, 2),
            times_B,
            encoder_hidden_states=torch.cat([states, *ends], dim=1),
            encoder_attention_mask=torch.cat([self.text.mask_BL, torch.ones(2, 2).bool()], dim=1),
            global_hidden_states=torch.cat(ends, dim=2),
            rotary_embedding=get_1d_rotary_pos_embed(
                4, FRAMES + 1, use_real=True, repeat_interleave_real=False
            ),
        ).sample
        return self._grid(out.transpose(1, 2))

    def _grid(self, out_BTC: torch.Tensor) -> torch.Tensor:
        return out_BTC.reshape(2, -1, 4, 2).transpose(1, 2)


@pytest.fixture(params=list(Family))
def released(request: pytest.FixtureRequest, tmp_path: Path) -> Released:
    return Released(request.param, tmp_path / "released")


def test_fresh_rows_and_low_rank_changes_leave_the_released_net_as_it_is(
    released: Released,
) -> None:
    with torch.no_grad():
        expected = released.by_itself()
        assert expected.std() > 0.05
        net = released.net()
        assert torch.allclose(released.predicted(net, released.rows), expected, atol=1e-6)
        prepare(net.base, ATTENTION, dict(net.base.named_parameters()))
        assert torch.allclose(released.predicted(net, released.rows), expected, atol=1e-6)


def test_its_blocks_are_gathered_and_compiled_by_themselves(released: Released) -> None:
    net = released.net()
    blocks = [
        one for one in net.base.modules() if one.__class__.__name__.endswith(("Block", "Layer"))
    ]
    assert len(blocks) == 2
    assert shared_parts(nn.Sequential(net)) == compiled_parts(nn.Sequential(net)) == blocks


def test_operations_of_a_released_net_are_counted_seconds_and_rows_among_its_inputs(
    released: Released,
) -> None:
    chosen = ready_recipe("base").replaced(model=config(released.family, released.base))
    one = flops_per_sample(chosen, 4, 16, 2)
    assert 1.6 * one < flops_per_sample(chosen, 4, 32, 2) < 2 * one  # the text stays as long


def test_what_a_released_net_cannot_take_is_refused(released: Released) -> None:
    made = config(released.family, released.base)
    with pytest.raises(ValidationError, match=f"leave seconds={made.seconds}, as it was imported"):
        made.replaced(seconds=not made.seconds)
    net = released.net()
    released.x = torch.zeros(2, 4, FRAMES, 1)
    with pytest.raises(TrainingError, match="a latent of 1 bands for a net of 2"):
        released.predicted(net)


def learn(released: Released, net: ReleasedNet, steps: int = 12) -> list[float]:
    """By heart: a prediction that the rows alone tell from its mirror image."""
    rng = torch.Generator().manual_seed(3)
    wanted = torch.randn(2, 4, FRAMES, 2, generator=rng)
    optimizer = torch.optim.Adam(learned(net).values(), lr=0.02)
    losses = []
    for _ in range(steps):
        loss = (released.predicted(net, released.rows) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_rows_learn_alone_and_the_released_weights_stay(released: Released) -> None:
    net = released.net()
    loaded = {name for name, _ in net.named_parameters() if not name.startswith("rows.")}
    prepare(net, AdapterRecipe(frozen=("loaded",)), loaded)
    losses = learn(released, net)
    assert losses[-1] < 0.9 * losses[0]
    before = released.base.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in net.base.state_dict().items())
    with torch.no_grad():
        told = [released.predicted(net, rows) for rows in (released.rows, released.rows.flip(1))]
        assert (told[0] - told[1]).abs().max() > 1e-3
        assert torch.allclose(released.predicted(net), released.by_itself(), atol=1e-6)


def test_a_low_rank_change_learns_is_saved_small_and_plays_merged(
    released: Released, tmp_path: Path
) -> None:
    net = released.net(rows=())
    base = {name: value.clone() for name, value in net.named_parameters()}
    prepare(net, ATTENTION, base)
    optimizer_sees = learned(net)
    assert all(".lora_A." in name or ".lora_B." in name for name in optimizer_sees)
    wanted, losses = torch.zeros(2, 4, FRAMES, 2), []
    optimizer = torch.optim.Adam(optimizer_sees.values(), lr=0.02)
    for _ in range(8):
        loss = (released.predicted(net) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0]
    file = tmp_path / "adapter.safetensors"
    safetensors.torch.save_file({n: p.detach() for n, p in optimizer_sees.items()}, file)
    alone = released.net(rows=())
    alone.load_state_dict(
        merged(base, safetensors.torch.load_file(file), ATTENTION.scale), strict=False
    )
    with torch.no_grad():
        unmerged = released.predicted(net)
        assert (released.predicted(alone) - unmerged).abs().max() < 1e-5
        assert (unmerged - released.by_itself()).abs().max() > 1e-3
