"""An upsampler that plays: waves of a lower rate at its own, window after window.

What is given is brought up by our resampler and stays; to it is added what the network plays, from
which a filter takes all that lies below. So labels stay where they are.

Shapes: B channels of a wave, S samples.
"""

from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch.nn.functional import conv1d, pad

from pipelines.audio.decode import Wave, resampled
from pipelines.pretrained.checksum import first_line, weights_hash
from pipelines.pretrained.own_weights import CONFIG, UNREADABLE, fill_weights
from schemas.identity import keyed_rng
from training.errors import TrainingError
from training.objectives import objective_of
from training.samplers.config import SamplingConfig
from training.samplers.denoise import denoised
from training.upsampler.net import UpsamplerNet
from training.upsampler.shape import UpsamplerConfig

FOLDER: Final = "upsampler"  # within the source
KEPT: Final = 0.9  # of the lower rate's upper limit: what lies below is what was given
_PASSED: Final = 0.96  # of the same: what lies above is what the network plays
_DAMPED_DB: Final = 70.0  # of what it plays below


class Upsampler:
    """A network with the rules it is played by, on the device of its weights."""

    def __init__(self, net: UpsamplerNet, config: UpsamplerConfig, device: torch.device) -> None:
        self._net, self.config, self._device = net.requires_grad_(False), config, device
        self._objective = objective_of(config.objective)
        played = config.played
        self._sampling = SamplingConfig(sampler=played.sampler, steps=played.steps)

    @cached_property
    def name(self) -> str:
        """What it is, with a hash of its weights, as a lead sheet has it."""
        shape = self.config.net
        return f"upsampler {shape.lower_hz} to {shape.rate_hz} Hz {weights_hash(self._net)}"

    @property
    def rate_hz(self) -> int:
        """Of what is played."""
        return self.config.net.rate_hz

    @torch.no_grad()
    def played(self, wave: Wave, rate_hz: int, *, seed: int, key: str) -> Wave:
        """A wave, (S,) or (S, 2), at the upsampler's rate, within [-1, 1]; noise depends on seed
        and key. Of a higher rate than is given, what lies above that is left out first.
        """
        shape = self.config.net
        low = resampled(wave, rate_hz, shape.lower_hz)
        given_BS = torch.from_numpy(
            np.atleast_2d(resampled(low, shape.lower_hz, shape.rate_hz).T).copy()
        )
        rng = keyed_rng(seed, key, "upsampler")
        noise_B2S = torch.from_numpy(
            rng.standard_normal((len(given_BS), 2, given_BS.shape[1]), dtype=np.float32)
        )
        added_BS = high_passed(self._added(given_BS, noise_B2S), self._filter)
        made_BS = (given_BS + added_BS).clamp(-1.0, 1.0).numpy()
        return np.ascontiguousarray(made_BS[0] if wave.ndim == 1 else made_BS.T)

    @cached_property
    def _filter(self) -> torch.Tensor:
        shape = self.config.net
        edge = shape.lower_hz / shape.rate_hz  # of the lower upper limit, of the higher
        return high_pass(KEPT * edge, _PASSED * edge)

    def _added(self, given_BS: torch.Tensor, noise_B2S: torch.Tensor) -> torch.Tensor:
        """What the network plays, (B, S): windows with noise of one piece, each faded into the
        next.
        """
        shape, rules = self.config.net, self.config.played
        window = _whole(rules.window_s * shape.rate_hz, shape.hop)
        overlap = min(window // 2, _whole(rules.overlap_s * shape.rate_hz, shape.hop))
        samples = given_BS.shape[1]
        padding = _whole(samples, shape.hop) - samples
        given_BS, noise_B2S = pad(given_BS, (0, padding)), pad(noise_B2S, (0, padding))
        total = torch.zeros_like(given_BS)
        weight_S = torch.zeros(given_BS.shape[1])
        fade = (torch.arange(overlap) + 0.5) / overlap
        for start in range(0, max(1, given_BS.shape[1] - overlap), window - overlap):
            part = slice(start, start + window)
            made_BS = self._window(given_BS[:, part], noise_B2S[..., part])
            share_S = torch.ones(made_BS.shape[1])
            if start:
                share_S[:overlap] *= fade
            if start + window < given_BS.shape[1]:
                share_S[-overlap:] *= fade.flip(0)
            total[:, part] += share_S * made_BS
            weight_S[part] += share_S
        return (total / weight_S)[:, :samples]

    def _window(self, given_BS: torch.Tensor, noise_B2S: torch.Tensor) -> torch.Tensor:
        shape, time = self.config.net, self.config.played.noise
        noise_BS, given_noise_BS = noise_B2S.to(self._device).unbind(1)
        told_BS = given_BS.to(self._device) / shape.given_level
        told_BS = (1 - time) * told_BS + time * given_noise_BS
        given_times_B = torch.full((len(told_BS),), time, device=self._device)

        def predict(noisy_B1S1: torch.Tensor, times_B: torch.Tensor) -> torch.Tensor:
            steps_B = self._objective.steps(times_B)
            said_BS: torch.Tensor = self._net(
                noisy_B1S1[:, 0, :, 0], told_BS, steps_B, given_times_B
            )
            return said_BS[:, None, :, None]

        start_B1S1 = noise_BS[:, None, :, None]
        made_B1S1 = denoised(predict, start_B1S1, self._objective, self._sampling)
        return (made_B1S1[:, 0, :, 0] * shape.added_level).cpu()


def _whole(samples: float, hop: int) -> int:
    """So many samples, as whole frames of the deepest level: one at least."""
    return max(1, -(-round(samples) // hop)) * hop


def high_pass(damped: float, passed: float) -> torch.Tensor:
    """Taps of a filter without delay, 70 dB down below `damped` and even above `passed`, both as
    shares of the upper limit of what can be heard at its rate: a sinc under a Kaiser window.

    >>> taps = high_pass(0.5, 0.6)
    >>> round(abs(float(taps.sum())), 3), len(taps) % 2  # nothing of what stands still
    (0.0, 1)
    """
    width = np.pi * (passed - damped)
    order = int(np.ceil((_DAMPED_DB - 7.95) / (2.285 * width)))  # Kaiser 1974
    reach = -(-order // 2)
    beta = 0.1102 * (_DAMPED_DB - 8.7)
    middle = (passed + damped) / 2
    offsets = np.arange(-reach, reach + 1)
    low = middle * np.sinc(middle * offsets) * np.kaiser(2 * reach + 1, beta)
    taps = (offsets == 0) - low
    return torch.from_numpy(taps - taps.sum() / len(taps)).float()


def high_passed(waves_BS: torch.Tensor, taps: torch.Tensor) -> torch.Tensor:
    """Waves through a filter without delay; silence lies around them."""
    return conv1d(waves_BS[:, None], taps[None, None], padding=len(taps) // 2)[:, 0]


def open_upsampler(source: str, device: torch.device | None = None) -> Upsampler:
    """The upsampler by the folder that its training wrote.

    Raises `TrainingError` where it cannot be read.
    """
    folder = Path(source) / FOLDER
    try:
        config = UpsamplerConfig.model_validate_json((folder / CONFIG).read_bytes())
        net = UpsamplerNet(config.net)
        fill_weights(net, folder)
    except UNREADABLE as error:
        expected = (
            f"expected a folder with {FOLDER}/ in it, as `obbligato train upsampler` writes it at "
            "its end"
        )
        raise TrainingError(
            f"no upsampler at {source!r}: {expected} ({first_line(error)})"
        ) from error
    chosen = device or torch.device("cpu")
    return Upsampler(net.to(chosen).eval(), config, chosen)
