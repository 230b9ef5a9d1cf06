"""Hostile audio is dead by name, and good audio comes through to the sample."""

import io
import os
import shutil
import subprocess
import wave as wavefile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from pipelines.audio.decode import decoded, flac, probe, read_window, resampled
from pipelines.errors import DeadInput
from schemas.labels import Downmix
from schemas.recipe import IngestRecipe

Wave = npt.NDArray[np.float32]
RATE_HZ = 8000


def tone(length_s: float = 2.0, hertz: float = 440, rate_hz: int = RATE_HZ) -> Wave:
    return (
        0.5 * np.sin(2 * np.pi * hertz * np.arange(round(length_s * rate_hz)) / rate_hz)
    ).astype(np.float32)


def written(path: Path, samples: Any, rate_hz: int = RATE_HZ, **how: Any) -> str:
    soundfile.write(
        path, samples, rate_hz, **{"subtype": "FLOAT" if path.suffix == ".wav" else None, **how}
    )
    return str(path)


def death(path: str | Path, **limits: Any) -> DeadInput:
    with pytest.raises(DeadInput) as dead:
        probe(str(path), IngestRecipe(**limits))
    return dead.value


def with_samples(path: Path, *values: float) -> str:
    samples = tone()
    samples[1000 : 1000 + len(values)] = values
    return written(path, samples)


def test_a_good_file_is_known_by_its_bytes_rate_channels_and_length(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", np.stack([tone(), tone()], axis=1))
    found = probe(path, IngestRecipe())
    digest = subprocess.run(
        ["sha256sum", path], capture_output=True, text=True, check=True
    ).stdout.split()[0]
    assert found == (digest, RATE_HZ, 2, 2.0)


@pytest.mark.parametrize(
    ("limits", "code", "figure"),
    [
        ({"max_file_mb": 0.05}, "too_large", "limit 0.05 MiB"),
        ({"min_rate_hz": 8001}, "sample_rate", "8000 Hz"),
        ({"max_rate_hz": 7999}, "sample_rate", "8000 Hz"),
        ({"max_channels": 1}, "channels", "2 channels, limit 1"),
        ({"min_clip_s": 2.01}, "too_short", "2.000 s, limit 2.01 s"),
        ({"max_duration_s": 1.9}, "too_long", "over 1.9 s"),
    ],
)
def test_a_file_beyond_a_limit_is_dead_with_the_figure(
    tmp_path: Path, limits: dict[str, Any], code: str, figure: str
) -> None:
    dead = death(written(tmp_path / "a.wav", np.stack([tone(), tone()], axis=1)), **limits)
    assert (dead.code, figure in dead.figure) == (code, True), dead.figure


def test_limits_are_met_exactly_at_their_value(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", tone())
    limits = IngestRecipe(
        min_rate_hz=RATE_HZ, max_rate_hz=RATE_HZ, max_channels=1, min_clip_s=2.0, max_duration_s=2.0
    )
    assert probe(path, limits).duration_s == 2.0


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (np.nan, "not_finite"),
        (np.inf, "not_finite"),
        (-np.inf, "not_finite"),
        (1e30, "absurd_level"),
        (-1001.0, "absurd_level"),
    ],
)
def test_one_bad_sample_is_enough(tmp_path: Path, value: float, code: str) -> None:
    assert death(with_samples(tmp_path / "a.wav", value)).code == code


def test_a_file_without_bytes_is_empty_and_one_without_samples_too_short(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    assert death(tmp_path / "a.wav").code == "empty"
    assert death(written(tmp_path / "b.wav", np.zeros(0))).code == "too_short"


@pytest.mark.parametrize(
    "content",
    [
        b"not audio at all " * 50,
        b"\x00" * 2000,
        b"\xff" * 2000,
        b"RIFF\x00\x00\x00\x00WAVE",
        b"fLaC" + b"\x11" * 500,
    ],
)
def test_what_cannot_be_decoded_is_dead(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    assert death(path).code in ("undecodable", "too_short")


def test_a_pipe_is_not_waited_for_and_a_folder_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "folder.wav").mkdir()
    assert [death(tmp_path / name).code for name in ("pipe.wav", "folder.wav")] == [
        "not_a_file",
        "not_a_file",
    ]
    assert death("/dev/zero").code == "not_a_file"


def test_a_missing_file_and_a_dangling_link_are_unreadable(tmp_path: Path) -> None:
    (tmp_path / "link.wav").symlink_to(tmp_path / "gone.wav")
    assert [death(tmp_path / name).code for name in ("gone.wav", "link.wav")] == [
        "unreadable",
        "unreadable",
    ]


def test_content_decides_and_not_the_name(tmp_path: Path) -> None:
    real = written(tmp_path / "real.flac", tone())
    for name in ("lies.mp3", "lies.wav", "lies", "lies.txt"):
        shutil.copy(real, tmp_path / name)
        assert probe(str(tmp_path / name), IngestRecipe()).duration_s == 2.0
    (tmp_path / "text.flac").write_text("hello")
    assert death(tmp_path / "text.flac").code == "undecodable"


@pytest.mark.parametrize(
    "text",
    ["#EXTM3U\n#EXTINF:10,\n{target}\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile {target}\n"],
)
def test_a_playlist_named_as_music_opens_nothing(tmp_path: Path, text: str) -> None:
    target = written(tmp_path / "secret.wav", tone())
    for name in ("list.mp3", "list.m4a", "list.wav"):
        (tmp_path / name).write_text(text.format(target=target))
        assert death(tmp_path / name).code == "undecodable"


def test_a_header_that_lies_about_its_length_is_not_believed(tmp_path: Path) -> None:
    """The header says 2 s, the file holds 1 s of them."""
    with wavefile.open(str(tmp_path / "a.wav"), "wb") as out:
        out.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        out.writeframes((tone() * 32767).astype(np.int16).tobytes())
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(content[: 44 + RATE_HZ * 2])
    assert probe(str(tmp_path / "a.wav"), IngestRecipe()).duration_s == 1.0


def test_a_damaged_file_is_dead_with_the_second_up_to_which_it_was_good(tmp_path: Path) -> None:
    """Half of 40 s is zeroed.

    Blocks of a mebibyte are read, 5.9 s of 44.1 kHz: the figure is that much below 20 s at most.
    """
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 40 * 44_100)
    content = Path(written(tmp_path / "a.flac", noise, 44_100)).read_bytes()
    (tmp_path / "a.flac").write_bytes(content[: len(content) // 2] + bytes(len(content) // 2))
    dead = death(tmp_path / "a.flac")
    assert dead.code == "undecodable"
    assert 14 <= float(dead.figure.split()[1]) <= 20.1


def test_files_that_cannot_be_decoded_leave_no_open_files_behind(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"junk" * 100)
    death(tmp_path / "a.wav")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        death(tmp_path / "a.wav")
    assert len(os.listdir("/proc/self/fd")) <= before


def test_windows_start_and_end_on_the_sample(tmp_path: Path) -> None:
    samples = np.arange(3 * RATE_HZ, dtype=np.int16)
    for name in ("a.wav", "a.flac"):
        path = written(tmp_path / name, samples, subtype="PCM_16")
        for start_s, end_s in (
            (0.0, 1.0),
            (1.25, 2.0),
            (0.5, 0.75),
            (2.999875, 3.0),
            (0.000125, 3.0),
        ):
            got = np.round(read_window(path, start_s, end_s).wave * 32768).astype(int)
            assert np.array_equal(
                got, np.arange(round(start_s * RATE_HZ), round(end_s * RATE_HZ))
            ), (name, start_s)


def test_a_window_past_the_end_is_what_is_left_and_one_beyond_it_is_dead(tmp_path: Path) -> None:
    for name in ("a.wav", "a.flac"):
        path = written(tmp_path / name, tone(), subtype="PCM_16")
        assert len(read_window(path, 1.5, 9.0).wave) == RATE_HZ // 2
        for start_s in (2.0, 5.0):
            with pytest.raises(DeadInput) as dead:
                read_window(path, start_s, start_s + 1)
            assert dead.value.code == "past_end", (name, start_s)


def test_stereo_is_mixed_by_its_exact_mean(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", np.stack([tone(hertz=440), tone(hertz=660)], axis=1))
    got = read_window(path, 0, 2)
    assert got.downmix is Downmix.MEAN
    assert np.array_equal(got.wave, (tone(hertz=440) + tone(hertz=660)) / 2)


def test_antiphase_stereo_uses_the_loudest_channel(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.wav", np.stack([0.5 * tone(), -0.55 * tone(), np.zeros(2 * RATE_HZ)], axis=1)
    )
    got = read_window(path, 0, 2)
    assert got.downmix is Downmix.LOUDEST
    assert np.array_equal(got.wave, np.float32(-0.55) * tone())


def test_one_silent_channel_is_no_antiphase(tmp_path: Path) -> None:
    got = read_window(written(tmp_path / "a.wav", np.stack([tone(), 0 * tone()], axis=1)), 0, 2)
    assert got.downmix is Downmix.MEAN
    assert float(np.abs(got.wave).max()) == pytest.approx(0.25, abs=1e-3)


def test_mono_is_as_it_was(tmp_path: Path) -> None:
    got = read_window(written(tmp_path / "a.wav", tone()), 0, 2)
    assert (got.downmix, got.rate_hz) == (Downmix.NONE, RATE_HZ)
    assert np.array_equal(got.wave, tone())


def test_audio_over_full_scale_is_scaled_down_and_its_peak_kept(tmp_path: Path) -> None:
    got = read_window(written(tmp_path / "a.wav", 5 * tone()), 0, 2)
    assert got.peak == pytest.approx(2.5, rel=1e-3)
    assert float(np.abs(got.wave).max()) == pytest.approx(1.0, rel=1e-6)
    assert np.allclose(got.wave, 5 * tone() / got.peak, atol=1e-7)
    assert read_window(written(tmp_path / "b.wav", tone()), 0, 2).peak == pytest.approx(
        0.5, rel=1e-3
    )


def test_stereo_is_kept_where_asked_for(tmp_path: Path) -> None:
    both = np.stack([tone(hertz=440), tone(hertz=660)], axis=1)
    got = read_window(written(tmp_path / "a.wav", both), 0.5, 1.5, stereo=True)
    assert np.array_equal(got.wave, both[RATE_HZ // 2 : 3 * RATE_HZ // 2])


def test_a_file_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", tone())
    read_window(path, 0, 1)
    written(tmp_path / "a.wav", 0.5 * tone())
    os.utime(path, ns=(1, 1))
    assert np.array_equal(read_window(path, 0, 2).wave, np.float32(0.5) * tone())


def test_flac_brings_every_16_bit_value_back(tmp_path: Path) -> None:
    values = np.arange(-32768, 32768, dtype=np.int16)
    content = flac((values / 32768).astype(np.float32), 16_000)
    back, rate_hz = soundfile.read(io.BytesIO(content), dtype="int16")
    assert rate_hz == 16_000
    assert np.array_equal(back, values)
    assert np.array_equal(decoded(content).wave, values.astype(np.float32) / 32768)


def test_flac_clips_what_is_over_full_scale_and_never_wraps() -> None:
    back, _ = soundfile.read(
        io.BytesIO(flac(np.array([1.0, 1.5, -1.0, -1.5] * 4, np.float32), 16_000)), dtype="int16"
    )
    assert list(back[:4]) == [32767, 32767, -32768, -32768]


def test_the_same_wave_gives_the_same_flac_bytes() -> None:
    assert flac(tone(), RATE_HZ) == flac(tone(), RATE_HZ)


def test_resampling_keeps_length_and_pitch() -> None:
    out = resampled(tone(rate_hz=44_100), 44_100, 16_000)
    assert len(out) == 32_000
    assert np.abs(np.fft.rfft(out)).argmax() / 2.0 == 440.0
    assert resampled(out, 16_000, 16_000) is out


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg program")
@pytest.mark.parametrize(
    ("suffix", "encoder"), [(".m4a", "aac"), (".mka", "flac"), (".aac", "aac"), (".wma", "wmav2")]
)
def test_what_libsndfile_cannot_read_comes_through_ffmpeg(
    tmp_path: Path, suffix: str, encoder: str
) -> None:
    source = written(tmp_path / "a.wav", tone(3.0, rate_hz=44_100), 44_100)
    path = tmp_path / f"b{suffix}"
    subprocess.run(["ffmpeg", "-v", "error", "-i", source, "-c:a", encoder, str(path)], check=True)
    hidden = tmp_path / "no suffix"
    path.rename(hidden)
    found = probe(str(hidden), IngestRecipe())
    assert (found.rate_hz, found.channels) == (44_100, 1)
    assert found.duration_s == pytest.approx(3.0, abs=0.15)  # encoders pad
    window = read_window(str(hidden), 1.0, 2.0).wave
    assert len(window) == 44_100
    assert np.abs(np.fft.rfft(window)).argmax() == 440


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg program")
def test_limits_hold_for_what_comes_through_ffmpeg_too(tmp_path: Path) -> None:
    source = written(tmp_path / "a.wav", tone(3.0, rate_hz=44_100), 44_100)
    subprocess.run(
        ["ffmpeg", "-v", "error", "-i", source, "-c:a", "aac", str(tmp_path / "b.m4a")], check=True
    )
    assert death(tmp_path / "b.m4a", max_duration_s=1.0).code == "too_long"
    content = (tmp_path / "b.m4a").read_bytes()
    (tmp_path / "c.m4a").write_bytes(content[:200])
    assert death(tmp_path / "c.m4a").code == "undecodable"


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg program")
@pytest.mark.parametrize(
    "name", ["a: No space left on device.m4a", "a: No space left on device\n.m4a"]
)
def test_a_broken_file_is_not_the_machine_s_fault_whatever_it_is_called(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / name).write_bytes(b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42isom" + bytes(200))
    assert death(tmp_path / name).code == "undecodable"
