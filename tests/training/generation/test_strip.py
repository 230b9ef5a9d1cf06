"""A strip keeps the recording that it goes on from, and its joins are smooth."""

import numpy as np
import pytest
import torch

from pipelines.audio.decode import Wave
from pipelines.codecs.mel import MelCodec
from tests.training.generation.elsewhere import CodecElsewhere
from training.errors import TrainingError
from training.generation.strip import SoundAround, Strip, looped_sound

CODEC = MelCodec()
CPU = torch.device("cpu")
RATE, FRAME = 16_000, 2000
FADE = 960  # samples


def tone(seconds: float, hertz: float = 440.0) -> Wave:
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def test_a_recording_stays_as_it_is_but_for_a_fade_at_each_join() -> None:
    song = tone(3.1)
    gap = slice(RATE, RATE + 4 * FRAME)
    around = SoundAround(song[: gap.start], song[gap.stop :], 4)
    strip = Strip.of(CODEC, around, 6, 1, CPU)
    assert (strip.before, strip.after) == (6, 6)
    assert strip.known_T.tolist() == [True] * 6 + [False] * 4 + [True] * 6
    assert strip.start_s == pytest.approx(1.0 - 6 / 8)
    assert torch.equal(
        strip.latents_BCTF[:, :, :6], CODEC.encode(torch.from_numpy(song[4000:16000])[None])
    )
    made = np.full(16 * FRAME, 0.5, np.float32)
    sound = strip.sound(made)
    assert len(sound) == len(song)
    assert np.array_equal(sound[: gap.start - FADE], song[: gap.start - FADE])
    assert np.array_equal(sound[gap.stop + FADE :], song[gap.stop + FADE :])
    assert (sound[gap] == 0.5).all()
    assert np.abs(np.diff(sound)).max() < 0.06  # no jump


def test_a_codec_hears_a_recording_on_its_own_device() -> None:
    codec = CodecElsewhere(CODEC)
    strip = Strip.of(codec, SoundAround(tone(1.0), tone(0.0), 3), 8, 1, codec.device)
    assert (strip.latents_BCTF[:, :, :8] == 0.5).all()
    assert not strip.latents_BCTF[:, :, 8:].any()


def test_what_goes_on_is_behind_the_recording() -> None:
    song = tone(2.03)
    strip = Strip.of(CODEC, SoundAround(song, song[:0], 3), 8, 2, CPU)
    assert strip.latents_BCTF.shape[:3] == (2, 64, 11)
    assert strip.at_s(strip.before) == pytest.approx(2.03)
    assert len(strip.sound(np.zeros(11 * FRAME, np.float32))) == len(song) + 3 * FRAME
    with pytest.raises(TrainingError, match="too short to go on from"):
        Strip.of(CODEC, SoundAround(song[:500], song[:0], 3), 8, 1, CPU)


def test_a_way_back_to_the_beginning_is_behind_the_end_and_fades_into_the_start() -> None:
    song = tone(2.0)
    strip = Strip.of(CODEC, SoundAround(song, song, 3, is_loop=True), 8, 1, CPU)
    made = np.full(19 * FRAME, 0.5, np.float32)
    sound = strip.sound(made)
    assert len(sound) == len(song) + 3 * FRAME
    assert np.array_equal(sound[FADE : len(song) - FADE], song[FADE:-FADE])
    assert sound[0] == 0.5  # as the end goes on
    assert sound[-1] == 0.5


def test_a_loop_s_end_runs_on_into_its_start() -> None:
    time = np.arange(3 * RATE) / RATE
    ramp = (time / 4).astype(np.float32)  # never the same twice
    sound = looped_sound(ramp, 2 * RATE, RATE)
    assert len(sound) == 2 * RATE
    assert sound[0] == ramp[2 * RATE]
    assert np.array_equal(sound[FADE:], ramp[FADE : 2 * RATE])
