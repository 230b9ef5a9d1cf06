"""What a sentence can state about the music: one record per kind of fact, distinguished by `kind`.

In JSON a fact has its kind, its sentence, and the fields of that kind alone: ``{"kind": "bpm",
"sentence": 1, "bpm": 120.0}``. So a sample's file stays small. In a table the columns of all kinds
stand side by side, null where they are another kind's.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter

from schemas.chord import Chord
from schemas.pitch import Key, Mode
from schemas.record import PitchClass, Record, Seconds

_DECIMALS: Final = 3  # of a number as a text gives it


class FactKind(StrEnum):
    """What a sentence can say about a label."""

    BPM = "bpm"
    TEMPO_WORD = "tempo_word"
    METER = "meter"
    KEY = "key"
    CHORDS = "chords"
    DYNAMICS = "dynamics"
    TIMED_CHORDS = "timed_chords"
    TIME = "time"
    INSTRUMENT = "instrument"
    MOOD = "mood"


class Dynamics(StrEnum):
    """How the loudness changes."""

    CRESCENDO = "crescendo"
    DECRESCENDO = "decrescendo"


def write_number(number: float) -> str:
    """A number as text: no trailing zeros, three decimals at most.

    >>> write_number(120.0), write_number(98.44)
    ('120', '98.44')
    """
    return f"{number:.{_DECIMALS}f}".rstrip("0").rstrip(".")


@lru_cache(maxsize=4096)
def _canonical(label: str) -> str:
    return Chord.parse(label).harte


Written = AfterValidator(lambda number: round(number, _DECIMALS))
# a chord of the vocabulary in its canonical spelling
HarteLabel = Annotated[str, AfterValidator(_canonical)]


class FactBase(Record, ABC):
    """What every fact has: its kind, and the sentence (by its index in the caption) that states it.

    A fact outside a caption stands at sentence 0, so that two facts that say the same are equal.
    """

    kind: FactKind
    sentence: int = Field(default=0, ge=0)

    @property
    @abstractmethod
    def text(self) -> str:
        """What it says, in plain text: ``120``, ``Ab major``, ``A:min F:maj``."""

    def at(self, sentence: int) -> Self:
        """The same fact as stated by another sentence.

        >>> BpmFact(bpm=120).at(2).sentence
        2
        """
        return self if sentence == self.sentence else self.model_copy(update={"sentence": sentence})


class BpmFact(FactBase):
    """A number of beats per minute."""

    kind: Literal[FactKind.BPM] = FactKind.BPM
    bpm: Annotated[float, Field(gt=0), Written]

    @property
    def text(self) -> str:
        """The number: ``92``."""
        return write_number(self.bpm)


class TempoWordFact(FactBase):
    """An Italian or plain tempo word, lower case: ``andante``, ``fast``."""

    kind: Literal[FactKind.TEMPO_WORD] = FactKind.TEMPO_WORD
    word: str

    @property
    def text(self) -> str:
        """The word."""
        return self.word


class MeterFact(FactBase):
    """Beats per bar: 3 for a waltz, 6 for 6/8."""

    kind: Literal[FactKind.METER] = FactKind.METER
    beats_per_bar: int = Field(ge=1)

    @property
    def text(self) -> str:
        """The beats of a bar: ``3``."""
        return str(self.beats_per_bar)


class KeyFact(FactBase):
    """A key, or a mode alone ("a minor key"), which has no tonic.

    >>> KeyFact(tonic=8, mode="major").text, KeyFact(mode="minor").text
    ('Ab major', 'minor')
    """

    kind: Literal[FactKind.KEY] = FactKind.KEY
    tonic: PitchClass | None = None
    mode: Mode

    @property
    def key(self) -> Key | None:
        """The key, or none where the mode alone is stated."""
        return None if self.tonic is None else Key(tonic=self.tonic, mode=self.mode)

    @property
    def text(self) -> str:
        """Tonic as its signature spells it, and mode: ``Ab major``; a mode alone: ``minor``."""
        return self.mode.value if self.key is None else self.key.name

    @classmethod
    def of(cls, key: Key) -> Self:
        """The fact that the music is in a key."""
        return cls(tonic=key.tonic, mode=key.mode)


class ChordsFact(FactBase):
    """Chords in order, as Harte labels in canonical spelling.

    >>> ChordsFact(chords=("A:min", "A#:maj")).chords
    ('A:min', 'Bb:maj')
    """

    kind: Literal[FactKind.CHORDS] = FactKind.CHORDS
    chords: tuple[HarteLabel, ...] = Field(min_length=1)

    @property
    def text(self) -> str:
        """The labels with a space between: ``A:min F:maj``."""
        return " ".join(self.chords)


class DynamicsFact(FactBase):
    """That the music, or a part of it, gets louder or softer."""

    kind: Literal[FactKind.DYNAMICS] = FactKind.DYNAMICS
    dynamics: Dynamics

    @property
    def text(self) -> str:
        """``crescendo`` or ``decrescendo``."""
        return self.dynamics.value


class TimedChord(Record):
    """A chord (Harte label in canonical spelling) and when it begins."""

    label: HarteLabel
    start_s: Annotated[Seconds, Written]


class TimedChordsFact(FactBase):
    """Chords in order, each with its start.

    >>> chords = ({"label": "A:min", "start_s": 0}, {"label": "F", "start_s": 2.5})
    >>> TimedChordsFact(timed_chords=chords).text
    'A:min@0 F:maj@2.5'
    """

    kind: Literal[FactKind.TIMED_CHORDS] = FactKind.TIMED_CHORDS
    timed_chords: tuple[TimedChord, ...] = Field(min_length=1)

    @property
    def text(self) -> str:
        """The labels, each with its start in seconds: ``A:min@0 F:maj@2.5``."""
        return " ".join(
            f"{chord.label}@{write_number(chord.start_s)}" for chord in self.timed_chords
        )


class TimeFact(FactBase):
    """A time in the clip that the text names."""

    kind: Literal[FactKind.TIME] = FactKind.TIME
    time_s: Annotated[Seconds, Written]

    @property
    def text(self) -> str:
        """The seconds: ``5``."""
        return write_number(self.time_s)


class InstrumentFact(FactBase):
    """An instrument as the source's metadata names it, lower case: ``electric guitar``."""

    kind: Literal[FactKind.INSTRUMENT] = FactKind.INSTRUMENT
    instrument: str

    @property
    def text(self) -> str:
        """Its name."""
        return self.instrument


class MoodFact(FactBase):
    """A mood as the source's metadata names it, lower case: ``melancholic``."""

    kind: Literal[FactKind.MOOD] = FactKind.MOOD
    mood: str

    @property
    def text(self) -> str:
        """Its name."""
        return self.mood


def _old_key(value: str) -> dict[str, Any]:
    if value in tuple(Mode):
        return {"mode": value}
    key = Key.parse(value)
    return {"tonic": key.tonic, "mode": key.mode}


def _old_timed(value: str) -> dict[str, Any]:
    pairs = (entry.partition("@") for entry in value.split())
    return {"timed_chords": [{"label": label, "start_s": start_s} for label, _, start_s in pairs]}


_OLD_FORM: Final = frozenset(("kind", "value", "sentence"))
_OLD_FIELDS: Final[dict[str, Callable[[str], dict[str, Any]]]] = {
    FactKind.BPM: lambda value: {"bpm": value},
    FactKind.TEMPO_WORD: lambda value: {"word": value},
    FactKind.METER: lambda value: {"beats_per_bar": value},
    FactKind.KEY: _old_key,
    FactKind.CHORDS: lambda value: {"chords": value.split()},
    FactKind.DYNAMICS: lambda value: {"dynamics": value},
    FactKind.TIMED_CHORDS: _old_timed,
    FactKind.TIME: lambda value: {"time_s": value},
    FactKind.INSTRUMENT: lambda value: {"instrument": value},
    FactKind.MOOD: lambda value: {"mood": value},
}


def upgraded(given: object) -> object:
    """A fact's plain data in today's form, before it is validated.

    Up to schema version 5 a fact was a kind and one string, such as ``{"kind": "key", "value": "Ab
    major", "sentence": 0}``: shards made then are read as if they were written now. Nulls are left
    out: they are the columns that a table keeps for other kinds.

    >>> old = {"kind": "timed_chords", "value": "A:min@0 F:maj@2.5", "sentence": 1}
    >>> upgraded(old)["timed_chords"]
    [{'label': 'A:min', 'start_s': '0'}, {'label': 'F:maj', 'start_s': '2.5'}]
    """
    if not isinstance(given, Mapping):
        return given
    if (
        given.keys() == _OLD_FORM
        and isinstance(given["value"], str)
        and given["kind"] in _OLD_FIELDS
    ):
        fields = _OLD_FIELDS[given["kind"]](given["value"])
        return {"kind": given["kind"], "sentence": given["sentence"], **fields}
    return {name: value for name, value in given.items() if value is not None}


Fact = Annotated[
    BpmFact
    | TempoWordFact
    | MeterFact
    | KeyFact
    | ChordsFact
    | DynamicsFact
    | TimedChordsFact
    | TimeFact
    | InstrumentFact
    | MoodFact,
    Field(discriminator="kind"),
    BeforeValidator(upgraded),
]
TEMPO_FACTS: Final = (BpmFact, TempoWordFact)
SEQUENCE_FACTS: Final = (ChordsFact, TimedChordsFact)
_ANY_FACT: Final[TypeAdapter[Fact]] = TypeAdapter(Fact)


def read_fact(given: object) -> Fact:
    """A fact of plain data, in today's form or in that of schema version 5.

    Raises pydantic's `ValidationError`.

    >>> read_fact({"kind": "bpm", "value": "120", "sentence": 1})
    BpmFact(kind=<FactKind.BPM: 'bpm'>, sentence=1, bpm=120.0)
    """
    return _ANY_FACT.validate_python(given)
