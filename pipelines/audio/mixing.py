"""Two waves as one: a guest laid over its host, each as loud as the host was."""

from typing import Final

import numpy as np

from pipelines.audio.controls import loudness_lufs
from pipelines.audio.decode import Wave, within_scale
from schemas.controls import LOUDNESS_FLOOR_LUFS

# A guest that enters late, or ends early, does so in mid-sound: slowly, its edge is no onset.
_FADE_S: Final = 0.25


def mixed(host: Wave, guest: Wave, rate_hz: int, *, offset_s: float, share: float) -> Wave:
    """A host (samples,) or (samples, channels) with a guest that begins `offset_s` after it, as
    loud as the host was, and scaled down where that would clip.

    `share` is the guest's part of the amplitude, of waves of one loudness.
    """
    laid = _laid(_with_channels_of(guest, host), host, round(offset_s * rate_hz), rate_hz)
    target = _lufs(host, rate_hz)
    both = (1 - share) * host + share * _amplified(laid, target - _lufs(laid, rate_hz))
    return within_scale(_amplified(both, target - _lufs(both, rate_hz)))


def _with_channels_of(guest: Wave, host: Wave) -> Wave:
    if guest.ndim == host.ndim:
        return guest
    if host.ndim == 1:
        return np.asarray(guest.mean(axis=1), np.float32)
    return np.repeat(guest[:, None], host.shape[1], axis=1)


def _laid(guest: Wave, host: Wave, at: int, rate_hz: int) -> Wave:
    """The guest in silence of the host's length, from sample `at` on, its edges inside faded."""
    out = np.zeros_like(host)
    start, end = max(0, at), min(len(host), at + len(guest))
    part = guest[start - at : end - at].copy()
    ramp = np.linspace(0, 1, min(len(part), round(_FADE_S * rate_hz)), dtype=np.float32)
    ramp = ramp if part.ndim == 1 else ramp[:, None]
    if start > 0:
        part[: len(ramp)] *= ramp
    if end < len(host):
        part[len(part) - len(ramp) :] *= ramp[::-1]
    out[start:end] = part
    return out


def _lufs(wave: Wave, rate_hz: int) -> float:
    return loudness_lufs(wave if wave.ndim > 1 else wave[:, None], rate_hz)


def _amplified(wave: Wave, gain_db: float) -> Wave:
    # silence stays silence: its loudness is the gate's, not its own
    if abs(gain_db) >= -LOUDNESS_FLOOR_LUFS / 2:
        return wave
    return wave * np.float32(10 ** (gain_db / 20))
