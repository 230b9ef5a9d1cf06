"""Controls of a wave: dynamics, melody, loudness, onsets, and how much of it is music, speech,
noise and silence.
"""

from typing import Final

import numpy as np

from pipelines.audio.decode import Wave
from pipelines.audio.spectra import EAR_HZ, FINE_SIZE, Array, measured_spectra
from pipelines.audio.speech import shares_of
from schemas.controls import (
    CONTROL_RATE_HZ,
    DYNAMICS_FLOOR_DB,
    LOUDNESS_FLOOR_LUFS,
    NO_PITCH,
    AudioControls,
)

SMOOTH_FRAMES: Final = 11  # Music ControlNet smooths over one second too
SILENT_DB: Final = -60.0  # as the measure `silent_share`
MIDDLE_C_HZ: Final = 261.63  # Music ControlNet's high-pass: basses and kicks lie below
LOWEST_HZ: Final = 150.0  # far enough below for the high-pass to have the last word
TOP_HZ: Final = 4200.0  # the highest note of a piano; above are harmonics
PEAKS_DB: Final = 30.0  # spectral peaks further under a frame's highest say nothing of its melody
# misses and extra ones balance here, on synthetic tunes of overlapping notes
_ONSET_DB: Final = 1.5
_FULL_SCALE_LUFS: Final = -0.691  # BS.1770: so that 0 dBFS at 997 Hz in one channel is -3.01 LUFS
_GATE_LU: Final = -10.0
_BLOCK_FRAMES: Final = 4  # 400 ms


def controls_of(wave: Wave, rate_hz: int) -> AudioControls:
    """Controls of a wave (samples,) or (samples, channels) within [-1, 1]; one sample or more."""
    channels = np.nan_to_num(wave if wave.ndim > 1 else wave[:, None])
    frames = max(1, -(-len(channels) * CONTROL_RATE_HZ // rate_hz))
    starts = np.arange(frames) * rate_hz // CONTROL_RATE_HZ
    counts = np.diff(starts, append=len(channels))
    power = np.add.reduceat(_square(channels).mean(axis=1), starts)
    sounds = _db(power / counts) >= SILENT_DB
    sound = measured_spectra(channels if channels.shape[1] > 1 else channels[:, 0], rate_hz, frames)
    shares = shares_of(sound, sounds)
    return AudioControls(
        dynamics_db=tuple(np.round(_smoothed_db(power, counts), 1).tolist()),
        melody=tuple(_melody(sound.fine_FK).tolist()),
        loudness_lufs=round(loudness_lufs(channels, rate_hz), 1),
        onsets_per_s=round(onsets(sound.bands_TB) * rate_hz / len(channels), 2),
        music_share=shares.music,
        speech_share=shares.speech,
        noise_share=shares.noise,
        silence_share=shares.silence,
    )


def _square(wave: Wave) -> Array:
    return np.square(wave, dtype=np.float64)


def _db(power: Array) -> Array:
    return 10 * np.log10(np.maximum(power, 10 ** (DYNAMICS_FLOOR_DB / 10)))


def _smoothed_db(power: Array, counts: Array) -> Array:
    """Level of the power under a raised cosine of about a second around each frame.

    Music ControlNet smooths decibels by a Savitzky-Golay filter, which overshoots by 20 dB beside a
    rest; power cannot.
    """
    window, side = np.hanning(SMOOTH_FRAMES + 2)[1:-1], SMOOTH_FRAMES // 2
    total, weight = (
        np.convolve(values, window)[side : side + len(power)] for values in (power, counts)
    )
    return np.minimum(_db(total / weight), 0.0)


def _melody(fine_FK: Array) -> Array:
    """The pitch class with the most amplitude in each frame's peaks, high-passed at middle C."""
    bin_hz = EAR_HZ / FINE_SIZE
    first, last = int(LOWEST_HZ / bin_hz), int(TOP_HZ / bin_hz)
    inner, before, after = (
        fine_FK[:, first:last],
        fine_FK[:, first - 1 : last - 1],
        fine_FK[:, first + 1 : last + 1],
    )
    hertz = np.arange(first, last) * bin_hz
    # a biquad's response (Butterworth, 12 dB an octave)
    passed = hertz**2 / np.hypot(hertz**2, MIDDLE_C_HZ**2)
    heights = inner * passed
    tops = heights.max(axis=1, keepdims=True)
    least = np.maximum(tops * 10 ** (-PEAKS_DB / 20), 10 ** (SILENT_DB / 20))
    frame, peak_bin = np.nonzero((inner > before) & (inner >= after) & (heights > least))
    chroma = np.zeros((len(fine_FK), NO_PITCH))
    if len(frame):
        left, middle, right = (
            np.log(np.maximum(part[frame, peak_bin], 1e-9)) for part in (before, inner, after)
        )
        # the top of a parabola through three bins
        shift = (left - right) / (2 * (left - 2 * middle + right) - 1e-9)
        pitch = 69 + 12 * np.log2((first + peak_bin + shift) * bin_hz / 440)
        height = heights[frame, peak_bin]
        tuning = np.angle(np.sum(height * np.exp(2j * np.pi * pitch))) / (2 * np.pi)
        np.add.at(chroma, (frame, np.round(pitch - tuning).astype(int) % NO_PITCH), height)
    return np.where(chroma.any(axis=1), chroma.argmax(axis=1), NO_PITCH)


def onsets(bands_TB: Array) -> int:
    """How many notes or strokes begin: peaks of the rise of all bands over 20 ms that stand out
    from what is around them.

    The rise is taken over each band's neighbours too, so that vibrato is not an onset (SuperFlux:
    Böck & Widmer 2013).
    """
    wide = np.maximum(
        bands_TB, np.maximum(np.roll(bands_TB, 1, axis=1), np.roll(bands_TB, -1, axis=1))
    )
    # what sounds from the start does not begin
    earlier = np.concatenate([wide[:1], wide[:1], wide])[: len(bands_TB)]
    rise = np.maximum(0, bands_TB - earlier).mean(axis=1)
    rise[-2:] = 0  # a cut in mid-sound is not an onset
    # 100 ms before to 70 ms after
    around = np.lib.stride_tricks.sliding_window_view(np.pad(rise, (10, 7)), 18)
    near = np.lib.stride_tricks.sliding_window_view(np.pad(rise, 3), 7)
    return int(np.sum((rise == near.max(axis=1)) & (rise > around.mean(axis=1) + _ONSET_DB)))


def loudness_lufs(channels_NC: Wave, rate_hz: int) -> float:
    """Integrated loudness (ITU-R BS.1770-4) of samples by channels; -70 below the gate."""
    from scipy.signal import sosfilt  # late: it loads for half a second

    weighted = sosfilt(_k_weighting(rate_hz), channels_NC.astype(np.float64), axis=0)
    starts = np.arange(len(channels_NC) * CONTROL_RATE_HZ // rate_hz) * rate_hz // CONTROL_RATE_HZ
    if len(starts) < _BLOCK_FRAMES:
        return LOUDNESS_FLOOR_LUFS
    end = len(starts) * rate_hz // CONTROL_RATE_HZ
    pieces = np.add.reduceat(_square(weighted[:end]).sum(axis=1), starts)
    blocks = np.convolve(pieces, np.ones(_BLOCK_FRAMES), "valid") / (
        _BLOCK_FRAMES * rate_hz / CONTROL_RATE_HZ
    )
    audible_blocks = blocks[_lufs(blocks) > LOUDNESS_FLOOR_LUFS]
    if not len(audible_blocks):
        return LOUDNESS_FLOOR_LUFS
    gated = audible_blocks[_lufs(audible_blocks) > _lufs(audible_blocks.mean()) + _GATE_LU]
    return float(_lufs(gated.mean()))


def _lufs(power: Array) -> Array:
    return _FULL_SCALE_LUFS + 10 * np.log10(np.maximum(power, 1e-12))


def _k_weighting(rate_hz: int) -> Array:
    """The standard's shelf and high-pass at any rate, as second-order sections.

    The analogue filters behind its coefficients at 48 kHz, by the bilinear transform; frequencies,
    Qs and gain as libebur128 has them.
    """
    shelf, high = 10 ** (3.999843853973347 / 20), 0.4996667741545416
    k = np.tan(np.pi * 1681.974450955533 / rate_hz)
    damped = k / 0.7071752369554196
    zeros = [
        shelf + shelf**high * damped + k * k,
        2 * (k * k - shelf),
        shelf - shelf**high * damped + k * k,
    ]
    poles = [1 + damped + k * k, 2 * (k * k - 1), 1 - damped + k * k]
    j = np.tan(np.pi * 38.13547087602444 / rate_hz)
    slow = j / 0.5003270373238773
    passing = [1 + slow + j * j, 2 * (j * j - 1), 1 - slow + j * j]
    return np.array(
        [[*zeros, *poles] / np.array(poles[0]), [1.0, -2.0, 1.0, *(passing / np.array(passing[0]))]]
    )
