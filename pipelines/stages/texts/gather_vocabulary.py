"""Step *gather_vocabulary*: the texts of all vocabularies that may become labels, in slices that
need not be read whole.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from pipelines.build.markers import publish_marked, read_marker, remove_others, whole_marker
from pipelines.build.outputs import Job
from pipelines.build.tables import PLAN, VOCABULARY, VOCABULARY_PLAN, VOCABULARY_VECTORS
from pipelines.engine.stage import BegunBuild, CorpusStep
from pipelines.errors import PipelineError
from pipelines.storage.store import Store, digest, sha256_of
from pipelines.vocabularies.exclusion import Exclusion
from pipelines.vocabularies.files import Text, file_at, form_of, read_texts
from pipelines.vocabularies.rules import cleaned, fault, sameness
from schemas.build import Vocabulary, VocabularyPlan
from schemas.label_recipe import LabelRecipe, StatedFacts
from schemas.recipe import Recipe
from schemas.vocabulary import Form, FormCounts

SLICE: Final = 4096  # texts
_VERSION: Final = 1  # raised when other texts are kept


class KeptText(NamedTuple):
    """A text that may become a label."""

    text: str
    source: str
    licence: str


def gather_vocabulary(store: Store, recipe: Recipe) -> VocabularyPlan:
    """Publish the texts of the recipe's vocabularies; returns the plan.

    Skipped where nothing changed.

    Raises `PipelineError` for a file that is not there or cannot be read, and where no text is
    left.
    """
    expected = _expected_fingerprint(recipe.label)
    before = VOCABULARY_PLAN.read_before(store)
    if before is not None and before.fingerprint == expected and _all_stand(store, before):
        return before
    vocabularies, counts = _published(store, recipe)
    if not vocabularies:
        paths = ", ".join(recipe.label.vocabularies)
        raise PipelineError(f"no text of {paths} can be a label: {_plain(counts)}")
    sizes = {
        name: min(SLICE, one.rows - SLICE * index)
        for one in vocabularies
        for index, name in enumerate(one.slices)
    }
    marks = [read_marker(store, VOCABULARY.folder, name).fingerprint for name in sizes]
    content = digest([sizes, marks])
    plan = VocabularyPlan(
        fingerprint=expected,
        content=content,
        counts=counts,
        slices=sizes,
        vocabularies=tuple(vocabularies),
    )
    for output in (VOCABULARY, VOCABULARY_VECTORS):
        remove_others(store, output.folder, {*sizes, PLAN})
    VOCABULARY_PLAN.write(store, plan)
    return plan


def _expected_fingerprint(label: LabelRecipe) -> str:
    """A hash of what decides the texts: the files' contents and the recipe's rules."""
    vocabularies = [_content(path) for path in label.vocabularies]
    excluded = [_content(path) for path in label.exclude]
    return digest([_VERSION, vocabularies, excluded, label.facts, label.licence])


def _published(
    store: Store, recipe: Recipe
) -> tuple[list[Vocabulary], dict[str, dict[str, FormCounts]]]:
    """The vocabularies, whose texts are written by now, and the account of each file and form."""
    label = recipe.label
    held_out = Exclusion(text.text for path in label.exclude for text in read_texts(path))
    vocabularies: list[Vocabulary] = []
    counts: dict[str, dict[str, FormCounts]] = {}
    for number, path in enumerate(label.vocabularies):
        texts = read_texts(path)
        name, plain = _name(path, counts), form_of([text for text in texts if not text.form])
        for form in Form:
            of_form = [text for text in texts if (text.form or plain) == form]
            kept, counts.setdefault(name, {})[form.value] = _kept(of_form, form, held_out, label)
            if kept:
                slices = tuple(_write_slices(store, f"{number:03d}-{form.value}", kept, recipe))
                vocabularies.append(Vocabulary(name=name, form=form, rows=len(kept), slices=slices))
    return vocabularies, counts


def _all_stand(store: Store, plan: VocabularyPlan) -> bool:
    return all(whole_marker(store, VOCABULARY.folder, name) for name in plan.slices)


def _plain(
    counts: Mapping[str, Mapping[str, FormCounts]],
) -> dict[str, dict[str, dict[str, object]]]:
    plain: dict[str, dict[str, dict[str, object]]] = {}
    for name, forms in counts.items():
        plain[name] = {form: found.model_dump() for form, found in forms.items()}
    return plain


def _content(path: str) -> str:
    store, name = file_at(path)
    with store.open(name) as opened:
        return sha256_of(opened)


def _name(path: str, taken: Iterable[str]) -> str:
    """A vocabulary's name: its file's, with a number where two have the same."""
    name = path.rpartition("/")[2].rpartition(".")[0]
    same = sum(other.partition(" #")[0] == name for other in taken)
    return f"{name} #{same + 1}" if same else name


def _kept(
    texts: Iterable[Text], form: Form, held_out: Exclusion, label: LabelRecipe
) -> tuple[list[KeptText], FormCounts]:
    """Texts of one form that may be labels, in an order of their own, and the account of all."""
    kept: dict[str, KeptText] = {}
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
            kept[same] = KeptText(text, found.source, found.licence or label.licence)
    counts = FormCounts(
        texts=number, kept=len(kept), duplicate=duplicates, dropped=dict(sorted(dropped.items()))
    )
    return sorted(kept.values()), counts


def _write_slices(
    store: Store, name: str, kept: Sequence[KeptText], recipe: Recipe
) -> Iterator[str]:
    for number, start in enumerate(range(0, len(kept), SLICE)):
        slice_name = f"{name}-{number:05d}"
        rows = kept[start : start + SLICE]
        columns = zip(*rows, strict=True)
        content = VOCABULARY.content(
            {name: list(column) for name, column in zip(KeptText._fields, columns, strict=True)}
        )
        job = Job(store.url, slice_name, recipe)
        publish_marked(VOCABULARY.folder, job, VOCABULARY.path(job), content, {"texts": len(rows)})
        yield slice_name


def _gather(build: BegunBuild) -> dict[str, int]:
    plan = gather_vocabulary(build.store, build.recipe)
    return {"texts": sum(plan.slices.values()), "slices": len(plan.slices)}


STEP: Final = CorpusStep(
    name="gather_vocabulary",
    run=_gather,
    writes=(VOCABULARY,),
    divides=VOCABULARY.partition,
    enabled=lambda recipe: recipe.labels,
)
