"""Our wordings of each kind of control sentence, with slots for the values, and how the slots are filled."""

from typing import Final, NamedTuple

WORDINGS: Final[dict[str, tuple[str, ...]]] = {
    "bpm": (
        "The tempo is {bpm} BPM.",
        "It runs at {bpm} beats per minute.",
        "The beat goes by at {bpm} BPM.",
        "Count {bpm} beats per minute.",
        "A metronome for it would be set to {bpm} BPM.",
        "The pulse sits at {bpm} beats per minute.",
        "The music moves along at {bpm} BPM.",
        "It is played at {bpm} beats per minute.",
        "The tempo comes to {bpm} beats per minute.",
        "There are {bpm} beats to the minute.",
        "Its tempo marking reads {bpm} BPM.",
        "At {bpm} BPM, the beat can be counted along.",
    ),
    "word": (
        "The tempo is {word}.",
        "It is played at {a_word} pace.",
        "The tempo marking would be {Word}.",
        "The music moves at {a_word} tempo.",
        "In Italian terms, the tempo is {word}.",
        "The pace is {word}.",
        "A conductor would mark it {Word}.",
        "It keeps to {a_word} tempo.",
        "A score of this would say {Word} at the top.",
        "The beat goes by at {a_word} pace.",
        "Its tempo falls in the {word} range.",
        "As tempos go, it is {a_word}.",
    ),
    "both": (
        "The tempo is {word}, at {bpm} BPM.",
        "At {bpm} beats per minute, the tempo is {word}.",
        "It moves at {a_word} pace of {bpm} BPM.",
        "The music runs at {bpm} BPM, which makes it {word}.",
        "Marked {Word}, it runs at {bpm} BPM.",
        "A pulse of {bpm} BPM puts it in the {word} range.",
        "It is {word} in tempo, with {bpm} beats per minute.",
        "Its tempo marking reads {Word}, {bpm} BPM.",
        "The beat goes by at {bpm} BPM, {a_word} tempo.",
        "It keeps to {a_word} tempo, about {bpm} beats per minute.",
    ),
    "meter": (
        "The time signature is {sig}.",
        "It is in {sig}.",
        "The meter is {sig}.",
        "It would be written in {sig} time.",
        "There are {count} beats to the bar.",
        "Each bar has {count} beats.",
        "It counts {count} beats in every bar.",
        "Count {count} to the bar.",
        "The bars are {count} beats long.",
        "{Count} beats make up each bar.",
        "The rhythm is in {sig} time.",
        "A {sig} meter lies under the music.",
    ),
    "key": (
        "The key is {key}.",
        "The music is in {key}.",
        "It is in the key of {key}.",
        "It is played in {key}.",
        "The harmony is rooted in {key}.",
        "The song's key is {key}.",
        "This is {a_key} piece.",
        "The tonality is {key}.",
        "Its home key is {key}.",
        "You are hearing music in {key}.",
        "The notes center on {key}.",
        "The key signature is that of {key}.",
    ),
    "chords": (
        "The chord progression is {commas}.",
        "The chords are {and_list}.",
        "The harmony moves through {and_list}.",
        "The chord sequence goes {dashes}.",
        "Harmonically it goes {dashes}.",
        "You hear the chords {commas}, in that order.",
        "The changes are {dashes}.",
        "It is built on the chords {and_list}.",
        "The chords {and_list} follow one another.",
        "In order, the chords are {commas}.",
        "The chords run {dashes}.",
        "Its chord progression reads {commas}.",
    ),
    "chord": (
        "The harmony stays on {chord}.",
        "The only chord is {chord}.",
        "It is built on a single chord, {chord}.",
        "There is just one chord: {chord}.",
        "The music rests on one chord, {chord}.",
        "The chord is {chord} from beginning to end.",
        "The one chord heard is {chord}.",
        "Its harmony is all one chord, {chord}.",
    ),
    "crescendo": (
        "The music gets gradually louder.",
        "There is a crescendo from start to end.",
        "The volume rises little by little.",
        "It grows louder as it goes.",
        "A long crescendo shapes the music.",
        "It starts soft and ends loud.",
        "The volume goes up all the way.",
        "The sound builds in volume from start to finish.",
        "It becomes louder and louder.",
        "From the first beat to the last, it is a crescendo.",
    ),
    "decrescendo": (
        "The music gets gradually softer.",
        "There is a decrescendo from start to end.",
        "The volume drops little by little.",
        "It grows quieter as it goes.",
        "A long decrescendo shapes the music.",
        "It starts loud and ends soft.",
        "The volume goes down all the way.",
        "The sound falls in volume from start to finish.",
        "It becomes quieter and quieter.",
        "A diminuendo runs through the music.",
    ),
}
COUNTS: Final = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 9: "nine", 12: "twelve"}  # meters that are stated
_EIGHTHS: Final = (6, 9, 12)  # beats of these bars are written as eighth notes


class Slots(NamedTuple):
    """The values of one control sentence, as the text shows them; those that it does not need are empty."""

    bpm: str = ""
    word: str = ""
    beats: int = 0
    key: str = ""  # "A♭ major"
    chords: tuple[str, ...] = ()  # symbols spelled in the key


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
    return "an" if first in ("AEF" if is_note else "AEIOaeio") else "a"


def fill(wording: str, slots: Slots) -> str:
    """A wording with its slots filled.

    >>> fill("This is {a_key} piece.", Slots(key="A♭ major"))
    'This is an A♭ major piece.'
    """
    if slots.chords:
        *most, last = slots.chords
        and_list = f"{', '.join(most)} and {last}" if most else last
        return wording.format(chord=last, commas=", ".join(slots.chords), dashes=" – ".join(slots.chords), and_list=and_list)
    if slots.key:
        return wording.format(key=slots.key, a_key=f"{article(slots.key)} {slots.key}")
    if slots.beats:
        count = COUNTS[slots.beats]
        return wording.format(sig=f"{slots.beats}/{8 if slots.beats in _EIGHTHS else 4}", count=count, Count=count.capitalize())
    word = slots.word
    return wording.format(bpm=slots.bpm, word=word, Word=word.capitalize(), a_word=f"{article(word)} {word}" if word else "")
