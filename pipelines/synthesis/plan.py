"""Choices that make a piece: meter, key, tempo, form, instruments.

Stratified, so that every block of twelve covers them.
"""

from enum import IntEnum
from typing import Final

import numpy as np

from pipelines.errors import PipelineError
from pipelines.synthesis.harmony import ChordRichness
from pipelines.synthesis.score import Instrument
from schemas.identity import keyed_rng
from schemas.pitch import Key, Mode
from schemas.record import Record

BLOCK: Final = 12  # pieces that share one round of keys and tempo bands
MIN_BPM: Final = 60
MAX_BPM: Final = 170
_BODY_S: Final = (20.0, 27.6)  # with at most 1.5 s before and 0.8 s after, 20 to 30 s
_TAIL_S: Final = 0.6  # for strings and room to ring out
_PLAYERS: Final = (  # of melody and chords
    (Instrument.STRINGS, Instrument.ORGAN),
    (Instrument.ORGAN, Instrument.STRINGS),
    (Instrument.STRINGS, Instrument.STRINGS),
)
_FORMS: Final = {2: "AA", 3: "ABA", 4: "AABA", 5: "ABABA", 6: "AABABA", 7: "AABAABA"}


class Start(IntEnum):
    """What comes before the first downbeat."""

    NOTHING = 0
    SILENCE = 1
    PICKUP = 2


class PiecePlan(Record):
    """The choices of one piece.

    A phrase holds four chords in four bars, or in two (`half_bars`) where bars are long.
    """

    name: str
    beats_per_bar: int
    key: Key
    harmony: ChordRichness
    bpm: int
    form: str  # one letter a phrase; equal letters are the same music
    half_bars: bool
    closing_bars: int  # 1: the tonic; 2: dominant and tonic
    pickup_beats: int
    silence_s: float
    lead: Instrument
    backing: Instrument

    @property
    def phrase_bars(self) -> int:
        """Bars in a phrase."""
        return 2 if self.half_bars else 4

    @property
    def bars(self) -> int:
        """Bars in the piece."""
        return len(self.form) * self.phrase_bars + self.closing_bars

    @property
    def downbeat_s(self) -> float:
        """When the first bar starts."""
        return self.silence_s + self.pickup_beats * 60.0 / self.bpm

    @property
    def duration_s(self) -> float:
        """Length of the audio: up to the next tenth of a second, a whole number of samples."""
        end_s = self.downbeat_s + self.bars * self.beats_per_bar * 60.0 / self.bpm + _TAIL_S
        return float(np.ceil(end_s * 10) / 10)


def plan(index: int, seed: int) -> PiecePlan:
    """Choices of piece `index`: meter, mode and harmony by its offset in its block, tempo and tonic
    by its offset and at random.
    """
    if index < 0:
        raise PipelineError(f"piece {index} does not exist: pieces count from 0")
    block, offset = divmod(index, BLOCK)
    name = f"piece-{index:03d}"
    rng = keyed_rng(seed, name, "plan")
    turns = keyed_rng(seed, f"block-{block}", "plan").integers(BLOCK, size=3)
    beats_per_bar = (4, 3)[offset % 2]
    # 5 and 7 share no factor with 12: every tempo band and every tonic comes once in a block.
    band = (offset * 5 + int(turns[0])) % BLOCK
    tonic = (offset * 7 + int(turns[1])) % 12
    width = (MAX_BPM - MIN_BPM) / BLOCK
    bpm = int(
        rng.integers(int(np.ceil(MIN_BPM + band * width)), int(MIN_BPM + (band + 1) * width) + 1)
    )
    phrases, closing_bars, half_bars = _form(beats_per_bar * 60.0 / bpm, beats_per_bar, rng)
    start = Start(int(rng.integers(len(Start))))
    lead, backing = _PLAYERS[(offset + int(turns[2])) % len(_PLAYERS)]
    return PiecePlan(
        name=name,
        beats_per_bar=beats_per_bar,
        key=Key(tonic=tonic, mode=(Mode.MAJOR, Mode.MINOR)[offset // 2 % 2]),
        harmony=(ChordRichness.TRIADS, ChordRichness.SEVENTHS, ChordRichness.MIXED)[offset // 4],
        bpm=bpm,
        form=_FORMS[phrases],
        half_bars=half_bars,
        closing_bars=closing_bars,
        pickup_beats=1 if start is Start.PICKUP else 0,
        silence_s=0.0 if start is Start.NOTHING else float(rng.integers(5, 51)) / 100,
        lead=lead,
        backing=backing,
    )


def _form(bar_s: float, beats_per_bar: int, rng: np.random.Generator) -> tuple[int, int, bool]:
    """Phrases, closing bars, and whether phrases are halved, so that the bars last 20 to 27.6 s."""
    for half_bars in (False, True) if beats_per_bar == 4 else (False,):
        length = 2 if half_bars else 4
        fits = [
            (p, c)
            for p in _FORMS
            for c in (1, 2)
            if _BODY_S[0] <= (p * length + c) * bar_s <= _BODY_S[1]
        ]
        if fits:
            phrases, closing_bars = fits[int(rng.integers(len(fits)))]
            return phrases, closing_bars, half_bars
    raise PipelineError(
        f"no form of {beats_per_bar} beats per bar lasts {_BODY_S} s with bars of {bar_s:.3f} s"
    )
