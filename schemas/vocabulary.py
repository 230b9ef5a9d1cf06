"""A vocabulary of captions: texts that a later stage matches to audio by embedding, and the account
of where they went.
"""

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from schemas.errors import SchemaError
from schemas.record import Record


class Form(StrEnum):
    """How long a text is. Noise2Music labels audio with both."""

    LONG = "long"  # a sentence
    SHORT = "short"  # a tag: a few words


class VocabularyEntry(Record):
    """One text, the table it came from, the licence it is under ("" for unknown), and the language
    model that wrote it, if one did.
    """

    text: str = Field(min_length=1)
    form: Form
    source: str
    licence: str
    writer: str = ""


class FormCounts(Record):
    """What became of all texts of one form; `dropped` is by reason."""

    texts: int = 0
    kept: int = 0
    duplicate: int = 0
    dropped: dict[str, int] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.texts != self.kept + self.duplicate + sum(self.dropped.values()):
            raise SchemaError(
                f"of {self.texts} texts, {self.kept} kept, {self.duplicate} duplicate and "
                f"{self.dropped} dropped are not all"
            )
        return self


class VocabularyCounts(Record):
    """Rows read, rows (or questions about them) that gave nothing, by reason, and the texts of the
    others by form.
    """

    rows: int
    unused: dict[str, int]
    long: FormCounts
    short: FormCounts
