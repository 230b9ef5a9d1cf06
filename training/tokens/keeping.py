"""What of a recording's codes is kept, as somebody writes it: at beats, every n-th frame, some
books.

Shapes: L codebooks, T latent frames.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import torch

from training.conditions.rows import FrameGrid
from training.data.token_masks import kept_at_beats, kept_books, kept_periodically
from training.errors import TrainingError
from training.timed_controls.files import shown

_BEAT_S: Final = 0.1  # of a beat, where nobody says
_PART: Final = re.compile(r"\s*(beats|every|books)(?:\s+(\d+(?:\.\d+)?))?\s*")


class Keeping(NamedTuple):
    """Parts of a prompt; a code is kept that any of them keeps."""

    beats_s: float | None = None  # of each beat so much, from it on
    every: int | None = None  # the first of so many frames
    books: int | None = None  # so many, at all times

    @classmethod
    def of(cls, text: str) -> "Keeping":
        """A prompt as it is written.

        Raises `TrainingError` for what is none.

        >>> Keeping.of("beats, books 1")
        Keeping(beats_s=0.1, every=None, books=1)
        """
        found: dict[str, float] = {}
        for part in text.split(","):
            match = _PART.fullmatch(part)
            if not match or (match[1] != "beats" and not (match[2] or "").isdigit()):
                raise TrainingError(
                    f"--keep {shown(text)} is not a prompt: expected 'beats', 'beats 0.2' (seconds "
                    "of each), 'every 8' (frames), 'books 1', or some of them with commas"
                )
            found[match[1]] = float(match[2]) if match[2] else _BEAT_S
        whole = {name: int(found[name]) for name in ("every", "books") if name in found}
        return cls(found.get("beats"), whole.get("every"), whole.get("books"))

    def mask(self, grid: FrameGrid, books: int, beats_s: Sequence[float]) -> torch.Tensor:
        """True where a code is kept: (L, T).

        Raises `TrainingError` where beats are to be kept and there are none, or nothing would be
        played anew.

        >>> Keeping.of("every 2, books 1").mask(FrameGrid(4, 1.0), 2, ()).int().tolist()
        [[1, 1, 1, 1], [1, 0, 1, 0]]
        """
        kept_LT = torch.zeros(books, grid.frames, dtype=torch.bool)
        if self.beats_s is not None:
            if not beats_s:
                raise TrainingError("--keep beats: no beats are heard in this recording")
            kept_LT |= kept_at_beats(grid, beats_s, self.beats_s)
        if self.every is not None:
            kept_LT |= kept_periodically(grid.frames, self.every)
        if self.books is not None:
            kept_LT |= kept_books(books, self.books)
        if bool(kept_LT.all()):
            raise TrainingError("--keep: all codes would be kept: nothing is left to be played")
        return kept_LT
