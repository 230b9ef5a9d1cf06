"""The published names of a UNet's tensors, and its configuration, beside ours.

The names are those of diffusers' UNet2DConditionModel, which TANGO uses as it is; Mustango's has a
second and a third set of transformers, `attentions2` for beats and `attentions3` for chords.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, TypeGuard

import torch

from pipelines.pretrained.checksum import first_line
from training.conditions import Condition
from training.conditions.net_shape import TOKENS
from training.errors import TrainingError
from training.munet.config import MuNetConfig
from training.munet.net import MuNet
from training.nets import NetConfig
from training.run.tensor_files import Weights

_BLOCK: Final = {
    "norm_in": "norm1",
    "conv_in": "conv1",
    "step": "time_emb_proj",
    "norm_out": "norm2",
    "conv_out": "conv2",
    "short": "conv_shortcut",
}
_TRANSFORMER: Final = {
    "norm": "norm",
    "enter": "proj_in",
    "self_norm": "transformer_blocks.0.norm1",
    "self_attention.query": "transformer_blocks.0.attn1.to_q",
    "self_attention.key": "transformer_blocks.0.attn1.to_k",
    "self_attention.value": "transformer_blocks.0.attn1.to_v",
    "self_attention.out": "transformer_blocks.0.attn1.to_out.0",
    "cross_norm": "transformer_blocks.0.norm2",
    "cross_attention.query": "transformer_blocks.0.attn2.to_q",
    "cross_attention.key": "transformer_blocks.0.attn2.to_k",
    "cross_attention.value": "transformer_blocks.0.attn2.to_v",
    "cross_attention.out": "transformer_blocks.0.attn2.to_out.0",
    "feed_norm": "transformer_blocks.0.norm3",
    "feed.widen": "transformer_blocks.0.ff.net.0.proj",
    "feed.narrow": "transformer_blocks.0.ff.net.2",
    "leave": "proj_out",
}
_ENDS: Final = {
    "step.first": "time_embedding.linear_1",
    "step.second": "time_embedding.linear_2",
    "enter": "conv_in",
    "leave": "conv_out",
    "norm": "conv_norm_out",
}
_ATTENTIONS: Final = {
    str(Condition.TEXT): "attentions",
    str(Condition.BEATS): "attentions2",
    str(Condition.CHORDS): "attentions3",
}
_LAYER: Final = re.compile(r"(down|up)\.(\d+)\.layers\.(\d+)\.(.+)")
_ONWARD: Final = re.compile(r"(down|up)\.(\d+)\.onward\.conv")
_SITE: Final = re.compile(r"site\.attenders\.(\w+)\.(.+)")
_FIRST: Final = "step.first.weight"
# what else there is to diffusers' UNet, and ours has no other of
_FIXED: Final[Mapping[str, tuple[Any, ...]]] = {
    "act_fn": ("silu",),
    "center_input_sample": (False,),
    "class_embed_type": (None,),
    "downsample_padding": (1,),
    "dual_cross_attention": (False,),
    "flip_sin_to_cos": (True,),
    "freq_shift": (0,),
    "mid_block_scale_factor": (1,),
    "norm_eps": (1e-5,),
    "num_class_embeds": (None,),
    "only_cross_attention": (False,),
    "resnet_time_scale_shift": ("default",),
    "transformer_layers_per_block": (1,),
    "use_linear_projection": (True,),
}
_GROUPS: Final = 32  # of Stable Diffusion, TANGO and Mustango, as is the width of their heads
_HEAD: Final = 64


def published_name(ours: str) -> str | None:
    """The published name of a parameter of `MuNet`; none for what no published net has.

    >>> published_name("up.3.layers.0.site.attenders.beats.cross_attention.key.weight")
    'up_blocks.3.attentions2.0.transformer_blocks.0.attn2.to_k.weight'
    >>> published_name("mix_rows.first.weight") is None
    True
    """
    module, _, kind = ours.rpartition(".")
    name = _module_name(module)
    return f"{name}.{kind}" if name else None


def _module_name(ours: str) -> str | None:
    if ours in _ENDS:
        return _ENDS[ours]
    if found := _ONWARD.fullmatch(ours):
        way, level = found.groups()
        return f"{way}_blocks.{level}.{way}samplers.0.conv"
    if found := _LAYER.fullmatch(ours):
        way, level, index, rest = found.groups()
        return _part_name(f"{way}_blocks.{level}", index, rest)
    if ours.startswith("middle."):
        return _part_name("mid_block", "0", ours.removeprefix("middle."))
    if ours.startswith("middle_block."):
        return _part_name("mid_block", "1", f"block.{ours.removeprefix('middle_block.')}")
    return None


def _part_name(level: str, index: str, ours: str) -> str | None:
    """A part of a residual block, or of an attention site's transformer."""
    if ours.startswith("block."):
        part = _BLOCK.get(ours.removeprefix("block."))
        return f"{level}.resnets.{index}.{part}" if part else None
    found = _SITE.fullmatch(ours)
    if found is None or found[2] not in _TRANSFORMER:
        return None
    return f"{level}.{_ATTENTIONS[found[1]]}.{index}.{_TRANSFORMER[found[2]]}"


def our_unet(published: Weights, config: MuNetConfig, *, among: bool = False) -> Weights:
    """The tensors of a published UNet by our names; of a net of ours that has others too, those
    `among` them.

    Raises `TrainingError` where one is missing, left over, or of another shape.
    """
    with torch.device("meta"):  # shapes alone
        shapes = {name: value.shape for name, value in MuNet(config).named_parameters()}
    names = {
        name: theirs or name
        for name in shapes
        if (theirs := published_name(name)) is not None or not among
    }
    strange = sorted(set(names.values()) ^ published.keys()) or sorted(
        theirs for ours, theirs in names.items() if published[theirs].shape != shapes[ours]
    )
    if strange:
        raise TrainingError(
            f"the UNet is not of the published shape: {len(strange)} tensors do not fit, the "
            f"first is {strange[0]}"
        )
    return {ours: _turned(ours, published[theirs]) for ours, theirs in names.items()}


def published_unet(ours: Weights) -> Weights:
    """The tensors of a `MuNet` that published nets have too, by their names."""
    named = {name: published_name(name) for name in ours}
    return {theirs: _turned(name, ours[name]) for name, theirs in named.items() if theirs}


def has_published_layout(config: NetConfig) -> TypeGuard[MuNetConfig]:
    """Whether published code plays what it opens of a net: a MuNet, but for a student, whose jumps
    it would not be told.
    """
    return isinstance(config, MuNetConfig) and not config.jumps


def unet_config(config: MuNetConfig) -> dict[str, Any]:
    """The configuration under which diffusers, or with tokens of beats and chords Mustango's code,
    makes a UNet of this shape.
    """
    music = "Music" if config.controls else ""
    kinds = [f"CrossAttn{{}}Block2D{music}" if one else "{}Block2D" for one in config.attended]
    return {
        "_class_name": f"UNet2DConditionModel{music}",
        "in_channels": config.latent_channels,
        "out_channels": config.latent_channels,
        "block_out_channels": list(config.widths),
        "down_block_types": [kind.format("Down") for kind in kinds],
        "mid_block_type": f"UNetMidBlock2DCrossAttn{music}",
        "up_block_types": [kind.format("Up") for kind in reversed(kinds)],
        "layers_per_block": config.layers,
        "cross_attention_dim": config.text_width,
        "attention_head_dim": [width // config.head_width for width in config.widths],
        "norm_num_groups": config.norm_groups,
        "use_linear_projection": True,
        "upcast_attention": True,
    }


def _turned(ours: str, value: torch.Tensor) -> torch.Tensor:
    """They write the cosines of the step first, we the sines: halves change places, either way."""
    return value.roll(value.shape[1] // 2, dims=1) if ours == _FIRST else value


def unet_shape(published: Weights, stated: Mapping[str, Any] | None = None) -> MuNetConfig:
    """The configuration of a published UNet, from its tensors, and what its own says of heads and
    groups, which no tensor tells: without it those of Stable Diffusion, 64 wide and 32.

    Raises `TrainingError` for one that is not of our kind.
    """
    stated = stated or {}
    for knob, known in _FIXED.items():
        if stated.get(knob, known[0]) not in known:
            raise TrainingError(
                f"the UNet has {knob} {stated[knob]!r}, where TANGO's and Mustango's have "
                f"{known[0]!r}: it is another kind of net"
            )
    try:
        return _shape(published, stated)
    except KeyError as error:
        raise TrainingError(
            f"there is no {error.args[0]} among the weights: this is not a UNet of TANGO's kind"
        ) from error
    except (ValueError, TypeError, IndexError, ZeroDivisionError) as error:
        raise TrainingError(f"this is not a UNet of TANGO's kind: {first_line(error)}") from error


def _shape(published: Weights, stated: Mapping[str, Any]) -> MuNetConfig:
    levels, layers = (
        _count(published, "down_blocks.{}."),
        _count(published, "down_blocks.0.resnets.{}."),
    )
    widths = tuple(
        published[f"down_blocks.{level}.resnets.0.conv1.weight"].shape[0] for level in range(levels)
    )
    keys = {
        condition: f"mid_block.{_ATTENTIONS[condition]}.0.transformer_blocks.0.attn2.to_k.weight"
        for condition in (Condition.TEXT, *TOKENS)
    }
    controls = tuple(condition for condition in TOKENS if keys[condition] in published)
    text_width = published[keys[Condition.TEXT]].shape[1]
    return MuNetConfig(
        latent_channels=published["conv_in.weight"].shape[1],
        widths=widths,
        attended=tuple(
            f"down_blocks.{level}.attentions.0.proj_in.weight" in published
            for level in range(levels)
        ),
        layers=layers,
        head_width=_head_width(stated, widths),
        norm_groups=int(stated.get("norm_num_groups", _GROUPS)),
        text_width=text_width,
        control_width=published[keys[controls[0]]].shape[1] if controls else text_width,
        controls=controls,
    )


def _count(published: Weights, pattern: str) -> int:
    """How many there are, counted from 0 without a gap."""
    count = 0
    while any(name.startswith(pattern.format(count)) for name in published):
        count += 1
    return count


def _head_width(stated: Mapping[str, Any], widths: tuple[int, ...]) -> int:
    """What diffusers calls attention_head_dim counts heads, one number or one a level."""
    heads = stated.get("attention_head_dim")
    if heads is None:
        return _HEAD
    counts = list(heads) if isinstance(heads, list | tuple) else [heads] * len(widths)
    found = {width // int(count) for width, count in zip(widths, counts, strict=True)}
    if len(found) != 1:
        raise TrainingError(f"heads of {sorted(found)} channels: ours are equally wide everywhere")
    return found.pop()
