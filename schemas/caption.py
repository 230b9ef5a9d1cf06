"""Captions, the sentences they are made of, and the facts each sentence states."""

from enum import StrEnum

from pydantic import Field

from schemas.record import Record


class FactKind(StrEnum):
    """What a sentence can say about a label; how `Fact.value` writes it stands beside."""

    BPM = "bpm"  # a number of beats per minute: "92"
    TEMPO_WORD = "tempo_word"  # an Italian or plain tempo word, lower case: "andante", "fast"
    METER = "meter"  # beats per bar: "3"
    KEY = "key"  # tonic as its signature spells it, and mode: "Ab major"; a mode alone: "minor"
    CHORDS = "chords"  # Harte labels in order, one space between: "A:min F:maj"
    DYNAMICS = "dynamics"  # "crescendo" or "decrescendo"
    # Harte labels, each with its start in seconds: "A:min@0 F:maj@2.5"
    TIMED_CHORDS = "timed_chords"
    TIME = "time"  # a time in the clip that the text names, in seconds: "5"
    INSTRUMENT = "instrument"  # as the source's metadata names it, lower case: "electric guitar"
    MOOD = "mood"  # likewise: "melancholic"


class Fact(Record):
    """One fact and the sentence (by its place in the caption) that states it."""

    kind: FactKind
    value: str
    sentence: int = Field(ge=0)


class CaptionKind(StrEnum):
    """How a caption came to be."""

    SOURCE = "source"  # the source's own words, moved with the audio on variants
    # a prompt of the source's metadata: "Instruments: piano, drums | Moods: calm"
    METADATA = "metadata"
    CONTROL = "control"  # the source's words, if any, and control sentences
    LABEL = "label"  # a sentence of a vocabulary that lies near to the music
    TAGS = "tags"  # tags of a vocabulary, and the source's metadata, with commas between
    # a rewording of the control caption, or else of the source, with the same facts
    PARAPHRASE = "paraphrase"


class Caption(Record):
    """A text, its sentences in order, and the facts they state."""

    text: str
    kind: CaptionKind
    sentences: tuple[str, ...]
    facts: tuple[Fact, ...]
    # the language model that wrote it, as the recipe names it; "" for the source's words and for
    # ours
    writer: str = ""
