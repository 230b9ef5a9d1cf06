"""Facts against labels, and against each other."""

import pytest

from pipelines.captioning.check import contradiction, disagree
from schemas.chord import NO_CHORD
from schemas.fact import Fact
from schemas.labels import Beats, Chords, ChordSegment, KeyLabel, Labels, Meter, Tempo
from schemas.pitch import Mode
from tests.support.fact_forms import fact_of

HOW = {"confidence": 0.9, "tool": "test", "version": "1", "licence": "CC0"}
SEGMENTS = tuple(
    ChordSegment(start_s=at, end_s=at + 1, label=label)
    for at, label in enumerate(["A:min", "A:min", NO_CHORD, "A#:maj", "C:maj/3"])
)
FULL = Labels(
    duration_s=10,
    beats=Beats(**HOW),
    meter=Meter(beats_per_bar=3, **HOW),
    tempo=Tempo(bpm=100, **HOW),
    chords=Chords(segments=SEGMENTS, **HOW),
    key=KeyLabel(tonic=8, mode=Mode.MINOR, **HOW),
)
EMPTY = Labels(
    duration_s=10,
    beats=Beats(**HOW),
    meter=Meter(**HOW),
    tempo=Tempo(**HOW),
    chords=Chords(**HOW),
    key=KeyLabel(**HOW),
)


def fact(text: str) -> Fact:
    kind, _, value = text.partition("=")
    return fact_of(kind, value)


@pytest.mark.parametrize(
    "text",
    [
        "bpm=104",
        "bpm=96",
        "tempo_word=andante",
        "tempo_word=moderato",
        "tempo_word=medium",
        "tempo_word=slow",
        "meter=3",
        "key=Ab minor",
        "key=G# minor",
        "key=minor",
        "chords=A:min Bb:maj C:maj/3",
        "chords=A:min A:min Bb:maj C:maj/3",
        "dynamics=crescendo",
        "time=9.5",
        "timed_chords=A:min@0 Bb:maj@3 C:maj/3@4",
        "timed_chords=A:min@0.1 A#:maj@2.9 C:maj/3@4.15",
    ],
)
def test_what_the_labels_allow_is_no_contradiction(text: str) -> None:
    assert not contradiction(fact(text), FULL)


@pytest.mark.parametrize(
    "text",
    [
        "bpm=105",
        "bpm=50",
        "bpm=200",
        "tempo_word=allegro",
        "tempo_word=largo",
        "meter=4",
        "meter=6",
        "key=B major",
        "key=major",
        "chords=A:min Bb:maj",
        "chords=A:min Bb:maj C:maj",
        "time=11",
        "timed_chords=A:min@0 Bb:maj@3.2 C:maj/3@4",
        "timed_chords=A:min@0 C:maj/3@4",
    ],
)
def test_half_tempo_relative_key_and_other_orders_of_chords_contradict(text: str) -> None:
    assert contradiction(fact(text), FULL)


@pytest.mark.parametrize(
    "text", ["bpm=50", "tempo_word=largo", "meter=4", "key=B major", "chords=A:min"]
)
def test_a_missing_label_contradicts_nothing(text: str) -> None:
    assert not contradiction(fact(text), EMPTY)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("tempo_word=slow", "bpm=140", True),
        ("bpm=92", "tempo_word=slow", False),
        ("tempo_word=fast", "tempo_word=largo", True),
        ("tempo_word=fast", "tempo_word=allegro", False),
        ("meter=3", "meter=4", True),
        ("key=minor", "key=A minor", False),
        ("key=minor", "key=A major", True),
        ("key=Ab minor", "key=G# minor", False),
        ("meter=3", "key=A minor", False),
        ("time=3", "time=4", False),
        ("timed_chords=A:min@0 F:maj@2", "chords=A:min F:maj", False),
        ("timed_chords=A:min@0 F:maj@2", "chords=F:maj A:min", True),
        ("timed_chords=A:min@0 F:maj@2", "timed_chords=A:min@0 F:maj@2.1", False),
        ("timed_chords=A:min@0 F:maj@2", "timed_chords=A:min@0 F:maj@3", True),
    ],
)
def test_two_facts_disagree_only_where_both_cannot_hold(
    one: str, other: str, expected: bool
) -> None:
    assert disagree(fact(one), fact(other)) is expected
    assert disagree(fact(other), fact(one)) is expected
