"""What a loss on levels leads latents to is what the controls of shards hear in their sound."""

import numpy as np
import pytest
import torch

from pipelines.audio.controls import controls_of
from pipelines.codecs.mel import MelCodec
from pipelines.synthesis.compose import compose
from pipelines.synthesis.render import render
from schemas.controls import AudioControls
from training.steering.listening import Ear
from training.steering.losses import SteerLoss, Weighted, intensity, melody, together

CODEC = MelCodec()
EAR, FRAMES = Ear(CODEC), 40
CURVE = torch.linspace(-40, -15, FRAMES)
TUNE = torch.tensor([0, 4, 7, 11]).repeat_interleave(FRAMES // 4)


def piece() -> torch.Tensor:
    wave = render(compose(0, 0), 16_000)[16_000 : 16_000 * 5]
    return CODEC.encode(torch.from_numpy(wave)[None].float())


def heard(latents: torch.Tensor) -> AudioControls:
    return controls_of(CODEC.decode(latents)[0].numpy(), 16_000)


def led(loss: SteerLoss, latents: torch.Tensor) -> torch.Tensor:
    """Latents moved by themselves: no net says what music is."""
    moved = latents.clone().requires_grad_()
    adam = torch.optim.Adam([moved], lr=0.03)
    for _ in range(60):
        adam.zero_grad()
        loss(moved).sum().backward()  # type: ignore[no-untyped-call]
        adam.step()
    return moved.detach()


@pytest.mark.slow
def test_a_curve_and_a_tune_are_heard() -> None:
    asked = together([Weighted(intensity(EAR, CURVE), 1 / 4), Weighted(melody(EAR, TUNE))])
    before, after = (heard(one) for one in (piece(), led(asked, piece())))

    def error(controls: AudioControls) -> float:
        return float(np.square(np.array(controls.dynamics_db) - CURVE.numpy()).mean())

    def right(controls: AudioControls) -> float:
        return float((np.array(controls.melody) == TUNE.numpy()).mean())

    assert error(before) > 50  # dB²
    assert error(after) < 4
    assert right(before) < 0.25
    assert right(after) > 0.75
