"""What somebody asks for beside a caption, as it is written."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Self

from training.errors import TrainingError
from training.timed_controls.files import number_of, shown


class ControlOptions(NamedTuple):
    """Texts, or names of files, by the control that they are for; none where nothing is said.

    Each may be in parts with times (`training.timed_controls.parts`), but for tempo and meter,
    which `beats` gives in parts.
    """

    bpm: float | None = None
    meter: str | int | None = None
    key: str | None = None
    chords: str | None = None
    beats: str | None = None
    melody: str | None = None
    intensity: str | None = None
    density: str | None = None
    sections: tuple[str, ...] = ()

    @classmethod
    def of_cells(cls, cells: Mapping[str, Any]) -> Self:
        """Options of a table's or a section's cells by their names; empty ones say nothing.

        Raises `TrainingError` for a tempo that is not a number.

        >>> ControlOptions.of_cells({"bpm": "90", "key": "", "chords": "Am F"})
        ControlOptions(bpm=90.0, meter=None, key=None, chords='Am F', beats=None, ...
        """
        written = {name: _text(cells.get(name)) for name in CONTROL_NAMES}
        bpm = written.pop("bpm")
        found = cls(**written)  # type: ignore[arg-type]  # texts by their names
        if bpm is None:
            return found
        number = number_of(bpm)
        if number is None:
            raise TrainingError(f"bpm {shown(bpm)} is not a number of beats per minute")
        return found._replace(bpm=number)

    def over(self, others: Self) -> Self:
        """These options, and the others' where these say nothing."""
        said = {name: value for name, value in self._asdict().items() if value not in (None, ())}
        return others._replace(**said)


CONTROL_NAMES: Final = tuple(name for name in ControlOptions._fields if name != "sections")


def _text(value: object) -> str | None:
    """A cell as text; none where it is empty."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)[:100_000].strip() or None
    return None
