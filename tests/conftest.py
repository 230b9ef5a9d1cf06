"""Fixtures that several tests share: a folder of composed pieces, and one build of it."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from flows.build.local import build
from pipelines.beam.options import Engine
from pipelines.synthesis.songs import write_songs
from pipelines.trust import trusted
from schemas.recipe import CorpusRecipe, IngestRecipe, Recipe, VaryRecipe, VerifyRecipe


class Built(NamedTuple):
    """A finished build: its sources, folder, recipe and dataset.json."""

    sources: list[str]
    out: Path
    recipe: Recipe
    dataset: dict[str, Any]


SMALL = Recipe(
    corpus=CorpusRecipe(name="small"),
    ingest=IngestRecipe(clip_s=8.0, small_buckets=3),
    vary=VaryRecipe(semitones=(-3, 2), speeds=2, volumes=1),
    verify=VerifyRecipe(relabel_clips=1),
)


@pytest.fixture(scope="session", autouse=True)
def own_configuration(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What tests name by hand is not remembered for whoever runs them; processes that they start
    inherit it.
    """
    os.environ[trusted.FOLDER] = str(tmp_path_factory.mktemp("configuration"))


@pytest.fixture(scope="session")
def songs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A manifest of four pieces: two in train, one each in validation and test."""
    return [str(write_songs(tmp_path_factory.mktemp("songs"), songs=4))]


@pytest.fixture(scope="session")
def built(songs: list[str], tmp_path_factory: pytest.TempPathFactory) -> Built:
    """One undisturbed build of them with two workers."""
    out = tmp_path_factory.mktemp("built") / "out"
    dataset = build(songs, str(out), SMALL, Engine(workers=2), lambda _: None)
    return Built(songs, out, SMALL, dataset)
