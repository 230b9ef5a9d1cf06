"""What a student is to learn of its teacher, where the teacher's way is known in closed form."""

import math
from typing import cast

import pytest
import torch

from tests.training.dit.nets import MICRO as DIT
from tests.training.micro import BANDS, EMPTY_TEXT, FRAMES, TWO, latents, model
from tests.training.munet.contexts import MICRO
from training.diffusion.model import LatentDiffusion
from training.diffusion.sampling import predictor
from training.distillation.config import SHORTEST, DistilRecipe, JumpStarts
from training.distillation.teacher import Teacher, solved
from training.errors import TrainingError
from training.munet.net import MuNet
from training.objectives import ObjectiveConfig
from training.objectives.diffusion import Diffusion, DiffusionConfig
from training.objectives.flow import Flow, FlowConfig
from training.objectives.path import Objective
from training.samplers.config import SamplingConfig
from training.samplers.steps import jump_prediction, straight

ZERO = DiffusionConfig(zero_terminal=True)
EPSILON = DiffusionConfig(target="epsilon")
PATHS = [
    Diffusion(ZERO),
    Diffusion(EPSILON),
    Flow(FlowConfig()),
    Flow(FlowConfig(target="latent")),
]
SPREAD = 0.6
TIMES, ENDS = torch.tensor([0.9, 0.55, 0.3, 0.12]), torch.tensor([0.65, 0.4, 0.05, 0.0])


def drawn(rows: int = 4, seed: int = 3) -> torch.Tensor:
    return torch.randn(rows, 2, 6, 4, generator=torch.Generator().manual_seed(seed))


def spread_at(objective: Objective, times_B: torch.Tensor) -> torch.Tensor:
    """Of noisy latents whose clean ones have spread SPREAD around 0."""
    point = objective.points(times_B)
    return ((point.alpha * SPREAD) ** 2 + point.sigma**2).sqrt()


def gaussian(objective: Objective, asked: list[torch.Tensor] | None = None):  # type: ignore[no-untyped-def]
    """The best predictor of such latents: its way multiplies them by the ratio of spreads."""

    def predict(x: torch.Tensor, times_B: torch.Tensor) -> torch.Tensor:
        if asked is not None:
            asked.append(times_B)
        point = objective.points(times_B)
        clean = x * point.alpha * SPREAD**2 / spread_at(objective, times_B) ** 2
        nothing = objective.estimate(torch.zeros_like(x), x, point).clean
        one = objective.estimate(torch.ones_like(x), torch.zeros_like(x), point).clean
        return (clean - nothing) / one

    return predict


@pytest.mark.parametrize("objective", PATHS)
def test_the_teacher_leads_where_its_way_is_known_to(objective: Objective) -> None:
    x = drawn() * spread_at(objective, TIMES)
    exact = x * spread_at(objective, ENDS) / spread_at(objective, TIMES)
    asked: list[torch.Tensor] = []
    found = solved(gaussian(objective, asked), x, objective, TIMES, ENDS, 4)
    assert len(asked) == 4
    assert (found - exact).abs().max() < 0.02
    finer = solved(gaussian(objective), x, objective, TIMES, ENDS, 16)
    assert (finer - exact).abs().max() < 0.25 * (found - exact).abs().max()


@pytest.mark.parametrize("objective", PATHS)
def test_a_jump_s_prediction_leads_where_the_jump_ends(objective: Objective) -> None:
    x, ahead = drawn(), drawn(seed=4)
    here, there = objective.points(TIMES), objective.points(ENDS)
    said = jump_prediction(objective, x, ahead, here, there)
    assert torch.allclose(straight(there, objective.estimate(said, x, here)), ahead, atol=1e-5)


@pytest.mark.parametrize("objective", PATHS)
def test_a_jump_of_no_length_leads_nowhere(objective: Objective) -> None:
    x, said = drawn(), drawn(seed=5)
    here = objective.points(TIMES)
    assert torch.allclose(straight(here, objective.estimate(said, x, here)), x, atol=1e-5)


def test_jumps_begin_in_noise_and_end_in_the_latent_as_often_as_is_asked() -> None:
    rules, count = DistilRecipe(at_ends=0.25, guidance=(1.0, 5.0)), 1000
    teacher = Teacher.of(model(), SamplingConfig(), (), rules)
    starts = JumpStarts(ZERO, rules.at_ends)
    even = [(index + 0.5) / count for index in range(count)]
    times_B = torch.tensor([starts.time_of(draw, FRAMES) for draw in even])
    first = Diffusion(ZERO).way(1, FRAMES)[0].time
    assert int((times_B == first).sum()) in (250, 251)  # the last of a thousand is as likely as any
    shuffled = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    draws_B2 = torch.stack([torch.tensor(even)[shuffled], torch.tensor(even)], dim=1)
    jumps = teacher.jumps(times_B, draws_B2)
    assert int((jumps.ends_B == 0).sum()) == 250
    assert (jumps.times_B - jumps.ends_B).min() > SHORTEST * 0.99
    assert jumps.guidance_B.min() == pytest.approx(1.002)
    assert jumps.guidance_B.max() == pytest.approx(4.998)


def student_of(config: ObjectiveConfig, net: object = MICRO) -> tuple[LatentDiffusion, Teacher]:
    """A student as it begins, and its teacher."""
    teacher = model(net, config)  # type: ignore[arg-type]
    for parameter in teacher.parameters():  # a fresh transformer says nothing
        with torch.no_grad():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    student = model(net.replaced(jumps=True), config)  # type: ignore[attr-defined]
    missing, strange = student.load_state_dict(teacher.state_dict(), strict=False)
    assert not strange
    assert {".jump." in name for name in missing} == {True}
    rules = DistilRecipe(reach=0.3, guidance=(1.0, 4.0))
    return student, Teacher.of(teacher, SamplingConfig(), (), rules)


@pytest.mark.parametrize("net", [MICRO, DIT])
@pytest.mark.parametrize("config", [ZERO, EPSILON, FlowConfig(), FlowConfig(target="latent")])
def test_at_first_a_jump_is_the_teacher_s_own_step(config: ObjectiveConfig, net: object) -> None:
    """Euler's, without guidance, whatever the student is told."""
    student, teacher = student_of(config, net)
    objective = student.objective
    bands = getattr(net, "latent_bands", BANDS)
    x = torch.randn(2, net.latent_channels, FRAMES, bands)  # type: ignore[attr-defined]
    times_B, ends_B = torch.tensor([0.8, 0.4]), torch.tensor([0.3, 0.0])
    jump = student.jump(ends_B, torch.tensor([1.0, 4.0]))
    with torch.no_grad():
        said = student.predict(x, times_B, TWO, None, jump)
        theirs = teacher.model.predict(x, times_B, TWO)
    assert torch.equal(said, theirs)
    here, there = objective.points(times_B), objective.points(ends_B)
    assert straight(there, objective.estimate(said, x, here)).isfinite().all()


class Recorder(torch.nn.Module):
    """A student that says zero, and remembers what it was told."""

    def __init__(self, config: object) -> None:
        super().__init__()
        self.config, self.jumps = config, list[object]()

    def forward(self, x: torch.Tensor, *others: object) -> torch.Tensor:
        self.jumps.append(others[-1])
        return torch.zeros_like(x)


def test_the_goal_is_the_guided_teacher_s_where_it_reaches_and_the_student_s_beyond() -> None:
    student, teacher = student_of(ZERO)
    objective, x = student.objective, latents()
    jumps = teacher.jumps(torch.tensor([0.5, 0.9]), torch.tensor([[0.8, 0.0], [0.1, 1.0]]))
    assert jumps.ends_B[1] == 0
    assert jumps.times_B[0] - jumps.ends_B[0] < 0.3 < jumps.times_B[1]
    assert jumps.guidance_B.tolist() == [1.0, 4.0]
    goal = teacher.goal(student, x, TWO, EMPTY_TEXT, jumps)
    here, there = objective.points(jumps.times_B), objective.points(jumps.ends_B)
    led = straight(there, objective.estimate(goal.prediction_BCTF, x, here))
    stop_B = torch.maximum(jumps.ends_B, jumps.times_B - 0.3)
    expected = []
    for row, guidance in enumerate((1.0, 4.0)):
        predict = predictor(teacher.model, TWO, EMPTY_TEXT, SamplingConfig(guidance=guidance))
        with torch.no_grad():
            expected.append(solved(predict, x, objective, jumps.times_B, stop_B, 4)[row])
    assert torch.allclose(led[0], expected[0], atol=1e-4)
    ends_B, at_B = torch.zeros(2), stop_B
    reached = torch.stack(expected)
    with torch.no_grad():
        said = student.predict(reached, at_B, TWO, None, student.jump(ends_B, jumps.guidance_B))
    beyond = straight(
        objective.points(ends_B), objective.estimate(said, reached, objective.points(at_B))
    )
    assert torch.allclose(led[1], beyond[1], atol=1e-4)


def test_a_student_is_told_the_end_and_guidance_of_its_jump() -> None:
    student, teacher = student_of(ZERO)
    recorder = Recorder(student.net.config)
    student.munet = cast(MuNet, recorder)
    jumps = teacher.jumps(torch.tensor([0.5, 0.9]), torch.tensor([[0.8, 0.0], [0.1, 1.0]]))
    teacher.goal(student, latents(), TWO, EMPTY_TEXT, jumps)
    [told] = recorder.jumps
    assert torch.equal(told.ends_B, jumps.ends_B * 1000)  # type: ignore[attr-defined]
    assert torch.equal(told.guidance_B, jumps.guidance_B)  # type: ignore[attr-defined]


def test_the_loss_is_that_of_jumps_and_of_denoising_without_guidance() -> None:
    student, teacher = student_of(ZERO)
    noise, times_B = latents(seed=8), torch.tensor([0.5, 0.9])
    jumps = teacher.jumps(times_B, torch.tensor([[0.8, 0.3], [0.1, 1.0]]))
    noisy = student.objective.noised(latents(), noise, times_B)
    goal = teacher.goal(student, noisy, TWO, EMPTY_TEXT, jumps)
    with torch.no_grad():
        whole = student(latents(), TWO, noise, times_B, None, goal._replace(score_weight=0.5))
        alone = student(latents(), TWO, noise, times_B, None, goal._replace(score_weight=0.0))
        score = student(latents(), TWO, noise, times_B)
        said = student.predict(
            noisy, times_B, TWO, None, student.jump(jumps.ends_B, jumps.guidance_B)
        )
    assert torch.allclose(alone, (said - goal.prediction_BCTF).square().flatten(1).mean(1))
    assert torch.allclose(whole, alone + 0.5 * score, rtol=1e-4)
    with torch.no_grad():
        assert torch.allclose(score, teacher.model(latents(), TWO, noise, times_B))


def test_outside_of_its_interval_the_teacher_leads_without_guidance() -> None:
    _, teacher = student_of(ZERO)
    narrow = teacher._replace(sampling=SamplingConfig(guidance_interval=(0.2, 0.6)))
    x, times_B = latents(), torch.tensor([0.5, 0.9])
    with torch.no_grad():
        found = narrow.predictor(TWO, EMPTY_TEXT, torch.tensor([4.0, 4.0]))(x, times_B)
        each = [
            predictor(teacher.model, TWO, EMPTY_TEXT, SamplingConfig(guidance=by))(x, times_B)
            for by in (4.0, 1.0)
        ]
    assert torch.allclose(found[0], each[0][0], atol=1e-5)
    assert torch.allclose(found[1], each[1][1], atol=1e-5)


def test_a_student_teaches_nobody() -> None:
    student, _ = student_of(ZERO)
    with pytest.raises(TrainingError, match="a student cannot be a teacher"):
        Teacher.of(student, SamplingConfig(), (), DistilRecipe())
    both = SamplingConfig(guidance_controls=2.0, guidance_interval=(0.2, 0.6))
    with pytest.raises(TrainingError, match="guidance_controls and guidance_interval"):
        Teacher.of(model(), both, (), DistilRecipe())


def test_a_student_of_a_known_way_learns_to_jump_along_it() -> None:
    """Latents of one number, whose way is known: after some hundred steps one jump from noise is
    right within a few per cent, though the teacher reaches no further than a quarter.
    """
    objective, rng = Flow(FlowConfig()), torch.Generator().manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(2, 64), torch.nn.SiLU(), torch.nn.Linear(64, 1))
    for parameter in net.parameters():
        with torch.no_grad():
            parameter.copy_(torch.randn(parameter.shape, generator=rng) * 0.5)
    adam = torch.optim.Adam(net.parameters(), lr=1e-2)

    def factor(times_B: torch.Tensor, ends_B: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = net(torch.stack([times_B, ends_B], dim=1))
        return found[:, :, None, None]

    for _ in range(400):
        begun, ended, to_end = torch.rand(3, 64, generator=rng)
        times_B = torch.where(begun < 0.3, 1.0, begun).clamp(min=SHORTEST)
        ends_B = torch.where(to_end < 0.3, 0.0, ended) * (times_B - SHORTEST)
        x = torch.ones(64, 1, 1, 1)
        between_B = torch.maximum(ends_B, times_B - 0.25)
        with torch.no_grad():
            reached = solved(gaussian(objective), x, objective, times_B, between_B, 4)
            said = factor(between_B, ends_B) * reached
            ends, between = objective.points(ends_B), objective.points(between_B)
            ahead = straight(ends, objective.estimate(said, reached, between))
            wanted = jump_prediction(objective, x, ahead, objective.points(times_B), ends)
        loss = (factor(times_B, ends_B) * x - wanted).square().mean()
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
    one, zero = torch.ones(1), torch.zeros(1)
    jumped = objective.estimate(factor(one, zero), torch.ones(1, 1, 1, 1), objective.points(one))
    assert math.isclose(float(jumped.clean.detach()), SPREAD, rel_tol=0.1)
