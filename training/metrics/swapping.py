"""Prompts for the swap test: the same caption with one control changed."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from pipelines.captioning.facts import mentions
from pipelines.captioning.mention import NUMBER, Mention, TextSpan
from pipelines.captioning.splitting import split_sentences
from pipelines.captioning.tempo_words import ITALIAN, PLAIN, tempo_word
from schemas.chord import Chord
from schemas.fact import FactKind, write_number
from schemas.pitch import Key, Mode
from training.errors import TrainingError
from training.metrics.controls import Control, PromptControls, overridden, stated_controls
from training.metrics.swap_kinds import CHORD_SWAPS, SwapKind, reversed_chords, swap_kind
from training.prompt_controls.requested import signature

_KINDS: Final = {
    Control.TEMPO: (FactKind.BPM, FactKind.TEMPO_WORD),
    Control.KEY: (FactKind.KEY,),
    Control.CHORDS: (FactKind.CHORDS, FactKind.TIMED_CHORDS),
    Control.METER: (FactKind.METER,),
}
_ENDS: Final = (".", "!", "?")
_MIDDLE_BPM: Final = 105
_NUMBER_WORDS: Final = {3: "three", 4: "four"}
_COUNT: Final = re.compile(r"\b(?:\d+|two|three|four|five|six|seven|nine|twelve)\b", re.IGNORECASE)


class SwappedPrompt(NamedTuple):
    """A prompt like another but for one control."""

    caption: str
    requested: PromptControls
    control: Control


class OtherValue(NamedTuple):
    """Another value of a control, alone in its record, and in which way it is another."""

    kind: SwapKind
    value: PromptControls


def swapped_prompts(
    caption: str, requested: PromptControls, *, graded: bool = False
) -> Iterator[tuple[SwapKind, SwappedPrompt]]:
    """A prompt for each requested control that can be changed alone, with `other_value`; `graded`:
    one for each way to change chords, as `graded_values` says.
    """
    for control in Control:
        for kind, value in _values(requested, control, graded):
            try:
                yield kind, swapped_prompt(caption, requested, control, value)
            except TrainingError:  # worded in a way that cannot be changed by itself
                continue


def _values(requested: PromptControls, control: Control, graded: bool) -> list[OtherValue]:
    if graded and control is Control.CHORDS:
        return graded_values(requested)
    value = other_value(requested, control)
    return [] if value is None else [OtherValue(swap_kind((requested, value), control), value)]


def graded_values(requested: PromptControls) -> list[OtherValue]:
    """Other chords, from the farthest to the nearest: the same in reverse; all a minor third up,
    where no key is asked for that would contradict them; and one of them replaced.

    >>> four = PromptControls(chords=("C:maj", "A:min", "F:maj", "G:maj"))
    >>> [value.chords[1] for _, value in graded_values(four)]
    ['F:maj', 'C:min', 'B:min']
    """
    found = []
    for kind, changed in CHORD_SWAPS.items():
        chords = changed(requested.chords)
        if chords and not (kind is SwapKind.CHORDS_TRANSPOSED and requested.key):
            found.append(OtherValue(kind, PromptControls(chords=chords)))
    return found


def other_value(requested: PromptControls, control: Control) -> PromptControls | None:
    """Another value of a control, alone in its record, chosen so that an annotator's usual
    confusions do not blur the difference.

    Tempo × 3/2, or × 2/3 above 105 BPM: not the double or the half. Key: the other mode a tritone
    away, as far from the relative as from the dominant. Meter: 3 for 4, and 4 for any other.
    Chords: the same in reverse, in the same key. None where nothing is asked for; where chords read
    the same backwards; and for a key beside chords, which would contradict them.

    >>> other_value(PromptControls(bpm=90), Control.TEMPO).bpm
    135.0
    >>> other_value(PromptControls(key=Key.parse("C")), Control.KEY).key.name
    'F# minor'
    """
    if not requested.has(control):
        return None
    if control is Control.TEMPO and requested.bpm is not None:
        return PromptControls(
            bpm=round(requested.bpm * (3 / 2 if requested.bpm <= _MIDDLE_BPM else 2 / 3))
        )
    if control is Control.METER:
        return PromptControls(meter=3 if requested.meter == 4 else 4)
    if control is Control.CHORDS:
        turned = reversed_chords(requested.chords)
        return None if turned is None else PromptControls(chords=turned)
    if requested.key is None or requested.chords:
        return None
    mode = Mode.MINOR if requested.key.mode is Mode.MAJOR else Mode.MAJOR
    return PromptControls(key=Key(tonic=(requested.key.tonic + 6) % 12, mode=mode))


def swapped_prompt(
    caption: str, requested: PromptControls, control: Control, value: PromptControls
) -> SwappedPrompt:
    """The caption with `control` changed to `value`; a sentence more where nothing states it.

    Raises `TrainingError` where the changed caption does not state just what it should.

    >>> fast = PromptControls(bpm=140)
    >>> stated = "A rock song at 90 BPM. The key is C major."
    >>> swapped_prompt(stated, PromptControls(), Control.TEMPO, fast).caption
    'A rock song at 140 BPM. The key is C major.'
    >>> slow = PromptControls(bpm=90)
    >>> swapped_prompt("A rock song.", slow, Control.TEMPO, fast).caption
    'A rock song. The tempo is 140 BPM.'
    """
    before = stated_controls(caption)
    target = overridden(before, value)
    for made in (_replaced(caption, control, value), _without(caption, control, value)):
        if stated_controls(made) == target:
            return SwappedPrompt(made, overridden(overridden(before, requested), value), control)
    raise TrainingError(
        f"the {control} of {caption!r} cannot be changed by itself: "
        "its words state it together with something else"
    )


def _replaced(caption: str, control: Control, value: PromptControls) -> str:
    """Each statement of a control replaced in its place; one sentence more where there is none."""
    out = []
    for sentence in split_sentences(caption):
        text = sentence
        spans = [
            _span(mention) for mention in mentions(sentence) if mention.kind in _KINDS[control]
        ]
        for start, end in sorted(_apart(spans), reverse=True):
            text = f"{text[:start]}{_words(sentence[start:end], control, value)}{text[end:]}"
        out.append(
            text if text[-1:] in _ENDS or sentence[-1:] not in _ENDS else f"{text}{sentence[-1]}"
        )
    replaced = " ".join(out)
    return (
        _with_sentence(replaced, control, value)
        if replaced == " ".join(split_sentences(caption))
        else replaced
    )


def _span(mention: Mention) -> TextSpan:
    """What is replaced: of a tempo in figures or in words the number alone."""
    return (
        mention.parts[0]
        if mention.kind is FactKind.BPM and len(mention.parts) == 1
        else mention.span
    )


def _without(caption: str, control: Control, value: PromptControls) -> str:
    """The caption without the sentences that state a control, and one that states it anew."""
    sentences = [one for one in split_sentences(caption) if not _states(one, control)]
    return _with_sentence(" ".join(sentences), control, value)


def _states(sentence: str, control: Control) -> bool:
    return any(mention.kind in _KINDS[control] for mention in mentions(sentence))


def _apart(spans: list[TextSpan]) -> set[TextSpan]:
    """Spans without those that lie within another."""
    return {one for one in spans if not _is_within_any(one, spans)}


def _is_within_any(one: TextSpan, spans: list[TextSpan]) -> bool:
    others = (other for other in spans if other != one)
    return any(other.start <= one.start and one.end <= other.end for other in others)


def _words(old: str, control: Control, value: PromptControls) -> str:
    """What states the new value, in the manner of the old: ``slow`` becomes ``fast``, ``waltz``
    becomes ``piece in 4/4``.
    """
    if control is Control.TEMPO:
        return _tempo_words(old, value.bpm or 0)
    if control is Control.METER:
        return _meter_words(old, value.meter or 0)
    if control is Control.KEY and value.key:
        before = "key of " if old.lower().startswith("key of") else ""
        return f"{before}{value.key.name}"
    return ", ".join(Chord.parse(label).symbol(value.key) for label in value.chords)


def _tempo_words(old: str, bpm: float) -> str:
    """A word for a word, with its capital; else a number, with a unit if the old words had one."""
    if old.lower() in ITALIAN:
        word = tempo_word(bpm)
    elif old.lower() in PLAIN:
        word = _plain_word(bpm)
    else:
        unit = "" if _is_number(old) else " BPM"
        return f"{write_number(bpm)}{unit}"
    return word.capitalize() if old[:1].isupper() else word


def _meter_words(old: str, beats: int) -> str:
    """The old words with another count ("three beats to the bar"), else a time signature."""
    number = _COUNT.search(old)
    if number and "/" not in old:
        count = str(beats) if number[0].isdigit() else _NUMBER_WORDS.get(beats, str(beats))
        return f"{old[: number.start()]}{count}{old[number.end() :]}"
    before = "piece in " if old.lower() == "waltz" else ""
    return f"{before}{signature(beats)}"


def _is_number(old: str) -> bool:
    return bool(re.fullmatch(NUMBER, old))


def _plain_word(bpm: float) -> str:
    return next(
        word for word in ("fast", "slow", "mid-tempo") if PLAIN[word].low <= bpm < PLAIN[word].high
    )


def _with_sentence(caption: str, control: Control, value: PromptControls) -> str:
    words = _words("", control, value)
    sentences = {
        Control.TEMPO: f"The tempo is {words}.",
        Control.KEY: f"The key is {words}.",
        Control.CHORDS: f"The chord progression is {words}.",
        Control.METER: f"The time signature is {words}.",
    }
    return f"{caption.rstrip()} {sentences[control]}".lstrip()
