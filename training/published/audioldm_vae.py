"""AudioLDM's autoencoder and vocoder as AudioLDM, TANGO and Mustango ship them: one file in
CompVis's names, the vocoder inside; written in diffusers' layout, which our codec opens.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch
from diffusers import AutoencoderKL
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

from pipelines.pretrained.checksum import first_line
from training.errors import TrainingError
from training.run.tensor_files import Weights

VAE: Final = "vae"
VOCODER: Final = "vocoder"
_VOCODER: Final = "vocoder."
# Of the published vocoder, and in no file: the rest is told by shapes.
_UPSAMPLE_RATES: Final = [5, 4, 2, 2, 2]
_DILATIONS: Final = [1, 3, 5]
_RATE_HZ: Final = 16_000
_GROUPS: Final = 32
_MOST_BLOCKS: Final = 256  # AudioLDM's has six on either way
_RESNET: Final = r"(norm1|conv1|norm2|conv2|nin_shortcut)"
_LEVEL: Final = re.compile(rf"(en|de)coder\.(down|up)\.(\d+)\.block\.(\d+)\.{_RESNET}\.(\w+)")
_RESAMPLED: Final = re.compile(
    r"(en|de)coder\.(down|up)\.(\d+)\.(downsample|upsample)\.conv\.(\w+)"
)
_MIDDLE: Final = re.compile(rf"(en|de)coder\.mid\.block_(\d)\.{_RESNET}\.(\w+)")
_ATTENTION: Final = re.compile(r"(en|de)coder\.mid\.attn_1\.(norm|q|k|v|proj_out)\.(\w+)")
_ATTENTION_PARTS: Final = {
    "norm": "group_norm",
    "q": "to_q",
    "k": "to_k",
    "v": "to_v",
    "proj_out": "to_out.0",
}


def write_codec(published: Weights, config: Mapping[str, Any], folder: Path) -> None:
    """Write `vae` and `vocoder` into a folder, in diffusers' and transformers' layouts.

    Raises `TrainingError` for weights and a configuration that are not AudioLDM's.
    """
    autoencoder = autoencoder_of(published, config)
    vocoder = vocoder_of(published)
    autoencoder.save_config(folder / VAE)
    vocoder.config.save_pretrained(folder / VOCODER)
    for module, path in (
        (autoencoder, folder / VAE / "diffusion_pytorch_model.safetensors"),
        (vocoder, folder / VOCODER / "model.safetensors"),
    ):
        weights = {name: value.contiguous() for name, value in module.state_dict().items()}
        safetensors.torch.save_file(weights, path, metadata={"format": "pt"})


def autoencoder_of(published: Weights, config: Mapping[str, Any]) -> AutoencoderKL:
    """The autoencoder, from its weights in CompVis's names and its `vae_config.json`."""
    try:
        shape = config["ddconfig"]
        widths = [shape["ch"] * times for times in shape["ch_mult"]]
        if shape.get("attn_resolutions") or int(config.get("subband", 1)) != 1:
            raise TrainingError(
                "the autoencoder has attention outside its middle, or subbands: not AudioLDM's"
            )
        if len(widths) * int(shape["num_res_blocks"]) > _MOST_BLOCKS:
            raise TrainingError("the autoencoder has more blocks than any of AudioLDM's")
        with torch.device("meta"):  # no more memory is taken than the weights have numbers
            made = AutoencoderKL(
                in_channels=shape["in_channels"],
                out_channels=shape["out_ch"],
                latent_channels=config["embed_dim"],
                block_out_channels=widths,
                layers_per_block=shape["num_res_blocks"],
                norm_num_groups=_GROUPS,
                down_block_types=["DownEncoderBlock2D"] * len(widths),
                up_block_types=["UpDecoderBlock2D"] * len(widths),
                scaling_factor=float(config["scale_factor"]),
            )
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise TrainingError(
            f"the autoencoder's configuration is not AudioLDM's: {first_line(error)}"
        ) from error
    own = {name: value for name, value in published.items() if not name.startswith(_VOCODER)}
    named = {_diffusers_name(name, len(widths)): value for name, value in own.items()}
    _fill(made, {name: _as_linear(name, value) for name, value in named.items()}, "autoencoder")
    return made.eval()


def _diffusers_name(theirs: str, levels: int) -> str:
    """Diffusers' name of a tensor of CompVis's autoencoder."""
    if found := _LEVEL.fullmatch(theirs):
        coder, way, level, index, part, kind = found.groups()
        place = _level(way, level, levels)
        return f"{coder}coder.{way}_blocks.{place}.resnets.{index}.{_resnet(part)}.{kind}"
    if found := _RESAMPLED.fullmatch(theirs):
        coder, way, level, _, kind = found.groups()
        place = _level(way, level, levels)
        return f"{coder}coder.{way}_blocks.{place}.{way}samplers.0.conv.{kind}"
    if found := _MIDDLE.fullmatch(theirs):
        coder, block, part, kind = found.groups()
        return f"{coder}coder.mid_block.resnets.{int(block) - 1}.{_resnet(part)}.{kind}"
    if found := _ATTENTION.fullmatch(theirs):
        coder, part, kind = found.groups()
        return f"{coder}coder.mid_block.attentions.0.{_ATTENTION_PARTS[part]}.{kind}"
    return theirs.replace("norm_out", "conv_norm_out")


def _level(way: str, level: str, levels: int) -> int:
    """They count the levels of the way up from the finest, diffusers in the order of its steps."""
    return levels - 1 - int(level) if way == "up" else int(level)


def _resnet(part: str) -> str:
    return "conv_shortcut" if part == "nin_shortcut" else part


def _as_linear(name: str, value: torch.Tensor) -> torch.Tensor:
    """Their attention has convolutions of one place for linear maps."""
    return value.flatten(1) if ".attentions." in name and value.dim() == 4 else value


def vocoder_of(published: Weights) -> SpeechT5HifiGan:
    """The HiFi-GAN that lies beside the autoencoder, its weight norm already taken off."""
    own = {
        name.removeprefix(_VOCODER): value
        for name, value in published.items()
        if name.startswith(_VOCODER)
    }
    try:
        kernels = [own[f"ups.{index}.weight"].shape[2] for index in range(len(_UPSAMPLE_RATES))]
        blocks = sum(name.endswith(".convs1.0.weight") for name in own)
        each = blocks // len(_UPSAMPLE_RATES)
        config = SpeechT5HifiGanConfig(
            model_in_dim=own["conv_pre.weight"].shape[1],
            sampling_rate=_RATE_HZ,
            upsample_initial_channel=own["conv_pre.weight"].shape[0],
            upsample_rates=_UPSAMPLE_RATES,
            upsample_kernel_sizes=kernels,
            resblock_kernel_sizes=[
                own[f"resblocks.{index}.convs1.0.weight"].shape[2] for index in range(each)
            ],
            resblock_dilation_sizes=[_DILATIONS] * each,
            normalize_before=False,
        )
    except (KeyError, IndexError) as error:
        raise TrainingError(
            f"there is no vocoder of AudioLDM's among the weights: {error}"
        ) from error
    with torch.device("meta"):
        made = SpeechT5HifiGan(config)
    bands = config.model_in_dim
    buffers = {"mean": torch.zeros(bands), "scale": torch.ones(bands)}  # as where none are given
    named = {re.sub(r"^ups\.", "upsampler.", name): value for name, value in own.items()}
    _fill(made, named | buffers, "vocoder")
    torch.nn.Module.eval(made)
    return made


def _fill(module: torch.nn.Module, weights: Weights, what: str) -> None:
    shapes = {name: value.shape for name, value in module.state_dict().items()}
    strange = sorted(shapes.keys() ^ weights.keys()) or sorted(
        name for name, shape in shapes.items() if weights[name].shape != shape
    )
    if strange:
        raise TrainingError(
            f"the {what} is not AudioLDM's: {len(strange)} tensors do not fit, the first is "
            f"{strange[0]}"
        )
    module.load_state_dict(weights, assign=True)
