"""Which clips can sound together, on grids whose fit is known by arithmetic."""

from collections.abc import Sequence
from typing import Any

import pytest

from pipelines.labels.pairing import Misfit, Pairing, paired, semitones_between, unsure
from pipelines.labels.transform import mixed_labels, tempo_bpm
from schemas.labels import Beats, Chords, ChordSegment, KeyLabel, Labels, Meter, Origin, Tempo
from schemas.pitch import Key
from schemas.recipe import MixRecipe

HOW: dict[str, Any] = {"tool": "t", "version": "1", "licence": "CC0"}
RECIPE = MixRecipe()


def labels(
    times_s: Sequence[float],
    first: int = 1,
    bar: int = 4,
    key: str = "C major",
    duration_s: float = 10.0,
    sure: float = 1.0,
) -> Labels:
    numbers = tuple((first - 1 + index) % bar + 1 for index in range(len(times_s)))
    tonality = Key.parse(key)
    return Labels(
        duration_s=duration_s,
        beats=Beats(
            times_s=tuple(round(time, 3) for time in times_s),
            numbers=numbers,
            confidence=sure,
            downbeat_confidence=sure,
            **HOW,
        ),
        meter=Meter(beats_per_bar=bar, confidence=sure, **HOW),
        tempo=Tempo(bpm=tempo_bpm(times_s), confidence=sure, **HOW),
        chords=Chords(confidence=sure, **HOW),
        key=KeyLabel(tonic=tonality.tonic, mode=tonality.mode, confidence=sure, **HOW),
    )


def grid(first_s: float, gap_s: float, end_s: float) -> list[float]:
    return [first_s + gap_s * index for index in range(int((end_s - first_s) / gap_s) + 1)]


HOST = labels(grid(0.2, 0.5, 9.9))  # 120 BPM, a bar at 0.2 s


def test_a_guest_is_brought_to_its_hosts_beats_bars_and_key() -> None:
    """At 110 BPM, in D, its first downbeat at 0.9 s: 12/11 as fast, two semitones lower."""
    gap_s = 60 / 110
    guest = labels(grid(0.9 - gap_s, gap_s, 12.4), first=4, key="D major", duration_s=12.5)
    fit = paired(HOST, guest, RECIPE)
    assert isinstance(fit, Pairing)
    assert fit.speed == pytest.approx(12 / 11, abs=2e-4)
    assert fit.semitones == -2
    # a downbeat of the guest falls on one of the host: 0.2 s, or whole bars of 2 s away from it
    bars = (fit.offset_s + 0.9 / fit.speed - 0.2) / 2.0
    assert bars == pytest.approx(round(bars), abs=0.002)
    assert fit.offset_s + 12.5 / fit.speed >= 9.9


@pytest.mark.parametrize(
    ("guest", "misfit"),
    [
        (labels(grid(0.2, 0.5, 9.9), bar=3), Misfit.METER),
        (labels(grid(0.2, 0.5, 9.9), key="E major"), Misfit.KEY),
        (labels(grid(0.2, 0.6, 9.9)), Misfit.TEMPO),
        # steadily slower: each beat is right on average, and none in the middle
        (labels([0.2 + 0.46 * n + 0.002 * n * n for n in range(19)]), Misfit.BEATS),
        (labels(grid(0.2, 0.5, 3.4)), Misfit.BEATS),  # too few
    ],
)
def test_what_does_not_fit_says_why(guest: Labels, misfit: Misfit) -> None:
    assert paired(HOST, guest, RECIPE) is misfit


def test_a_relative_key_is_as_good_as_the_same() -> None:
    assert semitones_between(Key.parse("A minor"), Key.parse("C major")) == 0
    assert semitones_between(Key.parse("C major"), Key.parse("B minor")) == 2
    assert semitones_between(Key.parse("B major"), Key.parse("C major")) == 1
    assert semitones_between(None, Key.parse("C major")) is None


def test_an_unsure_clip_says_which_label_is_unsure() -> None:
    assert unsure(HOST, RECIPE) == ""
    faint = labels(grid(0.2, 0.5, 9.9), sure=0.85)
    assert unsure(faint, RECIPE) == "confidence of beats 0.85, limit 0.9"
    unknown = HOST.replaced(key=KeyLabel(confidence=1, **HOW))
    assert unsure(unknown, RECIPE) == "no key"


def test_a_mix_has_its_hosts_labels_no_surer_than_its_guests_and_no_chords() -> None:
    guest = labels(grid(0.2, 0.52, 9.9), key="D major", sure=0.9)
    segments = (ChordSegment(start_s=0, end_s=10, label="C:maj"),)
    both = mixed_labels(HOST.replaced(chords=Chords(segments=segments, confidence=1, **HOW)), guest)
    assert (both.beats.times_s, both.key.key) == (HOST.beats.times_s, HOST.key.key)
    assert (both.beats.confidence, both.beats.downbeat_confidence) == (0.9, 0.9)
    assert {both.meter.origin, both.tempo.origin, both.beats.origin} == {Origin.MOVED}
    assert (both.chords.segments, both.chords.confidence) == ((), 0)


def test_a_mix_with_a_guest_in_the_relative_key_has_none() -> None:
    both = mixed_labels(HOST, labels(grid(0.2, 0.52, 9.9), key="F# minor"))
    assert (both.key.key, both.key.confidence) == (None, 0)
