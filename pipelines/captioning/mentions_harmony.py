"""Keys in a sentence, beside its chords."""

import re
from collections.abc import Iterator
from typing import Final

from pipelines.captioning.mention import Mention, TextSpan, any_of, overlaps, verbose
from pipelines.captioning.mentions_chords import chord_mentions
from pipelines.captioning.symbols import BEFORE_NOTE
from schemas.fact import KeyFact
from schemas.pitch import Mode, parse_note

_SIGN: Final = (
    r"(?: \#\#? | ♯ | ♭ | b(?![a-zA-Z]) | b(?=m(?:in|aj)?\b|M\b|minor|major) | [ "
    r"-]?(?:sharp|flat)\b )"
)
_MODE: Final = any_of("major minor maj\\b\\.? min\\b\\.?")
_SHORT_MODE: Final = r"(major|minor|maj\b\.?|min\b\.?)"
_INTERVALS: Final = any_of(
    "chords? triads? arpeggi\\w+ 7ths? sevenths? thirds? sixths? seconds? intervals? third labels?"
)
_NOT_KEY: Final = rf"(?! [\s-]+ {_INTERVALS} )"  # "A minor chords" are chords
_ENDS: Final = r"(?![\w#♯♭°ø+/'’])"
_THE_SONG: Final = r"(?: \s+ (?:of|for|to) \s+ (?:the|this|that) \s+ [\w-]+ )?"
_BEFORE_END: Final = r"(?= \s* (?: [.,;!)] | $ | \s(?:and|with|at)\b ) )"
# "A minor", "F♯ MAJOR", "Bb-minor"
_TONIC_MODE: Final = verbose(
    rf"{BEFORE_NOTE} ([A-G]{_SIGN}?) [\s-]? ([Mm]ajor|MAJOR|[Mm]inor|MINOR|maj\b\.?|min\b\.?) "
    rf"(?!\w) {_NOT_KEY}"
)
# "in the key of b minor": a small letter needs a word for keys before it
_LOWER_TONIC_MODE: Final = verbose(
    rf"""(?: \b (?: in | key[ ]of | key[ ]is | key | keys[ ]of ) [: ]+ | (?<=\bor[ ]) ) (?!a[ ])
    ([b-g]{_SIGN}?) [\s-] {_SHORT_MODE} (?!\w) {_NOT_KEY}"""
)
# "f# minor", "b flat major": a sign makes a small letter a note
_SIGNED_TONIC_MODE: Final = verbose(
    rf"{BEFORE_NOTE} ( [a-g][#♯♭] | [b-g][ -](?:sharp|flat)\b ) [\s-]? (major|minor|maj\b|min\b) "
    rf"{_NOT_KEY}"
)
# "in the key of F#m", "Key: D", "The key is EM", "the key of d sharp"
_KEY_OF: Final = verbose(
    rf"""\b[Kk]eys?\b (?: [ ]signature | [ ]center | [ ]centre )? {_THE_SONG}
    (?: \s+ {any_of("is of in was being either in_the_key_of probably likely")} )* \s* [:=]? \s*
    ( {BEFORE_NOTE} (?: [A-G]{_SIGN}? | [a-g](?:[#♯♭]|[ -](?:sharp|flat)\b)? ) ) [\s-]?
      ({_MODE}|m|M)? {_ENDS}"""
)
# "in A minor or in C"
_OR_KEY: Final = verbose(
    rf",? \s+ or \s+ (?:in\s+)? ( {BEFORE_NOTE} [A-G]{_SIGN}? ) [\s-]? ({_MODE}|m|M)? {_ENDS} (?!-)"
)
_MUSIC: Final = (
    "[Ss]ong [Pp]iece [Mm]usic [Tt]rack [Tt]une [Ii]t [Rr]ecording [Cc]omposition [Mm]elody [Tt]his"
)
# "The song is in D.", "It's played in F#m"
_SONG_IN: Final = verbose(
    rf"""\b {any_of(_MUSIC)}
    (?: ['’]s | \s+is ) (?: \s+ {any_of("played written set composed performed sung")} )? \s+ in \s+
    ( [A-G] (?: [#♯♭] | b(?![a-z]) | b(?=m\b) | [ -](?:sharp|flat)\b )? ) (m|M)? {_BEFORE_END}"""
)
# "in F#m", "in CM", but not "in FM radio"
_IN_SYMBOL: Final = verbose(
    rf"""\b in[ ] (?:either[ ]|both[ ])? ([A-G](?:[#♯♭]|b)?) ([mM]) (?![\w#♯♭°ø+/'’-])
    (?! [ ]{any_of("radio band station synth stereo")} )"""
)
# "an Am key"
_SYMBOL_KEY: Final = verbose(rf"{BEFORE_NOTE} ([A-G](?:[#♯♭]|b)?) ([mM]) [ ]key\b")
# "a melody in Bb", "the pipers play in D"
_PLAYS_IN: Final = verbose(
    rf"""\b {any_of("[Mm]elody [Tt]une [Ss]ong [Pp]iece [Nn]umber [Pp]lay(?:s|ing|ed)?")} [ ]in[ ]
    ( [A-G] (?: [#♯♭] | b(?![a-z]) | [ -](?:sharp|flat)\b )? ) (m|M)? {_BEFORE_END} (?!,[ ][A-G])
      (?![ ]and[ ][A-G]\b)"""
)
# "in the key of a minor", "in a minor.", but not "in a minor mood"
_LOWER_A: Final = verbose(
    r"""\b (?: key[ ]of | key[ ]is | key: | key ) [ ] (a) [ -] (major|minor)\b
    | \b (?:in|or) [ ] (a) [ ] (major|minor)
      (?= \s* (?: $ | [.,;!)—–] | (?:and|with|at|throughout|or)\b (?![ ](?:minor|major)) ) )"""
)
# "a minor key", "the major scale", "in a sad minor."
_BARE_MODE: Final = verbose(
    rf"""\b (major|minor) (?: [ -]{any_of("pentatonic harmonic melodic natural blues musical")} )?
      [ -]{any_of("keys? scales? mode tonality tonal scaled keyed")}\b
    | \b in[ ] (?: a[ ] | the[ ] | an?[ ]\w+[ ] )? (major|minor)
      (?= \s* (?: $ | [.,;!)] | (?:along|and|with|throughout|while)\b ) )""",
    ignore_case=True,
)
_OTHER_MODE: Final = re.compile(
    r"\b(?:major|minor) (?:and|or|to)(?: \w+)? $"
)  # "major and minor keys" are both, or neither
_ARTICLE_NOUN: Final = re.compile(
    r"\s+(?!(?:is|was|for|throughout|and|to|with|in|as|at|or|key of|makes|gives|sets)\b)[a-z]"
)


def harmony_mentions(sentence: str, lower: str) -> Iterator[Mention]:
    """Key and chord claims of one sentence. A bare mode ("a minor key") has no tonic."""
    chords = chord_mentions(sentence, lower)
    yield from chords
    if "m" not in lower and "key" not in lower and " in " not in lower:
        return
    taken = [mention.span for mention in chords]
    for mention in _keys(sentence, lower):
        if not overlaps(mention.span, taken):
            taken.append(mention.span)
            yield mention


def _keys(sentence: str, lower: str) -> Iterator[Mention]:
    """Keys, the most explicit first: a later one at the same place is the same claim again."""
    is_mode = "maj" in lower or "min" in lower
    if is_mode:
        yield from _with_mode(sentence)
    if "key" in lower:
        yield from _named_keys(sentence)
    if "in " in lower:
        yield from _in_keys(sentence)
    if is_mode:
        yield from _bare_modes(sentence, lower)


def _named_keys(sentence: str) -> Iterator[Mention]:
    """Keys beside the word for them."""
    for found in _KEY_OF.finditer(sentence):
        if not _is_loose(sentence, found):
            yield from _with_others(sentence, found)
    for found in _SYMBOL_KEY.finditer(sentence):
        yield _key(found)


def _in_keys(sentence: str) -> Iterator[Mention]:
    """Keys that music is said to be in."""
    for pattern in (_SONG_IN, _IN_SYMBOL, _PLAYS_IN):
        for found in pattern.finditer(sentence):
            yield from _with_others(sentence, found)


def _bare_modes(sentence: str, lower: str) -> Iterator[Mention]:
    """Modes without a tonic."""
    for found in _BARE_MODE.finditer(sentence):
        if not _OTHER_MODE.search(lower, 0, found.start()):
            yield Mention(
                KeyFact(mode=Mode((found[1] or found[2]).lower())), TextSpan(*found.span())
            )


def _with_mode(sentence: str) -> Iterator[Mention]:
    """Keys written as note and mode."""
    for pattern in (_TONIC_MODE, _LOWER_TONIC_MODE, _SIGNED_TONIC_MODE):
        for found in pattern.finditer(sentence):
            if not _is_article(sentence, found):
                yield from _with_others(sentence, found)
    for found in _LOWER_A.finditer(sentence):
        note = 1 if found[1] else 3
        yield Mention(
            KeyFact(tonic=parse_note("A"), mode=Mode(found[note + 1])),
            TextSpan(*found.span()),
            (TextSpan(*found.span(note)),),
        )


def _with_others(sentence: str, found: re.Match[str]) -> Iterator[Mention]:
    """The key of a match, and those that "or" adds to it."""
    yield _key(found)
    other = _OR_KEY.match(sentence, found.end())
    while other:
        yield _key(other)
        other = _OR_KEY.match(sentence, other.end())


def _key(found: re.Match[str]) -> Mention:
    mode = (
        Mode.MINOR
        if found[2] and (found[2] == "m" or found[2][:3].lower() == "min")
        else Mode.MAJOR
    )
    return Mention(
        KeyFact(tonic=read_note(found[1]), mode=mode),
        TextSpan(found.start(1), found.end()),
        (TextSpan(*found.span(1)),),
    )


def read_note(text: str) -> int:
    """Pitch class of a note as prose writes it.

    >>> read_note("E flat"), read_note("d sharp"), read_note("B♭")
    (3, 3, 10)
    """
    name = text.lower().replace("-", " ")
    if name.endswith(("sharp", "flat")):
        return parse_note(name[0].upper() + ("#" if name.endswith("sharp") else "b"))
    return parse_note(text)


def _is_article(sentence: str, found: re.Match[str]) -> bool:
    """Whether the A of "A minor key" is the article that opens a sentence, or one in capitals
    throughout.
    """
    if found[1] != "A" or sentence[found.start(1) + 1 : found.start(1) + 2] != " ":
        return False
    if found[2].isupper():
        return bool(re.match(r"\s+(?:KEY|SCALE|MODE)", sentence[found.end() :]))
    return not sentence[: found.start(1)].strip("\"'“( ") and bool(
        _ARTICLE_NOUN.match(sentence, found.end())
    )


def _is_loose(sentence: str, found: re.Match[str]) -> bool:
    """Whether a single letter after "key" is a word ("key a step higher", "keys B3 organ"), not a
    tonic.
    """
    if found[2] or len(found[1]) > 1:
        return False
    between = sentence[found.start() : found.start(1)]
    if not re.search(r"\b(?:is|of|in|was|being|either)\b|[:=]", between):
        return True
    after = sentence[found.end() : found.end() + 12]
    if found[1] in ("a", "A") and re.match(
        r"\s+(?!(?:and|or|with|at|in|throughout|for)\b)[a-z]", after
    ):
        return True
    return found[1].islower() and bool(re.match(r"\s+\w", after))
