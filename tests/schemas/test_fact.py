"""Facts: one JSON form for every kind, and the form of schema version 5, which is read as if it
were written now.
"""

import json
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from pipelines.storage.store import arrow_schema
from schemas.caption import Caption, CaptionKind
from schemas.errors import SchemaError
from schemas.fact import (
    BpmFact,
    ChordsFact,
    DynamicsFact,
    Fact,
    FactBase,
    FactKind,
    InstrumentFact,
    KeyFact,
    MeterFact,
    MoodFact,
    TempoWordFact,
    TimedChordsFact,
    TimeFact,
    read_fact,
)
from schemas.sample import Sample, sample_features
from schemas.shape import shape_of
from tests.pipelines.shards.shard_samples import our_sample

# Each kind: the record, its fields in JSON, and the value of schema version 5.
FORMS: list[tuple[Fact, dict[str, Any], str]] = [
    (BpmFact(sentence=2, bpm=98.44), {"kind": "bpm", "bpm": 98.44}, "98.44"),
    (
        TempoWordFact(sentence=2, word="andante"),
        {"kind": "tempo_word", "word": "andante"},
        "andante",
    ),
    (MeterFact(sentence=2, beats_per_bar=3), {"kind": "meter", "beats_per_bar": 3}, "3"),
    (
        KeyFact(sentence=2, tonic=8, mode="major"),
        {"kind": "key", "tonic": 8, "mode": "major"},
        "Ab major",
    ),
    (KeyFact(sentence=2, mode="minor"), {"kind": "key", "tonic": None, "mode": "minor"}, "minor"),
    (
        ChordsFact(sentence=2, chords=("A:min", "C:maj/3")),
        {"kind": "chords", "chords": ["A:min", "C:maj/3"]},
        "A:min C:maj/3",
    ),
    (
        DynamicsFact(sentence=2, dynamics="crescendo"),
        {"kind": "dynamics", "dynamics": "crescendo"},
        "crescendo",
    ),
    (
        TimedChordsFact(
            sentence=2,
            timed_chords=({"label": "A:min", "start_s": 0}, {"label": "F:maj", "start_s": 2.5}),
        ),
        {
            "kind": "timed_chords",
            "timed_chords": [
                {"label": "A:min", "start_s": 0.0},
                {"label": "F:maj", "start_s": 2.5},
            ],
        },
        "A:min@0 F:maj@2.5",
    ),
    (TimeFact(sentence=2, time_s=5), {"kind": "time", "time_s": 5.0}, "5"),
    (
        InstrumentFact(sentence=2, instrument="electric guitar"),
        {"kind": "instrument", "instrument": "electric guitar"},
        "electric guitar",
    ),
    (
        MoodFact(sentence=2, mood="melancholic"),
        {"kind": "mood", "mood": "melancholic"},
        "melancholic",
    ),
]
EVERY = pytest.mark.parametrize(("fact", "fields", "old"), FORMS, ids=[old for *_, old in FORMS])


def caption(*facts: Fact) -> Caption:
    return Caption(
        text="A. B. C.", kind=CaptionKind.SOURCE, sentences=("A.", "B.", "C."), facts=facts
    )


def test_every_kind_is_tried() -> None:
    assert {fact.kind for fact, *_ in FORMS} == set(FactKind)


@EVERY
def test_a_fact_is_written_with_the_fields_of_its_kind_alone_and_read_back(
    fact: Fact, fields: dict[str, Any], old: str
) -> None:
    written = json.loads(caption(fact).model_dump_json())["facts"][0]
    assert written == {**fields, "sentence": 2}
    assert Caption.model_validate_json(caption(fact).model_dump_json()).facts == (fact,)


@EVERY
def test_the_form_of_schema_version_5_is_read_as_the_same_fact(
    fact: Fact, fields: dict[str, Any], old: str
) -> None:
    before = {"kind": fields["kind"], "value": old, "sentence": 2}
    assert read_fact(before) == fact
    assert fact.text == old
    of_a_shard = {**caption().model_dump(mode="json"), "facts": [before]}
    assert Caption.model_validate_json(json.dumps(of_a_shard)).facts == (fact,)


def test_facts_of_all_kinds_come_back_from_one_table() -> None:
    facts = tuple(fact for fact, *_ in FORMS)
    table = pa.Table.from_pylist(
        [caption(*facts).model_dump(mode="json")], schema=arrow_schema(Caption)
    )
    assert Caption.model_validate(table.to_pylist()[0]).facts == facts


def test_the_features_of_a_shard_have_a_column_for_every_field_of_every_kind() -> None:
    sample: Any = sample_features()["json"]
    columns = sample["captions"]["feature"]["facts"]["feature"]
    written = [json.loads(fact.model_dump_json()) for fact, *_ in FORMS]
    assert set(columns) == {name for fact in written for name in fact}


def test_a_sample_of_a_shard_of_schema_version_5_is_read_with_its_facts() -> None:
    sample = our_sample()
    written = sample.model_dump(mode="json")
    written["schema_version"] = 5
    for one, plain in zip(sample.captions, written["captions"], strict=True):
        plain["facts"] = [
            {"kind": fact.kind.value, "value": fact.text, "sentence": fact.sentence}
            for fact in one.facts
        ]
    assert Sample.model_validate_json(json.dumps(written)) == sample.replaced(schema_version=5)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kind": "bpm", "value": "fast", "sentence": 0}, "bpm"),
        ({"kind": "chords", "value": "H:maj", "sentence": 0}, "not a note name"),
        ({"kind": "key", "value": "A flat", "sentence": 0}, "is not a"),
        (
            {"kind": "volume", "value": "11", "sentence": 0},
            "Input tag 'volume' .* does not match any of the expected tags",
        ),
        ({"kind": "bpm", "bpm": 120, "beats_per_bar": 3}, "Extra inputs"),
        ({"kind": "bpm", "bpm": float("nan")}, "finite"),
        ({"kind": "meter", "beats_per_bar": 4, "sentence": -1}, "greater than or equal to 0"),
        ({"bpm": 120}, "kind"),
        (["bpm", 120], "valid dictionary"),
    ],
)
def test_what_is_not_a_fact_is_refused(given: object, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        read_fact(given)


def test_facts_that_say_the_same_are_equal_at_the_same_sentence() -> None:
    assert BpmFact(bpm=98.4404) == BpmFact(bpm=98.44)
    assert ChordsFact(chords=("A#:maj",)) == ChordsFact(chords=("Bb:maj",))
    assert BpmFact(bpm=90).at(1) != BpmFact(bpm=90)
    assert len({BpmFact(bpm=90).at(1).at(0), BpmFact(bpm=90)}) == 1


def test_records_that_differ_in_a_field_have_no_columns_side_by_side() -> None:
    class Other(FactBase):
        bpm: str

    with pytest.raises(SchemaError, match="differ in `bpm`"):
        shape_of(BpmFact | Other)
