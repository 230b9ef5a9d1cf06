"""Numbers as vectors: the fundamental music embedding and the music positional encoding; the time
of the way to noise; frame rows.

Z. Guo, J. Kang, D. Herremans, "A Domain-Knowledge-Inspired Music Embedding Space and a Novel
Attention Mechanism for Symbolic Music Modeling", AAAI 2023 (arXiv 2212.00973).

Shapes: B samples, D width, T frames, R frame rows, M channels that they are mixed into.
"""

import math
from typing import Final, NamedTuple

import torch
from torch import nn
from torch.nn.functional import silu

from training.errors import TrainingError

# The base of Vaswani et al. 2017. The published code of Mustango leaves the base at 1, where all
# frequencies are 1 and the vector says no more than one sine and one cosine do.
BASE: Final = 10_000.0
SECONDS_WIDTH: Final = 128  # of each encoded number of seconds
_TOLD: Final = 100.0  # guidance in hundredths, which sinusoids of steps tell apart
TIME_UNIT_S: Final = 0.04  # a latent frame of AudioLDM's autoencoder: four mel frames of 10 ms


def _angles(values: torch.Tensor, width: int, base: float) -> torch.Tensor:
    """Values at the angular frequencies base ** (-2k / width): (…) to (…, width / 2), float32."""
    index = torch.arange(width // 2, device=values.device, dtype=torch.float32)
    return values.float()[..., None] * torch.exp(index * (-2 * math.log(base) / width))


def sinusoids(values: torch.Tensor, width: int, base: float = BASE) -> torch.Tensor:
    """Sines, then cosines, of the values at the angular frequencies base ** (-2k / width): (…) to
    (…, width), in float32.
    """
    angles = _angles(values, width, base)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def rotated(
    x_D: torch.Tensor, times_s: torch.Tensor, unit_s: float = TIME_UNIT_S, base: float = BASE
) -> torch.Tensor:
    """Vectors (…, D) turned by their times (…): of two so turned, the product depends on how far
    apart their times are, not on when.

    Rotary embedding (Su et al. 2021, RoFormer), by seconds rather than by places.

    >>> times_s = torch.tensor([1.0, 7.0])
    >>> one, other = (rotated(torch.ones(2, 8), times_s + later_s) for later_s in (0, 0.5))
    >>> early, late = (one * other).sum(-1)
    >>> bool(torch.isclose(early, late, atol=1e-4))
    True
    """
    angles = _angles(times_s / unit_s, x_D.shape[-1], base)
    sine, cosine = angles.sin().to(x_D.dtype), angles.cos().to(x_D.dtype)
    one, other = x_D.chunk(2, dim=-1)
    return torch.cat([one * cosine - other * sine, one * sine + other * cosine], dim=-1)


class FundamentalMusicEmbedding(nn.Module):
    """Pitches as vectors between which equal intervals have equal distances (the paper's FME).

    Sinusoids plus a learned bias, which moves all pitches alike, so that distances stay. Raises
    `TrainingError` for an odd width, and for a base that does not spread the frequencies.

    >>> embed = FundamentalMusicEmbedding(64)
    >>> c, e, g, b = embed(torch.tensor([0, 4, 7, 11]))
    >>> bool(torch.isclose((e - c).norm(), (b - g).norm()))
    True
    """

    def __init__(self, width: int, base: float = BASE) -> None:
        super().__init__()
        if width % 2 or width < 2 or base <= 1:
            raise TrainingError(
                "a music embedding needs an even width and a base "
                f"above 1, not width {width} and base {base:g}"
            )
        self.width, self.base = width, base
        self.bias_D = nn.Parameter(torch.zeros(width))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Vectors of numbers: (…) to (…, D)."""
        return sinusoids(values, self.width, self.base) + self.bias_D


class MusicPositionalEncoding(nn.Module):
    """Seconds as vectors: sinusoids of the time counted in `unit_s`, without a bias.

    The published code of Mustango counts seconds: its fastest sinusoid takes 6 s for a turn, and
    times 10 ms apart look alike. In units of 40 ms the fastest takes a quarter of a second, and the
    slowest still 40 minutes.
    """

    def __init__(self, width: int, unit_s: float = TIME_UNIT_S, base: float = BASE) -> None:
        super().__init__()
        if width % 2 or width < 2 or base <= 1 or unit_s <= 0:
            raise TrainingError(
                "times need an even width, a base above 1 and a unit above 0 s, not width "
                f"{width}, base {base:g} and unit {unit_s:g} s"
            )
        self.width, self.unit_s, self.base = width, unit_s, base

    def forward(self, times_s: torch.Tensor) -> torch.Tensor:
        """Vectors of times in seconds: (…) to (…, D)."""
        return sinusoids(times_s.float() / self.unit_s, self.width, self.base)


class Jump(NamedTuple):
    """What a student is told beside the time: where its jump ends, and under which guidance."""

    ends_B: torch.Tensor  # times in thousandths
    guidance_B: torch.Tensor  # 1: none

    def joined(self, other: "Jump") -> "Jump":
        """The jumps of both batches, one after the other."""
        return Jump(*(torch.cat(both) for both in zip(self, other, strict=True)))


class JumpEmbedding(nn.Module):
    """A jump as a vector: its beginning, its end and its guidance together. It begins as zero."""

    def __init__(self, encoded: int, width: int) -> None:
        """`encoded` is the width of the sinusoids of each."""
        super().__init__()
        self.encoded = encoded
        self.first = nn.Linear(3 * encoded, width)
        self.second = nn.Linear(width, width)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, steps_B: torch.Tensor, jump: Jump) -> torch.Tensor:
        """(B,) each to (B, D)."""
        numbers_B3 = torch.stack(
            [steps_B.float(), jump.ends_B.float(), jump.guidance_B.float() * _TOLD], dim=1
        )
        told = sinusoids(numbers_B3, self.encoded).flatten(1).to(self.first.weight.dtype)
        out_BD: torch.Tensor = self.second(silu(self.first(told)))
        return out_BD


class KnownSeconds(NamedTuple):
    """Start of a clip and length of its piece, zeros where they are not known."""

    seconds_B2: torch.Tensor
    known_B1: torch.Tensor


def known_seconds(seconds_B2: torch.Tensor) -> KnownSeconds:
    """Seconds, and whether they are known: a sample's are not where they are NaN.

    >>> known_seconds(torch.tensor([[3.0, 30.0], [torch.nan, torch.nan]])).known_B1.tolist()
    [[True], [False]]
    """
    return KnownSeconds(seconds_B2.nan_to_num(), ~seconds_B2[:, :1].isnan())


class TimeEmbedding(nn.Module):
    """How far a latent is on the way to noise, where in its song it lies, and of a student its
    jump, as one vector.
    """

    def __init__(
        self, encoded: int, width: int, with_seconds: bool, with_jumps: bool = False
    ) -> None:
        """`encoded` is the width of the sinusoids."""
        super().__init__()
        self.encoded = encoded
        self.first = nn.Linear(encoded, width)
        self.second = nn.Linear(width, width)
        self.seconds = nn.Linear(2 * SECONDS_WIDTH, width) if with_seconds else None
        if self.seconds is not None:  # begins as nothing, as the controls do
            nn.init.zeros_(self.seconds.weight)
            nn.init.zeros_(self.seconds.bias)
        self.jump = JumpEmbedding(encoded, width) if with_jumps else None

    def forward(
        self,
        steps_B: torch.Tensor,
        seconds_B2: torch.Tensor | None,
        jump: Jump | None = None,
    ) -> torch.Tensor:
        """Steps of a diffusion, or times in thousandths, and seconds (start of the clip, length of
        the song) where known (else none, or NaN), to (B, D).
        """
        weights = self.first.weight.dtype
        time_BD: torch.Tensor = self.second(
            silu(self.first(sinusoids(steps_B, self.encoded).to(weights)))
        )
        if self.jump is not None and jump is not None:
            time_BD = time_BD + self.jump(steps_B, jump)
        if self.seconds is None or seconds_B2 is None:
            return time_BD
        found = known_seconds(seconds_B2)
        position_BD: torch.Tensor = self.seconds(
            sinusoids(found.seconds_B2, SECONDS_WIDTH).flatten(1).to(weights)
        )
        return time_BD + torch.where(found.known_B1, position_BD, 0)


class RowMixer(nn.Module):
    """Frame rows mixed along time, once for all blocks."""

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(rows, width, 3, padding=1)
        self.second = nn.Conv1d(width, width, 3, padding=1)

    def forward(self, rows_BTR: torch.Tensor) -> torch.Tensor:
        """(B, T, R) to (B, M, T)."""
        rows_BRT = rows_BTR.to(self.first.weight.dtype).transpose(1, 2)
        mixed_BMT: torch.Tensor = self.second(silu(self.first(rows_BRT)))
        return mixed_BMT
