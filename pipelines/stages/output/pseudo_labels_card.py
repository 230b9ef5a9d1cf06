"""What dataset.json and the dataset card say of pseudo-labels: the embedder, the vocabularies,
copies found.
"""

from pipelines.build.markers import read_marker
from pipelines.build.plans import gathered
from pipelines.build.tables import VOCABULARY_VECTORS
from pipelines.embedders.recipe_embedder import description
from pipelines.storage.arrow import side_by_side
from pipelines.storage.store import Store
from schemas.counts import PseudoLabelCounts, by_name
from schemas.dataset import Dataset, EmbedderFacts, PseudoLabelTotals
from schemas.recipe import Recipe


def account(store: Store, recipe: Recipe) -> PseudoLabelTotals | None:
    """The embedder, and what became of the vocabularies' texts.

    Nothing where no clip was embedded.
    """
    if not recipe.embeds:
        return None
    found = description(recipe)
    embedder = EmbedderFacts(
        name=found.name, version=found.version, licence=found.licence, dimension=found.dimension
    )
    if not recipe.labels:
        return PseudoLabelTotals(embedder=embedder)
    plan = gathered(store)
    dead = sum(
        side_by_side(
            lambda name: read_marker(store, VOCABULARY_VECTORS.folder, name).counts["dead"],
            plan.slices,
        )
    )
    return PseudoLabelTotals(
        embedder=embedder,
        vocabularies=plan.counts,
        texts=sum(plan.slices.values()),
        texts_dead=dead,
    )


def account_lines(dataset: Dataset) -> list[str]:
    """The card's lines on pseudo-labels and copies, in Markdown."""
    summary, stages = dataset.pseudo_labels, dataset.stages
    if summary is None:
        return []
    near, match = (stages.get(name, {}) for name in ("near_duplicates", "match_texts"))
    labels = PseudoLabelCounts.model_validate(stages.get("label", {}))
    rows = [
        ("samples with labels", labels.labelled),
        ("sentences", labels.long_labels),
        ("tags", labels.short_labels),
        ("texts to choose from", summary.texts or 0),
        ("clips that are a copy of another", near.get("with_twin", 0)),
        ("of them with one in another split", near.get("across_splits", 0)),
        *(
            (f"candidates whose {name} no label confirms", count)
            for name, count in by_name(labels.unconfirmed)
        ),
    ]
    lines = [
        "",
        "## Pseudo-labels",
        "",
        f"Chosen by {summary.embedder.name} {summary.embedder.version}.",
        "",
        "| | count |",
        "|---|---:|",
    ]
    lines += [f"| {name} | {count} |" for name, count in rows if count]
    if looked_for := match.get("exact_looked_for"):
        lines += [
            "",
            (
                "Recall of the approximate search: "
                f"{1 - match['exact_missed'] / looked_for:.3f}, of {looked_for} texts looked for."
            ),
        ]
    return lines
