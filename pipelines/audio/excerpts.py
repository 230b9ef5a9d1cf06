"""Windows of a sample's audio, value for value, as FLAC. Meant to run in a worker's child."""

import io
from collections.abc import Sequence
from typing import Final, NamedTuple

import soundfile

from pipelines.errors import DeadInput

_MOST_S: Final = 600.0  # as long as a sample may be; what a header claims is checked before it
_MOST_VALUES: Final = 2 * 48_000 * 600
_TOLERANCE_S: Final = 0.05


class FlacPiece(NamedTuple):
    """A window of audio as 16-bit FLAC, and its length."""

    flac: bytes
    duration_s: float


class Excerpts(NamedTuple):
    """Windows of one file."""

    rate_hz: int
    pieces: tuple[FlacPiece, ...]


def excerpts(content: bytes, spans: Sequence[tuple[float, float]], duration_s: float) -> Excerpts:
    """Windows (start and end in seconds) of a file of 16 bits in memory, all channels of it.

    Raises `DeadInput` where it cannot be decoded, or is not of the length `duration_s`.
    """
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as sound:
            rate_hz = sound.samplerate
            _check_length(sound.frames, sound.channels, rate_hz, duration_s)
            block = sound.read(dtype="int16", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
        reason = str(error).rsplit(": ", 1)[-1].strip()
        raise DeadInput("undecodable", f"libsndfile: {reason}") from error
    _check_length(len(block), block.shape[1], rate_hz, duration_s)
    pieces: list[FlacPiece] = []
    for start_s, end_s in spans:
        window = block[round(start_s * rate_hz) : round(end_s * rate_hz)]
        out = io.BytesIO()
        soundfile.write(out, window, rate_hz, format="FLAC", subtype="PCM_16")
        pieces.append(FlacPiece(out.getvalue(), len(window) / rate_hz))
    return Excerpts(rate_hz, tuple(pieces))


def _check_length(frames: int, channels: int, rate_hz: int, duration_s: float) -> None:
    if frames * channels > _MOST_VALUES or frames > _MOST_S * rate_hz:
        raise DeadInput("too_long", "its audio is too long", f"limit {_MOST_S:g} s")
    if abs(frames / rate_hz - duration_s) > _TOLERANCE_S:
        raise DeadInput(
            "wrong_length",
            "its audio is not as long as its labels say",
            f"{frames / rate_hz:.3f} s, not {duration_s:.3f} s",
        )
