"""Our steps lead where diffusers' schedulers do; gradients pass through a whole way."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    HeunDiscreteScheduler,
)
from pydantic import ValidationError
from torch.utils.checkpoint import checkpoint

from training.errors import TrainingError
from training.objectives.diffusion import Diffusion, DiffusionConfig, Target
from training.objectives.flow import Flow, FlowConfig
from training.objectives.path import Objective
from training.objectives.placement import Placement
from training.samplers.config import OF_ALL_NETS, OF_DIFFUSION, Sampler, SamplingConfig
from training.samplers.denoise import denoised

SHAPE = (2, 3, 8, 4)
COUNT = 20


def drawn(seed: int) -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


START, FRESH = drawn(0), [drawn(seed) for seed in range(1, COUNT + 1)]


def guess(x: torch.Tensor, step: torch.Tensor | float) -> torch.Tensor:
    """A net that is neither linear nor right; a step counts up to 1000."""
    return torch.tanh(0.8 * x + 0.3) - x * step / 2000


def ours(
    objective: Objective, sampler: Sampler, count: int = COUNT, eta: float = 0.0
) -> torch.Tensor:
    def predict(x: torch.Tensor, times_B: torch.Tensor) -> torch.Tensor:
        return guess(x, objective.steps(times_B)[:, None, None, None])

    rules = SamplingConfig(sampler=sampler, steps=count, eta=eta)
    return denoised(predict, START, objective, rules, fresh=FRESH.__getitem__)


def walked(scheduler: Any) -> torch.Tensor:
    """What a scheduler of diffusers makes of the same start and net."""
    x: torch.Tensor = START
    for step in scheduler.timesteps:
        x = scheduler.step(guess(x, step), step, x).prev_sample
    return x


def scaled(scheduler: Any) -> torch.Tensor:
    """The same of one that walks in x / alpha, as Karras et al. do."""
    first = (1 + scheduler.sigmas[0] ** 2).sqrt()
    x: torch.Tensor = START * first
    for step in scheduler.timesteps:
        seen = scheduler.scale_model_input(x, step)
        x = scheduler.step(guess(seen, step), step, x).prev_sample
    return x


def made(kind: Any, objective: Diffusion, **options: object) -> Any:
    config = objective.config
    scheduler = kind(
        num_train_timesteps=config.steps,
        beta_start=config.beta_start,
        beta_end=config.beta_end,
        beta_schedule=str(config.schedule),
        prediction_type=str(config.target),
        timestep_spacing="trailing",
        **options,
    )
    scheduler.set_timesteps(COUNT)
    return scheduler


def zero_terminal(objective: Diffusion) -> dict[str, bool]:
    return {"rescale_betas_zero_snr": objective.config.zero_terminal}


def ddpm(objective: Diffusion) -> torch.Tensor:
    numbers = iter(FRESH)  # in the place of its own draws
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            "diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *_, **__: next(numbers)
        )
        return walked(
            made(DDPMScheduler, objective, variance_type="fixed_small", clip_sample=False)
        )


ORACLES: dict[Sampler, Callable[[Diffusion], torch.Tensor]] = {
    Sampler.DDIM: lambda objective: walked(made(DDIMScheduler, objective, clip_sample=False)),
    Sampler.DDPM: ddpm,
    Sampler.DPM_SOLVER: lambda objective: walked(
        made(DPMSolverMultistepScheduler, objective, **zero_terminal(objective))
    ),
    Sampler.EULER: lambda objective: scaled(
        made(EulerDiscreteScheduler, objective, **zero_terminal(objective))
    ),
    Sampler.HEUN: lambda objective: scaled(made(HeunDiscreteScheduler, objective)),
}


@pytest.mark.parametrize("target", Target)
@pytest.mark.parametrize("sampler", OF_ALL_NETS)
def test_a_diffusion_is_walked_as_diffusers_do(sampler: Sampler, target: Target) -> None:
    objective = Diffusion(DiffusionConfig(target=target))
    theirs = ORACLES[sampler](objective)
    error = (ours(objective, sampler) - theirs).abs().max() / theirs.std()
    assert error < 1e-5


@pytest.mark.parametrize("sampler", [Sampler.DPM_SOLVER, Sampler.EULER])
def test_so_it_is_where_nothing_of_the_latent_is_left_at_first(sampler: Sampler) -> None:
    objective = Diffusion(DiffusionConfig(zero_terminal=True))
    theirs = ORACLES[sampler](objective)
    # x / alpha of nothing: 4096 times the noise, of which as much precision is lost
    tolerance = 1e-5 if sampler is Sampler.DPM_SOLVER else 1e-3
    assert torch.allclose(ours(objective, sampler), theirs, atol=tolerance)


def flow_walk(objective: Flow, kind: Any, sampler: Sampler) -> torch.Tensor:
    """A scheduler of diffusers on our times."""
    times = torch.tensor([point.time for point in objective.way(COUNT, SHAPE[2])])
    scheduler = kind()
    if kind is DPMSolverMultistepScheduler:
        scheduler = kind(
            use_flow_sigmas=True, prediction_type="flow_prediction", final_sigmas_type="zero"
        )
    scheduler.set_timesteps(COUNT)
    steps = times[:-1] * 1000
    if sampler is Sampler.HEUN:
        times = torch.cat([times[:1], times[1:-1].repeat_interleave(2), times[-1:]])
        steps = torch.cat([steps[:1], steps[1:].repeat_interleave(2)])
    scheduler.sigmas, scheduler.timesteps = times, steps
    return walked(scheduler)


@pytest.mark.parametrize(
    ("sampler", "kind"),
    [
        (Sampler.EULER, FlowMatchEulerDiscreteScheduler),
        (Sampler.HEUN, FlowMatchHeunDiscreteScheduler),
        (Sampler.DPM_SOLVER, DPMSolverMultistepScheduler),
    ],
)
def test_a_flow_is_walked_as_diffusers_do(sampler: Sampler, kind: Any) -> None:
    objective = Flow(FlowConfig(shift=2.0))
    theirs = flow_walk(objective, kind, sampler)
    assert torch.allclose(ours(objective, sampler), theirs, atol=1e-5)


def test_times_of_a_flow_are_shifted_as_diffusers_do() -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(sigmas=[1 - index / 8 for index in range(8)])
    ways = (
        FlowConfig(shift=3.0),
        FlowConfig(shift=1.5, shift_frames=20),  # four times as long: twice the shift
    )
    for config in ways:
        times = [point.time for point in Flow(config).way(8, frames=80)]
        assert times == pytest.approx(scheduler.sigmas.tolist(), abs=1e-6)


def test_what_comes_between_steps_decides_where_they_go_on() -> None:
    seen: list[float] = []

    def halve(x: torch.Tensor, clean: torch.Tensor, time: float) -> torch.Tensor:
        seen.append(time)
        return clean if time == 0 else x

    objective = Flow(FlowConfig())
    rules = SamplingConfig(sampler=Sampler.EULER, steps=4)
    found = denoised(lambda x, _: x, START, objective, rules, between=halve)
    assert seen == [0.75, 0.5, 0.25, 0.0]
    # dx/dt = x, by Euler's steps; the last clean estimate is all of its last step
    assert torch.allclose(found, START * 0.75**4, atol=1e-6)


@pytest.mark.parametrize(
    ("sampler", "objective"),
    [(sampler, Diffusion(DiffusionConfig())) for sampler in OF_ALL_NETS]
    + [(sampler, Flow(FlowConfig())) for sampler in OF_ALL_NETS if sampler not in OF_DIFFUSION],
)
def test_gradients_pass_through_a_whole_way_computed_twice(
    sampler: Sampler, objective: Objective
) -> None:
    """The gradient for the first noise, through checkpointed steps, is what finite differences
    say.
    """
    rules = SamplingConfig(sampler=sampler, steps=5)

    def end(start: torch.Tensor) -> torch.Tensor:
        def predict(x: torch.Tensor, times_B: torch.Tensor) -> torch.Tensor:
            steps = objective.steps(times_B)[:, None, None, None]
            return torch.as_tensor(checkpoint(guess, x, steps, use_reentrant=False))

        return denoised(predict, start, objective, rules, fresh=FRESH.__getitem__).square().sum()

    start = START.clone().requires_grad_()
    end(start).backward()  # type: ignore[no-untyped-call]
    assert start.grad is not None
    towards = drawn(99)
    with torch.no_grad():
        rise = (end(START + 5e-3 * towards) - end(START - 5e-3 * towards)) / 1e-2
    assert rise.item() == pytest.approx((start.grad * towards).sum().item(), rel=1e-2)


@pytest.mark.parametrize("sampler", OF_DIFFUSION)
def test_a_flow_has_no_samplers_of_diffusions(sampler: Sampler) -> None:
    with pytest.raises(TrainingError, match="this model is a flow: take dpm-solver"):
        ours(Flow(FlowConfig()), sampler)


def test_no_more_steps_are_walked_than_were_learned() -> None:
    few = Diffusion(DiffusionConfig(steps=10))
    assert ours(few, Sampler.DDIM, 10).isfinite().all()
    with pytest.raises(TrainingError, match="11 is more than the 10 that are learned"):
        ours(few, Sampler.DDIM, 11)


@pytest.mark.parametrize("target", Target)
def test_ddim_draws_as_much_noise_as_diffusers_does(target: Target) -> None:
    objective = Diffusion(DiffusionConfig(target=target))
    scheduler = made(DDIMScheduler, objective, clip_sample=False)
    theirs: torch.Tensor = START
    for number, step in enumerate(scheduler.timesteps):
        said = guess(theirs, step)
        theirs = scheduler.step(
            said, step, theirs, eta=0.4, variance_noise=FRESH[number]
        ).prev_sample
    found = ours(objective, Sampler.DDIM, eta=0.4)
    assert (found - theirs).abs().max() / theirs.std() < 1e-5


def test_all_of_the_noise_is_ddpm_s() -> None:
    objective = Diffusion(DiffusionConfig())
    assert torch.equal(ours(objective, Sampler.DDIM, eta=1.0), ours(objective, Sampler.DDPM))


@pytest.mark.parametrize("zero", [False, True])
def test_karras_steps_are_those_of_diffusers(zero: bool) -> None:
    objective = Diffusion(DiffusionConfig(zero_terminal=zero))
    scheduler = made(
        DPMSolverMultistepScheduler,
        objective,
        use_karras_sigmas=True,
        rescale_betas_zero_snr=zero,
    )
    way = objective.way(COUNT, SHAPE[2], Placement.KARRAS)
    steps = objective.steps(torch.tensor([point.time for point in way[:-1]]))
    theirs, crowded = scheduler.timesteps.tolist(), 7 if zero else 0
    assert steps[crowded:].tolist() == theirs[crowded:]
    # theirs repeats steps where nothing of the latent is left; ours are learned steps in a row
    assert steps[:crowded].tolist() == list(range(999, 999 - crowded, -1))
    assert way[-1] == (0.0, 1.0, 0.0)


def test_a_flow_has_karras_steps_as_diffusers_lays_them() -> None:
    scheduler = FlowMatchEulerDiscreteScheduler(use_karras_sigmas=True)
    scheduler.set_timesteps(sigmas=[1 - index / 8 for index in range(8)])
    times = [point.time for point in Flow(FlowConfig()).way(8, 80, Placement.KARRAS)]
    assert times == pytest.approx(scheduler.sigmas.tolist(), abs=1e-6)


def test_steps_lie_closer_together_where_they_are_wanted() -> None:
    def steps(placement: Placement, count: int) -> list[int]:
        objective = Diffusion(DiffusionConfig())
        way = objective.way(count, 80, placement)
        return [int(one.time * 1000) for one in way[:-1]]

    assert steps(Placement.EVEN, 4) == [999, 749, 499, 249]
    assert steps(Placement.FRONT, 4) == [999, 937, 749, 437]  # 1 − (index / 4)²
    assert steps(Placement.BACK, 4) == [999, 561, 249, 61]  # (1 − index / 4)²
    for placement in Placement:  # as many as asked for, none twice, where there is hardly room
        many = steps(placement, 990)
        assert len(set(many)) == 990
        assert many == sorted(many, reverse=True)
    times = [point.time for point in Flow(FlowConfig()).way(4, 80, Placement.BACK)]
    assert times == [1.0, 0.5625, 0.25, 0.0625, 0.0]


def test_noise_for_ddim_alone() -> None:
    with pytest.raises(ValidationError, match=r"eta=0.5 is for sampling.sampler=ddim, not euler"):
        SamplingConfig(sampler=Sampler.EULER, eta=0.5)


def test_an_interval_lies_on_the_way() -> None:
    with pytest.raises(ValidationError, match=r"0.8 to 0.2 is not one within 0 to 1"):
        SamplingConfig(guidance_interval=(0.8, 0.2))


def test_ddpm_wants_noise() -> None:
    rules = SamplingConfig(sampler=Sampler.DDPM, steps=2)
    with pytest.raises(TrainingError, match="draws noise at each step"):
        denoised(lambda x, _: x, START, Diffusion(DiffusionConfig()), rules)
