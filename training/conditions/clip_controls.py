"""The controls of one clip over its time: labels, curves, and when each of them is known."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from schemas.controls import CONTROL_RATE_HZ
from schemas.labels import Beats, Chords, Labels
from schemas.pitch import Key
from training.conditions import CONTROLS, Condition


class Span(NamedTuple):
    """A part of a clip, in seconds from its start."""

    start_s: float
    end_s: float


class KeySpan(NamedTuple):
    """A part of a clip in one key, in seconds from its start."""

    start_s: float
    end_s: float
    key: Key


Known = Mapping[Condition, tuple[Span, ...]]
ALWAYS: Final[Known] = MappingProxyType({})  # each control for all of its clip


class ControlCurves(NamedTuple):
    """Curves in frames of 1 / `rate_hz` s; an empty one is not known at all.

    In the units of `schemas.controls`; none where a frame's value is not known.
    """

    dynamics_db: tuple[float | None, ...] = ()
    melody: tuple[int | None, ...] = ()
    onsets_per_s: tuple[float | None, ...] = ()
    rate_hz: float = CONTROL_RATE_HZ
    start_s: float = 0.0  # where in the clip the first frame begins


class ClipControls(NamedTuple):
    """What a clip is conditioned on beside its text.

    `known` says when a control is: a control that it does not name, for all of the clip; one with
    no span, never. Where a clip changes its key, `keys` holds each with its time; else it is empty,
    and the labels hold the one key.
    """

    labels: Labels
    curves: ControlCurves = ControlCurves()
    known: Known = ALWAYS
    keys: tuple[KeySpan, ...] = ()

    def without(self, conditions: Collection[Condition]) -> "ClipControls":
        """The same with some controls never known."""
        return self._replace(known={**self.known, **dict.fromkeys(conditions, ())})

    def until(self, end_s: float) -> "ClipControls":
        """The same, of which nothing is known from a time on.

        >>> from training.prompt_controls.resolve import resolve_controls
        >>> whole = ClipControls(resolve_controls("", duration_s=8).labels)
        >>> whole.without([Condition.KEY]).until(4.0).known[Condition.BEATS]
        (Span(start_s=0.0, end_s=4.0),)
        """
        always = (Span(0.0, end_s),)
        known: dict[Condition, tuple[Span, ...]] = {
            condition: tuple(
                Span(one.start_s, min(one.end_s, end_s))
                for one in self.known.get(condition, always)
                if one.start_s < end_s
            )
            for condition in CONTROLS
        }
        return self._replace(known=known)

    def is_known(self, condition: Condition) -> bool:
        """Whether a control is known at any time."""
        return self.known.get(condition) != ()

    @property
    def known_beats(self) -> Beats | None:
        """Its beats, none where they are not known."""
        return self.labels.beats if self.is_known(Condition.BEATS) else None

    @property
    def known_chords(self) -> Chords | None:
        """Its chords, none where they are not known."""
        return self.labels.chords if self.is_known(Condition.CHORDS) else None
