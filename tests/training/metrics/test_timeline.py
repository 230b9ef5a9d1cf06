"""What is heard against the asked timeline: figures of clips whose answers are known."""

import pytest
from pydantic import ValidationError

from schemas.controls import AudioControls
from tests.support.heard_labels import heard_labels, laid_out
from training.metrics.timeline import ChordRule, chord_overlap, dynamics_figures, event_f
from training.metrics.timeline_figures import (
    AskedTimeline,
    HeardTimeline,
    TimelineMetric,
    timeline_figures,
    timeline_scores,
)
from training.metrics.timing import AskedCurves, Timing, sounding_spans, timing_of

FOUR = laid_out(("C:maj", "A:min7", "F:maj", "G:7"))
BEATS = tuple(0.5 * at for at in range(16))
TRUE = heard_labels(FOUR, BEATS, bpm=120)
OVERLAPS = ("ROOT", "MAJMIN", "MAJMIN_INV", "SEVENTHS", "SEVENTHS_INV")


def overlaps(asked: Timing, heard: object) -> list[float | None]:
    scores = timeline_scores(AskedTimeline(asked), HeardTimeline(heard))  # type: ignore[arg-type]
    return [scores.get(TimelineMetric[name]) for name in OVERLAPS]


def test_a_clip_that_plays_its_own_labels_has_all_of_them() -> None:
    scores = timeline_scores(AskedTimeline(timing_of(TRUE), 120), HeardTimeline(TRUE))
    assert set(scores.values()) == {1.0}
    assert len(scores) == 11  # all but melody and dynamics, which nobody asked for


def test_chords_half_right_are_half() -> None:
    half = heard_labels(laid_out(("C:maj", "A:min7", "D:maj", "E:7")))
    assert overlaps(timing_of(TRUE), half) == [0.5] * 5


def test_chords_a_second_late_overlap_by_half_and_their_changes_are_missed() -> None:
    late = heard_labels(
        (("N", 0, 1), ("C:maj", 1, 3), ("A:min7", 3, 5), ("F:maj", 5, 7), ("G:7", 7, 8))
    )
    assert overlaps(timing_of(TRUE), late) == [0.5] * 5
    scores = timeline_scores(AskedTimeline(timing_of(TRUE)), HeardTimeline(late))
    assert scores[TimelineMetric.CHANGES] == 0
    near = heard_labels((("C:maj", 0, 2.2), ("A:min7", 2.2, 4.3), ("F:maj", 4.3, 8)))
    # of three asked changes one is within 0.25 s, and two are heard
    scores = timeline_scores(AskedTimeline(timing_of(TRUE)), HeardTimeline(near))
    assert scores[TimelineMetric.CHANGES] == pytest.approx(2 / 5)


def test_transposed_chords_share_nothing_and_each_rule_hears_as_much_as_it_says() -> None:
    transposed = heard_labels(laid_out(("Eb:maj", "C:min7", "Ab:maj", "Bb:7")))
    assert overlaps(timing_of(TRUE), transposed) == [0.0] * 5
    plain = heard_labels(laid_out(("C:maj/3", "A:min", "F:min", "G:maj")))
    # roots all; F minor has another third; of sevenths C alone; in inversion not its bass
    assert overlaps(timing_of(TRUE), plain) == [1.0, 0.75, 0.5, 0.25, 0.0]


def test_chords_that_a_rule_does_not_compare_are_not_counted() -> None:
    asked = timing_of(heard_labels(laid_out(("C:sus4", "G:maj"))))
    heard = sounding_spans(heard_labels(laid_out(("C:maj", "G:maj", "C:maj", "C:maj"))))
    spans = asked.chord_spans(8.0)
    assert chord_overlap(spans, heard, ChordRule.ROOT) == 1.0
    assert chord_overlap(spans, heard, ChordRule.MAJMIN) == 1.0  # of G alone
    assert chord_overlap(spans[:1], heard, ChordRule.MAJMIN) is None


def test_only_the_parts_that_are_asked_for_are_scored() -> None:
    first_half = ((0.0, 4.0),)
    asked = timing_of(TRUE).replaced(beats_known=first_half, chords_known=first_half)
    # right in the first half; then another tempo and other chords
    heard = heard_labels(
        (*FOUR[:2], ("E:maj", 4.0, 5.0), ("B:maj", 5.0, 8.0)), (*BEATS[:8], 4.3, 4.7, 5.1)
    )
    scores = timeline_scores(AskedTimeline(asked), HeardTimeline(heard))
    assert {scores[TimelineMetric[name]] for name in (*OVERLAPS, "BEATS", "CHANGES")} == {1.0}
    whole = timeline_scores(AskedTimeline(timing_of(TRUE)), HeardTimeline(heard))
    assert whole[TimelineMetric.MAJMIN] == 0.5
    assert whole[TimelineMetric.BEATS] == pytest.approx(2 * 8 / (16 + 11))
    with pytest.raises(ValidationError, match="not after its start at 2"):
        Timing(beats_known=((2.0, 1.0),))


def test_a_beat_beside_the_edge_of_what_is_asked_for_counts_where_it_answers_one() -> None:
    assert event_f((3.99,), (4.03,), known=((0.0, 4.0),)) == 1.0
    assert event_f((3.0,), (3.0, 4.03), known=((0.0, 4.0),)) == 1.0


def test_beats_shifted_by_more_than_70_ms_are_missed() -> None:
    asked = AskedTimeline(timing_of(TRUE))
    for shift_s, expected in ((0.06, 1.0), (0.08, 0.0)):
        heard = heard_labels((), [time_s + shift_s for time_s in BEATS])
        assert timeline_scores(asked, HeardTimeline(heard))[TimelineMetric.BEATS] == expected
    twice = heard_labels((), [0.25 * at for at in range(32)])
    found = timeline_scores(asked, HeardTimeline(twice))[TimelineMetric.BEATS]
    assert found == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("heard_bpm", "first", "second", "folded"),
    [(123, 1, 1, 0.976), (240, 0, 1, 1), (40, 0, 1, 0.75), (160, 0, 0, 0.75), (None, 0, 0, 0)],
)
def test_tempo_by_mirex(heard_bpm: float | None, first: int, second: int, folded: float) -> None:
    scores = timeline_scores(
        AskedTimeline(Timing(), 120), HeardTimeline(heard_labels(bpm=heard_bpm))
    )
    assert (scores[TimelineMetric.TEMPO_1], scores[TimelineMetric.TEMPO_2]) == (first, second)
    assert scores[TimelineMetric.TEMPO_FOLDED] == pytest.approx(folded, abs=1e-3)


def sound(dynamics_db: tuple[float, ...], melody: tuple[int, ...]) -> AudioControls:
    return AudioControls(
        dynamics_db=dynamics_db,
        melody=melody,
        loudness_lufs=-20,
        onsets_per_s=1,
        music_share=1,
        speech_share=0,
        noise_share=0,
        silence_share=0,
    )


def test_curves_are_scored_where_they_are_asked_for() -> None:
    curves = AskedCurves(dynamics_db=(-30.0, -20.0, -10.0, None, None), melody=(0, 4, None, 12, 7))
    heard = sound((-40.0, -30.0, -20.0, 0.0, -60.0), (0, 5, 5, 5, 7))
    scores = timeline_scores(
        AskedTimeline(Timing(), curves=curves), HeardTimeline(heard_labels(), heard)
    )
    assert scores == {
        TimelineMetric.MELODY: pytest.approx(2 / 3),
        TimelineMetric.DYNAMICS: 1.0,
        TimelineMetric.DYNAMICS_ERROR: 10.0,
        TimelineMetric.DYNAMICS_SHAPE: 0.0,
    }


def test_dynamics_of_an_even_sound_do_not_follow_and_even_ones_are_not_correlated() -> None:
    even = dynamics_figures((-20.0, -10.0, -20.0), (-20.0, -20.0, -20.0))
    assert even is not None
    assert even.correlation == 0
    asked_even = dynamics_figures((-20.0, -20.0, -20.0), (-20.0, -10.0, -20.0))
    assert asked_even is not None
    assert asked_even.correlation is None
    silent = dynamics_figures((-20.0,), (-120.0,))
    assert silent is not None
    assert silent.error_db == 40  # as if it were at -60 dB
    assert dynamics_figures((None, None), (-20.0, -20.0)) is None


def test_figures_stand_beside_what_other_clips_get() -> None:
    other = heard_labels(laid_out(("E:maj", "B:maj", "C#:min", "F#:min")), BEATS, bpm=120)
    pairs = [(AskedTimeline(timing_of(one), 120), HeardTimeline(one)) for one in (TRUE, other)]
    found = {one.name: one for one in timeline_figures(pairs)}
    overlap = found["chord overlap, majmin"]
    assert (overlap.value, overlap.chance, overlap.clips) == (1.0, 0.0, 2)
    assert (found["beat F"].value, found["beat F"].chance) == (1.0, 1.0)
    assert "melody accuracy" not in found
