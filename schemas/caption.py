"""Captions, the sentences they are made of, and the facts each sentence states."""

from enum import StrEnum

from schemas.fact import Fact
from schemas.record import Record


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
