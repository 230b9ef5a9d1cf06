"""The ways in which a prompt differs from another in one control: a kind of swap each."""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final

from schemas.chord import Chord
from training.metrics.controls import Control, PromptControls

# A minor third up: three of seven notes of a scale stay, and no chord of a key's usual four is
# another's third or relative.
TRANSPOSED_BY: Final = 3
# A whole tone: no note of a triad is in the one a whole tone away, and it is likely in the key.
_REPLACED_BY: Final = (2, -2, 5, -5)
Sequenced = tuple[str, ...]  # Harte labels in order


class SwapKind(StrEnum):
    """What is swapped, and how."""

    TEMPO = "tempo"
    KEY = "key"
    CHORDS_REVERSED = "chords reversed"
    CHORDS_TRANSPOSED = "chords transposed"
    CHORD_REPLACED = "one chord replaced"
    CHORDS_OTHERWISE = "chords otherwise"  # in prompts that others wrote
    METER = "meter"

    @property
    def control(self) -> Control:
        """The control that differs."""
        return _PLAIN.get(self, Control.CHORDS)


_PLAIN: Final[Mapping[SwapKind, Control]] = {
    SwapKind.TEMPO: Control.TEMPO,
    SwapKind.KEY: Control.KEY,
    SwapKind.METER: Control.METER,
}
_KIND: Final = {control: kind for kind, control in _PLAIN.items()}


def swap_kind(requested: tuple[PromptControls, PromptControls], control: Control) -> SwapKind:
    """The kind of a swap of two prompts that differ in a control.

    >>> one, other = (PromptControls(chords=chords) for chords in (("C", "G"), ("Eb", "Bb")))
    >>> swap_kind((one, other), Control.CHORDS).value
    'chords transposed'
    """
    if control is not Control.CHORDS:
        return _KIND[control]
    before, after = (side.chords for side in requested)
    if after == before[::-1]:
        return SwapKind.CHORDS_REVERSED
    if len(after) == len(before) and _is_transposed(before, after):
        return SwapKind.CHORDS_TRANSPOSED
    return SwapKind.CHORD_REPLACED if _is_one_replaced(before, after) else SwapKind.CHORDS_OTHERWISE


def _is_transposed(before: Sequence[str], after: Sequence[str]) -> bool:
    step = Chord.parse(after[0]).root - Chord.parse(before[0]).root
    return [_transposed(label, step) for label in before] == list(after)


def _is_one_replaced(before: Sequence[str], after: Sequence[str]) -> bool:
    """Wherever it comes: in each round of a progression."""
    if len(after) != len(before):
        return False
    differing = {(one, other) for one, other in zip(before, after, strict=True) if one != other}
    return len(differing) == 1


def _transposed(label: str, semitones: int) -> str:
    return Chord.parse(label).transposed(semitones).harte


def reversed_chords(chords: Sequenced) -> Sequenced | None:
    """The same in reverse; none where that is the same."""
    turned = chords[::-1]
    return None if turned == chords else turned


def transposed_chords(chords: Sequenced) -> Sequenced | None:
    """All a minor third up; none of no chords.

    >>> transposed_chords(("C:maj", "A:min/b3"))
    ('Eb:maj', 'C:min/b3')
    """
    return tuple(_transposed(label, TRANSPOSED_BY) for label in chords) or None


def one_replaced(chords: Sequenced) -> Sequenced | None:
    """The chord in the middle (the second of four) a whole tone up, wherever it comes, unless it
    would be another of the chords: then a whole tone down, a fourth up, a fourth down.

    None of no chords, and where none of these is another chord.

    >>> one_replaced(("C:maj", "A:min", "F:maj", "A:min"))
    ('C:maj', 'B:min', 'F:maj', 'B:min')
    """
    if not chords:
        return None
    chosen = chords[(len(chords) - 1) // 2]
    roots = {Chord.parse(label).root for label in chords}
    for step in _REPLACED_BY:
        if (Chord.parse(chosen).root + step) % 12 not in roots:
            other = _transposed(chosen, step)
            return tuple(other if label == chosen else label for label in chords)
    return None


# each way to change a progression
CHORD_SWAPS: Final[Mapping[SwapKind, Callable[[Sequenced], Sequenced | None]]] = {
    SwapKind.CHORDS_REVERSED: reversed_chords,
    SwapKind.CHORDS_TRANSPOSED: transposed_chords,
    SwapKind.CHORD_REPLACED: one_replaced,
}
