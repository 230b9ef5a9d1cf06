"""Figures of many clips: shares and means with their intervals."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from statistics import fmean
from typing import Final, NamedTuple

from schemas.record import Record
from training.metrics.controls import PromptControls
from training.metrics.intervals import mean_interval, share_interval
from training.metrics.outcomes import MEANING, OF_CONTROL, SHARES, Metric, Scores, Variant, scores

# of each prompt: the mean over them is sure enough to tell a system from chance
_OTHERS: Final = 20


class Figure(Record):
    """A share of clips, or a mean over clips, with its 95 % interval and the number of clips."""

    name: str
    meaning: str
    value: float
    low: float
    high: float
    clips: int
    # of these, those in which nothing was estimated for the control: with the corrected rules,
    # misses
    unheard: int = 0
    chance: float | None = (
        # of the same clips against each other's prompts: what a system gets that does not listen
        None
    )
    # what the recordings of the same prompts get, and what is left of them through the model's
    # codec: the most that annotators and codec let anything get
    recordings: float | None = None
    codec: float | None = None


class Pair(NamedTuple):
    """What was requested, and what was estimated."""

    requested: PromptControls
    estimated: PromptControls


def control_figures(
    pairs: Iterable[Pair], variant: Variant = Variant.CORRECTED, *, seed: int = 0
) -> tuple[Figure, ...]:
    """Each metric over the clips that count for it; a metric for which none does is not among them.

    >>> waltz, silent = PromptControls(meter=3), PromptControls()
    >>> found = control_figures([Pair(waltz, waltz), Pair(waltz, silent), Pair(silent, waltz)])
    >>> [(one.name, one.value, one.clips) for one in found]
    [('BM', 0.5, 2)]
    """
    listed = list(pairs)
    rows = [scores(requested, estimated, variant) for requested, estimated in listed]
    others = _of_others(listed, variant)
    found = []
    for metric in Metric:
        one = _figure(metric, rows, others, f"{variant} {metric}", seed)
        if one is not None:
            control = OF_CONTROL[metric]
            empty = sum(
                metric in row and not pair.estimated.has(control)
                for row, pair in zip(rows, listed, strict=True)
            )
            found.append(one.replaced(unheard=empty))
    return tuple(found)


def _of_others(pairs: Sequence[Pair], variant: Variant) -> list[Scores]:
    """Each prompt against the clips of other prompts, so many of them, evenly spread."""
    count = len(pairs)
    return [
        scores(pair.requested, pairs[(index + shift) % count].estimated, variant)
        for shift in other_shifts(count)
        for index, pair in enumerate(pairs)
    ]


def other_shifts(count: int) -> list[int]:
    """How far from each of so many clips those lie against which its prompt is held for chance.

    >>> other_shifts(3), other_shifts(1)
    ([1, 2], [])
    """
    if count < 2:
        return []
    return sorted({1 + number * (count - 1) // _OTHERS for number in range(_OTHERS)})


def _figure(
    metric: Metric, rows: Sequence[Scores], others: Sequence[Scores], key: str, seed: int
) -> Figure | None:
    values = [row[metric] for row in rows if metric in row]
    by_chance = [row[metric] for row in others if metric in row]
    if not values:
        return None
    found = figure(
        metric,
        MEANING[metric],
        values,
        Kind.SHARE if metric in SHARES else Kind.MEAN_SHARE,
        key=key,
        seed=seed,
    )
    return found.replaced(chance=round(fmean(by_chance), 4)) if by_chance else found


class Kind(StrEnum):
    """What a figure is of, which decides its interval."""

    SHARE = "share"  # of clips
    MEAN_SHARE = "mean_share"  # the mean of shares, each of one clip
    MEAN = "mean"  # of any numbers


def figure(
    name: str, meaning: str, values: Sequence[float], kind: Kind, *, key: str, seed: int
) -> Figure:
    """A figure of at least one value, one per clip, with an interval by `key` and `seed`."""
    if kind is Kind.SHARE:
        found = share_interval(sum(values), len(values))
    else:
        found = mean_interval(values, seed, key, within_unit=kind is Kind.MEAN_SHARE)
    value, low, high = (round(end, 4) for end in found)
    return Figure(name=name, meaning=meaning, value=value, low=low, high=high, clips=len(values))
