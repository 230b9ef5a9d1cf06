"""Pieces that are longer than what a model plays at once, and pieces of which a part is there:
window after window, each going on from what is known.

Shapes: B samples, C latent channels, T latent frames of the strip, F latent bands.
"""

from typing import NamedTuple

import torch

from training.errors import TrainingError


class Window(NamedTuple):
    """Latent frames of a strip that are played together, and which of them are known by then."""

    start: int
    known_T: torch.Tensor

    @property
    def end(self) -> int:
        """The frame behind its last."""
        return self.start + len(self.known_T)

    @property
    def joins(self) -> tuple[int, ...]:
        """Frames of the strip at which what is known and what is played meet."""
        changes = torch.nonzero(self.known_T[1:] != self.known_T[:-1]).flatten() + 1
        return tuple(self.start + int(one) for one in changes)


def windows(known_T: torch.Tensor, most: int, overlap: int) -> tuple[Window, ...]:
    """Windows of `most` frames at most that fill a strip, in the order in which they are played.

    A gap that a window has room for, with `overlap` frames on both sides, lies in the middle of
    one; else a window begins `overlap` known frames before what is not known. Raises
    `TrainingError` where windows would not go on.

    >>> [(one.start, one.end) for one in windows(torch.zeros(20, dtype=torch.bool), 10, 4)]
    [(0, 10), (6, 16), (10, 20)]
    """
    if not 0 <= overlap < most:
        raise TrainingError(f"windows of {most} frames cannot overlap by {overlap}")
    known, frames, found = known_T.clone(), len(known_T), list[Window]()
    size = min(most, frames)
    while not known.all():
        first = int((~known).int().argmax())
        gap = int(known[first:].int().argmax()) if known[first:].any() else frames - first
        before = max(overlap, (size - gap) // 2) if gap < frames - first else overlap
        start = min(max(0, first - before), frames - size)
        found.append(Window(start, known[start : start + size].clone()))
        known[start : start + size] = True
    return tuple(found)
