"""Paraphrases that lost their meaning or copy an earlier one go.

The others stay, in any order of runs.
"""

from pathlib import Path

import numpy as np
import pytest

from pipelines.build.markers import Done, write_marker
from pipelines.build.outputs import Job
from pipelines.build.tables import PARAPHRASES, TEXT_EMBEDDINGS
from pipelines.captioning.paraphrase import captioned
from pipelines.embedders.minilm import DIMENSION
from pipelines.engine.stage import fingerprint, finished, run_bucket
from pipelines.stages.texts import dedup_paraphrases, embed_paraphrases
from pipelines.stages.texts.dedup_paraphrases import Index, distinct_together
from pipelines.storage.store import Store
from schemas.caption import CaptionKind
from schemas.corpus import SampleCaptions
from schemas.fact import KeyFact, MoodFact
from schemas.recipe import CaptionRecipe, Recipe
from tests.support.captioned_build import captioned_build
from tests.support.written_plan import write_plan

RECIPE = Recipe(caption=CaptionRecipe(paraphraser="openai", min_similarity=0.5, max_similarity=0.9))
CONTROL = "A soft flute melody over gentle strings."


def reworded(job: Job, texts: dict[str, tuple[str, ...]]) -> None:
    """Put these paraphrases, as a model's, into a bucket."""
    rows = [
        SampleCaptions(
            sample_key=key,
            captions=tuple(
                captioned(text, CaptionKind.PARAPHRASE).replaced(writer="m") for text in rewordings
            ),
        )
        for key, rewordings in texts.items()
    ]
    write_marker(PARAPHRASES.folder, job, str(texts), Done([PARAPHRASES.write(job, rows)], {}))


def build(tmp_path: Path, *buckets: dict[int, tuple[str, ...]]) -> list[Job]:
    """Buckets of samples with one source text and these paraphrases."""
    jobs = captioned_build(
        str(tmp_path), RECIPE, [CONTROL] * 4 * len(buckets), buckets=len(buckets)
    )
    for number, (job, texts) in enumerate(zip(jobs, buckets, strict=True)):
        keys = {seed: f"{seed * len(buckets) + number:016x}-0-10000-orig" for seed in texts}
        reworded(job, {keys[seed]: rewordings for seed, rewordings in texts.items()})
    return jobs


def kept(jobs: list[Job]) -> list[str]:
    return [
        caption.text
        for job in jobs
        for row in job.store.read_records(f"texts/{job.bucket}.parquet", SampleCaptions)
        for caption in row.captions
    ]


def run(jobs: list[Job]) -> list[dict[str, int]]:
    for job in jobs:
        run_bucket(embed_paraphrases.STAGE, job)
    return [row.counts for row in distinct_together(dedup_paraphrases.STAGE, jobs).buckets]


@pytest.fixture
def _controls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control captions without facts, so that meaning alone is compared."""
    monkeypatch.setattr(
        embed_paraphrases,
        "to_reword",
        lambda job: dict.fromkeys(_keys(job), captioned(CONTROL, CaptionKind.CONTROL)),
    )


def _keys(job: Job) -> list[str]:
    return [row.sample_key for row in PARAPHRASES.read(job)]


@pytest.mark.usefixtures("_controls")
def test_a_rewording_about_something_else_and_a_copy_of_an_earlier_one_go(tmp_path: Path) -> None:
    first = (
        "Gentle strings carry a soft melody on the flute.",
        "Visit our shop for cheap shoes today.",
    )
    second = (
        "Gentle strings carry a soft melody on a flute.",
        "Above tender violins, a flute sings quietly.",
    )
    jobs = build(tmp_path, {0: first}, {0: second})
    assert run(jobs) == [
        {"kept": 1, "dropped_meaning": 1, "dropped_near_duplicate": 0},
        {"kept": 1, "dropped_meaning": 0, "dropped_near_duplicate": 1},
    ]
    assert kept(jobs) == [first[0], second[1]]


@pytest.mark.usefixtures("_controls")
def test_texts_that_state_other_facts_are_no_copies(tmp_path: Path) -> None:
    sentence = "Gentle strings carry a soft flute melody at {} BPM."
    jobs = build(
        tmp_path,
        {0: (sentence.format(118),), 1: (sentence.format(119),), 2: (sentence.format(118),)},
    )
    assert run(jobs) == [{"kept": 2, "dropped_meaning": 0, "dropped_near_duplicate": 1}]


@pytest.mark.usefixtures("_controls")
def test_a_corpus_that_grew_keeps_what_it_had_and_only_later_buckets_are_stale(
    tmp_path: Path,
) -> None:
    text = "Gentle strings carry a soft melody on the flute."
    jobs = build(tmp_path, {0: (text,)}, {0: ("Above tender violins, a flute sings quietly.",)})
    run(jobs)
    later = Job(jobs[0].out, "train-g0001-00000", RECIPE)
    for folder in ("clips", "captions", "annotations", "variants", "moved_labels"):
        content = Path(tmp_path, folder, "train-00000.parquet").read_bytes()
        write_marker(
            folder,
            later,
            "later",
            Done([later.store.write_bytes(f"{folder}/{later.bucket}.parquet", content)], {}),
        )
    reworded(later, {f"{0:016x}-0-10000-orig": (text,)})
    write_plan(Store(jobs[0].out), {job.bucket: 1 for job in (*jobs, later)})
    before = [Path(tmp_path, "texts", f"{job.bucket}.parquet").read_bytes() for job in jobs]
    run_bucket(embed_paraphrases.STAGE, later)
    made = distinct_together(dedup_paraphrases.STAGE, [*jobs, later])
    assert [row.ran for row in made.buckets] == [False, False, True]
    assert made.buckets[-1].counts == {"kept": 0, "dropped_meaning": 0, "dropped_near_duplicate": 1}
    assert before == [Path(tmp_path, "texts", f"{job.bucket}.parquet").read_bytes() for job in jobs]
    # an earlier text changes
    reworded(jobs[0], {f"{0:016x}-0-10000-orig": ("Over tender strings a flute sings.",)})
    run_bucket(embed_paraphrases.STAGE, jobs[0])
    assert (
        finished(dedup_paraphrases.STAGE, jobs[0], fingerprint(dedup_paraphrases.STAGE, jobs[0]))
        is None
    )
    run([*jobs, later])
    assert kept([later]) == [text]


def test_embeddings_are_the_same_bytes_in_every_run(tmp_path: Path) -> None:
    rewordings = (
        "Gentle strings carry a soft melody on the flute.",
        "Above tender violins, a flute sings quietly.",
    )
    stored = []
    for name in ("one", "two"):
        [job] = build(tmp_path / name, {0: rewordings, 1: rewordings[:1]})
        run_bucket(embed_paraphrases.STAGE, job)
        stored.append(Path(tmp_path, name, "text_embeddings", f"{job.bucket}.parquet").read_bytes())
        rows = TEXT_EMBEDDINGS.read(job)
        assert [(row.place, row.vector.shape) for row in rows] == [
            (0, (DIMENSION,)),
            (1, (DIMENSION,)),
            (0, (DIMENSION,)),
        ]
        assert (rows[0].vector == rows[2].vector).all()
        assert float(rows[0].vector @ rows[0].vector) == pytest.approx(1, abs=1e-3)
    assert stored[0] == stored[1]


def test_rule_paraphrases_pass_without_a_model(tmp_path: Path) -> None:
    [job] = build(tmp_path, {0: ("A text.",)})
    job = job._replace(recipe=Recipe())
    ours = SampleCaptions(
        sample_key=f"{0:016x}-0-10000-orig",
        captions=(captioned("A text of ours.", CaptionKind.PARAPHRASE),),
    )
    file = PARAPHRASES.write(job, [ours])
    write_marker(PARAPHRASES.folder, job, "ours", Done([file], {}))
    assert run_bucket(embed_paraphrases.STAGE, job).counts == {"embedded": 0, "dead": 0}
    assert run_bucket(dedup_paraphrases.STAGE, job).counts == {"kept": 1}
    assert kept([job]) == ["A text of ours."]


def test_the_index_lets_in_exactly_what_no_earlier_vector_is_near(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    index = Index(0.9)
    held: list[np.ndarray] = []
    for _ in range(20):
        vectors = rng.normal(size=(15, DIMENSION)).astype(np.float32)
        vectors[5:10] = vectors[:5] + 0.1 * rng.normal(size=(5, DIMENSION))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        expected = []
        for vector in vectors:
            is_new = all(vector @ earlier < 0.9 for earlier in held)
            expected.append(is_new)
            held += [vector] if is_new else []
        assert index.let_in(frozenset({KeyFact(tonic=9, mode="minor")}), vectors) == expected
        assert all(index.let_in(frozenset({MoodFact(mood=f"{_} other")}), vectors[:2]))
