"""Records of several kinds in one place: which it is, and where a problem with it lies."""

from typing import Annotated, Literal

import pytest
from pydantic import Tag, ValidationError

from schemas.kinds import kind_or, located, records_of
from schemas.record import Record


class Flute(Record):
    kind: Literal["flute"] = "flute"
    keys: int = 8


class Lute(Record):
    kind: Literal["lute"] = "lute"
    strings: int = 6


class Part(Record):
    played_on: Annotated[
        Annotated[Flute, Tag("flute")] | Annotated[Lute, Tag("lute")], kind_or("lute")
    ] = Lute()


def test_what_names_no_kind_is_of_the_default_one() -> None:
    assert Part.model_validate({"played_on": {"strings": 7}}).played_on == Lute(strings=7)
    flute = {"played_on": {"kind": "flute", "keys": 6}}
    assert Part.model_validate(flute).played_on == Flute(keys=6)
    assert Part(played_on=Flute()).played_on == Flute()


def test_a_problem_lies_where_a_user_wrote_it_and_knows_its_record() -> None:
    with pytest.raises(ValidationError) as found:
        Part.model_validate({"played_on": {"kind": "flute", "strings": 7}})
    [problem] = found.value.errors()
    assert problem["loc"] == ("played_on", "flute", "strings")
    assert located(Part, problem["loc"]) == [("played_on", Part), ("strings", Flute)]


def test_all_records_of_an_annotation_are_found() -> None:
    both: list[type[Record]] = [Flute, Lute]
    assert records_of(Part.model_fields["played_on"].annotation) == both
    assert records_of(Part.model_fields["played_on"].default.__class__) == [Lute]
    assert records_of(int | None) == []
