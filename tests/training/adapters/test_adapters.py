"""Low-rank changes and frozen parts of a net: nothing at first, small, and the same once merged."""

import pytest
import torch
from torch import nn

from tests.training.munet.contexts import MICRO, STEPS, context, net, noisy
from training.adapters.config import AdapterRecipe
from training.adapters.freezing import learned, prepare
from training.adapters.low_rank import adapt, merged
from training.diffusion.model import LatentDiffusion
from training.errors import TrainingError
from training.munet.config import MuNetConfig, preset
from training.munet.net import MuNet
from training.objectives.diffusion import DiffusionConfig

RULES = AdapterRecipe(rank=2, alpha=4)


@torch.no_grad()
def predicted(made: MuNet) -> torch.Tensor:
    out: torch.Tensor = made(noisy(), STEPS, context())
    return out


def parameters(made: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach() for name, value in made.named_parameters()}


def test_a_fresh_adapter_changes_nothing_to_the_bit() -> None:
    before, made = predicted(net()), net()
    assert adapt(made, RULES, parameters(made))
    assert torch.equal(predicted(made), before)


def test_merged_weights_play_as_the_adapter_beside_them() -> None:
    made = net()
    base = {name: value.clone() for name, value in parameters(made).items()}
    prepare(made, RULES, base)
    for parameter in learned(made).values():
        nn.init.normal_(parameter, std=0.3)
    unmerged = predicted(made)
    alone = net()
    alone.load_state_dict(merged(base, {n: p.detach() for n, p in learned(made).items()}, 2.0))
    assert (unmerged - predicted(net())).abs().max() > 0.05
    assert (predicted(alone) - unmerged).abs().max() < 1e-5


def test_the_scale_is_alpha_over_rank() -> None:
    weight, down, up = torch.zeros(1, 1), torch.ones(2, 1), torch.ones(1, 2)
    adapter = {"x.lora_A.weight": down, "x.lora_B.weight": up}
    assert merged({"x.weight": weight}, adapter, RULES.scale)["x.weight"].item() == 4.0


def test_names_of_the_net_stay_and_only_the_adapter_learns() -> None:
    made = net()
    base = parameters(made)
    prepare(made, RULES, base)
    assert base.keys() < parameters(made).keys()
    assert all(".lora_A." in name or ".lora_B." in name for name in learned(made))
    assert all(".attenders." in name for name in learned(made))


@pytest.mark.parametrize("rank", [8, 32])
def test_an_adapter_of_the_published_net_is_a_twentieth_of_it_at_most(rank: int) -> None:
    with torch.device("meta"):
        made = LatentDiffusion(preset("base"), DiffusionConfig())
        whole = dict(made.named_parameters())
        size = sum(value.numel() for value in whole.values())
        prepare(made, AdapterRecipe(rank=rank), whole)
    assert 0.002 < sum(value.numel() for value in learned(made).values()) / size < 0.05


def test_parts_are_frozen_by_the_beginnings_of_their_names() -> None:
    made = net()
    prepare(made, AdapterRecipe(frozen=("down", "middle")), ())
    names = {name.partition(".")[0] for name in learned(made)}
    assert names == {"step", "enter", "middle_block", "up", "norm", "leave"}


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        (AdapterRecipe(rank=1, targets=("query", "querry")), "targets names querry"),
        (AdapterRecipe(frozen=("dwon",)), "frozen names dwon"),
        (AdapterRecipe(frozen=("loaded",)), "all of the net is frozen"),
    ],
)
def test_rules_that_fit_nothing_are_refused(rules: AdapterRecipe, reason: str) -> None:
    made = net()
    with pytest.raises(TrainingError, match=reason):
        prepare(made, rules, parameters(made))


def test_an_adapter_of_another_net_is_refused() -> None:
    adapter = {"y.lora_A.weight": torch.ones(1, 2), "y.lora_B.weight": torch.ones(3, 1)}
    for base in ({"x.weight": torch.ones(3, 2)}, {"y.weight": torch.ones(3, 3)}):
        with pytest.raises(TrainingError, match=r"changes y\.weight"):
            merged(base, adapter, 1.0)


def rows_net(branch: str) -> MuNetConfig:
    return MICRO.replaced(rows=("chords",), row_width=8, row_branch=branch)


@pytest.mark.parametrize("branch", ["added", "copy"])
def test_fresh_rows_change_nothing_and_do_once_they_have_learned(branch: str) -> None:
    base = net()
    before, loaded = predicted(base), parameters(base)
    torch.manual_seed(0)
    made = MuNet(rows_net(branch)).eval()
    made.load_state_dict(loaded, strict=False)
    if made.row_copy is not None:
        made.row_copy.begin_as(made)
    rows = torch.rand(2, 12, 39, generator=torch.Generator().manual_seed(3))
    fresh = parameters(made).keys() - loaded.keys()
    with torch.no_grad():
        at_first = made(noisy(), STEPS, context(), None, rows)
    prepare(made, AdapterRecipe(frozen=("loaded",)), loaded)
    assert torch.equal(at_first, before)
    assert learned(made).keys() == fresh
    optimizer = torch.optim.Adam(learned(made).values(), lr=0.01)
    for _ in range(5):  # zeros that lie behind zeros move later
        optimizer.zero_grad()
        made(noisy(), STEPS, context(), None, rows).square().mean().backward()
        optimizer.step()
    with torch.no_grad():
        after, other = (
            made(noisy(), STEPS, context(), None, told) for told in (rows, rows.flip(1))
        )
    assert (after - before).abs().max() > 1e-3
    assert (after - other).abs().max() > 1e-5
    assert torch.equal(predicted(made), before)  # without rows it is the net that it was


def test_a_copy_is_the_way_down_once_more() -> None:
    made = MuNet(rows_net("copy"))
    made.row_copy.begin_as(made)  # type: ignore[union-attr]
    own = parameters(made)
    copied = {name: value for name, value in own.items() if name.startswith("row_copy.")}
    parts = ("row_copy.enter.", "row_copy.down.", "row_copy.middle.", "row_copy.middle_block.")
    same = [name for name in copied if name.startswith(parts)]
    assert all(torch.equal(own[name], own[name.removeprefix("row_copy.")]) for name in same)
    assert all(not copied[name].any() for name in copied.keys() - set(same))
    # the widths left by the way down: 32, 32, 32, 64, and 64 in the middle
    leaves = 3 * (32 * 32 + 32) + 64 * 64 + 64
    assert (
        sum(copied[name].numel() for name in copied if name.startswith("row_copy.leave.")) == leaves
    )
