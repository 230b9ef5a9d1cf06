"""Guidance and limits, as pure functions of predictions.

Shapes: B samples, C latent channels, T latent frames, F latent bands.
"""

from collections.abc import Sequence

import torch

from training.samplers.config import SamplingConfig


def guided_prediction(
    predictions: Sequence[torch.Tensor],
    rules: SamplingConfig,
    guidance: torch.Tensor | None = None,
) -> torch.Tensor:
    """The guided prediction (Ho & Salimans 2022; by condition as in Brooks et al. 2023).

    Predictions are for all conditions; for the text alone, where controls have a guidance of their
    own; for none. `guidance`, (B, 1, 1, 1), is that of each sample, in place of the rules'.
    """
    conditional = predictions[0]
    by = rules.guidance if guidance is None else guidance
    match list(predictions):
        case [_]:
            return conditional
        case [_, unconditional]:
            led = unconditional + by * (conditional - unconditional)
        case [_, text_alone, unconditional]:
            led = unconditional + by * (text_alone - unconditional)
            led = led + (rules.guidance_controls or 0) * (conditional - text_alone)
    return rescaled(led, conditional, rules.guidance_rescale)


def is_projected(rules: SamplingConfig) -> bool:
    """Whether guidance is projected or bounded, which is done on clean estimates."""
    return rules.guidance_parallel != 1 or rules.guidance_norm is not None


def projected_guidance(
    cleans: Sequence[torch.Tensor], rules: SamplingConfig, guidance: torch.Tensor | None = None
) -> torch.Tensor:
    """The guided clean estimate, of clean estimates in the order of `guided_prediction`: adaptive
    projected guidance (Sadat et al. 2025, arXiv 2410.02416), without its momentum.
    """
    conditional = cleans[0]
    by = rules.guidance if guidance is None else guidance
    match list(cleans):
        case [_]:
            return conditional
        case [_, unconditional]:
            led = conditional + (by - 1) * _turned(conditional - unconditional, conditional, rules)
        case [_, text_alone, unconditional]:
            by_text = _turned(text_alone - unconditional, conditional, rules)
            by_controls = _turned(conditional - text_alone, conditional, rules)
            led = conditional + (by - 1) * by_text
            led = led + ((rules.guidance_controls or 0) - 1) * by_controls
    return rescaled(led, conditional, rules.guidance_rescale)


def rescaled(led: torch.Tensor, conditional: torch.Tensor, share: float) -> torch.Tensor:
    """A guided prediction whose spread is brought back by a share to that of the conditional one
    (Lin et al. 2024).
    """
    if not share:
        return led
    spread, wanted = (one.std(dim=(1, 2, 3), keepdim=True) for one in (led, conditional))
    return led * ((1 - share) + share * wanted / spread.clamp(min=1e-8))


def thresholded(clean_BCTF: torch.Tensor, quantile: float, level: float) -> torch.Tensor:
    """Clean estimates whose quantile of magnitudes is at most `level` (Saharia et al. 2022)."""
    heights_BN = clean_BCTF.abs().flatten(1)
    top_B = torch.quantile(heights_BN, quantile, dim=1).clamp(min=level)
    top_B111 = top_B[:, None, None, None]
    return clean_BCTF.clamp(-top_B111, top_B111) * (level / top_B111)


def _turned(
    difference: torch.Tensor, conditional: torch.Tensor, rules: SamplingConfig
) -> torch.Tensor:
    """A difference, bounded, with as much as the rules keep of what points along an estimate."""
    if rules.guidance_norm is not None:
        norm = torch.linalg.vector_norm(difference, dim=(1, 2, 3), keepdim=True)
        difference = difference * (rules.guidance_norm / norm.clamp(min=1e-8)).clamp(max=1)
    along = torch.nn.functional.normalize(conditional.flatten(1), dim=1).view_as(conditional)
    parallel = (difference * along).sum(dim=(1, 2, 3), keepdim=True) * along
    return difference - (1 - rules.guidance_parallel) * parallel
