"""Prompts of a source's metadata, composed anew at each visit, as Stable Audio does (Evans et al.
2024, arXiv 2402.04825): other names, another order, another form each time.

A build composes its own by the same functions.
"""

from collections import Counter
from collections.abc import Collection
from functools import lru_cache

import numpy as np

from pipelines.captioning.metadata import Metadata, metadata_prompts, read_metadata, together
from schemas.caption import Caption
from schemas.corpus import Source
from schemas.fact import FactKind
from schemas.labels import Labels
from schemas.recipe import CaptionRecipe
from schemas.sample import Sample

Columns = tuple[tuple[str, str], ...]  # our name, the source's column


def metadata_prompt(
    sample: Sample, columns: Columns, rng: np.random.Generator, unsaid: Collection[FactKind] = ()
) -> Caption | None:
    """A prompt of what the source names, with tempo and key where the labels are sure of them and
    they are not `unsaid`; none where it names nothing.
    """
    found = _named(sample.source, columns)
    if sample.guest is not None:
        found = together(found, _named(sample.guest.source, columns))
    labels = _without(sample.labels, unsaid)
    made = metadata_prompts(found, labels, _recipe(columns), rng, Counter())
    return made[0] if made else None


@lru_cache(maxsize=64)
def _recipe(columns: Columns) -> CaptionRecipe:
    """That of a build which composes one prompt."""
    return CaptionRecipe(metadata_prompts=1, metadata_columns=dict(columns))


# looking for facts in names takes longer than all else of a visit; a source may say a lot
@lru_cache(maxsize=4096)
def _named(source: Source, columns: Columns) -> Metadata:
    return read_metadata(source, _recipe(columns))


def _without(labels: Labels, kinds: Collection[FactKind]) -> Labels:
    """Labels that do not know what is not to be said."""
    if FactKind.BPM in kinds:
        labels = labels.replaced(tempo=labels.tempo.replaced(bpm=None))
    if FactKind.KEY in kinds:
        labels = labels.replaced(key=labels.key.replaced(tonic=None, mode=None))
    return labels
