"""The swap test: two prompts differ in one control; that one should follow, the others stay."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from pipelines.labels.agreement import same_tempo
from schemas.record import Record
from training.metrics.controls import Control, PromptControls
from training.metrics.matching import by_third, longest_in_order
from training.metrics.summary import Figure, Kind, figure


class Swapped(NamedTuple):
    """Two clips: what each prompt requests, and what is estimated of each."""

    requested: tuple[PromptControls, PromptControls]
    estimated: tuple[PromptControls, PromptControls]


class SwapFigures(Record):
    """Pairs that differ in `control`: whether it followed, and whether each other one stayed."""

    control: Control
    pairs: int
    followed: Figure
    stayed: tuple[Figure, ...]


class SwapReport(Record):
    """A row per swapped control; `unusable` pairs differ in no control or in several."""

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


def swap_report(pairs: Sequence[Swapped], *, seed: int = 0) -> SwapReport:
    """What became of each swap.

    A control *followed* where each of the two clips is nearer to what its own prompt asks than to
    what the other one's does: tempo by its ratio, key and meter by being equal, chords by the share
    of them estimated in order by root and third. A model that ignores the control does not pass by
    playing the same twice. A control *stayed* where both clips sound alike in it: tempo within 4 %,
    key and meter equal, and for chords the mean share of both sequences that is common, in order,
    by root and third. A label that is missing in either clip is a miss. Where the key was swapped,
    chords are looked at in pairs whose prompts state them: others have to change with it.
    """
    by_control: dict[Control, list[Swapped]] = {}
    for pair in pairs:
        control = changed_control(pair.requested)
        if control:
            by_control.setdefault(control, []).append(pair)
    rows = [
        _figures(control, by_control[control], seed) for control in Control if control in by_control
    ]
    return SwapReport(swaps=tuple(rows), unusable=len(pairs) - sum(row.pairs for row in rows))


def _figures(control: Control, pairs: Sequence[Swapped], seed: int) -> SwapFigures:
    followed = [float(followed_own(pair, control)) for pair in pairs]
    return SwapFigures(
        control=control,
        pairs=len(pairs),
        followed=figure(
            control,
            "each clip nearer to its own prompt",
            followed,
            Kind.SHARE,
            key=f"swap {control}",
            seed=seed,
        ),
        stayed=tuple(
            _stayed(other, control, kept, seed)
            for other in Control
            if (kept := _where_it_should_stay(other, control, pairs))
        ),
    )


def _where_it_should_stay(
    other: Control, control: Control, pairs: Sequence[Swapped]
) -> list[Swapped]:
    """Pairs in which another control than the one swapped has no reason to change."""
    if (other, control) == (Control.CHORDS, Control.KEY):
        return [pair for pair in pairs if _both_request(pair, other)]
    return [] if other is control else list(pairs)


def _both_request(pair: Swapped, control: Control) -> bool:
    return all(side.has(control) for side in pair.requested)


def _stayed(other: Control, control: Control, pairs: Sequence[Swapped], seed: int) -> Figure:
    values = [likeness(pair.estimated, other) for pair in pairs]
    meaning = "chords in common, in order" if other is Control.CHORDS else "the same in both clips"
    kind = Kind.MEAN_SHARE if other is Control.CHORDS else Kind.SHARE
    return figure(other, meaning, values, kind, key=f"swap {control} {other}", seed=seed)


def followed_own(pair: Swapped, control: Control) -> bool:
    """Whether each clip is nearer to its own prompt's value of a control than to the other's.

    >>> slow, fast = PromptControls(bpm=90), PromptControls(bpm=140)
    >>> slower, faster = PromptControls(bpm=95), PromptControls(bpm=128)
    >>> followed_own(Swapped((slow, fast), (slower, faster)), Control.TEMPO)
    True
    >>> followed_own(Swapped((slow, fast), (slower, slower)), Control.TEMPO)
    False
    """
    own = [nearness(pair.requested[side], pair.estimated[side], control) for side in (0, 1)]
    others = [nearness(pair.requested[1 - side], pair.estimated[side], control) for side in (0, 1)]
    return all(mine > theirs for mine, theirs in zip(own, others, strict=True))


def nearness(requested: PromptControls, estimated: PromptControls, control: Control) -> float:
    """How near the estimated value comes to the requested one, up to 1; 0 where either is missing.

    Tempo: the ratio of the two.
    """
    if not (requested.has(control) and estimated.has(control)):
        return 0.0
    if control is Control.CHORDS:
        target, played = _thirds(requested), _thirds(estimated)
        return longest_in_order(target, played) / len(target)
    if control is Control.TEMPO and requested.bpm and estimated.bpm:
        return min(requested.bpm / estimated.bpm, estimated.bpm / requested.bpm)
    return float(_value(requested, control) == _value(estimated, control))


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
