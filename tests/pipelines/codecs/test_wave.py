"""Waves through the codec `wave`: sides stay sides, codes are its own, shapes as published."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderOobleck
from torch import nn

from pipelines.audio.decode import decoded, flac
from pipelines.codecs import open_codec
from pipelines.codecs.child import EncodedSample, encode_samples
from pipelines.codecs.layout import for_codec, for_files
from pipelines.codecs.token_codec import code_facts, with_codes
from pipelines.codecs.wave import WaveCodec
from pipelines.codecs.wave_net import WaveNet, _SnakeFunction
from pipelines.codecs.wave_shape import KlBottleneck, RvqBottleneck, WaveShape
from pipelines.errors import PipelineError
from pipelines.guarded.npy import read_npy
from schemas.recipe import EncodeRecipe
from tests.pipelines.codecs.exact_waves import RATE_HZ, exact_codec

_TONE = (0.5 * np.sin(np.arange(RATE_HZ) * (2 * np.pi * 440 / RATE_HZ))).astype(np.float32)
_SHAPE = WaveShape(
    strides=(4, 5), encoder_widths=(4, 8, 8), decoder_widths=(4, 8, 8), latent_channels=6
)


def played(codec: Path, content: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """A shard's FLAC through latents as shards hold them, and back to what a file holds."""
    recipe = EncodeRecipe(codec="wave", source=str(codec))
    [files] = encode_samples([content], recipe)
    assert isinstance(files, EncodedSample)
    latents_BCTF = torch.from_numpy(read_npy(files.latents).astype(np.float32))[None]
    [wave] = for_files(open_codec("wave", str(codec)).decode(latents_BCTF))
    return wave


def test_a_clip_that_is_panned_hard_keeps_its_sides_through_latents(tmp_path: Path) -> None:
    panned = np.stack([_TONE, np.zeros_like(_TONE)], axis=1)
    wave = played(exact_codec(tmp_path, 2), flac(panned, RATE_HZ))
    assert wave.shape == panned.shape
    assert np.abs(wave - panned).max() < 1e-3  # latents have half precision
    assert not wave[:, 1].any()


def test_mono_stays_mono_and_comes_from_both_sides_of_a_stereo_codec(tmp_path: Path) -> None:
    alone = played(exact_codec(tmp_path / "mono", 1), flac(_TONE, RATE_HZ))
    assert alone.shape == _TONE.shape
    assert np.abs(alone - _TONE).max() < 1e-3
    both = played(exact_codec(tmp_path / "stereo", 2), flac(_TONE, RATE_HZ))
    assert np.array_equal(both[:, 0], both[:, 1])
    assert np.array_equal(both[:, 0], alone)


def test_a_mono_codec_takes_the_mean_of_two_sides(tmp_path: Path) -> None:
    panned = np.stack([_TONE, np.zeros_like(_TONE)], axis=1)
    wave = played(exact_codec(tmp_path, 1), flac(panned, RATE_HZ))
    assert np.abs(wave - _TONE / 2).max() < 1e-3


def test_two_channels_are_read_as_they_are_and_one_as_both() -> None:
    panned = np.stack([_TONE, -_TONE], axis=1)
    assert np.allclose(decoded(flac(panned, RATE_HZ), stereo=True).wave, panned, atol=1e-4)
    assert decoded(flac(_TONE, RATE_HZ), stereo=True).wave.shape == (RATE_HZ, 2)


def test_codes_stand_for_what_the_codec_plays() -> None:
    torch.manual_seed(0)
    net = WaveNet(_SHAPE, RvqBottleneck(books=3, entries=16, code_width=4))
    codec = WaveCodec(net)
    waves_BS = for_codec([_TONE, _TONE[::-1]])
    codes_BLT = codec.codes(waves_BS)
    assert codes_BLT.shape == (2, 3, RATE_HZ // 20)
    assert len(set(codes_BLT.flatten().tolist())) > 1
    assert net.books is not None
    by_codes_BS = net.decoder(net.books.of_codes(codes_BLT))[:, 0].clamp(-1, 1)
    assert torch.equal(by_codes_BS, codec.decode_codes(codes_BLT))
    assert torch.allclose(by_codes_BS, codec.decode(codec.encode(waves_BS)), atol=1e-5)
    assert code_facts(with_codes(codec)).model_dump(exclude={"version"}) == {
        "codec": "wave",
        "licence": "own",
        "books": 3,
        "entries": 16,
        "frames_per_s": 800.0,
    }


def test_fewer_codebooks_are_the_first_ones() -> None:
    torch.manual_seed(0)
    books = WaveNet(_SHAPE, RvqBottleneck(books=3, entries=16, code_width=4)).books
    assert books is not None
    latents_BCT = torch.randn(2, 6, 10)
    found = books(latents_BCT, torch.tensor([1, 3]))
    assert torch.allclose(found.rounded_BCT[:1], books.of_codes(found.codes_BLT[:1, :1]), atol=1e-5)
    assert torch.allclose(found.rounded_BCT[1:], books.of_codes(found.codes_BLT[1:]), atol=1e-5)


def test_gradients_of_snake_are_those_of_its_formula() -> None:
    x_BWS = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    alpha_W1 = (torch.rand(3, 1, dtype=torch.float64) + 0.3).requires_grad_()
    assert torch.autograd.gradcheck(_SnakeFunction.apply, (x_BWS, alpha_W1))
    made = _SnakeFunction.apply(x_BWS, alpha_W1)  # type: ignore[no-untyped-call]
    assert torch.allclose(made, x_BWS + (alpha_W1 * x_BWS).sin() ** 2 / alpha_W1)


def test_its_convolutions_are_those_of_stable_audios_autoencoder() -> None:
    shape = WaveShape(
        rate_hz=44_100,
        wave_channels=2,
        strides=(2, 4, 4, 8, 8),
        encoder_widths=(128, 128, 256, 512, 1024, 2048),
        decoder_widths=(128, 128, 256, 512, 1024, 2048),
    )
    with torch.device("meta"):
        nets = (WaveNet(shape, KlBottleneck()), AutoencoderOobleck())
    ours, published = (
        Counter(
            (type(one), one.weight.shape, one.stride, one.dilation, one.bias is None)
            for one in net.modules()
            if isinstance(one, nn.Conv1d | nn.ConvTranspose1d)
        )
        for net in nets
    )
    assert ours == published


@pytest.mark.parametrize("samples", [1, 19, 20, 1001])
def test_the_last_frame_is_filled_with_silence(samples: int) -> None:
    codec = WaveCodec(WaveNet(_SHAPE, KlBottleneck()))
    latents = codec.encode(torch.zeros(1, samples))
    assert latents.shape == (1, 6, codec.facts.frames(samples), 1)
    assert codec.decode(latents).shape == (1, codec.facts.frames(samples) * 20)


def test_what_is_not_a_wave_codec_is_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="name the folder of its weights"):
        open_codec("wave")
    with pytest.raises(PipelineError, match=r"no wave codec at .*as `obbligato train codec --kind"):
        open_codec("wave", str(tmp_path))
    codec = WaveCodec(WaveNet(_SHAPE, KlBottleneck()))
    with pytest.raises(PipelineError, match="8 channels and 1 bands are not this codec's"):
        codec.decode(torch.zeros(1, 8, 4, 1))
    with pytest.raises(PipelineError, match=r"no codebooks: train one with --set bottleneck\.kind"):
        codec.codes(torch.zeros(1, 100))
    with pytest.raises(PipelineError, match="the codec wave has no codebooks, so there are no co"):
        with_codes(codec)
