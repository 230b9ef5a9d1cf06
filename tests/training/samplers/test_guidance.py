"""Guidance and limits do what the papers' published forms do."""

import torch
from diffusers import DDIMScheduler
from diffusers.guiders.adaptive_projected_guidance import normalized_guidance

from training.samplers.config import SamplingConfig
from training.samplers.guidance import guided_prediction, projected_guidance, thresholded

SHAPE = (2, 3, 8, 4)
CONDITIONAL, TEXT, NOTHING = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0))


def test_projected_guidance_is_diffusers_own() -> None:
    rules = SamplingConfig(guidance=6.0, guidance_parallel=0.25, guidance_norm=4.0)
    theirs = normalized_guidance(
        CONDITIONAL,
        NOTHING,
        guidance_scale=5.0,
        eta=0.25,
        norm_threshold=4.0,
        use_original_formulation=True,
    )
    found = projected_guidance((CONDITIONAL, NOTHING), rules)
    assert torch.allclose(found, theirs, atol=1e-5)
    assert (found - guided_prediction((CONDITIONAL, NOTHING), rules)).abs().max() > 1


def test_nothing_projected_is_plain_guidance() -> None:
    rules = SamplingConfig(guidance=3.0, guidance_controls=1.7, guidance_rescale=0.3)
    for parts in ((CONDITIONAL,), (CONDITIONAL, NOTHING), (CONDITIONAL, TEXT, NOTHING)):
        plain = guided_prediction(parts, rules)
        assert torch.allclose(projected_guidance(parts, rules), plain, atol=1e-5)


def test_nothing_along_the_estimate_is_left() -> None:
    rules = SamplingConfig(guidance=3.0, guidance_controls=1.7, guidance_parallel=0.0)
    led = projected_guidance((CONDITIONAL, TEXT, NOTHING), rules) - CONDITIONAL
    assert (led * CONDITIONAL).sum(dim=(1, 2, 3)).abs().max() < 1e-3
    assert led.norm() > 10


def test_thresholding_is_diffusers_own() -> None:
    scheduler = DDIMScheduler(
        thresholding=True, dynamic_thresholding_ratio=0.9, sample_max_value=100
    )
    theirs = scheduler._threshold_sample(3 * CONDITIONAL)
    assert torch.allclose(thresholded(3 * CONDITIONAL, 0.9, 1.0), theirs, atol=1e-6)


def test_thresholding_leaves_alone_what_is_within_its_level() -> None:
    assert torch.equal(thresholded(CONDITIONAL, 0.995, 8.0), CONDITIONAL)
    loud = thresholded(100 * CONDITIONAL, 1.0, 8.0)
    assert torch.allclose(loud.abs().amax(dim=(1, 2, 3)), torch.tensor([8.0, 8.0]))
