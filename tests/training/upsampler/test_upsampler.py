"""An upsampler: pairs are aligned, a run goes on to the bit, and what was given stays as it was."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import soundfile
import torch

from pipelines.audio.decode import resampled
from pipelines.errors import DeadInput
from pipelines.pretrained.own_weights import write_weights
from tests.training.runs import corpus
from tests.training.two_processes import train_by_two
from training.data.examples import sound_of
from training.data.recipe import SampleRecipe
from training.errors import TrainingError
from training.excerpts.run import excerpt_reading
from training.run import checkpoints
from training.run.recipe import OptimRecipe, StepsRecipe
from training.upsampler.levels import ShownLevels, high_pass
from training.upsampler.net import UpsamplerNet
from training.upsampler.play import FOLDER, Upsampler, open_upsampler
from training.upsampler.recipe import UpsamplerRecipe, ready_upsampler
from training.upsampler.shape import UpsamplerPlay, UpsamplerShape
from training.upsampler.train import train_upsampler

_NET = UpsamplerShape(
    rate_hz=16_000, lower_hz=8_000, strides=(4, 4), widths=(8, 8), units=1, conditioning_width=8
)
_SMALL = UpsamplerRecipe(
    net=_NET,
    data=SampleRecipe(seconds=0.1, batch=4, micro_batch=2, workers=0, validation=4),
    optim=OptimRecipe(lr=3e-3, warmup_steps=2, weight_decay=0, ema=0.5),
    run=StepsRecipe(steps=4, log_every=1, checkpoint_every=2, validate_every=2),
    played=UpsamplerPlay(steps=2, window_s=0.5, overlap_s=0.1),
)


def silent(_: str) -> None:
    """A training whose lines nobody reads."""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> UpsamplerRecipe:
    """Of shards of 8 kHz."""
    shards = corpus(tmp_path_factory.mktemp("shards"), songs=6, latents=False)
    return _SMALL.replaced(
        net=_NET.replaced(rate_hz=8_000, lower_hz=4_000),
        data=_SMALL.data.replaced(shards=(str(shards),)),
    )


def tensors(folder: Path, step: int, name: str = "model") -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(folder / checkpoints.folder_of(step) / f"{name}.safetensors")


def test_a_run_that_goes_on_is_equal_to_the_bit(small: UpsamplerRecipe, tmp_path: Path) -> None:
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    train_upsampler(small, straight, silent)
    half = checkpoints.folder_of(2)
    shutil.copytree(straight / half, resumed / half)
    lines: list[str] = []
    made = train_upsampler(small, resumed, lines.append)
    assert (made.step, made.stopped) == (4, False)
    assert any(line.startswith("going on from step 2") for line in lines)
    for name in ("model", "ema"):
        mine, theirs = tensors(straight, 4, name), tensors(resumed, 4, name)
        assert all(torch.equal(value, theirs[key]) for key, value in mine.items()), name
        early = tensors(straight, 2, name)
        assert all(not torch.equal(value, early[key]) for key, value in mine.items()), name
    assert open_upsampler(str(straight)).name == open_upsampler(str(resumed)).name
    with pytest.raises(TrainingError, match="holds an upsampler already"):
        train_upsampler(small, straight, silent)


@pytest.mark.slow  # half a minute
def test_two_processes_learn_what_one_does(small: UpsamplerRecipe, tmp_path: Path) -> None:
    train_upsampler(small, tmp_path / "one", silent)
    train_by_two(small, train_upsampler, tmp_path / "two")
    one, two = (tensors(tmp_path / name, 4) for name in ("one", "two"))
    assert all(torch.allclose(value, two[key], atol=2e-3) for key, value in one.items())


def flac(wave: np.ndarray, rate_hz: int) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, wave, rate_hz, format="FLAC", subtype="PCM_16")
    return out.getvalue()


@pytest.mark.parametrize("has_copy", [True, False], ids=["a copy in the shard", "our resampler"])
def test_pairs_are_aligned_to_the_sample(has_copy: bool) -> None:
    recipe = ready_upsampler("super-resolution")
    reading = excerpt_reading(recipe, recipe.facts, frames=375)._replace(lower_hz=16_000)
    noise_S = np.random.default_rng(0).normal(0, 0.1, 24_000).astype(np.float32)
    members = {"flac": flac(noise_S, 24_000)}
    if has_copy:  # told apart by its level
        members["16k.flac"] = flac(0.5 * resampled(noise_S, 24_000, 16_000), 16_000)
    full_S, given_S = (one.numpy() for one in sound_of(members, reading))
    assert np.allclose(full_S, noise_S, atol=1 / 32768)
    products = np.fft.irfft(np.fft.rfft(full_S) * np.fft.rfft(given_S).conj())
    assert int(np.abs(products).argmax()) == 0
    low = slice(0, 7000)  # bins of 1 Hz
    share = 0.5 if has_copy else 1.0
    ratio = np.fft.rfft(given_S)[low] / np.fft.rfft(full_S)[low]
    assert np.median(np.abs(ratio - share)) < 0.01
    assert np.abs(np.fft.rfft(given_S)[8_200:]).max() < 0.1  # of about 15


def test_audio_of_a_lower_rate_has_nothing_to_teach() -> None:
    recipe = ready_upsampler("super-resolution")
    reading = excerpt_reading(recipe, recipe.facts, frames=375)._replace(lower_hz=16_000)
    with pytest.raises(DeadInput, match="is of 16000 Hz: there is nothing of 24000 Hz to learn"):
        sound_of({"flac": flac(np.zeros(16_000, np.float32), 16_000)}, reading)


def loud_upsampler() -> Upsampler:
    """One that has learned nothing, and adds as loudly as music is."""
    torch.manual_seed(0)
    config = _SMALL.config
    config = config.replaced(net=config.net.replaced(added_level=0.03))
    return Upsampler(UpsamplerNet(config.net), config, torch.device("cpu"))


def test_what_lies_below_is_what_was_given_and_above_is_added() -> None:
    noise_S = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    given_S = resampled(resampled(noise_S, 16_000, 8_000), 8_000, 16_000)
    played_S = loud_upsampler().played(resampled(noise_S, 16_000, 8_000), 8_000, seed=0, key="a")
    before, after = (np.fft.rfft(np.hanning(16_000) * one_S) for one_S in (given_S, played_S))
    below, above = slice(0, 3_590), slice(4_200, 7_900)  # in Hz; 0.9 of 4 kHz lies between

    def level_db(spectrum: np.ndarray) -> float:
        return float(10 * np.log10(np.mean(np.abs(spectrum) ** 2)))

    # within 0.01 dB: what is added lies 60 dB below what is there
    assert level_db((after - before)[below]) < level_db(before[below]) - 60
    assert level_db(after[above]) > level_db(before[below]) - 20
    assert level_db(before[above]) < level_db(before[below]) - 60


def test_windows_join_without_a_click_and_noise_goes_by_the_seed() -> None:
    upsampler = loud_upsampler()
    times = np.arange(20_000) / 8_000  # five windows
    tone_S = (0.3 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)
    played_S = upsampler.played(tone_S, 8_000, seed=3, key="a")
    assert len(played_S) == 40_000
    again_S, other_S = (upsampler.played(tone_S, 8_000, seed=seed, key="a") for seed in (3, 4))
    assert np.array_equal(played_S, again_S)
    assert not np.array_equal(played_S, other_S)
    # windows begin every 0.4 s: there the wave moves no faster than anywhere else
    moves_S = np.abs(np.diff(played_S, n=2))
    joins = [join for start in range(6_400, 36_000, 6_400) for join in (start, start + 1_600)]
    near = np.concatenate([moves_S[join - 8 : join + 8] for join in joins])
    assert near.max() < 1.2 * np.quantile(moves_S, 0.999)


def test_mono_as_stereo_stays_mono() -> None:
    noise_S = np.random.default_rng(0).normal(0, 0.1, 6_000).astype(np.float32)
    both_S2 = np.stack([noise_S, noise_S], axis=1)
    played_S2 = loud_upsampler().played(both_S2, 8_000, seed=3, key="a")
    alone_S = loud_upsampler().played(noise_S, 8_000, seed=3, key="a")
    assert np.abs(alone_S - resampled(noise_S, 8_000, 16_000)).max() > 0.01  # something is added
    assert np.allclose(played_S2, alone_S[:, None], atol=1e-5)


def test_windows_that_overlap_by_half_are_whole_frames_of_the_net() -> None:
    shape = UpsamplerShape(strides=(8, 8), widths=(8, 8), units=1, conditioning_width=8)
    rules = UpsamplerPlay(steps=1, sampler="euler", window_s=1, overlap_s=0.5)
    config = UpsamplerRecipe(net=shape, played=rules).config
    upsampler = Upsampler(UpsamplerNet(shape), config, torch.device("cpu"))
    given_S = np.zeros(33_365, np.float32)
    assert len(upsampler.played(given_S, 16_000, seed=0, key="a")) == 50_048


def test_sound_that_there_is_nothing_to_add_to_is_refused_and_what_is_lost_is_said() -> None:
    upsampler = loud_upsampler()  # 8 to 16 kHz
    silence = np.zeros(800, np.float32)
    with pytest.raises(TrainingError, match=r"has 16000 Hz already, .* plays 16000 Hz: leave it"):
        upsampler.played(silence, 16_000, seed=0, key="a")
    with pytest.raises(TrainingError, match=r"train one with net\.lower_hz=4000"):
        upsampler.played(silence, 4_000, seed=0, key="a")
    assert upsampler.notes(8_000) == ()
    [note] = upsampler.notes(12_000)
    assert "of the 12000 Hz that the sound has, all above 4000 Hz is made anew" in note


def test_what_is_added_comes_back_and_rests_are_pressed_down() -> None:
    levels = ShownLevels(UpsamplerShape(added_level=0.001, companding=0.5))
    added_BS = torch.tensor([[0.004, -0.001, 0.00001, 0.0]])
    shown_BS = levels.added(added_BS)
    assert torch.allclose(shown_BS, torch.tensor([[2.0, -1.0, 0.1, 0.0]]))
    assert torch.allclose(levels.as_waves(shown_BS), added_BS)
    assert torch.allclose(levels.as_waves(torch.tensor([[0.1]])), torch.tensor([[1e-5]]))


def test_the_highest_octave_of_what_is_given_is_shown_by_itself() -> None:
    shape = UpsamplerShape(given_level=0.1, treble_level=0.01, companding=0.5)
    times_S = np.arange(24_000) / 24_000
    low_S, high_S = (torch.from_numpy(np.sin(2 * np.pi * hz * times_S)) for hz in (440, 6000))
    given_BS = (0.3 * low_S + 0.04 * high_S)[None].float()
    whole_S, treble_S = ShownLevels(shape).given(given_BS)[0]
    assert torch.allclose(whole_S, given_BS[0] / 0.1)
    inner = slice(1000, -1000)  # the filter's reach ends before
    expected_S = (0.04 * high_S).sign() * (4 * high_S).abs().sqrt()
    assert (treble_S - expected_S)[inner].abs().max() < 0.1


def test_a_part_is_shown_as_it_is_within_the_whole() -> None:
    levels = ShownLevels(_NET)
    given_BS = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (2, 1_000))).float()
    whole_BGS = levels.given(given_BS)
    for part in (slice(0, 300), slice(300, 700), slice(700, 1_400)):
        shown_BGS = levels.given_part(given_BS, part)
        assert torch.allclose(shown_BGS, whole_BGS[..., part], atol=1e-3)


def test_a_high_pass_damps_by_70_db_and_passes_the_rest() -> None:
    taps = high_pass(0.6, 0.65).double().numpy()
    answer = np.abs(np.fft.rfft(taps, 20_000))  # 10,000 bins up to the limit
    assert 20 * np.log10(answer[:6_000].max()) < -68
    assert np.abs(answer[6_500:] - 1).max() < 0.001


def test_folders_without_an_upsampler_are_said(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="expected a folder with upsampler/ in it"):
        open_upsampler(str(tmp_path))
    other = UpsamplerNet(_NET.replaced(widths=(8, 16)))
    write_weights(other, _SMALL.config, tmp_path / FOLDER)
    with pytest.raises(TrainingError, match="no upsampler at"):
        open_upsampler(str(tmp_path))
    net = UpsamplerNet(_NET)
    with torch.no_grad():
        next(net.parameters())[0] = float("nan")
    write_weights(net, _SMALL.config, tmp_path / FOLDER)
    with pytest.raises(TrainingError, match="not finite, such as in"):
        open_upsampler(str(tmp_path))
    with pytest.raises(ValueError, match="it must be lower"):
        UpsamplerShape(rate_hz=16_000, lower_hz=16_000)
