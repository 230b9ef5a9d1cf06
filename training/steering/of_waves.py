"""What the controls of `pipelines/audio` measure in waves, so that gradients pass.

Shapes: B waves, S samples, N frames at 10 Hz, P = 12 pitch classes, K frequency bins, R frames at
100 Hz.
"""

from typing import Final

import numpy as np
import torch

from pipelines.audio.controls import (
    LOWEST_HZ,
    MIDDLE_C_HZ,
    PEAKS_DB,
    SILENT_DB,
    SMOOTH_FRAMES,
    TOP_HZ,
)
from pipelines.audio.spectra import COARSE_HZ, COARSE_SIZE, EAR_HZ, FINE_SIZE, RANGE_DB, mel_bank
from schemas.controls import CONTROL_RATE_HZ, DYNAMICS_FLOOR_DB, NO_PITCH

# Of a bin that is not a peak as much counts: too little to change a melody, enough to say how a
# note that does not sound yet would come to.
_BESIDE_PEAKS: Final = 0.003


def mean_squares(waves_BS: torch.Tensor, rate_hz: int) -> torch.Tensor:
    """The power of each frame's samples: (B, N). What is left at the end is a frame too."""
    samples = waves_BS.shape[1]
    frames = -(-samples * CONTROL_RATE_HZ // rate_hz)
    starts = torch.arange(frames + 1, device=waves_BS.device) * rate_hz // CONTROL_RATE_HZ
    frame_S = torch.arange(samples, device=waves_BS.device)
    frame_S = torch.bucketize(frame_S, starts[1:], right=True)
    sums_BN = waves_BS.new_zeros(len(waves_BS), frames).index_add(1, frame_S, waves_BS.square())
    return sums_BN / starts.clamp(max=samples).diff()


def smoothed_db(power_BN: torch.Tensor) -> torch.Tensor:
    """Levels in dB of power under a raised cosine of about a second, as `dynamics_db` has them."""
    window = torch.hann_window(SMOOTH_FRAMES + 2, periodic=False, dtype=power_BN.dtype)[1:-1]
    both = torch.stack([power_BN, torch.ones_like(power_BN)], 1).flatten(0, 1)[:, None]
    summed = torch.nn.functional.conv1d(
        both, window.to(power_BN.device)[None, None], padding=SMOOTH_FRAMES // 2
    )
    total_BN, weight_BN = summed[::2, 0], summed[1::2, 0]
    floor = 10 ** (DYNAMICS_FLOOR_DB / 10)
    return (10 * torch.log10((total_BN / weight_BN).clamp(min=floor))).clamp(max=0.0)


def chroma_of_waves(waves_BS: torch.Tensor, rate_hz: int) -> torch.Tensor:
    """Amplitude of each pitch class's peaks above middle C: (B, N, P).

    Its largest is the class of `melody`, but for what lies beside peaks.
    """
    fine_BNK = _spectra(_ear(waves_BS, rate_hz), FINE_SIZE, CONTROL_RATE_HZ).abs()
    bin_hz = EAR_HZ / FINE_SIZE
    first, last = int(LOWEST_HZ / bin_hz), int(TOP_HZ / bin_hz)
    hertz_K = torch.arange(first, last, device=waves_BS.device, dtype=fine_BNK.dtype) * bin_hz
    heights_BNK = fine_BNK[..., first:last] * high_passed(hertz_K)
    pitch_BNK, peak_BNK = _pitches(fine_BNK.detach(), heights_BNK.detach(), first, last)
    tuning_B = _tuning(pitch_BNK, heights_BNK.detach() * peak_BNK)
    class_BNK = (pitch_BNK - tuning_B[:, None, None]).round().long() % NO_PITCH
    counted_BNK = heights_BNK * (peak_BNK + _BESIDE_PEAKS * ~peak_BNK)
    empty = fine_BNK.new_zeros(*fine_BNK.shape[:2], NO_PITCH)
    return empty.scatter_add(2, class_BNK, counted_BNK)


def high_passed(hertz: torch.Tensor) -> torch.Tensor:
    """What a high-pass at middle C leaves of each frequency's amplitude, as `melody` has it."""
    corner = torch.tensor(MIDDLE_C_HZ**2).to(hertz)
    return hertz**2 / torch.hypot(hertz**2, corner)


def onset_strength_of_waves(waves_BS: torch.Tensor, rate_hz: int) -> torch.Tensor:
    """How much all bands rise within 20 ms, on average, in dB: (B, R); peaks of it are what
    `onsets_per_s` counts.
    """
    spectrum = _spectra(_ear(waves_BS, rate_hz), COARSE_SIZE, COARSE_HZ)
    power = (spectrum.real.square() + spectrum.imag.square()) @ torch.from_numpy(mel_bank()).to(
        waves_BS
    )
    level = 10 * torch.log10(power.clamp(min=1e-14))
    floor = (level.detach().amax(dim=(1, 2), keepdim=True) - RANGE_DB).clamp(min=-120.0)
    level = level.maximum(floor)
    wide = level.maximum(level.roll(1, 2)).maximum(level.roll(-1, 2))
    earlier = torch.cat([wide[:, :1], wide[:, :1], wide[:, :-2]], 1)
    rise_BR = (level - earlier).clamp(min=0).mean(2)
    # a cut in mid-sound is not an onset
    return torch.cat([rise_BR[:, :-2], torch.zeros_like(rise_BR[:, -2:])], 1)


def resampled_waves(waves_BS: torch.Tensor, rate_hz: int, to_hz: int) -> torch.Tensor:
    """Waves at another rate: their spectrum, cut or filled up."""
    if rate_hz == to_hz:
        return waves_BS
    samples = round(waves_BS.shape[1] * to_hz / rate_hz)
    spectrum = torch.fft.rfft(waves_BS)
    bins = min(spectrum.shape[1], samples // 2 + 1)
    wave: torch.Tensor = torch.fft.irfft(spectrum[:, :bins], n=samples)
    return wave * (samples / waves_BS.shape[1])


def _ear(waves_BS: torch.Tensor, rate_hz: int) -> torch.Tensor:
    """Waves at 16 kHz that fill their frames, as `measured_spectra` has them."""
    frames = -(-waves_BS.shape[1] * CONTROL_RATE_HZ // rate_hz)
    size = frames * EAR_HZ // CONTROL_RATE_HZ
    ear_BS = resampled_waves(waves_BS, rate_hz, EAR_HZ)[:, :size]
    return _mirrored(ear_BS, 0, size - ear_BS.shape[1])


def _mirrored(waves_BS: torch.Tensor, before: int, after: int) -> torch.Tensor:
    """Waves with their own reflection on both sides, however short they are."""
    index = np.pad(np.arange(waves_BS.shape[1]), (before, after), "symmetric")
    return waves_BS[:, torch.from_numpy(index).to(waves_BS.device)]


def _spectra(ear_BS: torch.Tensor, size: int, frame_hz: int) -> torch.Tensor:
    """Complex spectra around each frame's middle, (B, frames, K); a sine's amplitude is its own."""
    hop = EAR_HZ // frame_hz
    padded = _mirrored(ear_BS, (size - hop) // 2, size)
    frames = padded.unfold(1, size, hop)[:, : ear_BS.shape[1] // hop]
    window = torch.hann_window(size, dtype=ear_BS.dtype, device=ear_BS.device)
    spectra: torch.Tensor = torch.fft.rfft(frames * (2 * window / window.sum()))
    return spectra


def _pitches(
    fine_BNK: torch.Tensor, heights_BNK: torch.Tensor, first: int, last: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The pitch of each bin (a MIDI number with a fraction), and whether it is a peak."""
    before, inner, after = (
        fine_BNK[..., first + step : last + step].clamp(min=1e-9) for step in (-1, 0, 1)
    )
    least = (heights_BNK.amax(2, keepdim=True) * 10 ** (-PEAKS_DB / 20)).clamp(
        min=10 ** (SILENT_DB / 20)
    )
    is_peak = (inner > before) & (inner >= after) & (heights_BNK > least)
    left, middle, right = before.log(), inner.log(), after.log()
    # the top of a parabola through three bins
    shift = (left - right) / (2 * (left - 2 * middle + right) - 1e-9)
    bins_K = torch.arange(first, last, device=fine_BNK.device)
    bin_hz = EAR_HZ / FINE_SIZE
    place = bins_K + torch.where(is_peak, shift, 0)
    return 69 + 12 * torch.log2(place * bin_hz / 440), is_peak


def _tuning(pitch_BNK: torch.Tensor, weight_BNK: torch.Tensor) -> torch.Tensor:
    """How far each wave's pitches lie above equal temperament, in semitones: (B,)."""
    turns = 2 * torch.pi * pitch_BNK
    real, imaginary = ((weight_BNK * one).sum((1, 2)) for one in (turns.cos(), turns.sin()))
    return torch.atan2(imaginary, real) / (2 * torch.pi)
