"""A corpus with pseudo-labels: every label is accounted for, the audio's bytes stay, copies do not
cross splits, kills change nothing.
"""

import csv
import io
import shutil
import subprocess
import sys
import tarfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from flows.build.local import build, label, verify_build
from flows.build.recipe_files import recipe_toml
from flows.build.run_stage import UnitShare
from flows.build.run_step import begin, run_steps, stored_build
from flows.errors import UsageError
from pipelines.beam.options import Engine
from pipelines.engine.child_process import CHILDREN
from pipelines.errors import PipelineError
from pipelines.reports.ledger import ledger_rows
from pipelines.stages.output.verify import read_back
from pipelines.storage.store import Store
from schemas.caption import CaptionKind
from schemas.corpus import Outcome
from schemas.dataset import Dataset
from schemas.label_recipe import LabelRecipe
from schemas.pseudo_label import Frequency, Matched, NearDuplicate
from schemas.recipe import Recipe
from schemas.sample import Sample
from schemas.vocabulary import Form
from tests.support.building import ROOT, digests, kill_after_markers
from tests.support.melodies import RATE_HZ, melody
from tests.support.tiny_clap import save_clap
from tests.support.tone_corpus import PLAIN

SONGS = 7
WORDS = [
    "calm",
    "airy",
    "sad",
    "warm",
    "bold",
    "bright",
    "dark",
    "soft",
    "loud",
    "deep",
    "thin",
    "rich",
    "dry",
    "wet",
    "round",
    "sharp",
]
TAGS = [f"{one} {other}" for one in WORDS for other in ("pad", "lead", "choir")]
SENTENCES = [
    f"A {one} flute plays over the {other} drums."
    for one in WORDS
    for other in WORDS[:4]
    if one != other
]
IGNORE = lambda _: None  # noqa: E731


@pytest.fixture(scope="module", autouse=True)
def plug_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The plain embedder, installed as any package's plug-in is."""
    folder = tmp_path_factory.mktemp("installed")
    info = folder / "plain_embedder-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plain-embedder\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[obbligato.embedders]\nplain = tests.support.plug_ins.plain_embedder\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("PYTHONPATH", f"{ROOT}:{folder}")  # of builds in processes of their own
        CHILDREN.close()  # they know the paths of when they were started
        yield


class Corpus:
    """Melodies, one of them in train a quieter copy of one in test; two vocabularies; a build."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "out"
        folder.mkdir(exist_ok=True)
        with (folder / "songs.csv").open("w", newline="") as out:
            rows = csv.DictWriter(out, fieldnames=["uri", "split", "title", "moods"])
            rows.writeheader()
            for number in range(SONGS):
                split = ("train", "train", "train", "train", "train", "validation", "test")[number]
                rows.writerow(
                    {
                        "uri": f"{number}.flac",
                        "split": split,
                        "title": f"Song {number}",
                        "moods": "calm; dreamy",
                    }
                )
                soundfile.write(folder / f"{number}.flac", melody(number, 9), RATE_HZ)
            rows.writerow({"uri": "copy.wav", "split": "train", "title": "Copy", "moods": ""})
            soundfile.write(folder / "copy.wav", 0.5 * melody(6, 9), RATE_HZ)
        (folder / "tags.txt").write_text("\n".join(TAGS))
        (folder / "sentences.txt").write_text("\n".join(SENTENCES))

    def recipe(self, **knobs: Any) -> Recipe:
        vocabularies = (str(self.folder / "tags.txt"), str(self.folder / "sentences.txt"))
        label_recipe = LabelRecipe(vocabularies=vocabularies, embedder="plain", **knobs)
        return PLAIN.replaced(label=label_recipe, pack=PLAIN.pack.replaced(embeddings=True))

    def build(self, recipe: Recipe, workers: int = 1, out: Path | None = None) -> Dataset:
        return build(
            [str(self.folder / "songs.csv")], str(out or self.out), recipe, Engine(workers), IGNORE
        )


def samples(out: Path) -> list[Sample]:
    return [
        read.sample
        for shard in sorted((out / "shards").glob("*.tar"))
        for read in read_back(str(shard))
    ]


def members(out: Path, suffix: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for shard in sorted((out / "shards").glob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                content = tar.extractfile(member)
                if member.name.endswith(suffix) and content is not None:
                    found[member.name] = content.read()
    return found


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """One that is built and labelled."""
    made = Corpus(tmp_path_factory.mktemp("labelled"))
    made.build(made.recipe())
    return made


def test_every_sample_has_labels_of_each_vocabulary_with_all_that_speaks_for_them(
    corpus: Corpus,
) -> None:
    found = samples(corpus.out)
    # train: five songs with a copy each; validation and test: one original each
    assert len(found) == 12
    for sample in found:
        forms = Counter(one.form for one in sample.pseudo_labels)
        assert forms == {Form.LONG: 3, Form.SHORT: 6}
        for one in sample.pseudo_labels:
            assert one.text in (TAGS if one.form is Form.SHORT else SENTENCES)
            assert (one.vocabulary, one.model, one.model_licence) == (
                "tags" if one.form is Form.SHORT else "sentences",
                "plain laion/larger_clap_music",
                "CC0-1.0",
            )
            assert 1 <= one.rank <= 10
            assert 1 <= one.frequency <= 8


def test_sentences_are_captions_and_tags_are_joined_with_the_sources_metadata(
    corpus: Corpus,
) -> None:
    for sample in samples(corpus.out):
        by_kind: dict[CaptionKind, list[str]] = {}
        for caption in sample.captions:
            by_kind.setdefault(caption.kind, []).append(caption.text)
        assert by_kind[CaptionKind.LABEL] == [
            one.text for one in sample.pseudo_labels if one.form is Form.LONG
        ]
        [tags] = by_kind[CaptionKind.TAGS]
        assert set(tags.split(", ")) == {
            "calm",
            "dreamy",
            *(one.text for one in sample.pseudo_labels if one.form is Form.SHORT),
        }


def test_the_frequency_of_a_text_is_the_number_of_clips_that_have_it_among_their_candidates(
    corpus: Corpus,
) -> None:
    store = Store(str(corpus.out))
    buckets = store.read_sealed("clips/plan.json")["buckets"]
    rows = [
        row for name in buckets for row in store.read_records(f"matches/{name}.parquet", Matched)
    ]
    counts = Counter(entry for row in rows for entry in {one.entry for one in row.candidates})
    reported = {
        row.entry: row.clips
        for name in buckets
        for row in store.read_records(f"frequencies/{name}.parquet", Frequency)
    }
    assert reported == counts


def test_candidates_are_the_nearest_texts_of_each_vocabulary(corpus: Corpus) -> None:
    store = Store(str(corpus.out))
    vectors = {
        name: np.load(corpus.out / f"vocabulary_vectors/{name}.npy").astype(np.float32)
        for name in ("000-short-00000", "001-long-00000")
    }
    from pipelines.build.outputs import Job
    from pipelines.build.tables import EMBEDDINGS

    for name in store.read_sealed("clips/plan.json")["buckets"]:
        heard = {
            clip.clip_key: clip.vector
            for clip in EMBEDDINGS.read(Job(str(corpus.out), name, corpus.recipe()))
        }
        for row in store.read_records(f"matches/{name}.parquet", Matched):
            short = [one for one in row.candidates if one.form is Form.SHORT]
            best = np.sort(vectors["000-short-00000"] @ heard[row.clip_key])[::-1]
            assert [one.rank for one in short] == list(range(1, 11))
            assert short[0].similarity == pytest.approx(best[0], abs=1e-3)
            assert [one.similarity for one in short] == sorted(
                (one.similarity for one in short), reverse=True
            )


def test_a_copy_in_train_of_a_song_in_test_is_rejected_with_its_twin_and_nothing_changes_split(
    corpus: Corpus,
) -> None:
    [row] = ledger_rows(Store(str(corpus.out)), [Outcome.REJECTED])[:1]
    rejected = ledger_rows(Store(str(corpus.out)), [Outcome.REJECTED])
    assert {one.code for one in rejected} == {"near_duplicate"}
    assert len(rejected) == 2  # its original and its one copy
    assert row.uri.endswith("copy.wav")
    assert row.figure.endswith("in test")
    store = Store(str(corpus.out))
    [twin] = [
        one
        for name in store.read_sealed("clips/plan.json")["buckets"]
        if name.startswith("test")
        for one in store.read_records(f"twins/{name}.parquet", NearDuplicate)
    ]
    assert twin.agreement > 0.95


def test_a_build_is_labelled_afterwards_without_touching_a_byte_of_its_audio(
    corpus: Corpus, tmp_path: Path
) -> None:
    corpus.build(PLAIN, out=tmp_path / "out")
    before = members(tmp_path / "out", ".flac")
    recipe = corpus.recipe().replaced(filter=PLAIN.filter.replaced(near_duplicate_action="off"))
    variants = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/variants").iterdir()}
    label(str(tmp_path / "out"), recipe, Engine(), IGNORE)
    assert members(tmp_path / "out", ".flac") == before
    assert {
        path: path.stat().st_mtime_ns for path in (tmp_path / "out/variants").glob("*.tar")
    }.items() <= variants.items()
    assert all(sample.pseudo_labels for sample in samples(tmp_path / "out"))


@pytest.mark.slow
def test_one_worker_and_two_and_one_that_was_killed_give_the_same_bytes(
    corpus: Corpus, tmp_path: Path
) -> None:
    corpus.build(corpus.recipe(), workers=2, out=tmp_path / "two")
    assert digests(tmp_path / "two") == digests(corpus.out)
    file = tmp_path / "recipe.toml"
    file.write_text(recipe_toml(corpus.recipe(), comments=False))
    out = tmp_path / "killed"
    kills = 0
    for markers in (30, 45, 60):
        command = [
            sys.executable,
            "-m",
            "flows.cli",
            "build",
            str(corpus.folder / "songs.csv"),
            "--out",
            str(out),
            "--recipe",
            str(file),
        ]
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        kills += kill_after_markers(process, out, markers)
    assert kills >= 2
    corpus.build(corpus.recipe(), out=out)
    assert digests(out) == digests(corpus.out)


def test_a_second_build_does_nothing_another_draw_redoes_the_draw_alone_and_verify_passes(
    corpus: Corpus, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(corpus.out, out)
    first = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    corpus.build(corpus.recipe(), out=out)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")} == first
    corpus.build(corpus.recipe(long_labels=1), out=out)
    changed = {
        path.parent.name
        for path in out.rglob("*.parquet")
        if first.get(path) != path.stat().st_mtime_ns
    }
    assert changed == {"labels", "verified", "ledger"}
    assert {
        len([one for one in sample.pseudo_labels if one.form is Form.LONG])
        for sample in samples(out)
    } == {1}
    assert verify_build(str(out), Engine(), IGNORE).samples.written == 12


def test_the_embedding_of_its_clip_stands_in_every_sample(corpus: Corpus) -> None:
    found = {
        name: np.load(io.BytesIO(content))
        for name, content in members(corpus.out, ".clap.npy").items()
    }
    assert len(found) == 12
    assert all(
        np.linalg.norm(vector.astype(np.float32)) == pytest.approx(1, abs=1e-2)
        for vector in found.values()
    )
    by_clip = defaultdict(list)
    for name, vector in found.items():
        by_clip[name.rpartition("-")[0]].append(vector)
    assert all((vectors[0] == vector).all() for vectors in by_clip.values() for vector in vectors)


def test_clap_labels_a_build_through_transformers(corpus: Corpus, tmp_path: Path) -> None:
    recipe = corpus.recipe(model=str(save_clap(tmp_path / "clap")))
    recipe = recipe.replaced(label=recipe.label.replaced(embedder="clap"))
    corpus.build(recipe, out=tmp_path / "out")
    models = {one.model for sample in samples(tmp_path / "out") for one in sample.pseudo_labels}
    assert len(models) == 1
    assert models.pop().startswith("clap clap ")


def test_labelling_without_a_vocabulary_or_a_build_is_refused(
    corpus: Corpus, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no vocabulary to label with"):
        label(str(corpus.out), PLAIN, Engine(), IGNORE)
    with pytest.raises(UsageError, match="holds no build"):
        label(str(tmp_path), corpus.recipe(), Engine(), IGNORE)


def test_songs_that_come_later_leave_the_labels_of_earlier_ones_as_they_are(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    corpus.build(corpus.recipe())
    before = {path.name: path.read_bytes() for path in (corpus.out / "shards").glob("*.tar")}
    with (tmp_path / "songs.csv").open("a") as out:
        out.write("9.flac,train,Song 9,calm\n")
    soundfile.write(tmp_path / "9.flac", melody(9, 9), RATE_HZ)
    corpus.build(corpus.recipe())
    after = {path.name: path.read_bytes() for path in (corpus.out / "shards").glob("*.tar")}
    assert after.keys() - before.keys() == {"train-g0001-00000.tar"}
    assert {name: after[name] for name in before} == before
    late = [
        one
        for sample in samples(corpus.out)
        if sample.source.title == "Song 9"
        for one in sample.pseudo_labels
    ]
    assert len(late) == 18
    assert max(one.frequency for one in late) > 1  # it counts the earlier ones


def test_what_is_not_there_is_refused_before_anything_starts(
    corpus: Corpus, tmp_path: Path
) -> None:
    for knobs, output in (
        ({"vocabularies": (str(tmp_path / "gone.txt"),)}, r"gone\.txt does not exist"),
        ({"exclude": (str(tmp_path / "gone.csv"),)}, r"gone\.csv does not exist"),
        ({"embedder": "nobody"}, r"no embedder called 'nobody'"),
    ):
        recipe = corpus.recipe()
        with pytest.raises(PipelineError, match=output):
            corpus.build(
                recipe.replaced(label=recipe.label.replaced(**knobs)), out=tmp_path / "out"
            )
    assert not (tmp_path / "out/recipe.toml").exists()


def test_relative_places_hold_in_any_folder(
    corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(corpus.folder)
    recipe = corpus.recipe()
    begin(
        ["songs.csv"],
        str(tmp_path),
        recipe.replaced(label=recipe.label.replaced(vocabularies=("tags.txt",))),
    )
    monkeypatch.chdir(tmp_path)
    assert stored_build(str(tmp_path))[1].label.vocabularies == (str(corpus.folder / "tags.txt"),)


def test_a_share_of_a_step_that_looks_at_all_buckets_is_refused(corpus: Corpus) -> None:
    with pytest.raises(
        UsageError, match="step near_duplicates does all buckets at once: take it without --share"
    ):
        run_steps(
            ("near_duplicates",), str(corpus.out), Engine(), "runs/share", IGNORE, UnitShare(2, 20)
        )
