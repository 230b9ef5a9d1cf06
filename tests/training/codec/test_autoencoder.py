"""The codec of one's own: trained on shards, written, opened, and true to what it heard."""

from pathlib import Path

import pytest
import torch

from pipelines.codecs import open_codec
from pipelines.codecs.vae import VaeCodec
from pipelines.errors import PipelineError
from tests.training.runs import corpus
from training.codec.autoencoder import AutoencoderRecipe, train_autoencoder
from training.errors import TrainingError


def silent(_: str) -> None:
    """A training whose lines nobody reads."""


SMALL = AutoencoderRecipe(
    widths=(32, 32),
    latent_channels=4,
    steps=30,
    batch=4,
    frames=32,
    lr=3e-3,
    workers=0,
    log_every=10,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("codec")
    lines: list[str] = []
    fitted = train_autoencoder(
        str(corpus(tmp_path_factory.mktemp("shards"), songs=4)), made, SMALL, lines.append
    )
    first = float(lines[0].rpartition(" ")[2])
    assert fitted.error < 0.6 * first  # a tone and silence are soon learnt
    return made


def test_latents_have_its_shape_and_about_unit_variance(folder: Path) -> None:
    codec = open_codec("vae", str(folder))
    facts = codec.facts
    assert (facts.channels, facts.bands, facts.samples_per_frame, facts.frames_per_s) == (
        4,
        64,
        1000,
        16.0,
    )
    tone_BS = 0.5 * torch.sin(torch.arange(32_000) * (2 * torch.pi * 440 / 16_000))[None]
    latents = codec.encode(tone_BS)
    assert latents.shape == (1, 4, 32, 64)
    assert 0.3 < float(latents.std()) < 3
    assert codec.decode(latents).shape == (1, 32_000)


def test_a_tone_comes_back_at_its_pitch(folder: Path) -> None:
    codec = open_codec("vae", str(folder))
    tone_BS = 0.5 * torch.sin(torch.arange(32_000) * (2 * torch.pi * 440 / 16_000))[None]
    decoded = codec.decode(codec.encode(tone_BS))[0]
    spectrum = torch.fft.rfft(decoded[8000:24_000]).abs()
    assert abs(int(spectrum.argmax()) - 440) < 30  # bins of 1 Hz


def test_gradients_pass_from_a_wave_to_its_latents(folder: Path) -> None:
    codec = open_codec("vae", str(folder))
    asked = torch.randn(1, 4, 4, 64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    codec.decode(asked).square().mean().backward()  # type: ignore[no-untyped-call]
    assert asked.grad is not None
    assert asked.grad.isfinite().all()
    assert asked.grad.abs().amax(dim=(0, 2, 3)).all()


def test_the_same_seed_makes_the_same_weights(folder: Path, tmp_path: Path) -> None:
    shards = corpus(tmp_path / "shards", songs=4)
    versions = []
    for name in ("one", "two"):
        train_autoencoder(str(shards), tmp_path / name, SMALL.replaced(steps=3), silent)
        versions.append(open_codec("vae", str(tmp_path / name)).facts.version)
    assert versions[0] == versions[1] != open_codec("vae", str(folder)).facts.version


def test_what_is_no_codec_is_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="name the folder of its weights"):
        open_codec("vae")
    with pytest.raises(PipelineError, match="no autoencoder at"):
        open_codec("vae", str(tmp_path))
    with pytest.raises(ValueError, match="a multiple of 32"):
        SMALL.replaced(widths=(16, 32))
    with pytest.raises(ValueError, match="must be multiples of 16"):
        SMALL.replaced(widths=(32,) * 5, frames=72)


def test_a_codec_is_not_written_over(folder: Path) -> None:
    with pytest.raises(TrainingError, match="holds a codec already"):
        train_autoencoder("/nowhere", folder, SMALL, silent)


@pytest.mark.parametrize("samples", [1_000, 10_000, 18_000])
def test_frames_are_whole_however_many_levels_halve_them(samples: int) -> None:
    from diffusers import AutoencoderKL

    blocks = {
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
    }
    codec = VaeCodec(
        AutoencoderKL(
            in_channels=1,
            out_channels=1,
            latent_channels=4,
            block_out_channels=(32,) * 4,
            layers_per_block=1,
            **blocks,
        )
    )
    assert codec.encode(torch.zeros(1, samples)).shape == (1, 4, codec.facts.frames(samples), 16)
