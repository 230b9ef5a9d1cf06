"""Captions made wrong on purpose, and right ones written differently, by plain edits of strings.

Nothing here reads facts out of prose: every value that is edited is known from a row's own fields
(`chords`, `bpm`, `key`) or from the fixed phrases of its control sentences, so that these texts can
judge the parser.
"""

import random
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from tests.benchmarks.corrupted_chords import (
    OTHER_NAME,
    Edit,
    Row,
    chord_changed,
    chord_dropped,
    chords_respelled,
    chords_swapped,
    other_quality,
    other_root,
)

# those the rows know, slow to fast
_WORDS: Final = ("Largo", "Adagio", "Andante", "Moderato", "Allegro", "Vivace", "Presto")
_FAR: Final = 3  # places between two words whose ranges cannot meet
_COUNTS: Final = {2: "two", 3: "three", 4: "four"}
_ONES: Final = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
)
_TENS: Final = "twenty thirty forty fifty sixty seventy eighty ninety"
_MODES: Final = {"major": ("major", "maj", "M"), "minor": ("minor", "min", "m")}
_TOO_CLOSE: Final = 25  # characters between the count of a meter and the word that makes it one
_METER_SENTENCE: Final = re.compile(
    r"The (?:beat is|beat counts to|time signature is) [234](?:/4)?\."
)
_TEMPO_SENTENCE: Final = re.compile(
    r"(?:The bpm is|This song goes at|The tempo of this song is"
    r"|The song is played at the pace of|This song is(?: played)? in)"
    rf" (?:[\d.]+(?: beats per minute)?|{'|'.join(_WORDS)})\. ?"
)
_KEY_SENTENCE: Final = re.compile(
    r"(?:The key (?:of this song )?is|This (?:song|piece) is (?:either )?in the key of) [^.]+\. ?"
)


class Edited(NamedTuple):
    """A text after one edit: what was done, and whether it is still right."""

    kind: str
    text: str
    right: bool


def spelled(number: int) -> str:
    """A whole number under 400 in words."""
    if number >= 100:
        rest = f" and {spelled(number % 100)}" if number % 100 else ""
        return f"{_ONES.split()[number // 100]} hundred{rest}"
    if number >= 20:
        ones = f"-{_ONES.split()[number % 10]}" if number % 10 else ""
        return _TENS.split()[number // 10 - 2] + ones
    return _ONES.split()[number]


def edits(text: str, row: Row, draw: random.Random) -> Iterator[Edited]:
    """Every edit that this text allows, wrong ones and right ones."""
    for kind, right, edit in _EDITS:
        edited = edit(text, row, draw)
        if edited and edited != text:
            yield Edited(kind, edited, right)


def _bpm_changed(new: Callable[[float], str]) -> Edit:
    def edit(text: str, row: Row, draw: random.Random) -> str | None:
        if not row["bpm"]:
            return None
        number = re.compile(
            (
                rf"(?<![\d.]){re.escape(str(row['bpm']))}"
                r"(?=\s*(?:bpm|beats per minute|\.|,| in | with))"
            ),
            re.I,
        )
        unit = re.compile(r"bpm|beats per minute", re.I)
        return number.sub(new(row["bpm"]), text, count=1) if unit.search(text) else None

    return edit


def _word_changed(text: str, row: Row, draw: random.Random) -> str | None:
    for index, word in enumerate(_WORDS):
        if re.search(rf"\b{word}\b", text, re.I):
            far = [other for at, other in enumerate(_WORDS) if abs(at - index) >= _FAR]
            return re.sub(rf"\b{word}\b", draw.choice(far), text, flags=re.I)
    return None


def _meter_changed(text: str, row: Row, draw: random.Random) -> str | None:
    """Another count where the row's last stands near a word for beats: earlier ones may be the
    source's own ("rings for four counts").
    """
    counts = [int(number) for number in row["beats"][1]]
    beats = max(counts, default=0)
    if beats not in _COUNTS:
        return None
    new = draw.choice([count for count in (*_COUNTS, 5) if count != beats])
    word = r"(?:beats?|counts?|signature|rhythm|time|counting)"
    name = f"{beats}|{_COUNTS[beats]}"
    found = re.compile(
        (
            rf"(?<![\w.,#/-])(?:{name})"
            r"(?=/4|[ -](?:beat|count)|[.,;]| (?:and|with|in|at|throughout)|$)"
        ),
        re.I,
    )
    for hit in reversed(list(found.finditer(text))):
        near = text[max(0, hit.start() - _TOO_CLOSE) : hit.end() + _TOO_CLOSE]
        if re.search(word, near, re.I):
            return text[: hit.start()] + str(new) + text[hit.end() :]
    return None


def _in_key(text: str, row: Row, change: Callable[[str, str], str]) -> str | None:
    """The text with each of its keys written anew, given tonic and mode."""
    out = text
    for key in row["key"]:
        if not key:
            continue
        tonic, mode = key.split()
        names = "|".join({tonic, OTHER_NAME.get(tonic, tonic)})
        writings = "|".join(_MODES[mode])
        found = re.search(
            (
                r"(?:\bkey\b[^.]{0,40}?|\bin (?:either |both )?|\bor |\band )"
                rf"(?<![\w#])({names}) ?({writings})(?!\w)"
            ),
            out,
        )
        if not found:
            return None
        out = out[: found.start(1)] + change(found[1], mode) + out[found.end(2) :]
    return out


def _mode_flipped(text: str, row: Row, draw: random.Random) -> str | None:
    tonics = [key.split()[0] for key in row["key"] if key]
    if len(
        {OTHER_NAME.get(tonic, tonic) if tonic.endswith("b") else tonic for tonic in tonics}
    ) < len(tonics):
        return None  # "D minor or D major" flipped is the same again
    return _in_key(
        text, row, lambda tonic, mode: f"{tonic} {'minor' if mode == 'major' else 'major'}"
    )


def _tonic_changed(text: str, row: Row, draw: random.Random) -> str | None:
    keys = {key for key in row["key"] if key}
    if len(keys) > 1:
        return None  # the other of two keys might come out

    return _in_key(text, row, lambda tonic, mode: f"{other_root(tonic, draw)} {mode}")


def _key_respelled(text: str, row: Row, draw: random.Random) -> str | None:
    return _in_key(text, row, lambda tonic, mode: f"{OTHER_NAME.get(tonic, tonic)} {mode}")


def _key_rewritten(writing: int, gap: str) -> Edit:
    return lambda text, row, draw: _in_key(
        text, row, lambda tonic, mode: f"{tonic}{gap}{_MODES[mode][writing]}"
    )


def _without(pattern: re.Pattern[str]) -> Edit:
    return lambda text, row, draw: pattern.sub("", text, count=1).strip() or None


def _with_false_key(text: str, row: Row, draw: random.Random) -> str | None:
    names = [key for key in row["key"] if key]
    if len(names) != 1:
        return None
    tonic, mode = names[0].split()
    false = other_root(tonic, draw) + draw.choice([f" {mode}", *_MODES[mode]])
    return (
        f"{text} {draw.choice(['It is in', 'The key is', 'Everything stays in the key of'])} "
        f"{false}."
    )


def _with_false_tempo(text: str, row: Row, draw: random.Random) -> str | None:
    if not row["bpm"]:
        return None
    bpm = f"{row['bpm'] * draw.choice([0.5, 0.8, 1.25, 1.5]):.0f}"
    said = (
        f"{draw.choice(['It runs at', 'The pulse is', 'Set at', 'Think of'])} {bpm} "
        f"{draw.choice(['BPM', 'bpm', 'beats per minute'])}"
    )
    return f"{text} {said}."


def _with_false_meter(text: str, row: Row, draw: random.Random) -> str | None:
    beats = max((int(number) for number in row["beats"][1]), default=0)
    said = {
        3: ("It sways like a waltz.", "The feel is 3/4."),
        4: ("It is in common time.", "There are four beats to the bar."),
    }
    return f"{text} {draw.choice(said[4 if beats == 3 else 3])}" if beats in _COUNTS else None


def _with_false_dynamics(text: str, row: Row, draw: random.Random) -> str | None:
    if re.search(r"volume|crescend|loud|fad|swell", row["old_captions"] + row["aug_captions"]):
        return None  # the source says something after all
    said = (
        "It grows louder towards the end.",
        "Bit by bit the music fades away.",
        "It ends in a long crescendo.",
    )
    return f"{text} {draw.choice(said)}"


def _meter_worded(wordings: Mapping[int, tuple[str, ...]]) -> Edit:
    def edit(text: str, row: Row, draw: random.Random) -> str | None:
        found = _METER_SENTENCE.search(text)
        if not found:
            return None
        beats = int(re.findall(r"[234]", found[0])[0])
        return (
            text.replace(found[0], draw.choice(wordings[beats]), 1) if beats in wordings else None
        )

    return edit


def _reordered(text: str, row: Row, draw: random.Random) -> str | None:
    sentences = re.split(r"(?<=[.!]) (?=[A-Z])", text.strip())
    draw.shuffle(sentences)
    return " ".join(sentences)


def _cased(text: str, row: Row, draw: random.Random) -> str | None:
    out = re.sub(r"\bbpm\b", "BPM", re.sub(r"\bbeats per minute\b", "Beats Per Minute", text))
    change = draw.choice((str.lower, str.upper))
    for word in _WORDS:
        out = re.sub(rf"\b{word}\b", lambda found: change(found[0]), out, flags=re.I)
    return out


_BEATS_TO_THE_BAR: Final = {
    beats: (
        f"There are {name} beats to the bar.",
        f"Each bar has {name} beats.",
        f"It is counted in {name}.",
    )
    for beats, name in _COUNTS.items()
}
_EDITS: Final[tuple[tuple[str, bool, Edit], ...]] = (
    (
        "chord: another root",
        False,
        chord_changed(lambda root, quality, draw: other_root(root, draw) + quality),
    ),
    (
        "chord: another quality",
        False,
        chord_changed(lambda root, quality, draw: root + other_quality(quality, draw)),
    ),
    ("chord left out", False, chord_dropped),
    ("two chords swapped", False, chords_swapped),
    ("BPM halved", False, _bpm_changed(lambda bpm: f"{bpm / 2:g}")),
    ("BPM doubled", False, _bpm_changed(lambda bpm: f"{bpm * 2:g}")),
    ("BPM + 6", False, _bpm_changed(lambda bpm: f"{bpm + 6:g}")),
    ("BPM − 6", False, _bpm_changed(lambda bpm: f"{bpm - 6:g}")),
    ("tempo word: a far one", False, _word_changed),
    ("meter: another count", False, _meter_changed),
    ("key: another mode", False, _mode_flipped),
    ("key: another tonic", False, _tonic_changed),
    ("key sentence left out", False, _without(_KEY_SENTENCE)),
    ("tempo sentence left out", False, _without(_TEMPO_SENTENCE)),
    ("a false key beside the right one", False, _with_false_key),
    ("a false tempo beside the right one", False, _with_false_tempo),
    ("a false meter beside the right one", False, _with_false_meter),
    ("louder or softer, of which the source says nothing", False, _with_false_dynamics),
    ("chords spelled enharmonically", True, chords_respelled),
    ("key spelled enharmonically", True, _key_respelled),
    ("key as E major", True, _key_rewritten(0, " ")),
    ("key as Emaj", True, _key_rewritten(1, "")),
    ("key as EM, Em", True, _key_rewritten(2, "")),
    ("BPM in words", True, _bpm_changed(lambda bpm: spelled(round(bpm)))),
    ("meter as beats to the bar", True, _meter_worded(_BEATS_TO_THE_BAR)),
    (
        "3/4 as waltz time",
        True,
        _meter_worded({3: ("It is in waltz time.", "It moves in waltz time.", "It is a waltz.")}),
    ),
    ("sentences reordered", True, _reordered),
    ("capitals changed", True, _cased),
)
