"""Practice pieces as sound: General MIDI through sound fonts, roughened as recordings are."""

from collections.abc import Iterator
from functools import cache
from typing import Any, Final, NamedTuple

import mido
import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from pipelines.annotators import RATE_HZ
from pipelines.extras import naming_extras
from training.annotator_training.etude import Etude
from training.annotator_training.notes import DRUMS, MidiNote, Playing

with naming_extras():
    import fluidsynth

Samples = npt.NDArray[np.float32]
_FOLDER: Final = "/usr/share/sounds/sf2"  # where Debian's packages put them
FONTS: Final = {
    "tim": f"{_FOLDER}/TimGM6mb.sf2",
    "opl": f"{_FOLDER}/OPL-3_FM_128M.sf2",
    "csd": f"{_FOLDER}/sf_GMbank.sf2",
}
KITS: Final = (f"{_FOLDER}/Black_Pearl_4_LV2.sf2", f"{_FOLDER}/Red_Zeppelin_4_LV2.sf2")
_TICKS: Final = 960  # a second: the file's tempo is fixed, the piece's own is in the times
_DRUM_BANK: Final = 128
_VOLUME: Final = 7  # the number of that MIDI control


class _MidiEvent(NamedTuple):
    """A MIDI message at a tick; of those at the same tick, the lowest `turn` goes first."""

    tick: int
    turn: int
    message: mido.Message


def midi(
    piece: Etude, playing: Playing, rng: np.random.Generator, start_s: float, tuning_cents: float
) -> mido.MidiFile:
    """The piece from `start_s` on: 70 in 100 are loose, with onsets up to 12 ms (one sigma) off."""
    loose_s = float(rng.uniform(0, 0.012)) if rng.random() < 0.7 else 0.0
    events: list[_MidiEvent] = []
    for channel, program in playing.programs.items():
        events += _instrument(channel, program, int(rng.integers(60, 121)), tuning_cents)
    for note in playing.notes:
        events += _sounding(piece, note, rng, start_s, loose_s)
    track = mido.MidiTrack()
    now = 0
    for tick, _, message in sorted(events, key=lambda event: event[:2]):
        track.append(message.copy(time=tick - now))
        now = tick
    # 120 beats a minute, the default
    return mido.MidiFile(ticks_per_beat=_TICKS // 2, tracks=[track])


def _instrument(channel: int, program: int, volume: int, tuning_cents: float) -> list[_MidiEvent]:
    """A channel's program, volume and tuning."""
    # registered parameter 1: 64 ± 64 is ± 100 cents
    fine_tuning = ((101, 0), (100, 1), (6, int(64 + tuning_cents * 0.64)), (38, 0))
    controls = ((_VOLUME, volume), *fine_tuning)
    return [
        _MidiEvent(0, 0, mido.Message("program_change", channel=channel, program=program)),
        *(
            _MidiEvent(
                0, 0, mido.Message("control_change", channel=channel, control=control, value=value)
            )
            for control, value in controls
        ),
    ]


def _sounding(
    piece: Etude, note: MidiNote, rng: np.random.Generator, start_s: float, loose_s: float
) -> list[_MidiEvent]:
    """A note's beginning and end, or nothing where it is over by the start; one that has begun by
    then is struck at the start.
    """
    begin_s = (
        piece.seconds(note.beat)
        - start_s
        + (float(rng.normal(0, loose_s)) if note.loose and loose_s else 0.0)
    )
    end_s = piece.seconds(note.beat + note.length) - start_s
    if end_s <= 0.02:
        return []
    velocity = int(np.clip(note.velocity + rng.integers(-6, 7), 1, 127))
    on, off = max(0, round(begin_s * _TICKS)), max(1, round(end_s * _TICKS))
    return [
        _MidiEvent(
            on, 2, mido.Message("note_on", channel=note.channel, note=note.pitch, velocity=velocity)
        ),
        # 8 ticks: at least 8 ms
        _MidiEvent(
            max(on + 8, off), 1, mido.Message("note_off", channel=note.channel, note=note.pitch)
        ),
    ]


class _Synth(NamedTuple):
    """A synthesiser and the numbers under which it holds a font and a kit."""

    synthesizer: Any
    instruments: int
    kit: int | None


@cache
def _synth(font: str, kit: str | None) -> _Synth:
    synthesizer = fluidsynth.Synth(gain=0.5, samplerate=float(RATE_HZ))
    synthesizer.setting("synth.cpu-cores", 1)
    synthesizer.setting("synth.chorus.active", 0)
    return _Synth(
        synthesizer, synthesizer.sfload(font), None if kit is None else synthesizer.sfload(kit)
    )


def sounded(
    file: mido.MidiFile, font: str, kit: str | None, duration_s: float, *, reverb: bool
) -> Samples:
    """Mono samples; drums by a kit of their own where one is named."""
    synth = _synth(font, kit)
    synth.synthesizer.system_reset()
    synth.synthesizer.setting("synth.reverb.active", int(reverb))
    for channel in range(16):
        synth.synthesizer.program_select(
            channel, synth.instruments, _DRUM_BANK if channel == DRUMS else 0, 0
        )
    if synth.kit is not None:
        synth.synthesizer.program_select(DRUMS, synth.kit, 0, 0)
    stereo = np.concatenate(list(_parts(synth, file, round(duration_s * RATE_HZ)))).reshape(-1, 2)
    mono: Samples = stereo.astype(np.float32).mean(axis=1) / 32768
    return mono


def _parts(synth: _Synth, file: mido.MidiFile, size: int) -> Iterator[npt.NDArray[np.int16]]:
    """What sounds from one message to the next, both sides by turns, up to `size` samples each."""
    done = ticks = 0
    for message in file.tracks[0]:
        ticks += message.time
        upto = min(size, int(ticks / _TICKS * RATE_HZ))
        if upto > done:
            yield synth.synthesizer.get_samples(upto - done)
            done = upto
        _send(synth, message)
    if size > done:
        yield synth.synthesizer.get_samples(size - done)


def _send(synth: _Synth, message: mido.Message) -> None:
    match message.type:
        case "note_on":
            synth.synthesizer.noteon(message.channel, message.note, message.velocity)
        case "note_off":
            synth.synthesizer.noteoff(message.channel, message.note)
        case "program_change":
            synth.synthesizer.program_select(message.channel, synth.instruments, 0, message.program)
        case "control_change":
            synth.synthesizer.cc(message.channel, message.control, message.value)


def roughened(clean: Samples, rng: np.random.Generator) -> Samples:
    """Tilted, equalised, louder or softer, noisier, overdriven: each by chance."""
    wave: npt.NDArray[np.floating[Any]] = clean - clean.mean()
    if rng.random() < 0.5:
        wave = lfilter([1, rng.uniform(-0.6, 0.6)], [1], wave)
    if rng.random() < 0.4:
        wave = _equalised(wave, rng)
    wave = wave / (np.abs(wave).max() + 1e-9) * 10 ** (rng.uniform(-12, -1) / 20)
    if rng.random() < 0.4:
        wave = wave + rng.normal(0, 10 ** (rng.uniform(-75, -40) / 20), len(wave))
    if rng.random() < 0.15:
        wave = np.tanh(wave * rng.uniform(1.5, 4)) * 0.7
    peak = np.abs(wave).max()
    return (wave / peak * 0.9 if peak > 0.99 else wave).astype(np.float32)


def _equalised(
    wave: npt.NDArray[np.floating[Any]], rng: np.random.Generator
) -> npt.NDArray[np.floating[Any]]:
    """Eight corners, denser towards the low end, each raised or lowered by some 4 dB."""
    spectrum = np.fft.rfft(wave)
    corners = np.sort(np.r_[0, rng.random(6) ** 2, 1])
    gains = 10 ** (rng.normal(0, 4, len(corners)) / 20)
    return np.fft.irfft(
        spectrum * np.interp(np.linspace(0, 1, len(spectrum)), corners, gains), len(wave)
    )
