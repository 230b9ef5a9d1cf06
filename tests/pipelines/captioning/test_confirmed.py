"""A text stays only with a sample whose own, sure labels say what it says."""

from typing import Any

import pytest

from pipelines.captioning.confirmed import unconfirmed
from schemas.corpus import Change
from schemas.labels import Beats, Chords, ChordSegment, KeyLabel, Labels, Meter, Tempo
from schemas.recipe import CaptionRecipe

ORIGINAL = Change()
VOLUME = Change(variant="v1", gain_start=0.2)


def labels(confidence: float = 0.9) -> Labels:
    claim: dict[str, Any] = {
        "confidence": confidence,
        "tool": "t",
        "version": "1",
        "licence": "CC0-1.0",
    }
    chords = tuple(
        ChordSegment(start_s=at, end_s=at + 2, label=label)
        for at, label in ((0, "A:min"), (2, "F:maj"), (4, "G:maj"))
    )
    return Labels(
        duration_s=6,
        beats=Beats(**claim),
        meter=Meter(beats_per_bar=3, **claim),
        tempo=Tempo(bpm=90, **claim),
        chords=Chords(segments=chords, **claim),
        key=KeyLabel(tonic=9, mode="minor", **claim),
    )


def denied(text: str, change: Change = ORIGINAL, confidence: float = 0.9) -> str | None:
    found = unconfirmed(text, labels(confidence), change, CaptionRecipe())
    return None if found is None else found.value


@pytest.mark.parametrize(
    "text",
    [
        "A sad flute.",
        "A waltz.",
        "It runs at 90 BPM.",
        "It is in A minor.",
        "The chords are Am, F, G.",
        "A song in a minor key.",
    ],
)
def test_what_the_labels_say_is_confirmed(text: str) -> None:
    assert denied(text) is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("It is in four four time.", "meter"),
        ("It runs at 120 BPM.", "bpm"),
        ("It is in C major.", "key"),
        ("The chords are F, Am, G.", "chords"),
        ("A flute enters at 3 seconds.", "time"),
    ],
)
def test_what_they_deny_or_do_not_know_is_not(text: str, kind: str) -> None:
    assert denied(text) == kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [("A waltz.", "meter"), ("It runs at 90 BPM.", "bpm"), ("It is in A minor.", "key")],
)
def test_a_label_that_is_not_sure_confirms_nothing(text: str, kind: str) -> None:
    assert denied(text, confidence=0.5) == kind


def test_dynamics_are_let_be_but_on_a_copy_whose_volume_was_changed() -> None:
    text = "The volume gradually increases, a crescendo."
    assert (denied(text), denied(text, VOLUME)) == (None, "dynamics")
