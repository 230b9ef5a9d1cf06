"""The only module that opens audio: probe, hash, read windows, write FLAC.

Meant to run in a worker's child.
"""

import errno
import io
import os
import stat
import subprocess
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from pipelines.engine.child_process import KILLS, die_with_parent
from pipelines.errors import DeadInput, MachineFault, machine_faults
from pipelines.storage.store import sha256_of
from pipelines.storage.temporary import temporary_file, temporary_root
from schemas.labels import Downmix
from schemas.recipe import IngestRecipe

Wave = npt.NDArray[np.float32]  # (samples,) mono or (samples, channels), within [-1, 1]
_BLOCK: Final = 1 << 20
_LOUD: Final = 1e3  # 60 dB over full scale: no recorder writes that
_NO_ROOM: Final = tuple(map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE)))
# its exit status after SIGTERM, SIGINT and their like, which it catches
_FFMPEG_TOLD_TO_END: Final = 255
# the most of a small file that is held in memory whole: two channels
_VALUES_PER_S: Final = 2 * 48_000
_CANCELS: Final = 0.1  # a mean under a tenth of the loudest channel's level: the channels cancel
# Containers that libsndfile does not read, by their first bytes, and what ffmpeg calls them.
_FFMPEG_FORMATS: Final = (
    (4, b"ftyp", "mov"),
    (0, b"\x1aE\xdf\xa3", "matroska"),
    (0, b"0&\xb2u\x8ef\xcf\x11", "asf"),
    (0, b"\xff\xf1", "aac"),
    (0, b"\xff\xf9", "aac"),
    (0, b"wvpk", "wv"),
    (0, b"MAC ", "ape"),
    (0, b"TTA1", "tta"),
    (0, b"OggS", "ogg"),
)


class Probe(NamedTuple):
    """What a file is: SHA-256 of its bytes in hex, sample rate, channels, length in seconds."""

    sha256: str
    rate_hz: int
    channels: int
    duration_s: float


class DecodedWindow(NamedTuple):
    """A window as decoded: wave within [-1, 1], peak before scaling, and how it was mixed."""

    wave: Wave
    rate_hz: int
    peak: float
    downmix: Downmix


def tools() -> dict[str, str]:
    """Versions of what decodes and resamples."""
    return {
        "soundfile": soundfile.__version__,
        "libsndfile": soundfile.__libsndfile_version__,
        "soxr": soxr.__version__,
        "numpy": np.__version__,
    }


def probe(path: str, recipe: IngestRecipe) -> Probe:
    """Check a file against the recipe's limits and hash it.

    Raises `DeadInput` with a code and the figure.
    """
    _check_file(path, recipe.max_file_mb)
    with _opened(path, recipe.max_duration_s) as sound:
        _check_format(sound, recipe)
        duration_s = _counted_s(path, sound, recipe)
        rate_hz, channels = sound.samplerate, sound.channels
    with open(path, "rb") as file:
        return Probe(sha256_of(file), rate_hz, channels, duration_s)


class Header(NamedTuple):
    """What a file says of itself, unchecked."""

    rate_hz: int
    channels: int
    duration_s: float


def header(path: str) -> Header:
    """A file's own word on its rate, channels and length.

    Raises `DeadInput` where libsndfile cannot read it.
    """
    try:
        _check_file(path, float("inf"))
        with soundfile.SoundFile(os.open(path, os.O_RDONLY | os.O_NONBLOCK), closefd=True) as sound:
            return Header(sound.samplerate, sound.channels, sound.frames / sound.samplerate)
    except (soundfile.LibsndfileError, RuntimeError, ZeroDivisionError) as error:
        _check_readable(path)
        raise DeadInput("undecodable", f"libsndfile: {_reason(error)}") from error


def _check_file(path: str, max_file_mb: float) -> None:
    try:
        with machine_faults(path):
            status = os.stat(path)
    except OSError as error:
        raise DeadInput("unreadable", f"cannot be opened: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise DeadInput("not_a_file", "is a pipe, socket, device or folder, not a regular file")
    if status.st_size > max_file_mb * 2**20:
        raise DeadInput(
            "too_large",
            "raise ingest.max_file_mb to use it",
            f"{status.st_size / 2**20:.0f} MiB, limit {max_file_mb:g} MiB",
        )
    if status.st_size == 0:
        raise DeadInput("empty", "has no bytes")


def _check_format(sound: soundfile.SoundFile, recipe: IngestRecipe) -> None:
    if not recipe.min_rate_hz <= sound.samplerate <= recipe.max_rate_hz:
        raise DeadInput(
            "sample_rate", "outside ingest.min_rate_hz and max_rate_hz", f"{sound.samplerate} Hz"
        )
    if not 1 <= sound.channels <= recipe.max_channels:
        raise DeadInput(
            "channels",
            "more than ingest.max_channels",
            f"{sound.channels} channels, limit {recipe.max_channels}",
        )


def _counted_s(path: str, sound: soundfile.SoundFile, recipe: IngestRecipe) -> float:
    """Length by decoding: headers lie.

    Also refuses samples that are not finite or absurdly large.
    """
    frames, limit = 0, int(recipe.max_duration_s * sound.samplerate)
    buffer = np.empty((max(1, _BLOCK // 4 // sound.channels), sound.channels), np.float32)
    while True:
        try:
            block = sound.read(out=buffer, always_2d=True)
        except (soundfile.LibsndfileError, RuntimeError) as error:
            _check_readable(path)
            raise DeadInput(
                "undecodable",
                f"libsndfile: {_reason(error)}",
                f"after {frames / sound.samplerate:.1f} s",
            ) from error
        if not len(block):
            break
        frames += len(block)
        if not np.isfinite(block).all():
            raise DeadInput("not_finite", "has NaN or infinite samples")
        if np.abs(block).max() > _LOUD:
            raise DeadInput(
                "absurd_level",
                "has samples far above full scale",
                f"peak {np.abs(block).max():.3g}",
            )
        if frames > limit:
            raise DeadInput(
                "too_long",
                "raise ingest.max_duration_s to use it",
                f"over {recipe.max_duration_s:g} s",
            )
    duration_s = float(frames / sound.samplerate)
    if duration_s < recipe.min_clip_s:
        raise DeadInput(
            "too_short",
            "shorter than ingest.min_clip_s",
            f"{duration_s:.3f} s, limit {recipe.min_clip_s:g} s",
        )
    return duration_s


def _check_readable(path: str) -> None:
    """Raise `MachineFault` where what could not be decoded cannot be read to its end by anybody:
    decoders do not say why they stop.
    """
    with machine_faults(path), open(path, "rb") as file:
        while file.read(_BLOCK):
            pass


def _reason(error: Exception) -> str:
    return str(error).rsplit(": ", 1)[-1].strip()


def _opened(path: str, max_duration_s: float) -> soundfile.SoundFile:
    """A file open for reading by its content, never by its name: libsndfile first, else ffmpeg with
    the format forced.
    """
    try:
        with machine_faults(path):
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        return soundfile.SoundFile(descriptor, closefd=True)
    except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
        _check_readable(path)
        with open(path, "rb") as file:
            head = file.read(64)
        for offset, magic, name in _FFMPEG_FORMATS:
            if head[offset : offset + len(magic)] == magic:
                return soundfile.SoundFile(io.BytesIO(_transcoded(path, name, max_duration_s)))
        raise DeadInput("undecodable", f"libsndfile: {_reason(error)}") from error


def _transcoded(path: str, container: str, max_duration_s: float) -> bytes:
    """The file as WAV by ffmpeg: the format is forced, and no protocol but the file and the pipe
    may be opened.

    An ffmpeg that did not end well has given nothing, whatever it wrote.
    """
    with temporary_file(path) as out:
        url = f"file:{Path(path).absolute()}"
        opening = (
            f"-v error -nostdin -threads 1 -protocol_whitelist file,pipe -f {container} -i".split()
        )
        bounds = f"-t {max_duration_s + 1:g} -fs {2 << 30}".split()
        writing = ["-map", "0:a:0", *bounds, "-c:a", "pcm_f32le", "-f", "wav", "pipe:1"]
        command = ["ffmpeg", *opening, url, *writing]
        try:
            done = subprocess.run(
                command,
                stdout=out,
                stderr=subprocess.PIPE,
                stdin=subprocess.DEVNULL,
                check=False,
                preexec_fn=die_with_parent,
            )
        except FileNotFoundError as error:
            raise DeadInput(
                "undecodable", "needs ffmpeg, which is not installed: apt-get install ffmpeg"
            ) from error
        out.seek(0)
        wave = out.read()
    if done.returncode:
        lines = (
            done.stderr.replace(os.fsencode(url), b"").decode(errors="replace").strip().splitlines()
        )
        reasons = [line.rsplit(": ", 1)[-1] for line in lines]
        _check_blame(path, done.returncode, reasons)
        raise DeadInput("undecodable", f"ffmpeg: {reasons[-1] if reasons else done.returncode}")
    return wave


def _check_blame(path: str, status: int, reasons: Sequence[str]) -> None:
    """Raise `MachineFault` where ffmpeg failed for want of room, was killed from outside, or the
    file cannot be read by anybody.

    Its other words for errors prove nothing: it has "Input/output error" and "Cannot allocate
    memory" for broken files too.
    """
    if status == _FFMPEG_TOLD_TO_END or -status in KILLS:
        raise MachineFault(
            f"{path}: ffmpeg was killed from outside; give the machine more memory, or run again"
        )
    if lacking := next((reason for reason in reasons if reason in _NO_ROOM), ""):
        raise MachineFault(
            f"{path}: ffmpeg: {lacking}; make room in {temporary_root()}, then run again"
        )
    _check_readable(path)


class _Readers(threading.local):
    """The last files that a thread has opened stay open: a song's clips come one after the other.

    No two threads may share a position.
    """

    def __init__(self) -> None:
        self.opened = lru_cache(maxsize=2)(_reader)


def _reader(path: str, modified_ns: int) -> soundfile.SoundFile:
    return _opened(path, 86_400.0)


_READERS: Final = _Readers()


def read_window(path: str, start_s: float, end_s: float, *, stereo: bool = False) -> DecodedWindow:
    """A window of a file as it plays, mono (or two channels), scaled down to full scale.

    Raises `DeadInput` where the window lies past the end of what can be decoded, `MachineFault`
    where the file has gone.
    """
    try:
        sound = _READERS.opened(path, os.stat(path).st_mtime_ns)
        # what its decoder gives after a seek depends on what it read before: begin afresh
        if sound.format == "MP3":
            _READERS.opened.cache_clear()
            sound = _READERS.opened(path, os.stat(path).st_mtime_ns)
        first = round(start_s * sound.samplerate)
        frames = round(end_s * sound.samplerate) - first
        sound.seek(min(first, sound.frames))
        block = sound.read(frames, dtype="float32", always_2d=True)
    except OSError as error:  # it could be read when it was listed
        raise MachineFault(
            f"{path} can no longer be read: {error.strerror}; "
            "run again once it can, or to list anew"
        ) from error
    except (soundfile.LibsndfileError, RuntimeError) as error:
        _check_readable(path)
        raise DeadInput(
            "undecodable", f"window {start_s:g}-{end_s:g} s: {_reason(error)}"
        ) from error
    if not len(block):
        raise DeadInput(
            "past_end", f"window {start_s:g}-{end_s:g} s lies past the end of what can be decoded"
        )
    if not np.isfinite(block).all():
        raise DeadInput("not_finite", "has NaN or infinite samples")
    peak = float(np.abs(block).max())
    wave, downmix = (
        (block[:, :2], Downmix.NONE) if stereo and block.shape[1] > 1 else downmixed(block)
    )
    return DecodedWindow(wave / peak if peak > 1 else wave, sound.samplerate, peak, downmix)


def downmixed(block: Wave) -> tuple[Wave, Downmix]:
    """A wave (samples, channels) as one channel, and how."""
    if block.shape[1] == 1:
        return np.ascontiguousarray(block[:, 0]), Downmix.NONE
    mean = block.mean(axis=1, dtype=np.float32)
    levels = np.sqrt(np.mean(block.astype(np.float64) ** 2, axis=0))
    if np.sqrt(np.mean(mean.astype(np.float64) ** 2)) < _CANCELS * levels.max():
        return np.ascontiguousarray(block[:, int(levels.argmax())]), Downmix.LOUDEST
    return mean, Downmix.MEAN


def resampled(wave: Wave, from_hz: int, to_hz: int) -> Wave:
    """A wave at another rate (soxr, high quality)."""
    if from_hz == to_hz:
        return wave
    out: Wave = soxr.resample(wave, from_hz, to_hz, quality="HQ").astype(np.float32)
    return out


def within_scale(wave: Wave) -> Wave:
    """A wave that stretching, resampling or adding may have taken over full scale: scaled down
    rather than clipped.
    """
    peak = float(np.abs(wave).max(initial=0.0))
    return wave / peak if peak > 1 else wave


def quantised(wave: Wave) -> Wave:
    """A wave as 16-bit FLAC gives it back; samples beyond full scale are clipped."""
    return _pcm(wave).astype(np.float32) / np.float32(32768)


def _pcm(wave: Wave) -> npt.NDArray[np.int16]:
    return np.round(np.clip(wave, -1.0, 32767 / 32768) * 32768).astype(np.int16)


def flac(wave: Wave, rate_hz: int) -> bytes:
    """16-bit FLAC of a wave; samples beyond full scale are clipped."""
    out = io.BytesIO()
    soundfile.write(out, _pcm(wave), rate_hz, format="FLAC", subtype="PCM_16")
    return out.getvalue()


def decoded(content: bytes, most_s: float = 600.0, *, stereo: bool = False) -> DecodedWindow:
    """A whole small file from memory, as our shards hold it: mono, or two channels, which are alike
    where it has one.

    Raises `DeadInput` where it cannot be decoded, or is not sound.

    What its header claims is checked before memory is taken: at most `most_s` seconds, and no more
    numbers than those have at 48 kHz in two channels. Of a file that holds more than it claims, no
    more than that is read.
    """
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as sound:
            rate_hz, channels = sound.samplerate, sound.channels
            limit_s = most_s + 1  # resamplers round up
            if (
                sound.frames > limit_s * rate_hz
                or sound.frames * channels > limit_s * _VALUES_PER_S
            ):
                raise DeadInput(
                    "too_long",
                    f"has {sound.frames} frames of {channels} channels at {rate_hz} Hz",
                    f"limit {most_s:g} s",
                )
            block = sound.read(dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
        raise DeadInput("undecodable", f"libsndfile: {_reason(error)}") from error
    peak = float(np.abs(block).max(initial=0.0))
    if not peak <= _LOUD:  # nor is NaN
        raise DeadInput(
            "absurd_level",
            "has samples that are not finite, or far above full scale",
            f"peak {peak:.3g}",
        )
    if stereo:
        two = block[:, :2] if channels > 1 else np.repeat(block, 2, axis=1)
        return DecodedWindow(two, rate_hz, peak, Downmix.NONE)
    wave, downmix = downmixed(block)
    return DecodedWindow(wave, rate_hz, peak, downmix)


def decoded_at(content: bytes, rate_hz: int, *, stereo: bool = False) -> Wave:
    """The wave of a whole small file from memory, at another rate.

    Raises `DeadInput` as `decoded` does.
    """
    audio = decoded(content, stereo=stereo)
    return resampled(audio.wave, audio.rate_hz, rate_hz)
