"""Published models as commands ask for them."""

from flows.screens.model_files import write_model_card
from pipelines.trust.trusted import trust
from training.published.importing import Imported, import_published
from training.run.recipe import TextRecipe, foreign_names


def imported(source: str, out: str, *, licence: str = "", text: str = "") -> Imported:
    """Import a published model, with its card; a text encoder that was named is trusted."""
    made = import_published(source, out, licence=licence, text=text)
    if text:
        trust(out, foreign_names(TextRecipe(source=text)))
    if made.parameters:
        write_model_card(out)
    return made
