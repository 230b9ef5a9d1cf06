"""An upsampler that plays: waves of a lower rate at its own, window after window.

What is given is brought up by our resampler and stays; to it is added what the network plays, from
which a filter takes all that lies below. So labels stay where they are.

Shapes: B channels of a wave, G waves that the net is shown of what is given, N noises, S samples.
"""

from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import torch
from torch.nn.functional import pad

from pipelines.audio.decode import Wave, resampled
from pipelines.pretrained.checksum import weights_hash
from pipelines.pretrained.own_weights import OwnPart
from schemas.identity import keyed_rng
from training.errors import TrainingError
from training.objectives import objective_of
from training.samplers.config import SamplingConfig
from training.samplers.denoise import denoised
from training.upsampler.levels import GIVEN, ShownLevels, high_pass, high_passed
from training.upsampler.net import UpsamplerNet
from training.upsampler.shape import UpsamplerConfig

FOLDER: Final = "upsampler"  # within the source
_PART: Final = OwnPart(
    what="upsampler",
    folder=FOLDER,
    command="train upsampler",
    config=UpsamplerConfig,
    net=lambda config: UpsamplerNet(config.net),
    error=TrainingError,
)
KEPT: Final = 0.9  # of the lower rate's upper limit: what lies below is what was given
_PASSED: Final = 0.96  # of the same: what lies above is what the network plays


class Upsampler:
    """A network with the rules it is played by, on the device of its weights."""

    def __init__(self, net: UpsamplerNet, config: UpsamplerConfig, device: torch.device) -> None:
        self._net, self.config, self._device = net.requires_grad_(False), config, device
        self._objective = objective_of(config.objective)
        self._levels = ShownLevels(config.net)
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

    def check_rate(self, rate_hz: int) -> None:
        """Raise `TrainingError` for sound that there is nothing to add to, or too little to be
        told.
        """
        shape = self.config.net
        if rate_hz >= shape.rate_hz:
            raise TrainingError(
                f"the sound has {rate_hz} Hz already, and this upsampler plays {shape.rate_hz} Hz: "
                "leave it away, or train one with a higher net.rate_hz"
            )
        if rate_hz < shape.lower_hz:
            raise TrainingError(
                f"the sound has {rate_hz} Hz, and this upsampler goes on from {shape.lower_hz} Hz, "
                "so what lies between would be silent: train one with net.lower_hz="
                f"{rate_hz}"
            )

    def notes(self, rate_hz: int) -> tuple[str, ...]:
        """What is lost of sound of a rate, in words."""
        lower_hz = self.config.net.lower_hz
        if rate_hz <= lower_hz:
            return ()
        return (
            f"the upsampler goes on from {lower_hz} Hz: of the {rate_hz} Hz that the sound has, "
            f"all above {lower_hz // 2} Hz is made anew",
        )

    @torch.no_grad()
    def played(self, wave: Wave, rate_hz: int, *, seed: int, key: str) -> Wave:
        """A wave, (S,) or (S, 2), at the upsampler's rate, within [-1, 1]; noise depends on seed
        and key, and is that of all channels. Of a higher rate than it goes on from, what lies
        above that is left out first.

        Raises `TrainingError` as `check_rate` does.
        """
        self.check_rate(rate_hz)
        shape = self.config.net
        low = resampled(wave, rate_hz, shape.lower_hz)
        given_BS = torch.from_numpy(
            np.atleast_2d(resampled(low, shape.lower_hz, shape.rate_hz).T).copy()
        )
        made_BS = high_passed(self._added(given_BS, _Noise(seed, key)), self._filter)
        made = made_BS.add_(given_BS).clamp_(-1.0, 1.0).numpy()
        return np.ascontiguousarray(made[0] if wave.ndim == 1 else made.T)

    @cached_property
    def _filter(self) -> torch.Tensor:
        shape = self.config.net
        edge = shape.lower_hz / shape.rate_hz  # of the lower upper limit, of the higher
        return high_pass(KEPT * edge, _PASSED * edge)

    def _added(self, given_BS: torch.Tensor, noise: "_Noise") -> torch.Tensor:
        """What the network plays, (B, S): windows with noise of one piece, each faded into the
        next.
        """
        shape, rules = self.config.net, self.config.played
        # in frames of the deepest level, so that no part of a window ends within one
        window = max(2, _frames(rules.window_s * shape.rate_hz, shape.hop))
        overlap = min(window // 2, _frames(rules.overlap_s * shape.rate_hz, shape.hop)) * shape.hop
        window *= shape.hop
        samples = given_BS.shape[1]
        given_BS = pad(given_BS, (0, _frames(samples, shape.hop) * shape.hop - samples))
        total = torch.zeros_like(given_BS)
        weight_S = torch.zeros(given_BS.shape[1])
        fade = (torch.arange(overlap) + 0.5) / overlap
        step = window - overlap
        for start in range(0, max(1, given_BS.shape[1] - overlap), step):
            part = slice(start, start + window)
            window_BGS = self._levels.given_part(given_BS, part)
            # the next one begins with what ends this
            noise_NS = torch.cat([noise.part(start // step + n, step) for n in (0, 1)], dim=1)
            made_BS = self._window(window_BGS, noise_NS[:, : window_BGS.shape[2]])
            share_S = torch.ones(made_BS.shape[1])
            if start:
                share_S[:overlap] *= fade
            if start + window < given_BS.shape[1]:
                share_S[-overlap:] *= fade.flip(0)
            total[:, part] += share_S * made_BS
            weight_S[part] += share_S
        return (total / weight_S)[:, :samples]

    def _window(self, shown_BGS: torch.Tensor, noise_NS: torch.Tensor) -> torch.Tensor:
        time = self.config.played.noise
        noise_NS = noise_NS.to(self._device)
        told_BGS = (1 - time) * shown_BGS.to(self._device) + time * noise_NS[1:]
        given_times_B = torch.full((len(told_BGS),), time, device=self._device)

        def predict(noisy_B1S1: torch.Tensor, times_B: torch.Tensor) -> torch.Tensor:
            steps_B = self._objective.steps(times_B)
            said_BS: torch.Tensor = self._net(
                noisy_B1S1[:, 0, :, 0], told_BGS, steps_B, given_times_B
            )
            return said_BS[:, None, :, None]

        start_B1S1 = noise_NS[:1].expand(len(told_BGS), -1)[:, None, :, None]
        made_B1S1 = denoised(predict, start_B1S1, self._objective, self._sampling)
        return self._levels.as_waves(made_B1S1[:, 0, :, 0]).cpu()


class _Noise(NamedTuple):
    """Noise of a piece, drawn part by part: that of an hour is never held at once."""

    seed: int
    key: str

    def part(self, number: int, samples: int) -> torch.Tensor:
        """For what is added and for what is given: (1 + GIVEN, S)."""
        rng = keyed_rng(self.seed, self.key, f"upsampler {number}")
        return torch.from_numpy(rng.standard_normal((1 + GIVEN, samples), dtype=np.float32))


def _frames(samples: float, hop: int) -> int:
    """Frames of the deepest level that hold so many samples: one at least."""
    return max(1, -(-round(samples) // hop))


def open_upsampler(source: str, device: torch.device | None = None) -> Upsampler:
    """The upsampler by the folder that its training wrote.

    Raises `TrainingError` where it cannot be read.
    """
    chosen = device or torch.device("cpu")
    config, net = _PART.opened(source, chosen)
    return Upsampler(net, config, chosen)
