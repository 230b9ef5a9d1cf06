"""Captions of mixes say what is true of both, and of each only as its own."""

from typing import Any

from pipelines.captioning.check import contradiction
from pipelines.captioning.facts import parse_facts
from pipelines.captioning.two_sources import joined_sources
from schemas.corpus import Guest, Source
from schemas.labels import Beats, Chords, KeyLabel, Labels, Meter, Tempo
from schemas.recipe import CaptionRecipe

HOW: dict[str, Any] = {"confidence": 1, "tool": "t", "version": "1", "licence": "CC0"}
LABELS = Labels(
    duration_s=10,
    beats=Beats(**HOW),
    meter=Meter(beats_per_bar=4, **HOW),
    tempo=Tempo(bpm=120, **HOW),
    chords=Chords(**HOW),
    key=KeyLabel(tonic=0, mode="major", **HOW),
)
GUEST = Guest(
    clip_key="00112233445566aa-0-10000",
    source=Source(uri="b.wav"),
    start_s=0,
    end_s=10,
    speed=1.2,
    semitones=-2,
    offset_s=0,
    share=0.5,
)


def joined(host: tuple[str, ...], guest: tuple[str, ...]) -> tuple[str, ...]:
    return joined_sources(host, guest, GUEST, LABELS, CaptionRecipe())


def test_each_source_speaks_of_its_own() -> None:
    assert joined(("A sad flute solo.",), ("Happy drums.",)) == (
        "Two pieces of music sound together. One of them: A sad flute solo. "
        "The other: Happy drums.",
    )


def test_what_the_guest_says_moves_with_it_and_what_labels_do_not_confirm_is_left_out() -> None:
    [text] = joined(
        ("A flute. It is in C major. It is in 3/4.",),
        ("Drums at 100 BPM. It is in D major. A choir gets louder and louder.",),
    )
    assert "One of them: A flute. It is in C major." in text
    assert "The other: Drums at 120 BPM. It is in C major." in text
    assert "3/4" not in text
    assert "louder" not in text
    assert not [fact for fact in parse_facts(text) if contradiction(fact, LABELS)]


def test_without_words_there_is_no_caption() -> None:
    assert joined((), ()) == ()
    assert joined((), ("Drums.",)) == ("Two pieces of music sound together. One of them: Drums.",)
    assert parse_facts("Two pieces of music sound together. One of them: A. The other: B.") == ()
