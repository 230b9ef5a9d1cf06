"""What a second of sound costs each codec to encode and to decode: one thread, weights at random.

    python -m tests.benchmarks.training.codec_cost [--seconds 10] [--codec oobleck --codec same …]
        [--device cuda]

Codecs of others have their published shapes; our own are those of their presets. A row gives what
is needed of the processor for a second of sound (of a GPU, how long it takes), the median of three;
weights do not change it. Prints a Markdown table.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any, Final

import torch
from diffusers import AutoencoderKL, AutoencoderOobleck, AutoencoderSAME
from transformers import (
    DacConfig,
    DacModel,
    EncodecConfig,
    EncodecModel,
    SpeechT5HifiGan,
    SpeechT5HifiGanConfig,
)

from pipelines.codecs import Codec, open_codec
from pipelines.codecs.audioldm import AudioLdmCodec
from pipelines.codecs.dac import DacCodec
from pipelines.codecs.encodec import EncodecCodec
from pipelines.codecs.oobleck import OobleckCodec
from pipelines.codecs.same import SameCodec
from pipelines.codecs.vae import VaeCodec
from pipelines.codecs.wave import WaveCodec
from pipelines.codecs.wave_net import WaveNet
from training.codec.autoencoder import AutoencoderRecipe, autoencoder_of
from training.codec.wave_recipe import ready_wave

TRIES: Final = 3


def main() -> None:
    """Measure, and print the table."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description="What a second of sound costs each codec.")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--codec", action="append", choices=list(CODECS))
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    print("| codec | of | M parameters | numbers a second | encode s/s | decode s/s |")
    print("|---|---|---:|---:|---:|---:|")
    for name in given.codec or CODECS:
        torch.manual_seed(0)
        with torch.device(given.device):  # whatever a codec derives from its weights lies there too
            print(_row(name, CODECS[name](), given.seconds), flush=True)


def _row(name: str, codec: Codec, seconds: float) -> str:
    facts = codec.facts
    shape = (
        (2, round(seconds * facts.rate_hz))
        if facts.is_stereo
        else (round(seconds * facts.rate_hz),)
    )
    wave = 0.1 * torch.randn(1, *shape)
    with torch.no_grad():
        latents = codec.encode(wave)
        encode_s = _cost(lambda: codec.encode(wave), is_gpu=wave.is_cuda) / seconds
        decode_s = _cost(lambda: codec.decode(latents), is_gpu=wave.is_cuda) / seconds
    numbers = facts.channels * facts.bands * facts.frames_per_s
    parameters = sum(_parameters(part) for part in vars(codec).values()) / 1e6
    of = f"{facts.rate_hz / 1000:g} kHz {facts.channel_name}"
    return (
        f"| {name} | {of} | {parameters:.1f} | {numbers:,.0f} | {encode_s:.3f} | {decode_s:.3f} |"
    )


def _cost(work: Callable[[], object], *, is_gpu: bool) -> float:
    """Seconds of the processor, or of a GPU those that pass; the median."""
    clock, spent = time.perf_counter if is_gpu else time.process_time, []
    for _ in range(TRIES):
        begun = clock()
        work()
        if is_gpu:
            torch.cuda.synchronize()
        spent.append(clock() - begun)
    return median(spent)


def _parameters(part: object) -> int:
    return sum(one.numel() for one in part.parameters()) if isinstance(part, torch.nn.Module) else 0


def _ready(model: Any) -> Any:
    """A model of transformers, whose methods have no types, in eval mode."""
    return model.eval()


def _wave(preset: str) -> WaveCodec:
    recipe = ready_wave(preset)
    return WaveCodec(WaveNet(recipe.net, recipe.bottleneck).eval())


def _vae() -> VaeCodec:
    return VaeCodec(autoencoder_of(AutoencoderRecipe()).eval())


def _audioldm() -> AudioLdmCodec:
    autoencoder = AutoencoderKL(
        in_channels=1,
        out_channels=1,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(128, 256, 512),
        layers_per_block=2,
        latent_channels=8,
    )
    vocoder = SpeechT5HifiGan(
        SpeechT5HifiGanConfig(
            model_in_dim=64,
            sampling_rate=16_000,
            upsample_initial_channel=1024,
            upsample_rates=[5, 4, 2, 2, 2],
            upsample_kernel_sizes=[16, 16, 8, 4, 4],
        )
    )
    return AudioLdmCodec(autoencoder.eval(), _ready(vocoder))


def _encodec() -> EncodecCodec:
    """Of MusicGen, 32 kHz."""
    config = EncodecConfig(
        sampling_rate=32_000,
        num_filters=64,
        upsampling_ratios=[8, 5, 4, 4],
        codebook_size=2048,
        target_bandwidths=[2.2],
        use_causal_conv=False,
    )
    model = _ready(EncodecModel(config))
    for layer in model.quantizer.layers:  # drawn, they are all the same
        torch.nn.init.normal_(layer.codebook.embed)
    return EncodecCodec(model)


def _dac(**shape: Any) -> DacCodec:
    return DacCodec(_ready(DacModel(DacConfig(**shape))))


CODECS: Final[dict[str, Callable[[], Codec]]] = {
    "mel": lambda: open_codec("mel"),
    "vae": _vae,
    "wave": lambda: _wave("tiny"),
    "wave, preset stereo": lambda: _wave("stereo"),
    "audioldm": _audioldm,
    "encodec": _encodec,
    "dac": lambda: _dac(
        sampling_rate=16_000,
        downsampling_ratios=[2, 4, 5, 8],
        upsampling_ratios=[8, 5, 4, 2],
        n_codebooks=12,
    ),
    "dac, of 44.1 kHz": lambda: _dac(
        sampling_rate=44_100,
        downsampling_ratios=[2, 4, 8, 8],
        upsampling_ratios=[8, 8, 4, 2],
        n_codebooks=9,
    ),
    "oobleck": lambda: OobleckCodec(AutoencoderOobleck().eval(), ""),
    "oobleck, ACE-Step 1.5": lambda: OobleckCodec(
        AutoencoderOobleck(sampling_rate=48_000, downsampling_ratios=[2, 4, 4, 6, 10]).eval(), ""
    ),
    "same, S": lambda: SameCodec(AutoencoderSAME().eval(), ""),
}


if __name__ == "__main__":
    main()
