"""A wave codec with codebooks whose weights are drawn, not learned: codes are its own, music is
not what it plays.
"""

from pathlib import Path

import torch

from pipelines.codecs.wave import FOLDER
from pipelines.codecs.wave_net import WaveNet
from pipelines.codecs.wave_shape import RvqBottleneck, WaveConfig, WaveShape
from pipelines.pretrained.own_weights import write_weights

BOOKS, ENTRIES, HOP = 3, 16, 400  # 40 frames a second


def coded_codec(folder: Path, seed: int = 0) -> Path:
    """Write it; returns the folder."""
    torch.manual_seed(seed)
    shape = WaveShape(
        strides=(20, 20), encoder_widths=(2, 4, 8), decoder_widths=(2, 4, 8), latent_channels=6
    )
    bottleneck = RvqBottleneck(books=BOOKS, entries=ENTRIES, code_width=4)
    net = WaveNet(shape, bottleneck)
    write_weights(net, WaveConfig(net=shape, bottleneck=bottleneck), folder / FOLDER)
    return folder
