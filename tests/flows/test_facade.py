"""`import obbligato`: what a script sees of a corpus, a file's labels and a model."""

import json
import shutil
import subprocess
import sys
from itertools import chain
from pathlib import Path

import obbligato
import pytest

from flows.errors import UsageError
from pipelines.errors import PipelineError
from schemas.pitch import Key
from tests.support.building import digests
from tests.support.small_build import Built
from training.errors import TrainingError


@pytest.fixture
def copy(built: Built, tmp_path: Path) -> Path:
    """A build that a test may change."""
    return Path(shutil.copytree(built.out, tmp_path / "copy"))


def test_it_offers_four_functions_and_what_they_return() -> None:
    assert set(obbligato.__all__) == {
        *("annotate", "build", "open", "sample"),
        *("Build", "SampleWave", "SampledPiece"),
    }


def test_importing_it_loads_none_of_the_packages_that_it_works_with() -> None:
    script = (
        "import sys, obbligato; print(sorted({'numpy', 'pydantic', 'torch', 'pyarrow', 'flows', "
        "'training', 'pipelines', 'schemas', 'importlib.metadata'} & sys.modules.keys()))"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_samples_come_with_their_sound_as_the_shards_hold_them(built: Built) -> None:
    corpus = obbligato.open(built.out)
    found = list(corpus)
    listed = [row for row in built.dataset.shards if row.count]
    assert len(found) == sum(row.count for row in listed) > 0
    assert corpus.shards == tuple(str(built.out / row.file) for row in listed)
    keys = [
        key
        for shard in corpus.shards
        for key in json.loads(Path(shard).with_suffix(".json").read_text())["keys"]
    ]
    assert [sample.key for sample, _ in found] == keys
    for sample, wave in found:
        assert abs(len(wave) - sample.duration_s * sample.rate_hz) <= sample.rate_hz / 1000
        assert wave.dtype == "float32"
        assert 0.01 < abs(wave).max() <= 1.0


def test_a_split_holds_its_samples_alone_and_the_splits_are_the_whole(built: Built) -> None:
    corpus = obbligato.open(built.out)
    found = {
        split: [sample.key for sample, _ in corpus.samples(split=split)]
        for split in ("train", "validation", "test")
    }
    assert all(found.values())
    assert sorted(chain.from_iterable(found.values())) == sorted(sample.key for sample, _ in corpus)
    assert {sample.split for sample, _ in corpus.samples(split="test")} == {"test"}


def test_building_again_changes_no_byte_and_gives_the_same_corpus(built: Built, copy: Path) -> None:
    before = digests(copy)
    corpus = obbligato.build(built.sources, copy, recipe=built.recipe, workers=2)
    assert digests(copy) == before
    assert corpus == obbligato.open(copy)
    assert corpus.dataset == built.dataset


def test_knobs_lie_over_the_recipe_and_a_wrong_one_is_named(built: Built, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"ingest\.clip_seconds is not a knob; did you mean ingest\.clip_s\?"
    ):
        obbligato.build(built.sources, tmp_path / "out", knobs={"ingest.clip_seconds": 3})
    with pytest.raises(UsageError, match=r"ready recipes are attm, fmacaps, musicbench"):
        obbligato.build(built.sources, tmp_path / "out", recipe="musicbank")
    assert not (tmp_path / "out").exists()


def test_a_files_labels_are_its_composers(built: Built) -> None:
    piece = next(Path(built.sources[0]).parent.glob("*.flac"))
    truth = json.loads(piece.with_suffix(".truth.json").read_text())
    labels = obbligato.annotate(piece)
    assert labels.key.key == Key(tonic=truth["key"]["tonic"], mode=truth["key"]["mode"])
    assert labels.tempo.bpm == pytest.approx(truth["tempo"]["bpm"], rel=0.02)


def test_verify_measures_a_whole_build_and_names_a_file_that_was_changed(copy: Path) -> None:
    corpus = obbligato.open(copy)
    before = corpus.dataset
    assert corpus.verify(workers=2) == before
    shard = Path(corpus.shards[0])
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises(PipelineError, match=shard.name):
        corpus.verify()


def test_what_is_not_ours_is_refused_in_the_projects_words(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="does not exist: name a build"):
        obbligato.open(tmp_path / "nowhere")
    with pytest.raises(PipelineError, match=r"holds no dataset\.json: it is not a finished build"):
        _ = obbligato.Build(address=str(tmp_path)).dataset
    with pytest.raises(TrainingError, match="nowhere"):
        obbligato.sample("A calm song", model=tmp_path / "nowhere")
