"""What MuNet makes of its conditions, its grid and its settings."""

import pytest
import torch
from pydantic import ValidationError

from tests.training.munet.contexts import MICRO, STEPS, context, net, noisy, tokens
from training.conditions import Condition
from training.conditions.net_shape import TOKENS
from training.conditions.rows import row_width
from training.conditions.tokens import Tokens
from training.errors import TrainingError
from training.munet.config import preset
from training.munet.net import MuNet

ATTENDED = (Condition.TEXT, *TOKENS)


@torch.inference_mode()
def played(made: MuNet, **changed: torch.Tensor) -> torch.Tensor:
    conditions = dict(context())
    for name, states in changed.items():
        conditions[Condition(name)] = conditions[Condition(name)]._replace(states_BLD=states)
    out: torch.Tensor = made(noisy(), STEPS, conditions)
    return out


@pytest.mark.parametrize("condition", ATTENDED)
def test_each_condition_changes_what_is_played(condition: Condition) -> None:
    made, conditions = net(), context()
    other = played(made, **{condition: -conditions[condition].states_BLD})
    assert (other - played(made)).abs().max() > 1e-3


def test_the_blind_twin_takes_no_notice_of_beats_and_chords() -> None:
    made, conditions = net(MICRO.blind()), context()
    assert torch.equal(
        played(
            made,
            beats=-conditions[Condition.BEATS].states_BLD,
            chords=-conditions[Condition.CHORDS].states_BLD,
        ),
        played(made),
    )


@pytest.mark.parametrize("condition", ATTENDED)
@torch.inference_mode()
def test_padding_is_not_heard(condition: Condition) -> None:
    made, conditions = net(), dict(context())
    width = conditions[condition].states_BLD.shape[2]
    long = tokens(
        2, 16, width, seed=5, known=4, each_s=None if condition is Condition.TEXT else 0.25
    )
    conditions[condition] = long
    padded = made(noisy(), STEPS, conditions)
    conditions[condition] = long._replace(
        states_BLD=torch.where(long.mask_BL[..., None], long.states_BLD, 1e3)
    )
    assert torch.allclose(made(noisy(), STEPS, conditions), padded, atol=1e-5)
    conditions[condition] = Tokens(
        long.states_BLD[:, :4],
        long.mask_BL[:, :4],
        None if long.times_s_BL is None else long.times_s_BL[:, :4],
    )
    assert torch.allclose(made(noisy(), STEPS, conditions), padded, atol=1e-5)


@torch.inference_mode()
def test_a_sample_is_played_alike_in_any_company() -> None:
    made, conditions = net(), context()
    alone = {
        condition: Tokens(
            one.states_BLD[1:],
            one.mask_BL[1:],
            None if one.times_s_BL is None else one.times_s_BL[1:],
        )
        for condition, one in conditions.items()
    }
    assert torch.allclose(
        made(noisy(), STEPS, conditions)[1:], made(noisy()[1:], STEPS[1:], alone), atol=1e-5
    )


def test_a_fresh_net_learns_from_beats_and_chords_at_the_first_step() -> None:
    torch.manual_seed(0)
    fresh = MuNet(MICRO)
    fresh(noisy(), STEPS, context()).square().mean().backward()
    for name, parameter in fresh.named_parameters():
        if name.endswith(("attenders.beats.leave.weight", "attenders.chords.leave.weight")):
            assert parameter.grad is not None
            assert parameter.grad.abs().max() > 0, name


# What a net of seed 0 says of the last frame and band, the place that a grid of odd sides loses
# where the way down and the way up do not agree.
@pytest.mark.parametrize(
    ("frames", "bands", "last"),
    [
        (12, 4, [0.1532, -0.1545, 0.0382, 0.0881]),
        (13, 5, [0.2526, -0.0182, -0.1892, 0.2406]),
        (7, 1, [0.2187, -0.0048, -0.3012, 0.3480]),
        (1, 1, [-0.0993, -0.0691, -0.0547, -0.0092]),
    ],
)
@torch.inference_mode()
def test_any_grid_will_do(frames: int, bands: int, last: list[float]) -> None:
    out = net()(noisy(frames=frames, bands=bands), STEPS, context())
    assert out.shape == (2, 4, frames, bands)
    assert out[0, :, -1, -1].tolist() == pytest.approx(last, abs=1e-4)
    moved = noisy(frames=frames, bands=bands)
    moved[:, :, -1, -1] += 1
    change = (net()(moved, STEPS, context()) - out).abs()
    assert change[:, :, -1, -1].amax(1).min() > 1e-2


@torch.inference_mode()
def test_frames_know_when_they_are_where_nothing_else_tells_them_apart() -> None:
    still = torch.ones(2, 4, 64, 4)
    spread = []
    for rate_hz in (None, 8.0):
        out = net(MICRO.replaced(frame_rate_hz=rate_hz))(still, STEPS, context())
        # far from the edges, whose padding a convolution can feel
        spread.append(float(out[:, :, 24:40].std(dim=2).max()))
    assert spread[1] > 1e-3
    assert spread[0] < spread[1] / 100


@torch.inference_mode()
def test_seconds_are_told_where_the_configuration_says_so() -> None:
    made = net(MICRO.replaced(seconds=True))
    early, late = torch.tensor([[0.0, 180.0]] * 2), torch.tensor([[150.0, 180.0]] * 2)
    assert (
        made(noisy(), STEPS, context(), early) - made(noisy(), STEPS, context(), late)
    ).abs().max() > 1e-3
    assert made(noisy(), STEPS, context()).isfinite().all()  # unknown
    with pytest.raises(TrainingError, match="seconds=False"):
        net()(noisy(), STEPS, context(), early)


def test_checkpointing_changes_no_gradient() -> None:
    gradients = []
    for checkpointing in (False, True):
        made = net(checkpointing=checkpointing)
        made(noisy(), STEPS, context()).square().mean().backward()
        gradients.append([parameter.grad for parameter in made.parameters()])
    for plain, again in zip(*gradients, strict=True):
        assert plain is not None
        assert again is not None
        assert torch.allclose(plain, again, atol=1e-6)


def test_the_net_is_one_graph_to_the_compiler() -> None:
    made = net()
    whole = torch.compile(made, backend="eager", fullgraph=True)
    with torch.no_grad():
        assert torch.allclose(
            whole(noisy(), STEPS, context()), made(noisy(), STEPS, context()), atol=1e-6
        )


def test_in_bf16_it_plays_nearly_the_same() -> None:
    made = net()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        low = made(noisy(), STEPS, context())
    assert low.dtype == torch.bfloat16
    exact = played(made)
    assert (low.float() - exact).norm() < 0.05 * exact.norm()


def test_what_does_not_fit_is_refused_with_what_to_do() -> None:
    with pytest.raises(TrainingError, match="3 channels for a net of 4"):
        net()(noisy(channels=3), STEPS, context())
    with pytest.raises(TrainingError, match="no tokens for beats, chords"):
        net()(noisy(), STEPS, {Condition.TEXT: context()[Condition.TEXT]})
    with pytest.raises(ValidationError, match="width 40 is not a multiple"):
        MICRO.replaced(widths=(40, 64))
    with pytest.raises(ValidationError, match="2 widths but 1 levels"):
        MICRO.replaced(attended=(True,))
    with pytest.raises(TrainingError, match="expected tiny, small, base"):
        preset("huge")


ROWS = MICRO.replaced(rows=(Condition.CHORDS, Condition.KEY))


def frame_rows(frames: int = 12) -> torch.Tensor:
    return torch.randn(2, frames, row_width(ROWS.rows), generator=torch.Generator().manual_seed(3))


@torch.inference_mode()
def test_a_net_with_rows_begins_as_the_one_without() -> None:
    torch.manual_seed(0)
    plain = MuNet(MICRO)
    laid = MuNet(ROWS)
    laid.load_state_dict(plain.state_dict(), strict=False)
    out = laid(noisy(), STEPS, context(), None, frame_rows())
    assert torch.equal(out, plain(noisy(), STEPS, context()))


@torch.inference_mode()
def test_a_row_changes_what_is_played_where_it_stands() -> None:
    made, rows = net(ROWS), frame_rows()
    other = rows.clone()
    other[:, 6:] = -other[:, 6:]
    changed = (
        (made(noisy(), STEPS, context(), None, other) - made(noisy(), STEPS, context(), None, rows))
        .abs()
        .mean(dim=(0, 1, 3))
    )
    assert changed[7:].mean() > 3 * changed[:3].mean()


@pytest.mark.parametrize("frames", [11, 13])
def test_rows_of_another_length_are_refused(frames: int) -> None:
    with pytest.raises(TrainingError, match=f"frame rows of {frames} frames for a latent of 12"):
        net(ROWS)(noisy(), STEPS, context(), None, frame_rows(frames))


def test_a_net_without_rows_takes_none() -> None:
    with pytest.raises(TrainingError, match="takes no frame rows"):
        net()(noisy(), STEPS, context(), None, frame_rows())


@torch.inference_mode()
def test_an_odd_number_of_frames_is_halved_as_the_grid_is() -> None:
    made = net(ROWS)
    out = made(noisy(frames=13), STEPS, context(), None, frame_rows(13))
    assert out.shape == (2, 4, 13, 4)
