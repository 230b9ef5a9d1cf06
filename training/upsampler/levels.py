"""The levels at which an upsampler's net is shown what is given and what is added, and back.

Above 8 kHz most music rests for most of the time, and strokes are short and loud; of what is given
the highest octave lies 40 dB below the lowest. So what is added, and the treble of what is given,
are companded: a power of less than 1 brings rests and strokes nearer together, and on the way back
presses what is left of noise in rests down to nothing. (Richter et al. 2023, SGMSE+, arXiv
2208.05830, do so with spectra.)

Shapes: B clips, S samples.
"""

from typing import Final

import numpy as np
import torch
from torch.nn.functional import conv1d

from training.upsampler.shape import UpsamplerShape

GIVEN: Final = 2  # waves that the net is shown of what is given: all of it, and its treble
_TREBLE: Final = (0.4, 0.5)  # of the lower rate's upper limit: damped below, whole above
_DAMPED_DB: Final = 70.0


class ShownLevels:
    """What the net of a shape is shown, of about unit level, and what it says as a wave."""

    def __init__(self, shape: UpsamplerShape) -> None:
        self._shape = shape
        edge = shape.lower_hz / shape.rate_hz  # of the lower upper limit, of the higher
        self._treble = high_pass(*(edge * share for share in _TREBLE))

    def given(self, waves_BS: torch.Tensor) -> torch.Tensor:
        """What is given as the net is shown it: (B, GIVEN, S)."""
        shape = self._shape
        treble_BS = high_passed(waves_BS, self._treble.to(waves_BS.device))
        shown = (
            waves_BS / shape.given_level,
            companded(treble_BS / shape.treble_level, shape.companding),
        )
        return torch.stack(shown, dim=1)

    def given_part(self, waves_BS: torch.Tensor, part: slice) -> torch.Tensor:
        """The same of some samples, which are known by number, as of the whole: (B, GIVEN, S)."""
        reach = len(self._treble) // 2
        first = max(0, part.start - reach)
        shown_BGS = self.given(waves_BS[:, first : part.stop + reach])
        return shown_BGS[..., part.start - first : part.stop - first]

    def added(self, waves_BS: torch.Tensor) -> torch.Tensor:
        """What is added as the net is shown it: the same shape."""
        return companded(waves_BS / self._shape.added_level, self._shape.companding)

    def as_waves(self, said_BS: torch.Tensor) -> torch.Tensor:
        """What is added, by what the net says of it: the same shape."""
        return companded(said_BS, 1 / self._shape.companding) * self._shape.added_level


def companded(waves_BS: torch.Tensor, exponent: float) -> torch.Tensor:
    """Waves raised to a power, their signs kept.

    >>> companded(torch.tensor([[-0.25, 0.0, 4.0]]), 0.5).tolist()
    [[-0.5, 0.0, 2.0]]
    """
    return waves_BS.sign() * waves_BS.abs() ** exponent


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
