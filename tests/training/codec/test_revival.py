"""Codebook entries that nothing takes begin anew where frames lie; all others stay."""

import torch

from pipelines.codecs.residual_codes import ResidualCodebooks
from pipelines.codecs.wave_shape import RvqBottleneck
from training.codec.revival import Revival, TakenEntries, entries_of
from training.data.loading import BatchShare
from training.run.parallel import World

RULES = RvqBottleneck(books=2, entries=8, code_width=4)
ALONE = World(0, 1, torch.device("cpu"))
CLIPS, FRAMES = 4, 6


def books() -> ResidualCodebooks:
    torch.manual_seed(0)
    return ResidualCodebooks(3, RULES)


def taken(of: ResidualCodebooks, frames_B: torch.Tensor, seed: int = 1) -> TakenEntries:
    """What lies close together, as an untrained encoder gives it."""
    rng = torch.Generator().manual_seed(seed)
    latents_BCT = 5 + 0.1 * torch.randn(len(frames_B), 3, FRAMES, generator=rng)
    return TakenEntries.of(of(latents_BCT), frames_B)


def full(clips: int = CLIPS) -> torch.Tensor:
    return torch.full((clips,), FRAMES)


def test_as_drawn_all_frames_take_one_entry_and_after_a_step_they_are_told_apart() -> None:
    drawn = books()
    before = taken(drawn, full())
    assert len(torch.unique(before.codes_BLT[:, 0])) == 1
    Revival(RULES).revive([[one] for one in entries_of(drawn)], [before], share(), ALONE)
    assert len(torch.unique(taken(drawn, full()).codes_BLT[:, 0])) >= 4


def share(micro_batch: int = CLIPS) -> BatchShare:
    return BatchShare(CLIPS, micro_batch)


def test_entries_lie_where_frames_that_count_do_and_averages_with_them() -> None:
    drawn, revival = books(), Revival(RULES)
    frames_B = torch.tensor([FRAMES, 0, 2, 0])  # two clips that could not be read
    one = taken(drawn, frames_B)
    averages = [weight.detach() + 9 for weight in entries_of(drawn)]
    both = [list(pair) for pair in zip(entries_of(drawn), averages, strict=True)]
    revival.revive(both, [one], share(), ALONE)
    seen_LSD = one.seen_BLDT.permute(1, 0, 3, 2)
    counted_LSD = torch.cat([seen_LSD[:, 0], seen_LSD[:, 2, :2]], dim=1)
    for codes_BT, weight, average, seen_SD in zip(
        one.codes_BLT.unbind(1), entries_of(drawn), averages, counted_LSD, strict=True
    ):
        [used] = torch.unique(codes_BT).tolist()  # it stays
        rows = {tuple(row) for place, row in enumerate(weight.tolist()) if place != used}
        assert len(rows) == RULES.entries - 1
        assert rows < {tuple(row) for row in seen_SD.tolist()}
        assert torch.equal(
            weight - average != 0, (torch.arange(RULES.entries) == used)[:, None].expand(-1, 4)
        )
    assert not revival.idle_LN.any()


def test_what_is_taken_stays_and_what_is_idle_for_long_goes() -> None:
    drawn, revival = books(), Revival(RULES)
    places = entries_of(drawn)
    revival.revive([[one] for one in places], [taken(drawn, full())], share(), ALONE)
    used_L = [torch.unique(one) for one in taken(drawn, full(), 2).codes_BLT.unbind(1)]
    before = [one.detach().clone() for one in places]
    steps = 8 * RULES.entries // (CLIPS * FRAMES)  # frames until an entry counts as idle
    for _ in range(steps):
        revival.revive([[one] for one in places], [taken(drawn, full(), 2)], share(), ALONE)
    assert all(torch.equal(*pair) for pair in zip(places, before, strict=True))
    revival.revive([[one] for one in places], [taken(drawn, full(), 2)], share(), ALONE)
    for weight, was, used in zip(places, before, used_L, strict=True):
        moved = (weight != was).any(dim=1)
        assert not moved[used].any()
        assert moved.sum() == RULES.entries - len(used)


def test_micro_batches_and_what_is_no_number_make_no_difference() -> None:
    whole, parts = books(), books()
    one = taken(whole, full())
    one.seen_BLDT[3, :, :, 2] = torch.nan
    halves = [TakenEntries(*(field[half] for field in one)) for half in (slice(0, 2), slice(2, 4))]
    for of, found, micro_batch in ((whole, [one], 4), (parts, halves, 2)):
        Revival(RULES).revive([[each] for each in entries_of(of)], found, share(micro_batch), ALONE)
    assert all(
        torch.equal(*pair) for pair in zip(entries_of(whole), entries_of(parts), strict=True)
    )
    assert all(weight.isfinite().all() for weight in entries_of(whole))
