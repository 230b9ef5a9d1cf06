"""Each edit gives the label that a musician would expect."""

from typing import Any, Final

import pytest

from pipelines.labels.corrected import corrected, folded, only_heard
from pipelines.labels.edits import Corrector, correction, parsed_edit
from pipelines.labels.transform import variant_labels
from schemas.corpus import Change
from schemas.errors import SchemaError
from schemas.labels import (
    Beats,
    Chords,
    ChordSegment,
    Correction,
    KeyLabel,
    Labels,
    Meter,
    Origin,
    Tempo,
)

BY: Final = Corrector("ann", "2026-11-29T12:00:00Z", "CC0-1.0")
CLIP: Final = "00112233445566aa-0-8000"
HOW: Final[dict[str, Any]] = {"confidence": 0.4, "tool": "t", "version": "1", "licence": "CC0"}


def labels() -> Labels:
    """Ten seconds at 60 BPM in 4/4, the second beat a downbeat; Am, F from 4 s, C from 8 s."""
    names = [("A:min", 0, 4), ("F:maj", 4, 8), ("C:maj", 8, 10)]
    return Labels(
        duration_s=10,
        beats=Beats(
            times_s=tuple(0.5 + beat for beat in range(10)),
            numbers=tuple((beat + 3) % 4 + 1 for beat in range(10)),
            **HOW,
        ),
        meter=Meter(beats_per_bar=4, **HOW),
        tempo=Tempo(bpm=60, **HOW),
        chords=Chords(
            segments=tuple(ChordSegment(label=name, start_s=a, end_s=b) for name, a, b in names),
            **HOW,
        ),
        key=KeyLabel(tonic=0, mode="major", **HOW),
    )


def edited(**edit: Any) -> Labels:
    return corrected(labels(), correction(CLIP, labels(), parsed_edit(edit), BY))


def test_twice_as_fast_has_a_beat_between_each_two_and_keeps_the_downbeats() -> None:
    found = edited(kind="doubled").beats
    assert found.times_s[:5] == (0.5, 1.0, 1.5, 2.0, 2.5)
    assert found.numbers[:8] == (3, 4, 1, 2, 3, 4, 1, 2)
    assert set(labels().beats.downbeats_s) <= set(found.downbeats_s)


def test_half_as_fast_keeps_the_beats_that_have_the_downbeats() -> None:
    found = edited(kind="halved").beats
    assert found.times_s == (1.5, 3.5, 5.5, 7.5, 9.5)
    assert found.numbers == (1, 2, 3, 4, 1)


def test_twice_and_half_give_the_beats_back() -> None:
    fast = edited(kind="doubled")
    back = correction(CLIP, fast, parsed_edit({"kind": "halved"}), BY).beats
    assert back is not None
    assert back.times_s == labels().beats.times_s


def test_another_beat_is_the_one() -> None:
    assert edited(kind="one", beat=2).beats.numbers[:7] == (3, 4, 1, 2, 3, 4, 1)


def test_bars_of_three_begin_where_the_first_bar_did() -> None:
    found = edited(kind="meter", beats_per_bar=3)
    assert found.beats.numbers[:5] == (3, 1, 2, 3, 1)
    assert found.meter.beats_per_bar == 3
    assert found.meter.origin is Origin.CORRECTED


def test_taps_make_even_beats_through_the_whole_from_a_one_on() -> None:
    found = edited(kind="tapped", taps_s=[2.02, 2.49, 3.0, 3.51, 4.5, 4.99])  # one left out
    gaps = [b - a for a, b in zip(found.beats.times_s, found.beats.times_s[1:], strict=False)]
    assert all(gap == pytest.approx(0.498, abs=0.003) for gap in gaps)
    assert len(found.beats.times_s) == 21
    assert found.beats.downbeats_s[1] == pytest.approx(2.0, abs=0.02)


@pytest.mark.parametrize(
    ("taps", "said"),
    [
        ([1, 1.5, 2], "taps_s"),
        ([1, 1.5, 1.5, 2], "at least 4"),
        ([1, 1.05, 1.1, 1.15], "BPM were tapped"),
        ([1, 1.5, 2.2, 2.45, 3.3, 3.6], "not even"),
    ],
)
def test_taps_that_are_no_beats_are_refused(taps: list[float], said: str) -> None:
    with pytest.raises(SchemaError, match=said):
        edited(kind="tapped", taps_s=taps)


def test_a_boundary_moves_and_both_chords_keep_a_moment() -> None:
    segments = edited(kind="boundary", index=1, to_s=3.25).chords.segments
    assert [(one.start_s, one.end_s) for one in segments] == [(0, 3.25), (3.25, 8), (8, 10)]
    segments = edited(kind="boundary", index=2, to_s=99).chords.segments
    assert segments[2].start_s == 9.95


def test_a_chord_is_named_as_lead_sheets_do_and_one_becomes_two() -> None:
    assert edited(kind="chord", index=1, label="Dm7/A").chords.segments[1].label == "D:min7/5"
    segments = edited(kind="split", at_s=5).chords.segments
    assert [one.start_s for one in segments] == [0, 4, 5, 8]


@pytest.mark.parametrize(
    "edit",
    [
        {"kind": "boundary", "index": 3, "to_s": 1},
        {"kind": "chord", "index": 7, "label": "C"},
        {"kind": "chord", "index": 0, "label": "H13<script>"},
        {"kind": "split", "at_s": 4.01},
        {"kind": "one", "beat": 10},
        {"kind": "key", "key": "H major"},
        {"kind": "withdrawn", "parts": ["who"]},
        {"kind": "another"},
        {"kind": "doubled", "more": 1},
        [],
        None,
    ],
)
def test_what_cannot_be_done_is_refused(edit: Any) -> None:
    with pytest.raises(SchemaError):
        correction(CLIP, labels(), parsed_edit(edit), BY)


def test_what_was_set_right_is_sure_says_who_and_moves_with_the_audio() -> None:
    found = edited(kind="key", key="A minor")
    assert (found.key.confidence, found.key.tool) == (1.0, "review by ann")
    assert (found.key.version, found.key.licence) == (BY.when, "CC0-1.0")
    moved = variant_labels(found, 8.0, Change(variant="pu2", semitones=2), 8.0)
    assert (moved.key.tonic, moved.key.origin) == (11, Origin.CORRECTED)
    assert moved.chords.origin is Origin.MOVED


def test_labels_that_are_right_stay_and_are_sure() -> None:
    found = edited(kind="confirmed")
    assert found.beats.times_s == labels().beats.times_s
    assert (found.beats.downbeat_confidence, found.tempo.confidence) == (1.0, 1.0)
    assert found.key.key == labels().key.key
    assert found.chords.segments == labels().chords.segments
    assert found.chords.origin is found.key.origin is Origin.CORRECTED
    silent = labels().replaced(chords=Chords(**HOW))
    said = correction(CLIP, silent, parsed_edit({"kind": "confirmed"}), BY)
    assert said.chords is None


def test_the_last_that_was_set_holds_and_the_rest_stays() -> None:
    kinds: list[Any] = [
        {"kind": "key", "key": "A minor"},
        {"kind": "doubled"},
        {"kind": "key", "key": "E minor"},
    ]
    edits = [correction(CLIP, labels(), parsed_edit(kind), BY) for kind in kinds]
    found = folded(edits)[CLIP]
    assert found.key is not None
    assert found.beats is not None
    assert found.key.tonic == 4
    withdrawn = Correction(clip_key=CLIP, who="bob", when="", withdrawn=("beats", "meter"))
    assert folded([*edits, withdrawn])[CLIP].beats is None
    assert folded([*edits, withdrawn])[CLIP].key == found.key


def test_what_was_set_right_is_not_held_against_what_is_heard_again() -> None:
    found = only_heard(edited(kind="doubled"))
    assert (found.beats.times_s, found.tempo.bpm, found.meter.beats_per_bar) == ((), None, None)
    assert found.chords == labels().chords
