"""The values of a control sentence, and how they fill the slots of a wording."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

# meters that are stated
COUNTS: Final = {
    2: "two",
    3: "three",
    4: "four",
    5: "five",
    6: "six",
    7: "seven",
    9: "nine",
    12: "twelve",
}
_EIGHTHS: Final = (6, 9, 12)  # beats of these bars are written as eighth notes
ROUND_TIMES: Final = {
    2: "twice",
    3: "three times",
    4: "four times",
    5: "five times",
    6: "six times",
    7: "seven times",
    8: "eight times",
}
_ROUND_COUNTS: Final = {
    2: "two",
    3: "three",
    4: "four",
    5: "five",
    6: "six",
    7: "seven",
    8: "eight",
}


class Slots(NamedTuple):
    """The values of one control sentence, as text; those that it does not need are empty."""

    bpm: str = ""
    word: str = ""
    beats: int = 0
    key: str = ""  # "A♭ major"
    chords: tuple[str, ...] = ()  # symbols spelled in the key
    rounds: int = 1  # how often the chords are played
    starts: tuple[str, ...] = ()  # of the chords, in seconds: "0", "2.5"
    items: tuple[str, ...] = ()  # instruments or moods


def article(text: str) -> str:
    """The indefinite article before a text: a word, a figure, or a note name read as its letter.

    >>> article("A♭ major"), article("B minor"), article("F♯m"), article("80"), article("118")
    ('an', 'a', 'an', 'an', 'a')
    """
    first = text[:1]
    if first.isdigit():
        whole = text.partition(".")[0]
        return "an" if first == "8" or whole in ("11", "18") else "a"
    is_note = (first in "ABCDEFG" and not text[1:2].islower()) or text[1:2] in ("b", "m")
    vowels = "AEF" if is_note else "AEIOaeio"
    return "an" if first in vowels else "a"


def fill(wording: str, slots: Slots) -> str:
    """A wording with its slots filled.

    >>> fill("This is {a_key} piece.", Slots(key="A♭ major"))
    'This is an A♭ major piece.'
    >>> fill("The chords are {at_list}.", Slots(chords=("Am", "F"), starts=("0", "2.5")))
    'The chords are Am at 0 s and F at 2.5 s.'
    """
    if slots.items:
        return wording.format(items=and_list(slots.items))
    if slots.starts:
        return _timed(wording, slots)
    if slots.chords:
        return _listed(wording, slots)
    if slots.key:
        return wording.format(key=slots.key, a_key=f"{article(slots.key)} {slots.key}")
    if slots.beats:
        count = COUNTS[slots.beats]
        return wording.format(
            sig=f"{slots.beats}/{8 if slots.beats in _EIGHTHS else 4}",
            count=count,
            Count=count.capitalize(),
        )
    word = slots.word
    return wording.format(
        bpm=slots.bpm,
        word=word,
        Word=word.capitalize(),
        a_word=f"{article(word)} {word}" if word else "",
    )


def and_list(items: Sequence[str]) -> str:
    """Items as prose lists them.

    >>> and_list(["piano", "drums", "bass"])
    'piano, drums and bass'
    """
    return f"{', '.join(items[:-1])} and {items[-1]}" if len(items) > 1 else items[0]


def _listed(wording: str, slots: Slots) -> str:
    times = ROUND_TIMES.get(slots.rounds, "")
    return wording.format(
        chord=slots.chords[-1],
        commas=", ".join(slots.chords),
        dashes=" – ".join(slots.chords),
        and_list=and_list(slots.chords),
        times=times,
        Times=times.capitalize(),
        number=slots.rounds,
        count=_ROUND_COUNTS.get(slots.rounds, ""),
    )


def _timed(wording: str, slots: Slots) -> str:
    pairs = list(zip(slots.chords, slots.starts, strict=True))
    # "A at 2 s" begins like "a band at a fair": its A reads as an article
    at = "from" if "A" in slots.chords else "at"
    each = [f"{chord} {at} {start}" for chord, start in pairs]
    each_from = [f"{chord} from {start}" for chord, start in pairs]
    start_first = [f"at {start} s: {chord}" for chord, start in pairs]
    return wording.format(
        at_list=_units(each, "s", and_list),
        from_list=_units(each_from, "s", ", ".join),
        at_seconds=_units(each, "seconds", and_list),
        from_seconds=_units(each_from, "seconds", ", ".join),
        at_first=", ".join(start_first),
    )


def _units(items: Sequence[str], unit: str, joined: Callable[[Sequence[str]], str]) -> str:
    return joined([f"{item} {unit}" for item in items])
