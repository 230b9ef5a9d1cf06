"""Recordings that somebody names."""

from pathlib import Path

import numpy as np
import soundfile

from training.timed_controls.recordings import read_recording


def test_a_recording_of_two_channels_keeps_its_sides_where_they_are_wanted(tmp_path: Path) -> None:
    path, rate_hz = tmp_path / "panned.wav", 16_000
    left_S = 0.5 * np.sin(2 * np.pi * 440 * np.arange(3 * rate_hz) / rate_hz)
    soundfile.write(path, np.stack([left_S, np.zeros_like(left_S)], axis=1), rate_hz, "PCM_16")
    mono = read_recording(path, "--continue")
    both = read_recording(path, "--continue", stereo=True)
    np.testing.assert_allclose(both.at(8_000)[:, 0], 2 * mono.at(8_000), atol=1e-3)
    assert not both.wave[:, 1].any()
    assert both.controls == mono.controls  # what is heard is heard of both as one
