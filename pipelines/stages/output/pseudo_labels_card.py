"""What dataset.json and the dataset card say of pseudo-labels: the embedder, the vocabularies,
copies found.
"""

from collections.abc import Mapping
from typing import Any

from pipelines.engine.stage import read_marker
from pipelines.stages.labels.embed_audio import description
from pipelines.stages.texts import gather_vocabulary
from pipelines.stages.texts.embed_vocabulary import FOLDER as VECTORS
from pipelines.storage.arrow import side_by_side
from pipelines.storage.store import Store
from schemas.counts import PseudoLabelCounts, by_name
from schemas.recipe import Recipe


def account(store: Store, recipe: Recipe) -> dict[str, Any]:
    """The embedder, and what became of the texts; nothing where no clip was embedded."""
    if not recipe.embeds:
        return {}
    found = description(recipe)
    embedder = {
        "name": found.name,
        "version": found.version,
        "licence": found.licence,
        "dimension": found.dimension,
    }
    if not recipe.labels:
        return {"embedder": embedder}
    plan = gather_vocabulary.gathered(store)
    dead = sum(
        side_by_side(
            lambda name: read_marker(store, VECTORS, name)["counts"]["dead"], plan["slices"]
        )
    )
    return {
        "embedder": embedder,
        "vocabularies": plan["counts"],
        "texts": sum(plan["slices"].values()),
        "texts_dead": dead,
    }


def account_lines(dataset: Mapping[str, Any]) -> list[str]:
    """The card's lines on pseudo-labels and copies, in Markdown."""
    said, stages = dataset.get("pseudo_labels") or {}, dataset["stages"]
    if not said:
        return []
    near, match = (stages.get(name, {}) for name in ("near", "match"))
    labels = PseudoLabelCounts.model_validate(stages.get("label", {}))
    rows = [
        ("samples with labels", labels.labelled),
        ("sentences", labels.long_labels),
        ("tags", labels.short_labels),
        ("texts to choose from", said.get("texts", 0)),
        ("clips that are a copy of another", near.get("with_twin", 0)),
        ("of them with one in another split", near.get("across_splits", 0)),
        *(
            (f"candidates whose {name} no label confirms", count)
            for name, count in by_name(labels.unconfirmed)
        ),
    ]
    embedder = said["embedder"]
    lines = [
        "",
        "## Pseudo-labels",
        "",
        f"Chosen by {embedder['name']} {embedder['version']}.",
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
