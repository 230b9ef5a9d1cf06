"""The demo: a dozen composed pieces, a corpus of them, and how well labels were recovered."""

from pathlib import Path
from typing import Final, NamedTuple

from flows.build.local import build
from flows.build.run_stage import Watch
from pipelines.beam.options import Engine
from pipelines.build.outputs import Job
from pipelines.build.plans import read_plan
from pipelines.labels.agreement import mean_agreement
from pipelines.storage.store import Store
from pipelines.synthesis.recovery import recovered
from pipelines.synthesis.songs import write_songs
from schemas.agreement import KindAgreement
from schemas.dataset import Dataset
from schemas.recipe import CorpusRecipe, Recipe

SONGS: Final = "songs"
CORPUS: Final = "corpus"


class Demo(NamedTuple):
    """What the demo made: the corpus's folder, its dataset.json, mean agreement with the truth."""

    out: str
    dataset: Dataset
    recovery: KindAgreement


def run_demo(folder: Path, songs: int, seed: int, engine: Engine, watch: Watch) -> Demo:
    """Compose, build, compare. Run again, it finishes what is unfinished."""
    manifest = write_songs(folder / SONGS, songs, seed)
    out = str(folder / CORPUS)
    recipe = Recipe(corpus=CorpusRecipe(name="Obbligato demo", seed=seed))
    dataset = build([str(manifest)], out, recipe, engine, watch)
    rows = recovered([Job(out, name, recipe) for name in read_plan(Store(out)).buckets])
    return Demo(out, dataset, KindAgreement(samples=len(rows), **mean_agreement(rows).model_dump()))
