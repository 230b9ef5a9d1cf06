"""Chords are decoded as the model says, change on beats, and turn with the music."""

from itertools import pairwise, product

import numpy as np
import pytest
import torch

from pipelines.annotators import RATE_HZ
from pipelines.annotators.chords import _best_path, _change_costs, chord_path
from pipelines.annotators.harmony import (
    NO_BASS,
    NO_CHORD_CLASS,
    HarmonyActivations,
    HarmonyNet,
    chord_class,
    harmony_ear,
)
from pipelines.annotators.pitch_spectrum import BINS_PER_SEMITONE, LOWEST_PITCH, PitchSpectrum
from schemas.chord import Chord
from schemas.labels import ChordSegment


def decoded(names: list[str], sure: float = 0.9) -> HarmonyActivations:
    """A network that hears one chord per frame, none of them quite surely."""
    chord, bass = (
        np.full((len(names), NO_CHORD_CLASS + 1), (1 - sure) / 156),
        np.full((len(names), 13), (1 - sure) / 12),
    )
    for frame, name in enumerate(names):
        parsed = None if name == "N" else Chord.parse(name)
        chord[frame, NO_CHORD_CLASS if parsed is None else chord_class(parsed)] = sure
        bass[
            frame,
            NO_BASS if parsed is None else parsed.root if parsed.bass is None else parsed.bass,
        ] = sure
    return HarmonyActivations(
        np.log(chord), np.log(bass), np.zeros(len(names)), np.full(24, np.log(1 / 24))
    )


def spans(segments: tuple[ChordSegment, ...]) -> list[tuple[float, float, str]]:
    return [(segment.start_s, segment.end_s, segment.label) for segment in segments]


def test_the_path_is_the_best_of_all_paths() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        fit, change = rng.normal(0, 2, (6, 3)), rng.uniform(-3, 0, 6)

        def score(
            path: tuple[int, ...], fit: np.ndarray = fit, change: np.ndarray = change
        ) -> float:
            moves = sum(
                change[frame + 1]
                for frame, (one, other) in enumerate(pairwise(path))
                if one != other
            )
            return float(sum(fit[frame, state] for frame, state in enumerate(path)) + moves)

        assert tuple(_best_path(fit, change)) == max(product(range(3), repeat=6), key=score)


def test_a_chord_is_told_from_its_inversion_and_from_silence() -> None:
    frames = ["C:maj"] * 10 + ["C:maj/3"] * 10 + ["F:min7"] * 10 + ["N"] * 10
    assert spans(chord_path(decoded(frames), ()).segments(4.0)) == [
        (0.0, 1.0, "C:maj"),
        (1.0, 2.0, "C:maj/3"),
        (2.0, 3.0, "F:min7"),
        (3.0, 4.0, "N"),
    ]


def test_one_odd_frame_is_no_chord() -> None:
    assert spans(
        chord_path(decoded(["C:maj"] * 9 + ["C:aug"] + ["C:maj"] * 10, sure=0.6), ()).segments(2.0)
    ) == [(0.0, 2.0, "C:maj")]


def test_a_change_is_put_on_the_beat_beside_it() -> None:
    frames = ["C:maj"] * 11 + ["G:7"] * 9
    assert spans(chord_path(decoded(frames), (0.06, 0.56, 1.06, 1.56)).segments(2.0)) == [
        (0.0, 1.06, "C:maj"),
        (1.06, 2.0, "G:7"),
    ]
    assert spans(chord_path(decoded(frames), ()).segments(2.0))[0] == (0.0, 1.1, "C:maj")


def test_a_chord_between_two_changes_on_one_beat_is_gone_and_its_neighbours_are_one() -> None:
    frames = ["C:maj"] * 10 + ["G:7"] + ["C:maj"] * 9
    confident = decoded(frames, sure=1 - 1e-9)
    assert len(chord_path(confident, ()).segments(2.0)) == 3
    assert spans(chord_path(confident, (0.05, 1.05, 2.05)).segments(2.0)) == [(0.0, 2.0, "C:maj")]


def test_a_change_costs_least_on_a_beat_and_most_between_two() -> None:
    costs = _change_costs(21, (0.0, 1.0, 2.0))
    assert costs[10] == costs.max()
    assert costs[5] == costs.min()
    assert costs[0] == costs[20] == costs[10]


@pytest.mark.parametrize("pitch", [40, 57, 69, 88])
def test_a_sine_is_loudest_in_the_bin_of_its_pitch(pitch: int) -> None:
    hz = 440 * 2 ** ((pitch - 69) / 12)
    wave = 0.3 * torch.sin(2 * torch.pi * hz * torch.arange(2 * RATE_HZ) / RATE_HZ)
    frames = PitchSpectrum()(wave[None])[0]
    assert frames.shape[0] == 20
    assert set(frames[3:-3].argmax(dim=1).tolist()) == {
        (pitch - LOWEST_PITCH) * BINS_PER_SEMITONE + 1
    }


def test_after_the_fold_the_network_turns_with_the_pitch_classes() -> None:
    network = HarmonyNet().eval()
    folded = torch.randn(1, 48, 30, 12, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        plain, turned = (network.chord(network.blocks(x)) for x in (folded, folded.roll(5, dims=3)))
        keys, turned_keys = (
            network.key_of(network.blocks(x)).reshape(-1, 12, 2)
            for x in (folded, folded.roll(5, dims=3))
        )
    assert torch.allclose(plain.roll(5, dims=3), turned, atol=1e-5)
    assert torch.allclose(keys.roll(5, dims=1), turned_keys, atol=1e-5)
    assert plain.std() > 0.01


def chord_wave(pitches: tuple[int, ...], seconds: float = 2.0) -> np.ndarray:
    """Plucked tones with eight partials."""
    time = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    tones = [
        np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * part * time)
        / part
        * np.exp(-time * part / 2)
        for pitch in pitches
        for part in range(1, 9)
    ]
    wave: np.ndarray = 0.08 * np.sum(tones, axis=0)
    return wave.astype(np.float32)


def test_tones_that_no_font_played_are_heard_with_their_bass_and_sevenths() -> None:
    played = {
        "C:maj/3": (40, 60, 64, 67),
        "A:min": (45, 57, 60, 64),
        "D:7": (38, 57, 60, 66),
        "G:maj7": (43, 59, 62, 66),
    }
    wave = np.concatenate([chord_wave(pitches) for pitches in played.values()])
    [harmony] = harmony_ear("cpu")([wave])
    found = chord_path(harmony, tuple(np.arange(0, 8, 0.5))).segments(8.0)
    assert spans(found) == [
        (2.0 * index, 2.0 * index + 2, name) for index, name in enumerate(played)
    ]
