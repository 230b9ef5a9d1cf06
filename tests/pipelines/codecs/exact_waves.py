"""A wave codec that loses nothing: its network with weights that are written down, not learned."""

from pathlib import Path

import torch
from torch import nn

from pipelines.codecs.wave import FOLDER
from pipelines.codecs.wave_net import Snake, WaveNet
from pipelines.codecs.wave_shape import KlBottleneck, WaveConfig, WaveShape
from pipelines.pretrained.own_weights import write_weights

RATE_HZ = 16_000
_BARELY = -16.0  # of α: sin²(αx) / α is nothing beside x


@torch.no_grad()
def exact_codec(folder: Path, channels: int) -> Path:
    """Write a codec whose latents are samples, of each channel even and odd ones by themselves."""
    shape = WaveShape(
        rate_hz=RATE_HZ,
        wave_channels=channels,
        strides=(2,),
        encoder_widths=(channels, 2 * channels),
        decoder_widths=(channels, 2 * channels),
        latent_channels=2 * channels,
    )
    net = WaveNet(shape, KlBottleneck())
    for module in net.modules():
        if isinstance(module, Snake):
            module.log_alpha.fill_(_BARELY)
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            module.weight.zero_()
            if module.bias is not None:
                module.bias.zero_()
    ends = (net.encoder[0], net.encoder[-1], net.decoder[0], net.decoder[-1])
    for conv in ends:  # each takes the middle of what it looks at
        assert isinstance(conv, nn.Conv1d)
        for channel in range(conv.in_channels):
            conv.weight[channel, channel, conv.kernel_size[0] // 2] = 1
    strided = [one for one in net.modules() if getattr(one, "stride", ()) == (2,)]
    for one in strided:  # (2A, A, 4) both, one window of four samples, two of them its own
        assert isinstance(one, nn.Conv1d | nn.ConvTranspose1d)
        for channel in range(channels):
            for half in (0, 1):
                one.weight[2 * channel + half, channel, 1 + half] = 1
    write_weights(net, WaveConfig(net=shape, bottleneck=KlBottleneck()), folder / FOLDER)
    return folder
