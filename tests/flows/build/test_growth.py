"""A corpus over time: tables are edited, songs come, sources go away, shards are damaged."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from flows.build.local import build, verify_build
from pipelines.audio.decode import read_window
from pipelines.beam.options import Engine
from pipelines.build.plans import Shrinks
from pipelines.errors import PipelineError
from tests.support.tone_corpus import PLAIN, Corpus


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus(tmp_path, songs=3)


def test_an_edited_table_reaches_captions_and_splits(corpus: Corpus) -> None:
    corpus.build()
    corpus.rows[0]["caption"] = "A deep hum."
    corpus.rows[1]["split"] = "test"
    dataset = corpus.build()
    found = {
        Path(sample.source.uri).stem: sample
        for _, sample in corpus.samples()
        if sample.change.variant == "orig"
    }
    assert found["0"].captions[0].text == "A deep hum."
    assert found["1"].split == "test"
    assert dataset.splits["test"].samples == 1


def test_new_songs_get_shards_of_their_own_and_older_shards_keep_their_bytes(
    corpus: Corpus,
) -> None:
    corpus.build()
    before = {path.name: path.read_bytes() for path in (corpus.out / "shards").glob("*.tar")}
    corpus.add(3)
    corpus.build()
    after = {path.name: path.read_bytes() for path in (corpus.out / "shards").glob("*.tar")}
    assert {name: after[name] for name in before} == before
    assert {name for name in after if name not in before} == {"train-g0001-00000.tar"}
    assert {
        Path(sample.source.uri).stem
        for shard, sample in corpus.samples()
        if shard == "train-g0001-00000"
    } == {"3"}


def test_an_outage_of_the_sources_costs_nothing_that_was_built(corpus: Corpus) -> None:
    corpus.build()
    before = {path.name: path.read_bytes() for path in (corpus.out / "shards").iterdir()}
    away = corpus.folder / "away"
    away.mkdir()
    for path in corpus.folder.glob("*.flac"):
        path.rename(away / path.name)
    ledger = (corpus.out / "ledger" / "inputs.parquet").read_bytes()
    with pytest.raises(Shrinks, match="remove 3 of the 3 sources in force"):
        corpus.build()
    with pytest.raises(PipelineError, match="none of the 3 inputs can be used"):
        corpus.build(shrink=True)
    assert {path.name: path.read_bytes() for path in (corpus.out / "shards").iterdir()} == before
    for path in away.iterdir():
        path.rename(corpus.folder / path.name)
    assert corpus.build().inputs.counts == {"in": 3, "used": 3}
    assert (corpus.out / "ledger" / "inputs.parquet").read_bytes() == ledger


@pytest.mark.parametrize("keep_variants", [True, False])
def test_a_damaged_shard_is_found_and_made_again(corpus: Corpus, *, keep_variants: bool) -> None:
    recipe = PLAIN.replaced(pack=PLAIN.pack.replaced(keep_variants=keep_variants))
    corpus.build(recipe)
    shard = next((corpus.out / "shards").glob("*.tar"))
    sound = shard.read_bytes()
    shard.write_bytes(sound[:600] + bytes([sound[600] ^ 1]) + sound[601:])
    with pytest.raises(
        PipelineError, match=r"train-00000\.tar is not what was written: its SHA-256 has changed"
    ):
        verify_build(str(corpus.out), Engine(), lambda _: None)
    corpus.build(recipe)
    assert shard.read_bytes() == sound


def test_an_unfinished_build_is_not_vouched_for(corpus: Corpus) -> None:
    corpus.build()
    next((corpus.out / "variants").glob("*.done.json")).unlink()
    with pytest.raises(PipelineError, match=r"stage (vary|caption) is unfinished or stale"):
        verify_build(str(corpus.out), Engine(), lambda _: None)


def test_a_build_inside_its_own_source_does_not_eat_its_output(corpus: Corpus) -> None:
    folders = [str(corpus.folder)]
    first = build(folders, str(corpus.out), PLAIN, Engine(), lambda _: None)
    assert build(folders, str(corpus.out), PLAIN, Engine(), lambda _: None).inputs == first.inputs


def test_an_mp3_window_is_the_same_whatever_was_read_before(tmp_path: Path) -> None:
    path = str(tmp_path / "noise.mp3")
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 30 * 44_100), 44_100)
    alone = {
        start_s: read_window(path, start_s, start_s + 5).wave for start_s in (0.0, 5.0, 12.0, 20.0)
    }
    shutil.copy(path, tmp_path / "again.mp3")
    for start_s in (20.0, 0.0, 12.0, 5.0, 20.0):
        assert np.array_equal(
            read_window(str(tmp_path / "again.mp3"), start_s, start_s + 5).wave, alone[start_s]
        )
