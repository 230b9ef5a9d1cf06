"""How a practice piece is played: which parts there are, on which instruments of General MIDI."""

import math
from typing import Final

import numpy as np

from training.annotator_training.bass_and_melody import bass_part, melody
from training.annotator_training.chords_part import chords_part, pad
from training.annotator_training.drums import drums
from training.annotator_training.etude import Etude
from training.annotator_training.notes import BASS, CHORDS, MELODY, PAD, MidiNote, Playing

# Programs, counted from 0: what dies away, what holds, what sings and what goes low.
_PLUCKED: Final = (
    *range(10),  # pianos, harpsichord, clavinet, celesta, glockenspiel
    *range(11, 14),  # vibraphone, marimba, xylophone
    *range(24, 29),  # guitars
    *(45, 46),  # pizzicato, harp
    *range(104, 109),  # sitar, banjo, shamisen, koto, kalimba
)
_HELD: Final = (
    *range(16, 24),  # organs, accordions, harmonica
    *(29, 30),  # overdriven and distorted guitar
    *(40, 41, 42, 44),  # violin, viola, cello, tremolo
    *range(48, 55),  # strings and voices
    *range(61, 64),  # brass
    *(80, 81, 82, 88, 89, 90, 91, 93, 94, 95),  # leads and pads
)
_SOLO: Final = (
    *(0, 6, 11, 12),  # piano, harpsichord, vibraphone, marimba
    *(21, 22, 24, 26, 27, 29),  # accordion, harmonica, guitars
    *(40, 41, 42, 56, 57, 59, 60),  # bowed strings, brass
    *range(64, 76),  # saxophones, oboe to clarinet, flutes
    *(78, 79, 80, 81, 82, 85),  # whistle, ocarina, leads, voice
)
_BASSES: Final = (*range(32, 40), 43, 58, 0, 42)  # basses; contrabass, tuba, piano, cello


def play(piece: Etude, rng: np.random.Generator) -> Playing:
    """Arrange a piece: chords unless it is drums alone, and any other part by chance."""
    notes: list[MidiNote] = []
    programs: dict[int, int] = {}
    if piece.key is not None:
        held = rng.random() < 0.4
        programs[CHORDS] = int(rng.choice(_HELD if held else _PLUCKED))
        notes += chords_part(piece, rng, held=held)
        if rng.random() < 0.8:
            programs[BASS] = int(rng.choice(_BASSES)) if rng.random() < 0.85 else programs[CHORDS]
            notes += bass_part(piece, rng)
        if rng.random() < 0.6:
            programs[MELODY] = int(rng.choice(_SOLO))
            notes += melody(piece, piece.key, rng)
        if rng.random() < 0.25:
            programs[PAD] = int(rng.choice(_HELD))
            notes += pad(piece, rng)
    if piece.key is None or rng.random() < 0.6:
        notes += drums(piece, rng)
    return Playing(tuple(_swung(note, piece.swing) for note in notes), programs)


def _swung(note: MidiNote, swing: float) -> MidiNote:
    """The note where swing puts it: only second eighths move."""
    beat = math.floor(note.beat)
    return note._replace(beat=beat + swing) if note.beat - beat == 0.5 else note
