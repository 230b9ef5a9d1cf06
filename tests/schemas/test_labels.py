"""Labels refuse what cannot be true of audio, and say which values were wrong."""

from typing import Any

import pytest
from pydantic import ValidationError

from schemas.labels import Beats, Chords, ChordSegment, KeyLabel, Labels, Measures, Meter, Tempo

CLAIM: dict[str, Any] = {"confidence": 0.5, "tool": "t", "version": "1", "licence": "CC0-1.0"}


def segment(start_s: float, end_s: float, label: str = "C:maj") -> ChordSegment:
    return ChordSegment(start_s=start_s, end_s=end_s, label=label)


def test_downbeats_are_the_beats_numbered_one() -> None:
    beats = Beats(times_s=(0.25, 0.75, 1.25, 1.75, 2.25), numbers=(3, 1, 2, 3, 1), **CLAIM)
    assert beats.downbeats_s == (0.75, 2.25)


@pytest.mark.parametrize(
    ("times_s", "numbers", "said"),
    [
        ((0.5, 1.0), (1,), "2 beat times but 1 beat numbers"),
        ((0.5, 0.5), (1, 2), "must ascend"),
        ((1.0, 0.5), (1, 2), "must ascend"),
        ((0.5, 1.0), (0, 1), "start at 1"),
        ((-0.1,), (1,), "greater than or equal to 0"),
        ((float("nan"),), (1,), "finite"),
        ((float("inf"),), (1,), "finite"),
    ],
)
def test_beats_that_cannot_be_are_refused(
    times_s: tuple[float, ...], numbers: tuple[int, ...], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        Beats(times_s=times_s, numbers=numbers, **CLAIM)


def test_a_chord_that_ends_before_it_starts_is_refused_with_both_times() -> None:
    with pytest.raises(
        ValidationError, match=r"chord C:maj ends at 1\.5 s, not after its start at 2\.0 s"
    ):
        segment(2.0, 1.5)
    with pytest.raises(ValidationError, match="not after its start"):
        segment(2.0, 2.0)


def test_a_chord_outside_the_vocabulary_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="'C:sus9'"):
        segment(0.0, 1.0, "C:sus9")


def test_no_chord_is_a_segment_without_a_chord() -> None:
    assert segment(0.0, 1.0, "N").chord is None
    found = segment(0.0, 1.0, "Bb:min7").chord
    assert found is not None
    assert (found.root, found.quality) == (10, "min7")


@pytest.mark.parametrize("start_s", [0.9, 1.1])
def test_chords_with_a_gap_or_an_overlap_are_refused_with_both_times(start_s: float) -> None:
    with pytest.raises(
        ValidationError, match=rf"one ends at 1\.0 s, the next starts at {start_s} s"
    ):
        Chords(segments=(segment(0.0, 1.0), segment(start_s, 2.0)), **CLAIM)


@pytest.mark.parametrize("half", [{"tonic": 3}, {"mode": "minor"}])
def test_half_a_key_is_refused(half: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="both tonic and mode, or neither"):
        KeyLabel(**half, **CLAIM)


@pytest.mark.parametrize("confidence", [-0.01, 1.01, float("nan")])
def test_confidence_lies_in_0_to_1(confidence: float) -> None:
    with pytest.raises(ValidationError, match="confidence"):
        Tempo(**{**CLAIM, "confidence": confidence})


@pytest.mark.parametrize(
    "make",
    [
        lambda: Meter(beats_per_bar=0, **CLAIM),
        lambda: Tempo(bpm=0, **CLAIM),
        lambda: Tempo(bpm=-90, **CLAIM),
    ],
)
def test_meter_and_tempo_are_positive(make: Any) -> None:
    with pytest.raises(ValidationError, match="greater than"):
        make()


def test_labels_are_frozen_and_refuse_extra_keys() -> None:
    tempo = Tempo(bpm=100, **CLAIM)
    with pytest.raises(ValidationError, match="frozen"):
        tempo.bpm = 50  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        Tempo.model_validate({"bpm": 100, "BPM": 100, **CLAIM})


def test_a_replaced_field_is_validated_and_leaves_the_original_alone() -> None:
    beats = Beats(times_s=(0.5, 1.0), numbers=(1, 2), **CLAIM)
    assert beats.replaced(times_s=(0.4, 0.8)).times_s == (0.4, 0.8)
    assert beats.times_s == (0.5, 1.0)
    with pytest.raises(ValidationError, match="must ascend"):
        beats.replaced(times_s=(1.0, 0.5))


def test_labels_of_no_audio_and_shares_above_one_are_refused() -> None:
    empty = {
        "beats": Beats(**CLAIM),
        "meter": Meter(**CLAIM),
        "tempo": Tempo(**CLAIM),
        "chords": Chords(**CLAIM),
        "key": KeyLabel(**CLAIM),
    }
    with pytest.raises(ValidationError, match="duration_s"):
        Labels(duration_s=0, **empty)
    with pytest.raises(ValidationError, match="silent_share"):
        Measures(peak=1, rms_db=-6, silent_share=1.1, clipped_share=0, downmix="none")
