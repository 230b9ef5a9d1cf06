"""Steering on the way, without optimisation: cheap, and what optimised noise is compared with.

Each is a hook that `denoised` calls after a step (`between`).

Shapes: B samples, C latent channels, T latent frames, F latent bands.
"""

from collections.abc import Callable, Sequence

import torch

from training.objectives.path import Objective
from training.samplers.denoise import Between, Predict
from training.steering.losses import SteerLoss

# a time, to standard normal noise shaped as the latents
NoiseAt = Callable[[float], torch.Tensor]


def masked(
    known_BCTF: torch.Tensor, mask_T: torch.Tensor, objective: Objective, noise_at: NoiseAt
) -> Between:
    """After each step known latents are put back, as noisy as the step is: naive masking."""
    return _mixed(known_BCTF, mask_T, objective, noise_at, share=1.0, until=0.0)


def averaged(
    known_BCTF: torch.Tensor,
    mask_T: torch.Tensor,
    objective: Objective,
    noise_at: NoiseAt,
    *,
    until: float = 0.0,
) -> Between:
    """After each step the mean of known latents, as noisy as the step is, and what was found there
    (MultiDiffusion: Bar-Tal et al. 2023), down to a time: 0.5 is DITTO's MD-50.
    """
    return _mixed(known_BCTF, mask_T, objective, noise_at, share=0.5, until=until)


def _mixed(
    known_BCTF: torch.Tensor,
    mask_T: torch.Tensor,
    objective: Objective,
    noise_at: NoiseAt,
    *,
    share: float,
    until: float,
) -> Between:
    share_T1 = share * mask_T.to(known_BCTF)[:, None]

    def between(x_BCTF: torch.Tensor, _clean: torch.Tensor, time: float) -> torch.Tensor:
        if time < until:
            return x_BCTF
        point = objective.point(time)
        noisy = point.alpha * known_BCTF + point.sigma * noise_at(time)
        return x_BCTF * (1 - share_T1) + noisy * share_T1

    return between


def guided_by(
    loss: SteerLoss, predict: Predict, objective: Objective, *, rate: float = 0.2
) -> Between:
    """After each step the latents go down the gradient of the loss of their clean estimate, for
    which the net is asked once more (FreeDoM: Yu et al. 2023, without its travels back).

    `rate` is how far, in root mean square by sample, as a share of the noise that is left.
    """

    def between(x_BCTF: torch.Tensor, _clean: torch.Tensor, time: float) -> torch.Tensor:
        if time == 0:
            return x_BCTF
        with torch.enable_grad():
            noisy = x_BCTF.detach().requires_grad_()
            times_B = torch.full((len(noisy),), time, device=noisy.device)
            clean = objective.clean(predict(noisy, times_B).to(noisy.dtype), noisy, times_B)
            [slope] = torch.autograd.grad(loss(clean).sum(), [noisy])
        steepness = slope.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        far = rate * objective.point(time).sigma
        return x_BCTF - far * slope / steepness.clamp(min=1e-12)

    return between


def one_after_other(hooks: Sequence[Between]) -> Between:
    """Hooks as one, each given what the one before it left."""

    def between(x_BCTF: torch.Tensor, clean_BCTF: torch.Tensor, time: float) -> torch.Tensor:
        for hook in hooks:
            x_BCTF = hook(x_BCTF, clean_BCTF, time)
        return x_BCTF

    return between


def looped(overlap: int) -> Between:
    """After each step the last `overlap` frames and the first ones become the same: what follows on
    a loop is its beginning (MultiDiffusion on a canvas that goes round).

    What follows the end, which has heard it, fades into what precedes the rest of the loop, which
    goes on from it. Begin with `looped_noise`, or noise of its own would be averaged away.
    """

    def between(x_BCTF: torch.Tensor, _clean: torch.Tensor, _time: float) -> torch.Tensor:
        behind, first = x_BCTF[:, :, -overlap:], x_BCTF[:, :, :overlap]
        share_T1 = (torch.arange(overlap).to(x_BCTF) + 0.5)[:, None] / overlap
        both = behind * (1 - share_T1) + first * share_T1
        return torch.cat([both, x_BCTF[:, :, overlap:-overlap], both], 2)

    return between


def looped_noise(noise_BCTF: torch.Tensor, overlap: int) -> torch.Tensor:
    """Noise whose last frames are its first ones."""
    return torch.cat([noise_BCTF[:, :, :-overlap], noise_BCTF[:, :, :overlap]], 2)
