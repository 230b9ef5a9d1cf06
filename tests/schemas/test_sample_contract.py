"""The sample contract: its columns cover every field of a sample, at every depth, and hold its
values unchanged.
"""

from enum import Enum
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from pipelines.storage.store import arrow_schema
from schemas.caption import Caption
from schemas.controls import AudioControls
from schemas.corpus import Change, Clip, Guest, InputRow, Song, Source
from schemas.errors import SchemaError
from schemas.fact import FactKind
from schemas.labels import Beats, Chords, ChordSegment, KeyLabel, Meter, Tempo
from schemas.pseudo_label import PseudoLabel
from schemas.sample import Sample, sample_features
from schemas.shape import features_of, shape_of
from tests.support.fact_forms import one_of_each_kind

CLAIM: dict[str, Any] = {"confidence": 0.5, "tool": "t", "version": "1", "licence": "CC0-1.0"}
KEY = "00112233445566aa-0-10000"
CONTROLS = AudioControls(
    dynamics_db=(-20.5, -21.0), melody=(0, 12), loudness_lufs=-18.2, onsets_per_s=2.5,
    music_share=0.9, speech_share=0.1, noise_share=0.0, silence_share=0.0,
)  # fmt: skip
WIDTH = {"string": str, "float64": float, "int64": int, "bool": bool}


def sample() -> Sample:
    """A sample in which no list is empty and no value null."""
    return Sample(
        key=f"{KEY}-pu1",
        song_id=KEY[:16],
        clip_key=KEY,
        split="train",
        change=Change(variant="pu1", semitones=1),
        source=Source(uri="/a.wav", licence="CC0-1.0", title="♭", metadata='{"bpm": 3}'),
        start_s=0,
        end_s=10,
        duration_s=10,
        song_s=30,
        rate_hz=16_000,
        channels=1,
        beats=Beats(times_s=(0.5,), numbers=(1,), **CLAIM),
        meter=Meter(beats_per_bar=4, **CLAIM),
        tempo=Tempo(bpm=120, **CLAIM),
        chords=Chords(segments=(ChordSegment(start_s=0, end_s=10, label="C:maj"),), **CLAIM),
        key_label=KeyLabel(tonic=0, mode="major", **CLAIM),
        controls=CONTROLS,
        captions=(
            Caption(text="In C.", kind="control", sentences=("In C.",), facts=one_of_each_kind()),
        ),
        pseudo_labels=(
            PseudoLabel(
                text="A flute plays.",
                form="long",
                vocabulary="v",
                source="s",
                licence="CC0-1.0",
                rank=1,
                similarity=0.5,
                frequency=3,
                model="m 1",
                model_licence="Apache-2.0",
            ),
        ),
        guest=Guest(
            clip_key=KEY,
            source=Source(uri="/b.wav", licence="CC-BY-4.0"),
            start_s=10,
            end_s=20,
            speed=1.02,
            semitones=-1,
            offset_s=-0.25,
            share=0.4,
        ),
    )


def covers(features: Any, value: Any, at: str = "sample") -> None:
    """Every key of the value has a feature of its type, and every feature a key."""
    if isinstance(value, dict):
        assert set(features) == set(value), at
        for name, inner in value.items():
            covers(features[name], inner, f"{at}.{name}")
    elif isinstance(value, list):
        assert features["_type"] == "List", at
        assert value, f"{at} is empty: the test shows nothing"
        if at.endswith(".facts"):
            covers_facts(features["feature"], value, at)
        else:
            covers(features["feature"], value[0], at)
    else:
        assert features["_type"] == "Value", at
        assert isinstance(value, WIDTH[features["dtype"]]), at


def covers_facts(features: dict[str, Any], facts: list[dict[str, Any]], at: str) -> None:
    """Facts differ by their kind: each has features for all of its keys, and every feature is a key
    of a fact of some kind.
    """
    assert {fact["kind"] for fact in facts} == set(FactKind)
    assert set(features) == {name for fact in facts for name in fact}, at
    for fact in facts:
        covers({name: features[name] for name in fact}, fact, f"{at}.{fact['kind']}")


def test_features_cover_every_field_of_a_sample_with_its_type() -> None:
    covers(sample_features()["json"], sample().model_dump(mode="json"))


def test_features_name_the_shards_own_columns() -> None:
    assert set(sample_features()) == {"__key__", "__url__", "flac", "json"}


def test_every_field_is_written_even_where_it_is_empty() -> None:
    bare = sample().replaced(
        tempo=Tempo(**CLAIM), chords=Chords(**CLAIM), key_label=KeyLabel(**CLAIM), captions=()
    )
    full, empty = sample().model_dump(mode="json"), bare.model_dump(mode="json")
    assert full.keys() == empty.keys()
    assert full["tempo"].keys() == empty["tempo"].keys()
    assert (empty["tempo"]["bpm"], empty["key_label"]["tonic"], empty["captions"]) == (
        None,
        None,
        [],
    )


def test_only_a_mix_names_a_guest_and_states_both_sources() -> None:
    mix = sample()
    alone = mix.replaced(guest=None)
    assert mix.model_dump(mode="json").keys() - alone.model_dump(mode="json").keys() == {"guest"}
    assert "guest" not in alone.model_dump_json()
    assert [source.licence for source in mix.sources] == ["CC0-1.0", "CC-BY-4.0"]
    assert Sample.model_validate_json(alone.model_dump_json()) == alone


def test_labels_of_a_sample_are_its_own() -> None:
    labels = sample().labels
    assert (
        labels.duration_s,
        labels.key.tonic,
        labels.beats.times_s,
        labels.chords.segments[0].label,
    ) == (10.0, 0, (0.5,), "C:maj")


@pytest.mark.parametrize("kind", [Sample, Clip, InputRow])
def test_a_table_has_a_column_for_every_field(kind: type[Any]) -> None:
    assert arrow_schema(kind).names == list(kind.model_fields)


def test_a_sample_comes_back_from_a_table_unchanged() -> None:
    table = pa.Table.from_pylist([sample().model_dump(mode="json")], schema=arrow_schema(Sample))
    assert Sample.model_validate(table.to_pylist()[0]) == sample()


def test_empty_labels_have_the_same_columns_as_full_ones() -> None:
    bare = sample().replaced(chords=Chords(**CLAIM), captions=(), tempo=Tempo(**CLAIM))
    table = pa.Table.from_pylist([bare.model_dump(mode="json")], schema=arrow_schema(Sample))
    assert table.schema.field("captions").type == arrow_schema(Sample).field("captions").type
    assert Sample.model_validate(table.to_pylist()[0]) == bare


def test_controls_whose_curves_differ_in_length_are_refused_with_both_lengths() -> None:
    with pytest.raises(ValidationError, match="2 frames of dynamics but 1 of melody"):
        CONTROLS.replaced(melody=(0,))


def test_controls_whose_shares_are_not_of_one_whole_are_refused_with_their_sum() -> None:
    with pytest.raises(ValidationError, match=r"add up to 1\.2, not 1"):
        CONTROLS.replaced(noise_share=0.2)


@pytest.mark.parametrize(
    "fields",
    [
        {"melody": (0, 13)},
        {"dynamics_db": (0.1, 0.0)},
        {"dynamics_db": (-121.0, 0.0)},
        {"loudness_lufs": -71},
    ],
)
def test_controls_outside_their_scale_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CONTROLS.replaced(**fields)


def test_shapes_of_types() -> None:
    assert shape_of(tuple[float, ...]) == ["float"]
    assert shape_of(int | None) == "int"
    assert shape_of(Song) == {
        "song_id": "string",
        "rate_hz": "int",
        "channels": "int",
        "duration_s": "float",
    }
    assert features_of(tuple[bool, ...]) == {
        "feature": {"dtype": "bool", "_type": "Value"},
        "_type": "List",
    }


@pytest.mark.parametrize("annotation", [int | str, dict[str, str], object, complex])
def test_a_type_without_a_column_is_refused(annotation: Any) -> None:
    with pytest.raises(SchemaError, match="column type"):
        shape_of(annotation)


def test_a_clip_that_ends_before_it_starts_is_refused_with_its_times() -> None:
    song = Song(song_id=KEY[:16], rate_hz=44_100, channels=1, duration_s=20)
    with pytest.raises(
        ValidationError, match=r"start 5\.0 s, end 4\.0 s, extended end 6\.0 s must ascend"
    ):
        Clip(
            clip_key=KEY,
            song=song,
            source=Source(uri="a"),
            start_s=5,
            end_s=4,
            extended_end_s=6,
            split="train",
            group="g",
        )
    with pytest.raises(ValidationError, match=r"end 8\.0 s, extended end 6\.0 s must ascend"):
        Clip(
            clip_key=KEY,
            song=song,
            source=Source(uri="a"),
            start_s=5,
            end_s=8,
            extended_end_s=6,
            split="train",
            group="g",
        )


def test_enums_are_written_as_their_words() -> None:
    dumped = sample().model_dump(mode="json")
    assert not any(isinstance(value, Enum) for value in dumped.values())
    assert (dumped["split"], dumped["captions"][0]["kind"], dumped["key_label"]["mode"]) == (
        "train",
        "control",
        "major",
    )
