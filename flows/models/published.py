"""Published models as commands ask for them."""

import os
from pathlib import Path

from flows.build.run_step import absolute
from flows.errors import UsageError
from flows.launchers.job import ReportLine
from flows.screens.model_card import CARD, DOCUMENT, model_card, model_facts
from flows.screens.model_files import found_at, last_figures, parameters_of, write_model_card
from pipelines.storage.store import Store
from pipelines.trust.trusted import trust
from training.published.exporting import ExportedModel, export_model
from training.published.front_matter import front_matter, licence_of
from training.published.importing import Imported, import_published
from training.run.checkpoints import CORPUS, STATE, find_checkpoint, whole_ones
from training.run.corpus_survey import CorpusSurvey
from training.run.recipe import CodecRecipe, TextRecipe, foreign_names

_PLAYED = (
    "obbligato import . --out run",
    'obbligato sample "A calm song in A minor at 90 BPM" --model run',
)
_IMPORTED = "parent"  # in the run that begins with it


def imported(
    source: str, out: str, *, licence: str = "", text: str = "", codec: str = ""
) -> Imported:
    """Import a published model, with its card; what was named beside it is trusted."""
    made = import_published(source, out, licence=licence, text=text, codec=codec)
    if text or codec:
        name, _, weights = codec.partition("=")
        named = CodecRecipe(name=name, source=weights) if codec else None
        trust(out, foreign_names(TextRecipe(source=text), named))
    if made.parameters:
        write_model_card(out)
    return made


def exported(target: str, out: str, *, licence: str = "") -> ExportedModel:
    """Export a run's model, with a card that a hub reads.

    Raises `TrainingError` for a licence that is not its user's to give.
    """
    licence_of(find_checkpoint(target, files=()).state().parents, licence)
    made = export_model(target, out)
    learned_from = made.checkpoint.record(CORPUS, CorpusSurvey).datasets
    facts = model_facts(
        made.checkpoint.run.rstrip("/").rpartition("/")[2],
        made.recipe,
        made.survey,
        made.checkpoint.state().replaced(parents=made.parents),
        checkpoint=made.checkpoint.name.rpartition("/")[2],
        parameters=parameters_of(made.recipe),
        found=[found_at(one.target) for one in learned_from],
        figures=last_figures(Store(made.checkpoint.run)),
    )
    card = front_matter(made, licence) + model_card(facts, _PLAYED)
    store = Store(out)
    store.write_json(DOCUMENT, facts.model_dump(mode="json"))
    store.write_bytes(CARD, card.encode())
    return made


def started_from(source: str, out: str, report: ReportLine) -> str:
    """The run that another begins with: a run or checkpoint as it is; a published model once
    imported beside it, which is said.

    Raises `UsageError` where several processes would import it at once, or something else lies
    where it would.
    """
    store = Store(source)
    if store.exists(STATE) or whole_ones(store):
        return absolute(source)
    made = Path(out) / _IMPORTED
    if made.is_dir():
        if not whole_ones(Store(str(made))):
            raise UsageError(f"{made} holds an import that did not end: remove it, and run again")
        address = find_checkpoint(str(made), files=()).state().parents[-1].address
        if address != _address(source):
            raise UsageError(
                f"{made} was imported from {address}, not from {source}: take another --out"
            )
        return absolute(str(made))
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(f"{source} is not a run: import it first, with `obbligato import`")
    found = imported(_address(source), str(made))
    report(f"imported {found.parent.name} into {made}; its licence: {found.parent.licence}")
    for note in found.notes:
        report(f"note: {note}")
    return absolute(str(made))


def _address(source: str) -> str:
    """As an import remembers it: a folder from the root, an id on a hub as it is."""
    return os.path.realpath(source) if os.path.isdir(source) else source
