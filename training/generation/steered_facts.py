"""How a piece was steered, as its lead sheet says it."""

from typing import Final

import torch
from pydantic import Field, field_validator

from schemas.errors import SchemaError
from schemas.record import Record, Seconds
from training.generation.steered import SteeredPiece
from training.steering.asked import SteerAim
from training.timed_controls.steer_options import SteerWay

MOST_CELLS: Final = 40  # of a form's matrix that is kept, each way
Matrix = tuple[tuple[float, ...], ...]


class SteeredFacts(Record):
    """Which way was taken to each thing that was asked for, and how near it came."""

    ways: dict[SteerAim, SteerWay] = Field(default_factory=dict)
    tries: int = 0  # of optimised noise at most, for each window
    new_s: tuple[Seconds, Seconds]  # what is not a recording's
    joins_s: tuple[Seconds, ...] = Field((), max_length=4096)
    loop: bool = False
    form: str = ""  # by letters
    # the self-similarity that was asked of what is new, in cells of equal length
    form_asked: Matrix = ()
    near: tuple[str, ...] = ()  # judged on the sound
    figures: dict[str, float] = Field(default_factory=dict)

    @field_validator("form_asked")
    @classmethod
    def _square(cls, matrix: Matrix) -> Matrix:
        size = len(matrix)
        if size > MOST_CELLS or any(len(row) != size for row in matrix):
            raise SchemaError(f"form_asked is not a square of {MOST_CELLS} cells a side at most")
        return matrix


def steered_facts(piece: SteeredPiece) -> SteeredFacts:
    """The facts of a piece."""
    form = piece.form
    asked = () if form is None else cells(form.wanted(MOST_CELLS))
    return SteeredFacts(
        ways=dict(piece.ways),
        tries=piece.tries,
        new_s=tuple(round(one, 3) for one in piece.new_s),
        joins_s=tuple(one for one in piece.joins_s if one > 0),
        loop=piece.is_loop,
        form=form.letters if form else "",
        form_asked=asked,
        near=piece.near.lines,
        figures=dict(piece.near.figures),
    )


def cells(matrix_NN: torch.Tensor) -> Matrix:
    """A matrix as so many numbers each way as are kept at most, of two decimals.

    >>> cells(torch.eye(2))
    ((1.0, 0.0), (0.0, 1.0))
    """
    kept = min(MOST_CELLS, len(matrix_NN))
    whole = matrix_NN.float()[None, None]
    small = torch.nn.functional.adaptive_avg_pool2d(whole, (kept, kept))[0, 0]
    return tuple(tuple(round(value, 2) for value in row) for row in small.tolist())
