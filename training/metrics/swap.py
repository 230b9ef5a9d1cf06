"""The swap test: two prompts differ in one control; that one should follow, the others stay."""

from collections.abc import Sequence
from itertools import chain
from statistics import fmean
from typing import Final

from pipelines.labels.agreement import same_tempo
from schemas.record import Record
from training.metrics.controls import Control, PromptControls
from training.metrics.matching import by_third, longest_in_order
from training.metrics.summary import Figure, Kind, figure
from training.metrics.swap_judges import (
    JUDGE_MEANING,
    OTHER_JUDGES,
    Judge,
    Judgement,
    Swapped,
    judge_of,
    judgement,
)
from training.metrics.swap_kinds import SwapKind, swap_kind

# where the chords of both prompts are the same in another order, the key is; else it may change
_KEY_STAYS: Final = frozenset((SwapKind.TEMPO, SwapKind.CHORDS_REVERSED, SwapKind.METER))


class SwapFigures(Record):
    """Pairs of one kind of swap: whether the control that differs followed, and whether each other
    one stayed.

    `followed` is by the judge of the control, `also` by others. `own` and `other` are how near the
    clips come to their own prompts and to each other's. `by_order`: of the pairs, those whose
    chords have no asked times, and are judged by their order.
    """

    swap: SwapKind
    control: Control
    pairs: int
    by_order: int = 0
    followed: Figure
    also: tuple[Figure, ...] = ()
    own: Figure
    other: Figure
    stayed: tuple[Figure, ...]


class SwapReport(Record):
    """A row per kind of swap; `unusable` pairs differ in no control or in several."""

    swaps: tuple[SwapFigures, ...]
    unusable: int


def changed_control(requested: tuple[PromptControls, PromptControls]) -> Control | None:
    """The one control in which two prompts differ; none unless it is exactly one that both state.

    >>> slow, fast = PromptControls(bpm=90, meter=4), PromptControls(bpm=140, meter=4)
    >>> changed_control((slow, fast)).value
    'tempo'
    >>> changed_control((slow, PromptControls(bpm=140, meter=3))) is None
    True
    """
    one, other = requested
    differing = [control for control in Control if _value(one, control) != _value(other, control)]
    if len(differing) != 1 or not all(side.has(differing[0]) for side in requested):
        return None
    return differing[0]


def kind_of(pair: Swapped) -> SwapKind | None:
    """The kind of swap that a pair is; none where prompts differ in no control, or in several."""
    control = changed_control(pair.requested)
    return swap_kind(pair.requested, control) if control else None


def swap_report(pairs: Sequence[Swapped], *, seed: int = 0) -> SwapReport:
    """What became of each swap, a row for each kind.

    Whether a control *followed* is judged as `training.metrics.swap_judges` says: chords by the
    overlap with the asked timelines, by root and third; tempo by the ratio, octaves taken for
    equal; key and meter by being equal. A model that ignores the control does not pass by playing
    the same twice. A control *stayed* where both clips sound alike in it: tempo within 4 %, key and
    meter equal, and for chords the mean share of both sequences that is common, in order, by root
    and third. A label that is missing in either clip is a miss. Where the key was swapped, chords
    are looked at in pairs whose prompts state them: others have to change with it; and where other
    chords were asked for than the same in reverse, the key is where the prompts state it.
    """
    by_kind: dict[SwapKind, list[Swapped]] = {}
    for pair in pairs:
        kind = kind_of(pair)
        if kind:
            by_kind.setdefault(kind, []).append(pair)
    rows = [_figures(kind, by_kind[kind], seed) for kind in SwapKind if kind in by_kind]
    return SwapReport(swaps=tuple(rows), unusable=len(pairs) - sum(row.pairs for row in rows))


def _figures(kind: SwapKind, pairs: Sequence[Swapped], seed: int) -> SwapFigures:
    control = kind.control
    judges = [judge_of(pair, control) for pair in pairs]
    found = [verdict(pair, control) for pair in pairs]
    main = next((judge for judge in judges if judge is not Judge.ORDER), judges[0])
    also = (
        _followed(kind, judge, [judgement(pair, judge) for pair in pairs], seed)
        for judge in OTHER_JUDGES[control]
        if judge is not main
    )
    own, other = (list(chain.from_iterable(sides)) for sides in _nearness_of(found))
    key = f"swap {kind}"
    return SwapFigures(
        swap=kind,
        control=control,
        pairs=len(pairs),
        by_order=judges.count(Judge.ORDER),
        followed=_figure_of(kind, main, found, seed),
        also=tuple(one for one in also if one),
        own=figure("own", _near(main), own, Kind.MEAN_SHARE, key=f"{key} own", seed=seed),
        other=figure("other", _near(main), other, Kind.MEAN_SHARE, key=f"{key} other", seed=seed),
        stayed=tuple(
            _stayed(one, kind, kept, seed)
            for one in Control
            if (kept := _where_it_should_stay(one, kind, pairs))
        ),
    )


def verdict(pair: Swapped, control: Control) -> Judgement:
    """The verdict of a pair's own judge."""
    found = judgement(pair, judge_of(pair, control))
    assert found is not None  # `judge_of` names one that has something to judge by
    return found


def _nearness_of(found: Sequence[Judgement]) -> tuple[list[tuple[float, float]], ...]:
    return [one.own for one in found], [one.other for one in found]


def _near(judge: Judge) -> str:
    return f"nearness {judge}, a mean over clips"


def _followed(
    kind: SwapKind, judge: Judge, found: Sequence[Judgement | None], seed: int
) -> Figure | None:
    known = [one for one in found if one is not None]
    return _figure_of(kind, judge, known, seed) if known else None


def _figure_of(kind: SwapKind, judge: Judge, found: Sequence[Judgement], seed: int) -> Figure:
    values = [one.followed for one in found]
    made = figure(
        judge, JUDGE_MEANING[judge], values, Kind.SHARE, key=f"swap {kind} {judge}", seed=seed
    )
    return made.replaced(chance=round(fmean(one.chance for one in found), 4))


def _where_it_should_stay(
    other: Control, kind: SwapKind, pairs: Sequence[Swapped]
) -> list[Swapped]:
    """Pairs in which another control than the one swapped has no reason to change."""
    if other is kind.control:
        return []
    may_change = (other, kind) == (Control.CHORDS, SwapKind.KEY) or (
        other is Control.KEY and kind not in _KEY_STAYS
    )
    return [pair for pair in pairs if _both_request(pair, other)] if may_change else list(pairs)


def _both_request(pair: Swapped, control: Control) -> bool:
    return all(side.has(control) for side in pair.requested)


def _stayed(other: Control, kind: SwapKind, pairs: Sequence[Swapped], seed: int) -> Figure:
    values = [likeness(pair.estimated, other) for pair in pairs]
    meaning = "chords in common, in order" if other is Control.CHORDS else "the same in both clips"
    figure_kind = Kind.MEAN_SHARE if other is Control.CHORDS else Kind.SHARE
    return figure(other, meaning, values, figure_kind, key=f"swap {kind} {other}", seed=seed)


def likeness(estimated: tuple[PromptControls, PromptControls], control: Control) -> float:
    """How alike two clips are in a control, from 0 to 1; missing in either: 0."""
    one, other = estimated
    if not (one.has(control) and other.has(control)):
        return 0.0
    if control is Control.TEMPO:
        return same_tempo(one.bpm, other.bpm) or 0.0
    if control is Control.CHORDS:
        first, second = _thirds(one), _thirds(other)
        return 2 * longest_in_order(first, second) / (len(first) + len(second))
    return float(_value(one, control) == _value(other, control))


def _thirds(controls: PromptControls) -> list[tuple[int, str]]:
    return [by_third(label) for label in controls.chords]


_FIELD: Final = {
    Control.TEMPO: "bpm",
    Control.KEY: "key",
    Control.CHORDS: "chords",
    Control.METER: "meter",
}


def _value(controls: PromptControls, control: Control) -> object:
    return getattr(controls, _FIELD[control])
