"""What pictures of steered pieces show of their sound: its outline, and the form that is heard."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from pipelines.audio.decode import Wave
from pipelines.engine.child_process import Death
from schemas.record import Record
from training.evaluation.heard_wave import heard_wave
from training.generation.nearness import heard_form
from training.generation.steered_facts import Matrix, cells

_COLUMNS: Final = 450  # of an outline
_LONGEST_S: Final = 60.0  # as of other pictures
_LEAST_S: Final = 2.0  # of a form


class SteeredWindow(NamedTuple):
    """A file, how long it is, and the part that has a form, if any has."""

    key: str
    path: str
    end_s: float
    form_s: tuple[float, float] | None
    is_smooth: bool


class SteeredView(Record):
    """The highest magnitude in each column of the first minute, and the form in cells."""

    outline: tuple[float, ...]
    form: Matrix = ()


def steered_views(windows: Sequence[SteeredWindow], _: None) -> list[SteeredView | Death]:
    """The view of each file; runs in a worker's child."""
    found: list[SteeredView | Death] = []
    for window in windows:
        heard = heard_wave(window.path, 0.0, window.end_s)
        if isinstance(heard, Death):
            found.append(heard)
            continue
        shown = heard.wave[: round(_LONGEST_S * heard.rate_hz)]
        found.append(
            SteeredView(outline=outline(shown), form=_form(heard.wave, heard.rate_hz, window))
        )
    return found


def outline(wave: Wave) -> tuple[float, ...]:
    """The highest magnitude in each of so many columns.

    >>> len(outline(np.zeros(1000, np.float32)))
    450
    """
    parts = np.array_split(np.abs(wave), _COLUMNS)
    return tuple(round(float(part.max()), 3) if len(part) else 0.0 for part in parts)


def _form(wave: Wave, rate_hz: int, window: SteeredWindow) -> Matrix:
    if window.form_s is None:
        return ()
    first, last = (round(at_s * rate_hz) for at_s in window.form_s)
    part = wave[first:last]
    if len(part) < _LEAST_S * rate_hz:
        return ()
    return cells(heard_form(part, rate_hz, smooth=window.is_smooth))
