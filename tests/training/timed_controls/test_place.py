"""Where in a whole a piece is asked to lie."""

import pytest

from flows.models.sampling import SamplingRequest
from training.errors import TrainingError
from training.samplers.config import SamplingConfig
from training.timed_controls.asked import asked_piece
from training.timed_controls.options import ControlOptions
from training.timed_controls.place import ANYWHERE, PiecePlace


def test_an_ending_is_asked_for_by_start_and_total() -> None:
    piece = asked_piece("Calm", ControlOptions(), duration_s=30)
    request = SamplingRequest(piece, SamplingConfig(), (), piece.controls.labels)
    ending = request._replace(place=PiecePlace(170.0, 200.0)).numbered("0")
    assert (ending.start_s, ending.length_s) == (170.0, 200.0)
    last = request._replace(place=PiecePlace(start_s=170.0)).numbered("0")
    assert (last.start_s, last.length_s) == (170.0, 200.0)
    assert (request.numbered("0").start_s, request.numbered("0").length_s) == (0.0, 30.0)


def test_a_row_s_place_goes_before_that_of_the_options() -> None:
    row = PiecePlace.of_cells({"start": "0", "total": ""})
    assert row.over(PiecePlace(50.0, 200.0)) == (0.0, 200.0)
    assert PiecePlace.of_cells({}).over(ANYWHERE) == ANYWHERE
    assert row.is_said
    assert not ANYWHERE.is_said


def test_what_is_no_place_is_said() -> None:
    with pytest.raises(TrainingError, match="--start 30 is not within the 30 s of --total"):
        PiecePlace(30.0, 30.0).checked()
    with pytest.raises(TrainingError, match="start 'soon' is not a time"):
        PiecePlace.of_cells({"start": "soon"})
