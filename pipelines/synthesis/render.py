"""From score to sound, the same to the bit each time."""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.synthesis import voices
from pipelines.synthesis.score import Drum, Instrument, Role, Score, ScoreNote
from schemas.identity import keyed_rng

_PEAK: Final = 0.8
_PLAYERS: Final[dict[Instrument, Callable[[int, float, int], voices.Wave]]] = {
    Instrument.STRINGS: voices.strings,
    Instrument.ORGAN: voices.organ,
}
# Amplitude factors, set by what annotators detect: chords carry, the melody stands a little above
# them.
_LEVELS: Final = {
    (Role.LEAD, Instrument.STRINGS): 0.26, (Role.LEAD, Instrument.ORGAN): 0.22,
    (Role.CHORDS, Instrument.STRINGS): 0.18, (Role.CHORDS, Instrument.ORGAN): 0.16,
}  # fmt: skip
_BASS_LEVEL: Final = 0.4
_DRUM_LEVELS: Final = {Drum.KICK: 0.55, Drum.SNARE: 0.35, Drum.HAT: 0.25}


def render(score: Score, rate_hz: int = 44100) -> NDArray[np.float32]:
    """The piece as mono samples of shape (duration_s · rate_hz,), peak 0.8.

    A sound starts at the sample nearest to its beat.
    """
    size = round(score.duration_s * rate_hz)
    mix = np.zeros(size)
    for note in score.notes:
        _add(mix, score.seconds(note.beat), _played(score, note, rate_hz), rate_hz)
    for hit in score.hits:
        _add(
            mix,
            score.seconds(hit.beat),
            hit.gain * _DRUM_LEVELS[hit.drum] * voices.drum(hit.drum, rate_hz),
            rate_hz,
        )
    mix += _room(mix, rate_hz)
    peak = float(np.abs(mix).max(initial=0.0))
    return np.asarray(mix * (_PEAK / peak if peak else 0.0), dtype=np.float32)


def _played(score: Score, note: ScoreNote, rate_hz: int) -> voices.Wave:
    """A note by the instrument that has its role."""
    length_s = note.length_beats * 60.0 / score.bpm
    if note.role is Role.BASS:
        return _BASS_LEVEL * note.gain * voices.bass(note.pitch, length_s, rate_hz)
    instrument = score.lead if note.role is Role.LEAD else score.backing
    return (
        _LEVELS[note.role, instrument]
        * note.gain
        * _PLAYERS[instrument](note.pitch, length_s, rate_hz)
    )


def _add(mix: voices.Wave, start_s: float, wave: voices.Wave, rate_hz: int) -> None:
    """Mix a sound in place; what lies past the end is cut."""
    start = round(start_s * rate_hz)
    part = wave[: mix.size - start]
    mix[start : start + part.size] += part


def _room(dry: voices.Wave, rate_hz: int) -> voices.Wave:
    """Echoes of a small room: noise that falls by 60 dB in 0.4 s, from 20 ms after each sound."""
    size = round(0.4 * rate_hz)
    noise = keyed_rng(0, f"{rate_hz}", "room").standard_normal(size)
    echoes = noise * 0.001 ** (np.arange(size) / size)
    echoes = np.concatenate(
        (np.zeros(round(0.02 * rate_hz)), 0.15 * echoes / np.linalg.norm(echoes))
    )
    length = 1 << (dry.size + echoes.size - 1).bit_length()
    wet = np.fft.irfft(np.fft.rfft(dry, length) * np.fft.rfft(echoes, length), length)
    return np.asarray(wet[: dry.size])
