"""Readers that know nothing of us read our shards, also where the first samples have empty
labels.
"""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from flows.build.local import build
from pipelines.beam.options import Engine
from schemas.fact import BpmFact, ChordsFact, FactBase, KeyFact, read_fact
from schemas.sample import sample_features
from tests.support.small_build import SMALL, Built


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build of six clips of white noise, which have no key, beats or chords."""
    folder = tmp_path_factory.mktemp("noise")
    rows = []
    for number in range(6):
        wave = np.random.default_rng(number).uniform(-0.3, 0.3, 4 * 44_100)
        soundfile.write(folder / f"{number}.wav", wave, 44_100)
        rows.append({"uri": f"{number}.wav", "split": "train", "licence": "CC0-1.0"})
    with (folder / "noise.csv").open("w", newline="") as out:
        writer = csv.DictWriter(out, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    recipe = SMALL.replaced(vary=SMALL.vary.replaced(semitones=(), speeds=0, volumes=0))
    build([str(folder / "noise.csv")], str(folder / "out"), recipe, Engine(), lambda _: None)
    return folder / "out"


def test_datasets_reads_samples_with_empty_labels_first(
    noise: Path, built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    shards = [
        *sorted((noise / "shards").glob("*.tar")),
        *sorted((built.out / "shards").glob("train*.tar")),
    ]
    features = datasets.Features.from_dict(sample_features())
    found = datasets.load_dataset(
        "webdataset",
        data_files={"train": [str(path) for path in shards]},
        features=features,
        split="train",
        cache_dir=str(tmp_path),
    )
    first, last = found[0]["json"], found[len(found) - 1]["json"]
    assert [row["json"]["key_label"]["tonic"] for row in found.select(range(6))] == [None] * 6
    assert (
        first["beats"]["times_s"],
        first["chords"]["segments"],
        first["tempo"]["bpm"],
        first["captions"],
    ) == ([], [], None, [])
    assert last["key_label"]["mode"] in ("major", "minor")
    assert len(last["beats"]["times_s"]) >= 8
    facts = [
        fact for row in found for caption in row["json"]["captions"] for fact in caption["facts"]
    ]
    for kind, field, value in (
        (BpmFact, "bpm", float),
        (KeyFact, "mode", str),
        (ChordsFact, "chords", list),
    ):
        of_kind = [fact for fact in facts if fact["kind"] == kind.model_fields["kind"].default]
        assert of_kind
        assert all(isinstance(fact[field], value) for fact in of_kind)
        assert [read_fact(fact).model_dump(mode="json") for fact in of_kind] == [
            _own(fact, kind) for fact in of_kind
        ]
    heard = found[len(found) - 1]["flac"].get_all_samples()
    assert (heard.sample_rate, heard.data.shape) == (16_000, (1, 128_000))


def _own(fact: dict[str, Any], kind: type[FactBase]) -> dict[str, Any]:
    """A row without the columns of other kinds, which must be empty."""
    assert all(value in (None, []) for name, value in fact.items() if name not in kind.model_fields)
    return {name: fact[name] for name in kind.model_fields}
