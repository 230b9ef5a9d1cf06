"""What the transformer makes of frames, time and conditions."""

import warnings

import pytest
import torch
from pydantic import ValidationError

from tests.training.dit.nets import MICRO, ROWS, context, net
from tests.training.munet.contexts import noisy, tokens
from training.conditions import Condition
from training.dit.block import SelfAttention, Surroundings
from training.dit.config import SMALL_DIT, TINY_DIT
from training.dit.net import Dit
from training.errors import TrainingError

STEPS = torch.tensor([100.0, 700.0])
LAID = torch.rand(2, 12, ROWS, generator=torch.Generator().manual_seed(4))
FULL = torch.tensor([12, 12])


def played(made: Dit, **changed: object) -> torch.Tensor:
    given: dict[str, object] = {
        "x_BCTF": noisy(),
        "steps_B": STEPS,
        "context": context(),
        "rows_BTR": LAID,
    }
    with torch.no_grad():
        return torch.as_tensor(made(**(given | changed)))


def test_a_fresh_net_says_nothing_and_its_blocks_change_nothing() -> None:
    torch.manual_seed(0)
    fresh = Dit(MICRO)
    assert not played(fresh).any()
    seen: list[torch.Tensor] = []
    fresh.blocks[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    fresh.blocks[1].register_forward_hook(lambda *given: seen.append(given[2]))
    played(fresh)
    assert seen[0].any()
    assert torch.equal(*seen)


def test_nobody_looks_at_padding() -> None:
    made, own = net(), torch.tensor([12, 7])
    sound = noisy()
    louder = sound.clone()
    louder[1, :, 7:] = 50.0
    quiet, loud = (played(made, x_BCTF=one, frames_B=own) for one in (sound, louder))
    assert torch.allclose(quiet[1, :, :7], loud[1, :, :7], atol=1e-6)
    assert torch.allclose(quiet[0], loud[0], atol=1e-6)
    unmasked = played(made, x_BCTF=louder)
    assert not torch.allclose(unmasked[1, :, :7], loud[1, :, :7], atol=1e-2)


def test_a_clip_alone_is_what_it_is_beside_a_longer_one() -> None:
    made, sound = net(MICRO.replaced(rows=())), noisy()  # the mixer of rows sees frames ahead
    beside = played(made, x_BCTF=sound, rows_BTR=None, frames_B=torch.tensor([12, 7]))
    alone = played(made, x_BCTF=sound[:, :, :7], rows_BTR=None)
    assert torch.allclose(beside[1, :, :7], alone[1], atol=1e-5)


def test_a_sample_without_a_frame_of_its_own_is_still_a_number() -> None:
    assert played(net(), frames_B=torch.tensor([12, 0])).isfinite().all()


def test_frames_look_at_each_other_by_how_far_apart_they_are() -> None:
    torch.manual_seed(0)
    attention = SelfAttention(32, 16)
    x = torch.randn(1, 6, 32)
    near, late, spread = (
        attention(x, Surroundings(x, {}, places, None, None))
        for places in (torch.arange(6), torch.arange(6) + 100, 3 * torch.arange(6))
    )
    assert torch.allclose(near, late, atol=1e-4)
    assert not torch.allclose(near, spread, atol=1e-2)


@pytest.mark.parametrize("condition", [Condition.TEXT, Condition.BEATS, Condition.CHORDS])
def test_each_condition_is_looked_at_beside_the_others(condition: Condition) -> None:
    made, told = net(), dict(context())
    told[condition] = tokens(2, 5, told[condition].states_BLD.shape[2], seed=9, each_s=0.3)
    assert not torch.allclose(played(made), played(made, context=told), atol=1e-3)


def test_rows_lie_at_their_frames() -> None:
    """Without blocks, what a row says reaches its own frame and, through the mixer, two beside."""
    made = net(MICRO.replaced(depth=1))
    made.blocks = torch.nn.ModuleList()
    louder = LAID.clone()
    louder[:, 5] += 1.0
    changed = (played(made, rows_BTR=louder) - played(made)).abs().amax(dim=(0, 1, 3)) > 1e-4
    assert changed.nonzero().flatten().tolist() == [3, 4, 5, 6, 7]


def test_time_and_seconds_are_heard() -> None:
    made = net(MICRO.replaced(seconds=True))
    plain = played(made)
    assert not torch.allclose(plain, played(made, steps_B=STEPS + 100), atol=1e-3)
    told = played(made, seconds_B2=torch.tensor([[10.0, 200.0], [0.0, 30.0]]))
    assert not torch.allclose(plain, told, atol=1e-3)


@pytest.mark.parametrize("patch", [2, 5])
def test_several_frames_may_be_a_token(patch: int) -> None:
    made = net(MICRO.replaced(patch=patch))
    assert played(made).shape == noisy().shape
    seen: list[torch.Tensor] = []
    made.blocks[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    played(made)
    assert seen[0].shape[1] == -(-12 // patch)


def test_in_bf16_it_says_about_the_same() -> None:
    with torch.autocast("cpu", torch.bfloat16), warnings.catch_warnings():
        warnings.simplefilter("error")
        rough = played(net(), frames_B=FULL)
    assert rough.dtype == torch.bfloat16
    fine = played(net(), frames_B=FULL)
    assert (rough - fine).abs().max() < 0.05 * fine.abs().max()


def test_computed_twice_is_the_same() -> None:
    plain, again = net(), net(checkpointing=True)
    for made in (plain, again):
        made(noisy(), STEPS, context(), None, LAID, FULL).square().sum().backward()
    for (name, one), other in zip(plain.named_parameters(), again.parameters(), strict=True):
        assert one.grad is not None, name
        assert other.grad is not None, name
        assert torch.allclose(one.grad, other.grad, atol=1e-6), name


def test_the_presets_are_as_large_as_they_say() -> None:
    millions = []
    for config in (TINY_DIT, SMALL_DIT):
        with torch.device("meta"):
            millions.append(sum(one.numel() for one in Dit(config).parameters()) / 1e6)
    assert millions == pytest.approx([5.5, 42.7], abs=0.05)


def test_what_a_net_does_not_take_is_said() -> None:
    made = net()
    with pytest.raises(TrainingError, match="a latent of 3 bands for a net of 4"):
        played(made, x_BCTF=noisy(bands=3))
    with pytest.raises(TrainingError, match="a latent of 5 channels"):
        played(made, x_BCTF=noisy(channels=5))
    with pytest.raises(TrainingError, match="no tokens for chords"):
        played(made, context={k: v for k, v in context().items() if k is not Condition.CHORDS})
    with pytest.raises(TrainingError, match="takes no seconds"):
        played(made, seconds_B2=torch.zeros(2, 2))
    with pytest.raises(ValidationError, match="not a multiple of head_width 48"):
        MICRO.replaced(head_width=48)
