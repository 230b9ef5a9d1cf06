"""AudioLDM's codec on a small autoencoder and a small vocoder of the published layout, with random
weights.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig
from transformers.audio_utils import mel_filter_bank, spectrogram

from pipelines.codecs import open_codec
from pipelines.codecs.audioldm import LICENCE, AudioLdmCodec, peak_half
from pipelines.errors import PipelineError
from schemas.codec import CodecFacts, WaveLevel
from tests.pipelines.codecs.waves import chord, sines

SCALE = 0.9227914214134216  # the published factor


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("audioldm")
    AutoencoderKL(
        in_channels=1,
        out_channels=1,
        latent_channels=8,
        block_out_channels=(4, 8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        scaling_factor=SCALE,
    ).save_pretrained(folder / "vae")
    SpeechT5HifiGan(
        SpeechT5HifiGanConfig(
            model_in_dim=64,
            sampling_rate=16_000,
            upsample_initial_channel=32,
            upsample_rates=[5, 4, 2, 2, 2],
            upsample_kernel_sizes=[16, 16, 8, 4, 4],
            resblock_kernel_sizes=[3],
            resblock_dilation_sizes=[[1]],
            normalize_before=False,
        )
    ).save_pretrained(folder / "vocoder")
    return folder


@pytest.fixture(scope="module")
def codec(folder: Path) -> AudioLdmCodec:
    opened = open_codec("audioldm", str(folder))
    assert isinstance(opened, AudioLdmCodec)
    return opened


def test_ten_seconds_become_the_published_grid(codec: AudioLdmCodec) -> None:
    facts = codec.facts
    assert (facts.rate_hz, facts.frames_per_s, facts.licence) == (16_000, 25.0, LICENCE)
    latents = codec.encode(chord((48, 64, 67), duration_s=10.24))
    assert (
        latents.shape == (1, facts.channels, facts.frames(163_840), facts.bands) == (1, 8, 256, 16)
    )


def test_the_spectrogram_is_the_published_one(codec: AudioLdmCodec) -> None:
    """Log magnitudes of 64 Slaney mel bands, 1024 samples every 160: by transformers' own
    function.
    """
    wave = chord((48, 64, 67), duration_s=1.0)
    filters = mel_filter_bank(513, 64, 0.0, 8000.0, 16_000, norm="slaney", mel_scale="slaney")
    window = np.hanning(1025)[:-1]
    expected = spectrogram(
        wave[0].numpy(),
        window,
        1024,
        160,
        power=1.0,
        mel_filters=filters,
        mel_floor=1e-5,
        log_mel="log",
    )
    ours = codec.spectrogram(wave)[0].numpy()
    assert ours.shape == (64, 100)
    assert np.abs(ours - expected[:, :100]).max() < 1e-2
    assert ours.std() > 1


def test_latents_are_the_autoencoder_s_middle_times_its_factor_and_waves_the_vocoder_s(
    folder: Path, codec: AudioLdmCodec
) -> None:
    autoencoder = AutoencoderKL.from_pretrained(folder / "vae").eval()
    vocoder = SpeechT5HifiGan.from_pretrained(folder / "vocoder")
    vocoder.eval()  # type: ignore[no-untyped-call]
    wave = sines(440.0, duration_s=0.32)
    latents = codec.encode(wave)
    with torch.no_grad():
        mel = codec.spectrogram(peak_half(wave)).transpose(1, 2)[:, None]
        held = autoencoder.encode(mel).latent_dist.mean
        assert torch.allclose(latents, held * SCALE, atol=1e-6)
        expected = vocoder(autoencoder.decode(held).sample[:, 0])
    assert torch.allclose(codec.decode(latents), expected.reshape(1, -1)[:, :5120], atol=1e-5)


def test_waves_are_as_long_as_their_frames(codec: AudioLdmCodec) -> None:
    latents = codec.encode(torch.cat([sines(440.0), sines(220.0)])[:, :5000])
    assert latents.shape[2] == codec.facts.frames(5000) == 8
    assert codec.decode(latents).shape == (2, 8 * 640)


def test_latents_do_not_tell_how_loud_a_clip_was_nor_its_offset(codec: AudioLdmCodec) -> None:
    """As in the published reader: the mean is taken off, and each clip has a peak of 0.5."""
    loud = sines(440.0, duration_s=0.32)
    quiet = 0.02 * loud + 0.01
    assert torch.allclose(codec.encode(quiet), codec.encode(loud), atol=1e-4)
    assert codec.facts.level is WaveLevel.MEAN_OFF_PEAK_HALF
    levelled = peak_half(torch.cat([quiet, loud]))
    assert torch.allclose(levelled.abs().amax(1), torch.tensor(0.5))
    assert torch.allclose(levelled.mean(1), torch.tensor(0.0), atol=1e-6)
    assert not peak_half(torch.zeros(1, 8)).any()


def test_latents_of_before_are_another_codec_s(codec: AudioLdmCodec) -> None:
    """A dataset.json without a level reads as it was encoded: as is."""
    before = codec.facts.model_dump(mode="json", exclude={"level"})
    read = CodecFacts.model_validate(before)
    assert read.level is WaveLevel.AS_IS
    assert read != codec.facts


def test_nothing_of_it_learns(codec: AudioLdmCodec) -> None:
    assert not codec.encode(sines(440.0)).requires_grad


def test_gradients_pass_from_a_wave_to_its_latents(codec: AudioLdmCodec) -> None:
    latents = codec.encode(sines(440.0, duration_s=0.32))
    asked = latents.clone().requires_grad_()
    codec.decode(asked).square().sum().backward()  # type: ignore[no-untyped-call]
    towards = torch.randn(latents.shape, generator=torch.Generator().manual_seed(1))
    louder, quieter = (
        codec.decode(latents + by * towards).square().sum().item() for by in (1e-2, -1e-2)
    )
    assert asked.grad is not None
    slope = (asked.grad * towards).sum().item()
    assert slope == pytest.approx((louder - quieter) / 2e-2, rel=0.05)


def test_the_version_tells_weights_apart(folder: Path, codec: AudioLdmCodec) -> None:
    again = open_codec("audioldm", str(folder))
    assert again.facts == codec.facts
    autoencoder = AutoencoderKL.from_pretrained(folder / "vae")
    with torch.no_grad():
        autoencoder.encoder.conv_in.weight[0, 0, 0, 0] += 1e-3
    other = AudioLdmCodec(autoencoder, SpeechT5HifiGan.from_pretrained(folder / "vocoder"))
    assert other.facts.version != codec.facts.version


def test_the_version_tells_the_scale_of_latents(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "other")
    config = tmp_path / "other/vae/config.json"
    config.write_text(config.read_text().replace(str(SCALE), "0.5"))
    versions = [
        open_codec("audioldm", str(one)).facts.version for one in (folder, tmp_path / "other")
    ]
    assert versions[0].removesuffix("0.922791") == versions[1].removesuffix("0.5")


def test_a_folder_without_a_codec_is_refused_with_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="a folder with vae/ and vocoder/ in it"):
        open_codec("audioldm", str(tmp_path))
