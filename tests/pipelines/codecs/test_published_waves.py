"""Oobleck and SAME on small models of the published classes, with random weights, saved to disk."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderOobleck, AutoencoderSAME
from safetensors.torch import load_file, save_file

from pipelines.codecs import Codec, open_codec
from pipelines.codecs.oobleck import OobleckCodec
from pipelines.codecs.published_waves import WaveAutoencoder
from pipelines.codecs.same import SameCodec
from pipelines.errors import PipelineError

RATE_HZ = 16_000


def small_oobleck(channels: int = 2) -> AutoencoderOobleck:
    """40 samples a frame."""
    torch.manual_seed(0)
    return AutoencoderOobleck(
        encoder_hidden_size=12,
        downsampling_ratios=[2, 4, 5],
        channel_multiples=[1, 2, 4],
        decoder_channels=8,
        decoder_input_channels=6,
        audio_channels=channels,
        sampling_rate=RATE_HZ,
    ).eval()


def small_same(channels: int = 2) -> AutoencoderSAME:
    """64 samples a frame; not as drawn, in which half of it does nothing."""
    torch.manual_seed(0)
    model = AutoencoderSAME(
        audio_channels=channels,
        patch_size=16,
        encoder_channels=16,
        encoder_c_mults=(2,),
        encoder_strides=(4,),
        encoder_transformer_depths=(1,),
        latent_dim=8,
        dim_heads=16,
        sampling_rate=RATE_HZ,
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        model.bottleneck.running_std.fill_(0.5)
    return model.eval()


SMALL: dict[str, Callable[..., Any]] = {"oobleck": small_oobleck, "same": small_same}
FRAMES = {"oobleck": (6, 40), "same": (8, 64)}
both = pytest.mark.parametrize("name", SMALL)


def kept(name: str, folder: Path, channels: int = 2) -> Codec:
    """A small codec, from disk."""
    SMALL[name](channels).save_pretrained(folder)
    return open_codec(name, str(folder))


def noise(*shape: int) -> torch.Tensor:
    return 0.3 * torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@both
@pytest.mark.parametrize("channels", [1, 2])
def test_latents_and_waves_are_those_of_the_published_class(
    name: str, channels: int, tmp_path: Path
) -> None:
    codec, model = kept(name, tmp_path, channels), SMALL[name](channels)
    width, hop = FRAMES[name]
    facts = codec.facts
    assert (facts.name, facts.rate_hz, facts.licence) == (name, RATE_HZ, "unknown")
    assert (facts.channels, facts.samples_per_frame, facts.wave_channels) == (width, hop, channels)
    waves_BAS = noise(2, channels, 20 * hop)
    waves = waves_BAS if channels == 2 else waves_BAS[:, 0]
    latents = codec.encode(waves)
    encoded = model.encode(waves_BAS)
    own_BCT = encoded.latent_dist.mean if name == "oobleck" else encoded.latents
    assert torch.equal(latents, own_BCT[..., None])
    played = codec.decode(latents)
    own_BAS = model.decode(own_BCT).sample.clamp(-1, 1)
    end = own_BAS.shape[-1]  # a stride of 5 leaves a sample out
    assert torch.equal(played[..., :end], own_BAS if channels == 2 else own_BAS[:, 0])
    assert played.shape == waves.shape
    assert not played[..., end:].any()
    assert end > 19 * hop


@both
@pytest.mark.parametrize("samples", [1, 63, 64, 1001])
def test_the_last_frame_is_filled_with_silence(name: str, samples: int, tmp_path: Path) -> None:
    codec = kept(name, tmp_path)
    frames = codec.facts.frames(samples)
    latents = codec.encode(noise(1, 2, samples))
    assert latents.shape == (1, codec.facts.channels, frames, 1)
    assert codec.decode(latents).shape == (1, 2, frames * codec.facts.samples_per_frame)


@both
def test_gradients_pass_to_latents(name: str, tmp_path: Path) -> None:
    codec = kept(name, tmp_path)
    latents = codec.encode(noise(1, 2, 640)).requires_grad_()
    [slope] = torch.autograd.grad(codec.decode(latents).square().sum(), latents)
    assert slope.abs().max() > 0


@pytest.mark.parametrize(("kind", "model", "knobs", "shape"), [
    (OobleckCodec, AutoencoderOobleck, {}, (44_100, 64, 2048)),  # Stable Audio Open
    (OobleckCodec, AutoencoderOobleck, {"sampling_rate": 48_000,
        "downsampling_ratios": [2, 4, 4, 6, 10]}, (48_000, 64, 1920)),  # ACE-Step 1.5
    (SameCodec, AutoencoderSAME, {}, (44_100, 256, 4096)),
    (SameCodec, AutoencoderSAME, {"encoder_channels": 256, "encoder_transformer_depths": (12,)},
        (44_100, 256, 4096)),  # SAME-L
])  # fmt: skip
def test_published_shapes(
    kind: type[WaveAutoencoder],
    model: Any,
    knobs: dict[str, Any],
    shape: tuple[int, int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipelines.codecs.published_waves.weights_hash", lambda module: "none")
    with torch.device("meta"):
        facts = kind(model(**knobs), "").facts
    assert (facts.rate_hz, facts.channels, facts.samples_per_frame) == shape
    assert facts.is_stereo


@both
def test_one_is_found_in_a_pipeline_and_its_card_says_the_licence(
    name: str, tmp_path: Path
) -> None:
    SMALL[name]().save_pretrained(tmp_path / "vae")
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\nWeights.\n")
    codec, alone = open_codec(name, str(tmp_path)), kept(name, tmp_path / "alone")
    assert codec.facts.licence == "mit"
    assert codec.facts.version == alone.facts.version
    assert torch.equal(codec.encode(noise(1, 2, 640)), alone.encode(noise(1, 2, 640)))


@both
def test_what_is_no_such_codec_is_named(name: str, tmp_path: Path) -> None:
    of = {"oobleck": "AutoencoderOobleck", "same": "AutoencoderSAME"}[name]
    with pytest.raises(PipelineError, match=rf"no {of} at .*: expected an id on the Hugging Face"):
        open_codec(name, str(tmp_path))
    other = AutoencoderKL(block_out_channels=(32,), layers_per_block=1)
    other.save_pretrained(tmp_path / "other")
    with pytest.raises(PipelineError, match=f"holds a model of class 'AutoencoderKL', not '{of}'"):
        open_codec(name, str(tmp_path / "other"))
    codec = kept(name, tmp_path / "torn")
    with pytest.raises(PipelineError, match="9 channels and 1 bands are not this codec's"):
        codec.decode(torch.zeros(1, 9, 4, 1))
    [file] = (tmp_path / "torn").glob("*.safetensors")
    weights = load_file(file)
    lost = min(weights)
    save_file({key: value for key, value in weights.items() if key != lost}, file)
    with pytest.raises(PipelineError, match=f"torn' lack {lost}"):
        open_codec(name, str(tmp_path / "torn"))
