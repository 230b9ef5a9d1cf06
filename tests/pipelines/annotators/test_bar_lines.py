"""Beats are read again with harmony as evidence: meter, bar lines, and the octave of the tempo."""

import numpy as np
import pytest
import torch

from pipelines.annotators.bar_lines import _barred, bars
from pipelines.annotators.bar_net import FEATURES, Accents, BarLogits, bar_features
from pipelines.annotators.bar_tracker import Tracked
from pipelines.annotators.harmony import NO_CHORD_CLASS, HarmonyActivations
from pipelines.annotators.tempo_octave import faintness, is_half, is_too_fast


def accents(beats_s: np.ndarray, numbers: np.ndarray, seconds: float) -> Accents:
    """Activations as madmom gives them for clear beats."""
    frames = np.zeros((round(seconds * 100), 2), np.float32) + 0.005
    flux = np.full((len(frames), 5), 0.01, np.float32)
    for time, number in zip(beats_s, numbers, strict=True):
        place = round(time * 100)
        frames[place] = (0.05, 0.9) if number == 1 else (0.8, 0.1)
        flux[place] = 0.4
    return Accents(frames, flux)


def harmony(changes_s: np.ndarray, seconds: float) -> HarmonyActivations:
    """A chord on another root after each change."""
    frames = round(seconds * 10)
    chord, bass = np.full((frames, NO_CHORD_CLASS + 1), 1e-4), np.full((frames, 13), 1e-3)
    number = np.searchsorted(np.round(changes_s * 10), np.arange(frames), side="right")
    for frame, place in enumerate(number):
        chord[frame, place * 5 % 12 * 13] = 0.98
        bass[frame, place * 5 % 12] = 0.98
    change = np.zeros(frames)
    change[np.round(changes_s * 10).astype(int).clip(0, frames - 1)] = 0.9
    return HarmonyActivations(np.log(chord), np.log(bass), change, np.full(24, np.log(1 / 24)))


def paths(beats_s: np.ndarray, numbers: np.ndarray) -> dict[int, Tracked]:
    """One path, as likely as can be."""
    return {4: Tracked(np.column_stack([beats_s, numbers]).reshape(-1, 2), {4: 0.0})}


def bar_logits(downbeat: np.ndarray, meters: tuple[float, ...]) -> BarLogits:
    """What a network says that is this sure of each beat, and of two, three and four beats in a
    bar.
    """
    return BarLogits(torch.tensor(downbeat)[None], torch.tensor(meters).log()[None], torch.zeros(1))


@pytest.mark.parametrize(("meter", "first"), [(3, 0), (3, 2), (4, 1), (4, 3)])
def test_the_bar_lines_fall_where_the_logits_are(meter: int, first: int) -> None:
    logits = np.where((np.arange(16) - first) % meter == 0, 3.0, -3.0)
    found = _barred(np.arange(0, 8, 0.5), bar_logits(logits, (0.2, 0.4, 0.4)), (3, 4))
    assert found.beats_per_bar == meter
    assert np.flatnonzero(found.numbers == 1).tolist() == list(range(first, 16, meter))
    assert found.meter > 0.99
    assert found.place > 0.99


def test_where_nothing_tells_the_beats_apart_no_place_is_surer_than_another() -> None:
    found = _barred(np.arange(0, 6, 0.5), bar_logits(np.zeros(12), (1 / 3, 1 / 3, 1 / 3)), (3, 4))
    assert found.place == pytest.approx(1 / found.beats_per_bar)
    assert found.meter == pytest.approx(found.beats_per_bar / 7)


@pytest.mark.parametrize("meter", [3, 4])
def test_accents_and_chord_changes_that_agree_give_meter_and_downbeats(meter: int) -> None:
    times, numbers = np.arange(20) * 0.6 + 0.3, np.arange(20) % meter + 1
    found = bars(
        paths(times, numbers),
        accents(times, numbers, 12.5),
        harmony(times[numbers == 1], 12.5),
        (3, 4),
    )
    assert found is not None
    assert found.beats_per_bar == meter
    assert found.numbers.tolist() == numbers.tolist()
    assert found.right > 0


def test_harmony_alone_can_move_a_bar_line() -> None:
    times = np.arange(20) * 0.6 + 0.3
    even = np.full(20, 2)  # every beat sounds alike
    tracked = np.arange(20) % 4 + 1  # and the tracker numbers them from the first
    changes = times[2::4]
    found = bars(paths(times, tracked), accents(times, even, 12.5), harmony(changes, 12.5), (3, 4))
    assert found is not None
    assert found.times_s[found.numbers == 1].tolist() == changes.tolist()


def test_of_two_paths_the_one_whose_beats_sound_is_read() -> None:
    true_s, false_s = np.arange(20) * 0.6 + 0.3, np.arange(15) * 0.8 + 0.3
    both = {
        3: Tracked(np.column_stack([false_s, np.arange(15) % 3 + 1]), {3: 0.0}),
        4: Tracked(np.column_stack([true_s, np.arange(20) % 4 + 1]), {4: -3.0}),
    }
    found = bars(
        both, accents(true_s, np.arange(20) % 4 + 1, 12.5), harmony(true_s[::4], 12.5), (3, 4)
    )
    assert found is not None
    assert found.times_s.tolist() == true_s.tolist()


def test_features_are_finite_at_the_edges_and_of_any_tempo() -> None:
    for gap in (0.3, 0.9, 1.4):
        times = np.arange(0, 12.5, gap)
        numbers = np.arange(len(times)) % 4 + 1
        features = bar_features(
            accents(times, numbers, 12.6),
            harmony(times[::4], 12.5),
            times,
            (numbers == 1).astype(np.float32),
        )
        assert features.shape == (len(times), FEATURES)
        assert np.isfinite(features).all()


def test_three_beats_are_no_bars() -> None:
    times, numbers = np.arange(3) * 0.5, np.arange(3) + 1
    assert (
        bars(paths(times, numbers), accents(times, numbers, 2.0), harmony(times[:1], 2.0), (3, 4))
        is None
    )
    assert (
        bars(
            paths(times[:0], numbers[:0]),
            accents(times, numbers, 2.0),
            harmony(times[:1], 2.0),
            (3, 4),
        )
        is None
    )


def alternating(weak: float, bpm: float) -> tuple[np.ndarray, Accents]:
    times = np.arange(24) * 60 / bpm
    frames = np.zeros((2400, 2), np.float32)
    frames[np.round(times * 100).astype(int), 0] = np.where(np.arange(24) % 2, weak, 0.8)
    return np.column_stack([times, np.arange(24) % 4 + 1]), Accents(
        frames, np.zeros((2400, 5), np.float32)
    )


def test_a_tempo_is_too_fast_where_every_other_beat_is_faint() -> None:
    beats, labels = alternating(0.08, 160)
    assert faintness(beats, labels) == pytest.approx(0.1)
    assert is_too_fast(beats, labels, 0.1)
    assert not is_too_fast(*alternating(0.7, 160), 0.9)


def test_a_slow_tempo_or_one_in_three_is_never_too_fast() -> None:
    assert faintness(*alternating(0.08, 104)) == 1
    beats, labels = alternating(0.08, 160)
    beats[:, 1] = np.arange(24) % 3 + 1
    assert faintness(beats, labels) == 1


def test_half_the_tempo_is_told_from_two_thirds() -> None:
    beats, _ = alternating(0.1, 150)
    assert is_half(beats[::2], beats)
    assert not is_half(np.column_stack([np.arange(10) * 0.6, np.ones(10)]), beats)
