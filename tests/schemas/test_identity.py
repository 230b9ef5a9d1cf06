"""Keys, buckets and variants have one spelling each, the same on every machine."""

import pytest
from pydantic import TypeAdapter, ValidationError

from schemas.errors import SchemaError
from schemas.identity import (
    Bucket,
    ClipKey,
    SampleKey,
    SongId,
    Split,
    VariantKind,
    clip_key,
    sample_key,
    stable_hash,
    variant_kind,
    variant_semitones,
)

SONG = "00112233445566aa"


def test_a_clip_key_holds_song_start_and_length_in_whole_milliseconds() -> None:
    assert clip_key(SONG, 12.3456, 9.9996) == f"{SONG}-12346-10000"
    assert TypeAdapter(ClipKey).validate_python(clip_key(SONG, 0.0, 0.5)) == f"{SONG}-0-500"


def test_a_sample_key_adds_the_variant_and_reads_as_one() -> None:
    clip = clip_key(SONG, 10.0, 10.0)
    for variant in ("orig", "pd3", "pu1", "s4", "v1", "pu12", "m2"):
        assert (
            TypeAdapter(SampleKey).validate_python(sample_key(clip, variant))
            == f"{SONG}-10000-10000-{variant}"
        )


@pytest.mark.parametrize(
    "variant", ["", "ORIG", "pd0", "p1", "s", "s0", "v01", "orig ", "orig\n", "x1", "pd-1", "m0"]
)
def test_a_name_that_is_no_variant_is_refused_by_name(variant: str) -> None:
    with pytest.raises(SchemaError) as refused:
        sample_key(clip_key(SONG, 0, 10), variant)
    assert repr(variant) in str(refused.value)


@pytest.mark.parametrize(
    ("variant", "kind", "semitones"),
    [
        ("orig", "original", 0),
        ("pd3", "pitch", -3),
        ("pu2", "pitch", 2),
        ("s1", "speed", 0),
        ("v1", "volume", 0),
        ("m1", "mix", 0),
        ("pu12", "pitch", 12),
    ],
)
def test_a_variants_name_says_what_was_changed(variant: str, kind: str, semitones: int) -> None:
    assert (variant_kind(variant), variant_semitones(variant)) == (VariantKind(kind), semitones)


@pytest.mark.parametrize(
    "text", ["00112233445566A0", "0011", f"{SONG}0", "../../etc/passwd..", f"{SONG}\n"]
)
def test_a_song_id_is_sixteen_lower_case_hex_digits(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(SongId).validate_python(text)


def test_the_hash_is_the_same_on_every_machine_and_tells_parts_apart() -> None:
    # BLAKE2b-64 of 61 1F 31
    assert stable_hash("a", 1) == stable_hash("a", "1") == 0x8181C16B4AD83CC1
    assert stable_hash("ab", "c") != stable_hash("a", "bc")
    assert 0 <= stable_hash("\udcff") < 2**64


@pytest.mark.parametrize("split", Split)
@pytest.mark.parametrize("generation", [0, 1, 9999])
def test_a_buckets_name_reads_back(split: Split, generation: int) -> None:
    bucket = Bucket(split=split, number=123, generation=generation)
    assert Bucket.parse(bucket.name) == bucket


def test_known_bucket_names() -> None:
    assert Bucket(split=Split.VALIDATION, number=0).name == "validation-00000"
    assert Bucket(split=Split.TRAIN, number=7, generation=1).name == "train-g0001-00007"


@pytest.mark.parametrize(
    "name",
    [
        "train",
        "train-7",
        "eval-00000",
        "train-00000.tar",
        "train-g1-00000",
        "../train-00000",
        "train-00000\n",
    ],
)
def test_what_is_no_bucket_is_refused_by_name(name: str) -> None:
    with pytest.raises(SchemaError) as refused:
        Bucket.parse(name)
    assert repr(name) in str(refused.value)
