"""A folder of practice pieces: audio, and beside each file its exact truth.

    python -m training.annotator_training.practice FOLDER --pieces 4800

Debian packages: timgm6mb-soundfont, opl3-soundfont, csound-soundfont, avldrums.lv2-soundfont;
Python package: pyfluidsynth. FluidR3 is kept out, so that what is trained here can be measured on
sounds it never saw in training.
"""

import argparse
import json
from collections.abc import Iterator
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile as sf

from pipelines.annotators import RATE_HZ
from pipelines.annotators.harmony import NO_BASS, NO_CHORD_CLASS, chord_class
from schemas.chord import Chord
from schemas.labels import ChordSegment
from training.annotator_training.etude import etude
from training.annotator_training.excerpt import ExcerptTruth, ended, sample_excerpt, truth
from training.annotator_training.orchestra import play
from training.annotator_training.sounds import FONTS, KITS, midi, roughened, sounded

PIECE_S: Final = 15.0
_SEED: Final = 78
_SHARES: Final = {"tim": 0.42, "opl": 0.2, "csd": 0.38}  # of the fonts


class Classes(NamedTuple):
    """The network's chord class and bass of each frame. Shape: T frames."""

    chord_T: npt.NDArray[np.int64]
    bass_T: npt.NDArray[np.int64]


class PracticePiece(NamedTuple):
    """What is true of a piece."""

    name: str
    source: str  # the sound font
    meter: int
    bpm: float
    key: int | None  # tonic × 2, plus 1 for minor
    beats: npt.NDArray[np.float64]  # (beats, 2): time in seconds, number in the bar
    chords: tuple[ChordSegment, ...]

    def classes(self, frames: int, fps: float) -> Classes:
        """The network's chord class and bass of each frame."""
        chord_T, bass_T = np.full(frames, NO_CHORD_CLASS), np.full(frames, NO_BASS)
        for segment in self.chords:
            frames_of_segment = slice(round(segment.start_s * fps), round(segment.end_s * fps))
            name = Chord.parse(segment.label)
            chord_T[frames_of_segment] = chord_class(name)
            bass_T[frames_of_segment] = name.root if name.bass is None else name.bass
        return Classes(chord_T, bass_T)


def pieces(folder: Path) -> Iterator[PracticePiece]:
    """The truth of every piece of a folder, by name."""
    for file in sorted(folder.glob("*.json")):
        stored = json.loads(file.read_text())
        chords = tuple(ChordSegment.model_validate(segment) for segment in stored.pop("chords"))
        yield PracticePiece(
            name=file.stem,
            chords=chords,
            beats=np.array(stored.pop("beats")).reshape(-1, 2),
            **stored,
        )


def make(folder: Path, number: int) -> None:
    """Compose, play and store one piece; its truth is written last."""
    rng = np.random.default_rng([_SEED, number])
    font = str(rng.choice(list(_SHARES), p=list(_SHARES.values())))
    piece = etude(rng, 2 * PIECE_S + 1)
    playing = play(piece, rng)
    excerpt = sample_excerpt(piece, PIECE_S, rng)
    tuning_cents = float(rng.uniform(-40, 40)) if rng.random() < 0.2 else float(rng.normal(0, 4))
    file = midi(piece, ended(playing, excerpt.last_beat), rng, excerpt.start_s, tuning_cents)
    kit = [None, *KITS][int(rng.integers(len(KITS) + 1))]
    wave = sounded(file, FONTS[font], kit, PIECE_S, reverb=rng.random() < 0.75)
    sf.write(folder / f"{number:05d}.flac", roughened(wave, rng), RATE_HZ, subtype="PCM_16")
    (folder / f"{number:05d}.json").write_text(
        json.dumps({"source": font, **_stored(truth(piece, excerpt))})
    )


def _stored(known: ExcerptTruth) -> dict[str, Any]:
    return {**known._asdict(), "chords": [segment.model_dump() for segment in known.chords]}


def main() -> None:
    """Make the pieces that a folder lacks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pieces", type=int, default=4800)
    parser.add_argument(
        "--first",
        type=int,
        default=0,
        help="number of the first piece: others than those that were trained on",
    )
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    numbers = range(arguments.first, arguments.first + arguments.pieces)
    missing = [
        number for number in numbers if not (arguments.folder / f"{number:05d}.json").exists()
    ]
    with Pool() as pool:
        for _ in pool.imap_unordered(partial(make, arguments.folder), missing, chunksize=8):
            pass


if __name__ == "__main__":
    main()
