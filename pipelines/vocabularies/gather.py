"""A vocabulary of captions from tables: what people wrote of music, and what a language model
writes from titles and artists.

Noise2Music (Huang et al., 2023) labels audio with the texts of such vocabularies that lie nearest
to it in a joint space: sentences (MusicCaps's captions: Rater-LF; a language model's: LaMDA-LF) and
tags (Rater-SF). Where each text came from stays with it.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from pipelines.errors import DeadInput, PipelineError
from pipelines.llm.answers import Answers
from pipelines.storage.lock import hold
from pipelines.storage.store import Store
from pipelines.vocabularies.ask_model import ask_about
from pipelines.vocabularies.rules import cleaned, fault, name_words, sameness, sentences_of
from pipelines.vocabularies.tables import ASPECTS, Row, Track, rows_of
from schemas.recipe import LlmRecipe
from schemas.vocabulary import Form, FormCounts, VocabularyCounts, VocabularyEntry

TAGS: Final = 10  # asked for per track: a clip of MusicCaps has 10.7 on average
_LINES: Final = (".jsonl", ".ndjson")


class TextOrigin(NamedTuple):
    """What is said of all texts of a run: source ("" for each table's own name), and licence where
    a row states none.
    """

    source: str = ""
    licence: str = ""


class Gathered(NamedTuple):
    """Entries by form, then by text, and the account of all.

    With it calls and dollars, where a language model was asked.
    """

    entries: tuple[VocabularyEntry, ...]
    counts: VocabularyCounts
    spent: dict[str, Any]


class _Gathering:
    """Texts as they come: the first of those that are the same stays."""

    def __init__(self, *, keep_facts: bool) -> None:
        self._keep_facts = keep_facts
        self._kept: dict[tuple[Form, str], VocabularyEntry] = {}
        self._texts: Counter[Form] = Counter()
        self._duplicates: Counter[Form] = Counter()
        self._dropped: dict[Form, Counter[str]] = {form: Counter() for form in Form}
        self.rows = 0
        self.unused: Counter[str] = Counter()

    def add(
        self, raw: str, form: Form, names: frozenset[str], origin: TextOrigin, writer: str = ""
    ) -> None:
        """Take a text, or count why not."""
        self._texts[form] += 1
        text = cleaned(raw, form)
        wrong = fault(raw, text, form, names, keep_facts=self._keep_facts)
        same = (form, sameness(text))
        if wrong:
            self._dropped[form][wrong.value] += 1
        elif same in self._kept:
            self._duplicates[form] += 1
        else:
            self._kept[same] = VocabularyEntry(
                text=text, form=form, source=origin.source, licence=origin.licence, writer=writer
            )

    def gathered(self, spent: dict[str, Any]) -> Gathered:
        """All that came, in order and in figures."""
        kept = Counter(form for form, _ in self._kept)
        by_form = {
            form: FormCounts(
                texts=self._texts[form],
                kept=kept[form],
                duplicate=self._duplicates[form],
                dropped=dict(sorted(self._dropped[form].items())),
            )
            for form in Form
        }
        counts = VocabularyCounts(
            rows=self.rows,
            unused=dict(sorted(self.unused.items())),
            long=by_form[Form.LONG],
            short=by_form[Form.SHORT],
        )
        return Gathered(
            tuple(sorted(self._kept.values(), key=lambda entry: (entry.form, entry.text))),
            counts,
            spent,
        )


def gather(
    captions: Sequence[str],
    titles: Sequence[str],
    *,
    columns: Mapping[str, str],
    origin: TextOrigin,
    per_track: int,
    keep_facts: bool,
    llm: LlmRecipe,
    store: Store,
) -> Gathered:
    """The vocabulary of tables with captions and tags, then of tables with names, about which a
    model is asked.

    The model's answers are kept in the store, which is locked meanwhile. Raises `PipelineError` for
    a table that cannot be read or has none of the columns, and where asking must end.
    """
    gathering = _Gathering(keep_facts=keep_facts)
    for table in captions:
        _take_captions(gathering, table, columns, origin)
    named = [found for table in titles for found in _tracks(gathering, table, columns, origin)]
    if not named:
        return gathering.gathered({})
    tracks = list(dict.fromkeys(track for track, _ in named))
    origins = dict(reversed(named))  # of each track its first
    with hold(store, "obbligato captions vocabulary"):
        answers, spent = ask_about(
            tracks, {Form.LONG: per_track, Form.SHORT: TAGS}, llm, Answers(store)
        )
    for one in answers:
        track = tracks[one.track]
        gathering.unused.update([f"unanswered_{one.failure}"] if one.failure else [])
        texts = (
            (piece for text in one.texts for piece in sentences_of(text))
            if one.form is Form.LONG
            else one.texts
        )
        for text in texts:
            gathering.add(text, one.form, name_words(track), origins[track], one.writer)
    return gathering.gathered(spent)


def _take_captions(
    gathering: _Gathering, table: str, columns: Mapping[str, str], origin: TextOrigin
) -> None:
    any_text = False
    for row, placed in _rows(gathering, table, columns, origin):
        if not row.caption and not row.aspects:
            gathering.unused["no_text"] += 1
            continue
        any_text = True
        names = name_words(row.track)
        for sentence in sentences_of(row.caption):
            gathering.add(sentence, Form.LONG, names, placed)
        for aspect in row.aspects:
            gathering.add(aspect, Form.SHORT, names, placed)
    if not any_text:
        raise PipelineError(
            f"{table}: no row has text in {_lacking(('caption', ASPECTS), columns)}"
        )


def _tracks(
    gathering: _Gathering, table: str, columns: Mapping[str, str], origin: TextOrigin
) -> list[tuple[Track, TextOrigin]]:
    out: list[tuple[Track, TextOrigin]] = []
    for row, placed in _rows(gathering, table, columns, origin):
        if any(row.track):
            out.append((row.track, placed))
        else:
            gathering.unused["no_name"] += 1
    if not out:
        raise PipelineError(f"{table}: no row has a name in {_lacking(Track._fields, columns)}")
    return out


def _rows(
    gathering: _Gathering, table: str, columns: Mapping[str, str], origin: TextOrigin
) -> Iterable[tuple[Row, TextOrigin]]:
    """Rows that can be read, each with its own origin; the others are counted."""
    source = origin.source or os.path.splitext(os.path.basename(table))[0]
    for row in rows_of(table, columns):
        gathering.rows += 1
        if isinstance(row, DeadInput):
            gathering.unused[row.code] += 1
        else:
            yield row, TextOrigin(source, row.licence or origin.licence)


def _lacking(names: Sequence[str], columns: Mapping[str, str]) -> str:
    theirs = " or ".join(columns.get(name, name) for name in names)
    return f"a column {theirs}; name yours, as --map {names[0]}=NAME"


def write_vocabulary(to: str, entries: Sequence[VocabularyEntry]) -> None:
    """Publish entries as Parquet or JSON lines, by the ending of `to`: a path or URL whose form
    `check_target` has found good.
    """
    folder, name = os.path.split(to)
    store = Store(folder or ".")
    if name.endswith(_LINES):
        lines = (json.dumps(entry.model_dump(mode="json"), ensure_ascii=False) for entry in entries)
        store.write_bytes(name, "".join(f"{line}\n" for line in lines).encode())
    else:
        store.write_records(name, VocabularyEntry, entries)


def check_target(to: str, *, force: bool) -> Store:
    """The folder of a vocabulary.

    Raises `PipelineError` for an unknown ending, or a file that is there (unless `force`).
    """
    folder, name = os.path.split(to)
    store = Store(folder or ".")
    if not name.endswith((*_LINES, ".parquet")):
        raise PipelineError(f"{to}: expected a name that ends in .parquet, {' or '.join(_LINES)}")
    if not force and store.exists(name):
        raise PipelineError(f"{to} exists: name another file, or --force to replace it")
    return store
