"""Step *gather*: the texts of all vocabularies that may become labels, in slices that can be looked
into without reading them whole.
"""

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import pyarrow as pa
from pydantic import ConfigDict

from pipelines.engine.stage import (
    Job,
    digest,
    publish_marked,
    read_marker,
    remove_others,
    whole_marker,
)
from pipelines.errors import PipelineError
from pipelines.storage.store import Store, sha256_of
from pipelines.vocabularies.exclusion import Exclusion
from pipelines.vocabularies.files import Text, file_at, form_of, read_texts
from pipelines.vocabularies.rules import cleaned, fault, sameness
from schemas.label_recipe import LabelRecipe, StatedFacts
from schemas.recipe import Recipe
from schemas.record import Record
from schemas.vocabulary import Form, FormCounts

FOLDER: Final = "vocabulary"
PLAN: Final = "vocabulary/plan.json"
VECTORS: Final = "vocabulary_vectors"  # what the next step makes of the slices
SLICE: Final = 4096  # texts
_VERSION: Final = 1  # raised when other texts are kept
_SCHEMA: Final = pa.schema(
    [("text", pa.string()), ("source", pa.string()), ("licence", pa.string())]
)


class Vocabulary(NamedTuple):
    """Texts of one form from one file, and the slices that they lie in, in order."""

    name: str
    form: Form
    rows: int
    slices: tuple[str, ...]


class _Vocabulary(Record):
    """The form of a vocabulary in a plan."""

    name: str
    form: Form
    rows: int
    slices: tuple[str, ...]


class _Plan(Record):
    """The form of a plan."""

    model_config = ConfigDict(extra="ignore")

    fingerprint: str
    content: str
    counts: dict[str, dict[str, FormCounts]]
    slices: dict[str, int]
    vocabularies: tuple[_Vocabulary, ...]


class Kept(NamedTuple):
    """A text that may become a label."""

    text: str
    source: str
    licence: str


def gather_vocabulary(store: Store, recipe: Recipe) -> dict[str, Any]:
    """Publish the texts of the recipe's vocabularies; returns the plan.

    Skipped where nothing changed.

    Raises `PipelineError` for a file that is not there or cannot be read, and where no text is
    left.
    """
    label = recipe.label
    expected = digest(
        [
            _VERSION,
            [_content(place) for place in label.vocabularies],
            [_content(place) for place in label.exclude],
            label.facts,
            label.licence,
        ]
    )
    before = store.stated_before(PLAN, _Plan)
    if before.get("fingerprint") == expected and all(
        whole_marker(store, FOLDER, name) for name in before["slices"]
    ):
        return dict(before)
    held_out = Exclusion(text.text for place in label.exclude for text in read_texts(place))
    vocabularies: list[Vocabulary] = []
    counts: dict[str, dict[str, Any]] = {}
    for number, place in enumerate(label.vocabularies):
        texts = read_texts(place)
        name, plain = _name(place, counts), form_of([text for text in texts if not text.form])
        for form in Form:
            kept, counted = _kept(
                (text for text in texts if (text.form or plain) == form), form, held_out, label
            )
            counts.setdefault(name, {})[form.value] = counted.model_dump()
            if kept:
                slices = tuple(_write_slices(store, f"{number:03d}-{form.value}", kept, recipe))
                vocabularies.append(Vocabulary(name, form, len(kept), slices))
    if not vocabularies:
        raise PipelineError(f"no text of {', '.join(label.vocabularies)} can be a label: {counts}")
    sizes = {
        name: min(SLICE, one.rows - SLICE * place)
        for one in vocabularies
        for place, name in enumerate(one.slices)
    }
    marks = [read_marker(store, FOLDER, name)["fingerprint"] for name in sizes]
    plan = {
        "fingerprint": expected,
        "content": digest([sizes, marks]),
        "counts": counts,
        "slices": sizes,
        "vocabularies": [one._asdict() for one in vocabularies],
    }
    for folder in (FOLDER, VECTORS):
        remove_others(store, folder, {*sizes, "plan"})
    store.write_sealed(PLAN, plan)
    return plan


def _content(place: str) -> str:
    store, name = file_at(place)
    with store.open(name) as opened:
        return sha256_of(opened)


def _name(place: str, taken: Iterable[str]) -> str:
    """A vocabulary's name: its file's, with a number where two have the same."""
    name = place.rpartition("/")[2].rpartition(".")[0]
    same = sum(other.partition(" #")[0] == name for other in taken)
    return f"{name} #{same + 1}" if same else name


def _kept(
    texts: Iterable[Text], form: Form, held_out: Exclusion, label: LabelRecipe
) -> tuple[list[Kept], FormCounts]:
    """Texts of one form that may be labels, in an order of their own, and the account of all."""
    kept: dict[str, Kept] = {}
    dropped: Counter[str] = Counter()
    number = duplicates = 0
    for found in texts:
        number += 1
        text = cleaned(found.text, form)
        if wrong := fault(
            found.text, text, form, frozenset(), keep_facts=label.facts is StatedFacts.CHECK
        ):
            dropped[wrong.value] += 1
        elif (same := sameness(text)) in kept:
            duplicates += 1
        elif form is Form.LONG and held_out.leaks(text):
            dropped["excluded"] += 1
        else:
            kept[same] = Kept(text, found.source, found.licence or label.licence)
    counts = FormCounts(
        texts=number, kept=len(kept), duplicate=duplicates, dropped=dict(sorted(dropped.items()))
    )
    return sorted(kept.values()), counts


def _write_slices(store: Store, name: str, kept: Sequence[Kept], recipe: Recipe) -> Iterator[str]:
    for number, start in enumerate(range(0, len(kept), SLICE)):
        slice_name = f"{name}-{number:05d}"
        rows = kept[start : start + SLICE]
        publish_marked(
            FOLDER,
            Job(store.url, slice_name, recipe),
            f"{slice_name}.arrow",
            _arrow(rows),
            {"texts": len(rows)},
        )
        yield slice_name


def _arrow(rows: Sequence[Kept]) -> bytes:
    """Rows as Arrow's own format, which can be mapped into memory."""
    table = pa.Table.from_pydict(
        {name: [getattr(row, name) for row in rows] for name in Kept._fields}, schema=_SCHEMA
    )
    out = io.BytesIO()
    with pa.ipc.new_file(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


def read_plan(store: Store) -> tuple[Vocabulary, ...]:
    """The vocabularies of a build. Raises `PipelineError` before they are gathered."""
    rows = gathered(store)["vocabularies"]
    return tuple(
        Vocabulary(row["name"], Form(row["form"]), row["rows"], tuple(row["slices"]))
        for row in rows
    )


def gathered(store: Store) -> dict[str, Any]:
    """The plan of what is gathered. Raises `Damaged`, and `PipelineError` before it is."""
    if not store.exists(PLAN):
        raise PipelineError(
            f"{store.url}: its vocabularies are not gathered; run `obbligato label`"
        )
    return store.read_stated(PLAN, _Plan)


def slice_sizes(store: Store) -> dict[str, int]:
    """Slices of all vocabularies in order, with their texts. Raises as `gathered`."""
    return dict(gathered(store)["slices"])


def read_slice(store: Store, name: str) -> list[str]:
    """The texts of a slice, in order."""
    with store.open(f"{FOLDER}/{name}.arrow") as opened:
        texts: list[str] = pa.ipc.open_file(opened).read_all().column("text").to_pylist()
    return texts
