"""Agreement figures equal those worked out by hand."""

from typing import Any

import pytest

from pipelines.labels.agreement import agreement, f_measure, majmin_overlap, mean_agreement
from schemas.agreement import LabelAgreement
from schemas.labels import Beats, Chords, ChordSegment, KeyLabel, Labels, Meter, Tempo
from schemas.pitch import Key

CLAIM: dict[str, Any] = {"confidence": 1, "tool": "t", "version": "1", "licence": "CC0-1.0"}
# past the 5 s that mir_eval's own evaluation leaves out
BEATS_S = tuple(6.0 + 0.5 * beat for beat in range(8))


def chords(*spans: tuple[float, float, str]) -> Chords:
    return Chords(
        segments=tuple(
            ChordSegment(start_s=start, end_s=end, label=label) for start, end, label in spans
        ),
        **CLAIM,
    )


def labels(
    beats_s: tuple[float, ...] = BEATS_S,
    meter: int | None = 4,
    bpm: float | None = 120,
    key: str = "C major",
    spans: Chords | None = None,
) -> Labels:
    found = Key.parse(key) if key else None
    return Labels(
        duration_s=12,
        beats=Beats(
            times_s=beats_s, numbers=tuple(index % 4 + 1 for index in range(len(beats_s))), **CLAIM
        ),
        meter=Meter(beats_per_bar=meter, **CLAIM),
        tempo=Tempo(bpm=bpm, **CLAIM),
        chords=chords((0, 6, "C:maj"), (6, 12, "A:min")) if spans is None else spans,
        key=KeyLabel(tonic=found and found.tonic, mode=found and found.mode, **CLAIM),
    )


EMPTY = labels((), None, None, "", Chords(**CLAIM))


def test_equal_labels_agree_in_everything() -> None:
    assert agreement(labels(), labels()) == LabelAgreement(
        beats=1, downbeats=1, meter=1, tempo=1, chords=1, key=1
    )


def test_a_label_that_is_missing_is_a_miss_and_one_too_many_is_not_asked_for() -> None:
    assert agreement(labels(), EMPTY) == LabelAgreement(
        beats=0, downbeats=0, meter=0, tempo=0, chords=0, key=0
    )
    assert agreement(EMPTY, labels()) == LabelAgreement()


@pytest.mark.parametrize(
    ("estimate", "expected"),
    [
        (tuple(time + 0.069 for time in BEATS_S), 1.0),
        (tuple(time + 0.071 for time in BEATS_S), 0.0),
        (BEATS_S[:4], 2 / 3),  # precision 1, recall 1/2
        # precision 1/2, recall 1
        (tuple(sorted((*BEATS_S, *(time + 0.25 for time in BEATS_S)))), 2 / 3),
        ((*BEATS_S[:6], 9.3, 9.8), 0.75),  # six of eight both ways
    ],
)
def test_beats_count_within_70_ms(estimate: tuple[float, ...], expected: float) -> None:
    assert f_measure(BEATS_S, estimate) == pytest.approx(expected, abs=1e-9)


def test_beats_in_the_first_seconds_of_a_clip_count_too() -> None:
    """A clip is ten seconds long, and its first five are as good as the others."""
    assert f_measure((0.5, 1.0, 1.5, 2.0), (0.5, 1.0, 7.0, 8.0)) == pytest.approx(0.5)


def test_downbeats_are_compared_by_themselves() -> None:
    shifted = labels().replaced(beats=labels().beats.replaced(numbers=(2, 3, 4, 1, 2, 3, 4, 1)))
    found = agreement(labels(), shifted)
    assert (found.beats, found.downbeats) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("bpm", "right"),
    [(124.79, 1.0), (115.21, 1.0), (124.9, 0.0), (115.1, 0.0), (60.0, 0.0), (240.0, 0.0)],
)
def test_tempo_is_right_within_four_percent_and_octaves_are_not(bpm: float, right: float) -> None:
    assert agreement(labels(), labels(bpm=bpm)).tempo == right


def test_meter_and_key_are_right_or_wrong() -> None:
    assert agreement(labels(), labels(meter=3)).meter == 0
    assert agreement(labels(), labels(key="A minor")).key == 0
    assert agreement(labels(key="Ab major"), labels(key="G# major")).key == 1


@pytest.mark.parametrize(
    ("estimate", "share"),
    [
        (chords((0, 6, "C:maj7"), (6, 12, "A:min7")), 1.0),  # same root and third
        (chords((0, 6, "C:maj/3"), (6, 12, "A:dim")), 1.0),
        (chords((0, 9, "C:maj"), (9, 12, "A:min")), 0.75),
        (chords((0, 6, "C:min"), (6, 12, "A:maj")), 0.0),
        (chords((0, 3, "C:maj"), (3, 6, "N"), (6, 12, "A:min")), 0.75),
        (chords((0, 6, "C:maj")), 0.5),
        # what lies past the reference is not asked for
        (chords((0, 6, "C:maj"), (6, 12, "A:min"), (12, 30, "G:maj")), 1.0),
    ],
)
def test_chords_agree_over_their_share_of_time(estimate: Chords, share: float) -> None:
    assert majmin_overlap(labels().chords, estimate) == pytest.approx(share)


def test_time_without_a_chord_in_the_reference_is_left_out() -> None:
    reference = chords((0, 2, "N"), (2, 6, "C:maj"), (6, 12, "N"))
    assert majmin_overlap(reference, chords((0, 4, "C:maj"), (4, 12, "G:maj"))) == pytest.approx(
        0.5
    )
    assert majmin_overlap(chords((0, 12, "N")), chords((0, 12, "C:maj"))) is None


def test_means_leave_out_what_was_not_asked_for() -> None:
    rows = [
        LabelAgreement(beats=1.0, key=0.0),
        LabelAgreement(beats=0.5),
        LabelAgreement(meter=1.0),
    ]
    assert mean_agreement(rows) == LabelAgreement(beats=0.75, key=0.0, meter=1.0)
    assert mean_agreement([]) == LabelAgreement()
