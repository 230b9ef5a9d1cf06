"""`base` is the published net: its parameters are counted, and what it computes is what the
published UNet computes.

The reference is diffusers' own UNet in TANGO's configuration, which Mustango extends.
"""

from collections.abc import Iterable
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from tests.training.munet.contexts import MICRO, STEPS, context, noisy
from training.conditions import Condition
from training.conditions.tokens import Tokens
from training.munet.attention import ConditionTransformer
from training.munet.blocks import ResBlock
from training.munet.config import MuNetConfig, Preset, preset
from training.munet.net import MuNet


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def reference(config: MuNetConfig) -> UNet2DConditionModel:
    """diffusers' UNet of the same shape, without controls."""
    down = ["CrossAttnDownBlock2D" if attended else "DownBlock2D" for attended in config.attended]
    up = [
        "CrossAttnUpBlock2D" if attended else "UpBlock2D" for attended in reversed(config.attended)
    ]
    return UNet2DConditionModel(
        in_channels=config.latent_channels,
        out_channels=config.latent_channels,
        block_out_channels=config.widths,
        down_block_types=down,
        up_block_types=up,
        layers_per_block=config.layers,
        cross_attention_dim=config.text_width,
        attention_head_dim=[width // config.head_width for width in config.widths],
        norm_num_groups=config.norm_groups,
        use_linear_projection=True,
    )


def test_base_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        base, blind, tango = (
            MuNet(preset("base")),
            MuNet(preset("base").blind()),
            reference(preset("base")),
        )
    assert parameters(blind) == parameters(tango) == 865_933_768
    transformers = sum(
        parameters(part)
        for name, part in tango.named_modules()
        if name.rpartition(".")[0].endswith("attentions")
    )
    assert parameters(base) == parameters(tango) + 2 * transformers == 1_413_192_008  # about 1.41 B


@pytest.mark.parametrize(("name", "million"), [("tiny", 3.3), ("small", 41.4), ("base", 1413.2)])
def test_a_preset_has_the_parameters_that_its_comment_says(name: str, million: float) -> None:
    with torch.device("meta"):
        assert parameters(MuNet(preset(name))) / 1e6 == pytest.approx(million, abs=0.05)


def test_base_takes_and_gives_the_latent_of_ten_seconds() -> None:
    config = preset(Preset.BASE)
    with torch.device("meta"):
        conditions = {
            condition: Tokens(torch.empty(1, 16, 1024), torch.ones(1, 16, dtype=torch.bool))
            for condition in (Condition.TEXT, *config.controls)
        }
        grids: list[torch.Size] = []
        base = MuNet(config)
        base.middle.register_forward_hook(lambda module, given, out: grids.append(out.shape))
        assert base(torch.empty(1, 8, 256, 16), torch.zeros(1), conditions).shape == (1, 8, 256, 16)
    assert grids == [(1, 1280, 32, 2)]  # Mustango's UNet is configured with the grid 32 × 2


def copied(theirs: UNet2DConditionModel, ours: MuNet) -> None:
    """Their weights into our net, module by module."""
    width = ours.config.widths[0]
    first = theirs.time_embedding.linear_1
    # they write cosines first
    ours.step.first.weight.data = first.weight.data.roll(width // 2, dims=1)
    ours.step.first.bias.data = first.bias.data
    pairs: list[tuple[Any, Any]] = [
        (theirs.time_embedding.linear_2, ours.step.second),
        (theirs.conv_in, ours.enter),
        (theirs.conv_out, ours.leave),
        (theirs.conv_norm_out, ours.norm),
    ]
    ways: list[tuple[Any, Any, str]] = [
        (theirs.down_blocks, ours.down, "downsamplers"),
        (theirs.up_blocks, ours.up, "upsamplers"),
    ]
    for their_levels, our_levels, onward in ways:
        for they, we in zip(their_levels, our_levels, strict=True):
            copy_layers(they, we.layers)
            if we.onward is not None:
                pairs.append((getattr(they, onward)[0].conv, we.onward.conv))
    copy_layers(theirs.mid_block, [ours.middle])
    copy_block(theirs.mid_block.resnets[1], ours.middle_block)
    for they, we in pairs:
        we.load_state_dict(they.state_dict())


def copy_layers(they: Any, layers: Iterable[Any]) -> None:
    for index, layer in enumerate(layers):
        copy_block(they.resnets[index], layer.block)
        if layer.site is not None:
            copy_attender(they.attentions[index], layer.site.attenders["text"])


def copy_block(they: torch.nn.Module, we: ResBlock) -> None:
    names = {
        "norm1": "norm_in",
        "conv1": "conv_in",
        "time_emb_proj": "step",
        "norm2": "norm_out",
        "conv2": "conv_out",
        "conv_shortcut": "short",
    }
    we.load_state_dict(
        {
            f"{names[name.split('.')[0]]}.{name.split('.')[1]}": value
            for name, value in they.state_dict().items()
        }
    )


def copy_attender(they: torch.nn.Module, we: ConditionTransformer) -> None:
    names = {
        "norm1": "self_norm",
        "attn1": "self_attention",
        "norm2": "cross_norm",
        "attn2": "cross_attention",
        "norm3": "feed_norm",
        "ff.net.0.proj": "feed.widen",
        "ff.net.2": "feed.narrow",
        "to_out.0": "out",
        "to_q": "query",
        "to_k": "key",
        "to_v": "value",
        "proj_in": "enter",
        "proj_out": "leave",
        "transformer_blocks.0.": "",
    }
    state = {}
    for name, value in they.state_dict().items():
        for theirs, ours in names.items():
            name = name.replace(theirs, ours)  # noqa: PLW2901
        state[name] = value
    we.load_state_dict(state)


@pytest.mark.parametrize("attended", [(True, False), (False, True)])
def test_with_its_weights_our_net_computes_what_the_published_unet_computes(
    attended: tuple[bool, ...],
) -> None:
    config = MICRO.replaced(attended=attended)
    torch.manual_seed(0)
    theirs, ours, conditions = reference(config).eval(), MuNet(config).eval(), context(config)
    copied(theirs, ours)
    with torch.inference_mode():
        expected = theirs(noisy(), STEPS, conditions[Condition.TEXT].states_BLD).sample
        assert expected.std() > 0.1
        # with fresh controls, which begin as nothing
        assert torch.allclose(ours(noisy(), STEPS, conditions), expected, atol=1e-5)


def test_a_fresh_net_computes_what_its_control_blind_twin_does() -> None:
    torch.manual_seed(0)
    ours, blind = MuNet(MICRO).eval(), MuNet(MICRO.blind()).eval()
    shared = {
        name: value
        for name, value in ours.state_dict().items()
        if ".beats." not in name and ".chords." not in name
    }
    blind.load_state_dict(shared)
    with torch.inference_mode():
        assert torch.equal(
            ours(noisy(), STEPS, context()),
            blind(noisy(), STEPS, {Condition.TEXT: context()[Condition.TEXT]}),
        )
