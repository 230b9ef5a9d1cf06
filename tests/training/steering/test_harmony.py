"""Chords and beats as losses are least where just they sound."""

import pytest
import torch

from pipelines.codecs.mel import MelCodec
from schemas.labels import ChordSegment
from training.errors import TrainingError
from training.steering.harmony import beat_grid_loss, beat_pulses, chord_tones, harmony
from training.steering.listening import Ear

CODEC = MelCodec()
LEVELS, PLAYED = Ear(CODEC), Ear(CODEC, played=True)
SECONDS = 3.0


def sines(*hertz: float) -> torch.Tensor:
    time = torch.arange(int(16_000 * SECONDS))[None] / 16_000
    return CODEC.encode(sum(0.1 * torch.sin(2 * torch.pi * one * time) for one in hertz))  # type: ignore[arg-type]


def clicks(*times_s: float) -> torch.Tensor:
    """Strokes of noise that ring for a tenth of a second."""
    rng = torch.Generator().manual_seed(0)
    wave = torch.zeros(1, int(16_000 * SECONDS))
    ringing = torch.exp(-torch.arange(1600) / 320) * torch.randn(1600, generator=rng) / 5
    for time_s in times_s:
        first = round(16_000 * time_s)
        wave[0, first : first + 1600] += ringing[: wave.shape[1] - first]
    return CODEC.encode(wave)


def chord(label: str) -> torch.Tensor:
    return chord_tones([ChordSegment(start_s=0.0, end_s=SECONDS, label=label)], 30)


@pytest.mark.parametrize("ear", [LEVELS, PLAYED])
def test_the_chord_that_sounds_is_the_nearest_of_all_24(ear: Ear) -> None:
    sounding = sines(523.25, 622.25, 783.99)  # C5, E flat 5, G5
    names = [
        f"{root}:{kind}"
        for root in ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
        for kind in ("maj", "min")
    ]
    losses = {name: harmony(ear, chord(name))(sounding).item() for name in names}
    assert min(losses, key=losses.__getitem__) == "C:min"
    assert losses["C:min"] < 0.6
    assert losses["Gb:maj"] > 4 * losses["C:min"]


def test_frames_without_a_chord_ask_for_nothing() -> None:
    half = chord("C:min") * (torch.arange(30) < 15)[:, None]
    sounding = sines(523.25, 622.25, 783.99)
    assert harmony(LEVELS, half)(sounding).item() < 0.6
    assert harmony(LEVELS, torch.zeros(30, 12))(sounding).item() == 0
    with pytest.raises(TrainingError, match=r"in 29 frames of 0\.1 s, and the piece has 30"):
        harmony(LEVELS, half[:29])(sounding)


@pytest.mark.parametrize("ear", [LEVELS, PLAYED])
def test_a_grid_is_nearest_where_its_strokes_are(ear: Ear) -> None:
    beats = [0.5, 1.0, 1.5, 2.0, 2.5]
    sounding = clicks(*beats)

    def loss(late_s: float) -> float:
        moved = [one + late_s for one in beats]
        return beat_grid_loss(ear, moved, moved[:1], SECONDS)(sounding).item()

    lates_s = [-0.12, -0.06, -0.03, 0.0, 0.03, 0.06, 0.12]
    found = {late_s: loss(late_s) for late_s in lates_s}
    nearest_s: float = min(found, key=found.__getitem__)
    assert abs(nearest_s) <= 0.03
    assert found[0.0] < -0.4
    assert found[0.0] < found[0.12] - 0.2
    with pytest.raises(TrainingError, match="a grid of 1 beats"):
        beat_grid_loss(ear, beats[:1], (), SECONDS)


def test_downbeats_are_asked_for_twice_as_much_and_half_beats_half() -> None:
    pulses = beat_pulses([0.0, 1.0, 2.0], [1.0], 300, 100.0)
    assert [pulses[at].item() for at in (0, 100, 200, 150)] == pytest.approx(
        [1, 2, 1, 0.5], abs=1e-3
    )
    assert pulses[75] < 0.01
