"""Where in a whole a piece lies, for models that are told so: its intro, its middle, its ending."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from training.errors import TrainingError
from training.timed_controls.files import number_of, shown


class PiecePlace(NamedTuple):
    """Where a piece begins in a whole, and how long that is; none: it ends with the piece."""

    start_s: float | None = None
    total_s: float | None = None

    @classmethod
    def of_cells(cls, cells: Mapping[str, Any]) -> "PiecePlace":
        """That of a table's cells `start` and `total`; empty ones say nothing.

        >>> PiecePlace.of_cells({"start": "170", "total": 200})
        PiecePlace(start_s=170.0, total_s=200.0)
        """
        return cls(*(_seconds(cells, name) for name in ("start", "total")))

    def over(self, others: "PiecePlace") -> "PiecePlace":
        """This place, and the other's where it says nothing."""
        said = {name: value for name, value in self._asdict().items() if value is not None}
        return others._replace(**said)

    def checked(self) -> "PiecePlace":
        """The same. Raises `TrainingError` for a start behind the end."""
        if self.total_s is not None and (self.start_s or 0.0) >= self.total_s:
            raise TrainingError(
                f"--start {self.start_s or 0.0:g} is not within the {self.total_s:g} s of --total"
            )
        return self

    @property
    def is_said(self) -> bool:
        """Whether anything is asked."""
        return self.start_s is not None or self.total_s is not None


ANYWHERE: Final = PiecePlace()


def _seconds(cells: Mapping[str, Any], name: str) -> float | None:
    value = cells.get(name)
    if value in (None, ""):
        return None
    number = number_of(str(value))
    if number is None or number < 0:
        raise TrainingError(f"{name} {shown(str(value))} is not a time: expected 0 s or more")
    return number
