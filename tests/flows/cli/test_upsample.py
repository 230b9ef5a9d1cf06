"""`obbligato upsample`: what it refuses before anything is computed, and what it writes."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from flows.cli import upsample
from flows.cli.main import app
from flows.errors import UsageError
from pipelines.pretrained.own_weights import write_weights
from training.errors import TrainingError
from training.upsampler.net import UpsamplerNet
from training.upsampler.play import FOLDER
from training.upsampler.recipe import UpsamplerRecipe
from training.upsampler.shape import UpsamplerPlay, UpsamplerShape


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """From 8 to 16 kHz; it has learned nothing."""
    shape = UpsamplerShape(
        rate_hz=16_000, lower_hz=8_000, strides=(4,), widths=(4,), units=1, conditioning_width=8
    )
    recipe = UpsamplerRecipe(net=shape, played=UpsamplerPlay(steps=1))
    folder = tmp_path_factory.mktemp("upsampler")
    torch.manual_seed(0)
    write_weights(UpsamplerNet(shape), recipe.config, folder / FOLDER)
    return str(folder)


def tone(path: Path, rate_hz: int) -> str:
    """A second of 440 Hz."""
    wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(rate_hz) / rate_hz)
    soundfile.write(path, wave, rate_hz)
    return str(path)


def test_folders_are_made_and_what_is_lost_is_said(model: str, tmp_path: Path) -> None:
    file, out = tone(tmp_path / "a.wav", 12_000), tmp_path / "new/folder/b.wav"
    ran = CliRunner().invoke(app, ["upsample", file, "--model", model, "--out", str(out)])
    assert ran.exit_code == 0, ran.output
    assert "all above 4000 Hz is made anew" in ran.output
    wave, rate_hz = soundfile.read(out)
    assert (rate_hz, len(wave)) == (16_000, 16_000)
    assert int(np.abs(np.fft.rfft(wave)[:4_000]).argmax()) == 440


def test_what_cannot_be_upsampled_is_refused_before_anything_is_played(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.wav"
    with pytest.raises(TrainingError, match="has 44100 Hz already, and this upsampler plays 16000"):
        upsample.upsample(tone(tmp_path / "cd.wav", 44_100), model, out)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="its folder cannot be made"):
        upsample.upsample(tone(tmp_path / "a.wav", 8_000), model, tmp_path / "file/out.wav")
    monkeypatch.setattr(upsample, "_LONGEST_S", 0.9)
    with pytest.raises(UsageError, match=r"a\.wav is longer than 0\.015 minutes"):
        upsample.upsample(tone(tmp_path / "a.wav", 8_000), model, out)
    assert not out.exists()
