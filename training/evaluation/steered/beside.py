"""What the JSON beside a piece of ours says beyond labels: curves that it shall follow, and how it
was steered.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from training.generation.steered_facts import SteeredFacts
from training.generation.write import PieceCurves
from training.metrics.timing import AskedCurves


class BesidePiece(NamedTuple):
    """Curves and steering of a piece; none where it has none."""

    curves: AskedCurves | None = None
    steered: SteeredFacts | None = None


def beside_piece(row: Mapping[str, Any]) -> BesidePiece:
    """Both of a piece's JSON, which is not trusted. Raises pydantic's `ValidationError` for what
    does not fit.

    >>> beside_piece({"prompt": "A flute"})
    BesidePiece(curves=None, steered=None)
    """
    curves = PieceCurves.model_validate(row.get("curves") or {})
    asked = AskedCurves(dynamics_db=curves.dynamics_db, melody=curves.melody)
    steered = row.get("steered")
    return BesidePiece(
        asked if curves.dynamics_db or curves.melody else None,
        SteeredFacts.model_validate(steered) if steered else None,
    )
