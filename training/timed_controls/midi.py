"""The notes of a Standard MIDI File, of any origin: a few checks, and no more memory than the file
has bytes.

Standard MIDI Files 1.0 (MIDI Manufacturers Association, RP-001).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from pipelines.errors import readable
from training.errors import TrainingError
from training.timed_controls.files import file_bytes

_DRUMS: Final = 9  # channel 10, counted from 1
_USUAL_TEMPO: Final = 500_000  # microseconds a beat: 120 BPM, where a file says nothing
_META: Final = 0xFF
_SET_TEMPO: Final = 0x51
_SYSTEM: Final = (0xF0, 0xF7)
# data bytes after a status byte, by its upper half
_DATA: Final = {0x8: 2, 0x9: 2, 0xA: 2, 0xB: 2, 0xC: 1, 0xD: 1, 0xE: 2}


class PlayedNote(NamedTuple):
    """A note of a file: times in seconds, and its number (60 is middle C)."""

    start_s: float
    end_s: float
    number: int


class _Event(NamedTuple):
    tick: int
    order: int  # tempos, then ends, then starts of one tick
    channel: int
    value: int  # a note's number, or microseconds a beat


_TEMPO, _OFF, _ON = range(3)


def midi_notes(path: Path) -> tuple[PlayedNote, ...]:
    """Notes of all tracks but drums, by their start; one that never ends lasts to the last event.

    Raises `TrainingError` for what is not such a file, is cut short, or holds no note.
    """
    name = readable(str(path))
    reader = _MidiReader(file_bytes(path), name)
    events, ticks_per_beat = reader.events()
    notes: list[PlayedNote] = []
    sounding: dict[tuple[int, int], float] = {}
    at_s, tick, tempo = 0.0, 0, _USUAL_TEMPO
    for event in sorted(events):
        at_s += (event.tick - tick) * tempo / 1e6 / ticks_per_beat
        tick, place = event.tick, (event.channel, event.value)
        if event.order == _TEMPO:
            tempo = event.value
            continue
        if place in sounding:  # its end, or struck again
            notes.append(PlayedNote(sounding.pop(place), at_s, event.value))
        if event.order == _ON:
            sounding[place] = at_s
    notes += [PlayedNote(start_s, at_s, number) for (_, number), start_s in sounding.items()]
    notes = sorted(note for note in notes if note.end_s > note.start_s)
    if not notes:
        raise TrainingError(f"{name} holds no note: a melody is expected, on any channel but 10")
    return tuple(notes)


class _MidiReader:
    """Bytes, read in order; what is not there is an error of the file."""

    def __init__(self, content: bytes, name: str) -> None:
        self._content, self._at, self._name = content, 0, name

    def events(self) -> tuple[list[_Event], int]:
        """Notes and tempos of all tracks, and ticks a beat."""
        if self._take(4) != b"MThd" or self._number(4) < 6:
            raise TrainingError(f"{self._name} is not a Standard MIDI File: it begins otherwise")
        kind, tracks, ticks = self._number(2), self._number(2), self._number(2)
        if kind > 1 or not 0 < ticks < 0x8000:
            raise TrainingError(
                f"{self._name} has format {kind} and {ticks} ticks a beat: export it as format 0 "
                "or 1 with ticks a beat"
            )
        self._at = 8 + int.from_bytes(self._content[4:8], "big")
        found: list[_Event] = []
        for _ in range(tracks):
            is_track, length = self._take(4) == b"MTrk", self._number(4)
            end = self._at + length
            if end > len(self._content):
                raise self._short()
            if is_track:
                found += self._track(end)
            self._at = end
        return found, ticks

    def _track(self, end: int) -> Iterator[_Event]:
        tick, status = 0, 0
        while self._at < end:
            tick += self._varying()
            if self._content[self._at : self._at + 1] >= b"\x80":
                status = self._number(1)
            if status == _META:
                kind, data = self._number(1), self._take(self._varying())
                if kind == _SET_TEMPO and len(data) == 3:
                    yield _Event(tick, _TEMPO, 0, max(1, int.from_bytes(data, "big")))
            elif status in _SYSTEM:
                self._take(self._varying())
            elif status >> 4 in _DATA:
                data = self._take(_DATA[status >> 4])
                if status >> 4 in (0x8, 0x9) and status & 15 != _DRUMS:
                    begins = status >> 4 == 0x9 and data[1] > 0
                    yield _Event(tick, _ON if begins else _OFF, status & 15, data[0] & 127)
            else:
                raise TrainingError(
                    f"{self._name} has the status byte {status:#04x} before byte {self._at}, which "
                    "no MIDI file has"
                )

    def _varying(self) -> int:
        """A number of up to four bytes, seven bits each."""
        number = 0
        for _ in range(4):
            byte = self._number(1)
            number = number << 7 | byte & 127
            if byte < 0x80:
                return number
        raise TrainingError(f"{self._name} has a length of more than four bytes at {self._at}")

    def _number(self, size: int) -> int:
        return int.from_bytes(self._take(size), "big")

    def _take(self, size: int) -> bytes:
        taken = self._content[self._at : self._at + size]
        self._at += size
        if len(taken) < size:
            raise self._short()
        return taken

    def _short(self) -> TrainingError:
        return TrainingError(f"{self._name} is cut short: it ends after {len(self._content)} bytes")
