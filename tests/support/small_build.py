"""The small build that many tests read, and what they do with copies of it."""

import shutil
from pathlib import Path
from typing import NamedTuple

from flows.build.local import build
from pipelines.beam.options import Engine
from schemas.dataset import Dataset
from schemas.recipe import CorpusRecipe, IngestRecipe, Recipe, VaryRecipe, VerifyRecipe


class Built(NamedTuple):
    """A finished build: its sources, folder, recipe and dataset.json."""

    sources: list[str]
    out: Path
    recipe: Recipe
    dataset: Dataset


SMALL = Recipe(
    corpus=CorpusRecipe(name="small"),
    ingest=IngestRecipe(clip_s=8.0, small_buckets=3),
    vary=VaryRecipe(semitones=(-3, 2), speeds=2, volumes=1),
    verify=VerifyRecipe(relabel_clips=1),
)


def copied(built: Built, out: Path) -> Path:
    shutil.copytree(built.out, out)
    return out


def rebuild(built: Built, out: Path, recipe: Recipe) -> Dataset:
    return build(built.sources, str(out), recipe, Engine(), lambda _: None)
