"""Wrong conditions for a clip: those of another song, or its own out of order, time or key."""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from schemas.labels import TIME_DECIMALS, Beats, Chords, KeyLabel
from training.conditions import Condition
from training.conditions.clip_controls import ClipControls
from training.data.examples import TrainingExample
from training.nets import NetConfig

# of a clip, and of another song's
ControlChange = Callable[[ClipControls, ClipControls], ClipControls]
ANOTHER: Final = "another song's"


class WrongCondition(NamedTuple):
    """One way to be wrong: which condition, how, and what changes the controls; a text's is another
    song's.
    """

    condition: Condition
    how: str
    change: ControlChange | None

    def apply(self, one: TrainingExample, other: TrainingExample) -> TrainingExample:
        """A clip with one condition that is wrong."""
        if self.change is None:
            return one._replace(prompt=other.prompt)
        if one.controls is None or other.controls is None:
            return one
        return one._replace(controls=self.change(one.controls, other.controls))


def wrong_conditions(config: NetConfig) -> tuple[WrongCondition, ...]:
    """Ways to be wrong about what a net takes; about text, beats and chords in any case.

    >>> from training.munet.config import preset
    >>> [f"{one.condition}: {one.how}" for one in wrong_conditions(preset("base"))][2:4]
    ["chords: another song's", 'chords: reversed']
    """
    taken = {Condition.TEXT, Condition.BEATS, Condition.CHORDS, *config.rows}
    return tuple(one for one in _WAYS if one.condition in taken)


def _labels_of_another(name: str) -> ControlChange:
    def change(one: ClipControls, other: ClipControls) -> ClipControls:
        return one._replace(labels=one.labels.replaced(**{name: getattr(other.labels, name)}))

    return change


def _curve_of_another(name: str) -> ControlChange:
    def change(one: ClipControls, other: ClipControls) -> ClipControls:
        return one._replace(curves=one.curves._replace(**{name: getattr(other.curves, name)}))

    return change


def _with_chords(reorder: Callable[[Chords], Chords]) -> ControlChange:
    def change(one: ClipControls, _: ClipControls) -> ClipControls:
        return one._replace(labels=one.labels.replaced(chords=reorder(one.labels.chords)))

    return change


def _relabelled(chords: Chords, labels: list[str]) -> Chords:
    pairs = zip(chords.segments, labels, strict=True)
    return chords.replaced(segments=tuple(one.replaced(label=label) for one, label in pairs))


def reversed_chords(chords: Chords) -> Chords:
    """The last chord first, each change where one was."""
    return _relabelled(chords, [one.label for one in chords.segments][::-1])


def later_chords(chords: Chords) -> Chords:
    """Each chord a place later, the last one first."""
    labels = [one.label for one in chords.segments]
    return _relabelled(chords, [*labels[-1:], *labels[:-1]])


def late_beats(beats: Beats) -> Beats:
    """Each beat half a beat late."""
    if len(beats.times_s) < 2:
        return beats
    half_s = float(np.median(np.diff(beats.times_s))) / 2
    times_s = (round(time_s + half_s, TIME_DECIMALS) for time_s in beats.times_s)
    return beats.replaced(times_s=tuple(times_s))


def distant_key(label: KeyLabel) -> KeyLabel:
    """The same mode a tritone away, which shares two notes of seven."""
    return label if label.tonic is None else label.replaced(tonic=(label.tonic + 6) % 12)


def _with_late_beats(one: ClipControls, _: ClipControls) -> ClipControls:
    return one._replace(labels=one.labels.replaced(beats=late_beats(one.labels.beats)))


def _with_distant_key(one: ClipControls, _: ClipControls) -> ClipControls:
    return one._replace(labels=one.labels.replaced(key=distant_key(one.labels.key)))


_WAYS: Final = (
    WrongCondition(Condition.TEXT, ANOTHER, None),
    WrongCondition(Condition.BEATS, ANOTHER, _labels_of_another("beats")),
    WrongCondition(Condition.CHORDS, ANOTHER, _labels_of_another("chords")),
    WrongCondition(Condition.CHORDS, "reversed", _with_chords(reversed_chords)),
    WrongCondition(Condition.CHORDS, "a place later", _with_chords(later_chords)),
    WrongCondition(Condition.BEATS, "half a beat late", _with_late_beats),
    WrongCondition(Condition.KEY, ANOTHER, _labels_of_another("key")),
    WrongCondition(Condition.KEY, "a tritone off", _with_distant_key),
    WrongCondition(Condition.DYNAMICS, ANOTHER, _curve_of_another("dynamics_db")),
    WrongCondition(Condition.MELODY, ANOTHER, _curve_of_another("melody")),
    WrongCondition(Condition.ONSETS, ANOTHER, _curve_of_another("onsets_per_s")),
)
