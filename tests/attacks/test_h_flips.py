"""Table H: a bit that flips in any file of a build is named, or costs nothing; nothing that is
published ever holds it.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.build.local import encode, verify_build
from pipelines.beam.options import Engine
from pipelines.errors import PipelineError
from pipelines.llm.answers import Answers
from pipelines.storage.store import Store
from tests.support.building import digests
from tests.support.flipping import Everything, Flip, everything, names, said_by_verify
from tests.support.servers.llm_server import KEY

IGNORE = lambda _: None  # noqa: E731
# A file, and the text before the byte of which the lowest bit flips: a value becomes another, and
# all still reads well. None: the middle.
FLIPS = {
    "a shard": ("shards/train-00000.tar", None),
    "an index's count": ("shards/train-00000.json", b'"count": '),
    "an index's offsets": ("shards/train-00000.json", b'"offsets": [\n  0,\n  '),
    "an index's seconds": ("shards/train-00000.json", b'"duration_s": '),
    "dataset.json": ("dataset.json", b'"written": '),
    "README.md": ("README.md", None),
    "audio of variants": ("variants/train-00000.tar", None),
    "latents": ("latents/train-00000.tar", None),
    "clips": ("clips/train-00000.parquet", None),
    "labels": ("annotations/train-00000.parquet", None),
    "verdicts": ("verdicts/train-00000.parquet", None),
    "captions": ("captions/train-00000.parquet", None),
    "rewordings": ("paraphrases/train-00000.parquet", None),
    "pseudo-labels": ("labels/train-00000.parquet", None),
    "the end of a table": ("texts/train-00000.parquet", b"ARROW:schema"),
    "the inputs' ledger": ("ledger/inputs.parquet", None),
    "the samples' ledger": ("ledger/train-00000.parquet", None),
    "a marker's counts": ("captions/train-00000.done.json", b'"counts": {\n   "'),
    "a marker's fingerprint": ("clips/train-00000.done.json", b'"fingerprint": "'),
    "the listing": ("listing/slice-00000.parquet", None),
    "inputs that were cut": ("cut/slice-00000.inputs.parquet", None),
    "the listing's plan": ("listing/plan.json", b'"slice-0000'),
    "the plan": ("clips/plan.json", b'"disagreeing_groups": '),
    "where songs stand": ("assigned/*.parquet", None),
    "the recipe": ("recipe.toml", b"seed = "),
    "sources": ("sources.json", b"/song"),
    "a version": ("versions/00001.json", b'"number": '),
    "vocabulary": ("vocabulary/000-short-00000.arrow", b"warm"),
    "vectors": ("vocabulary_vectors/001-long-00000.npy", None),
    "an index of vectors": ("vocabulary_index/001-long.faiss", None),
    "the vocabulary's plan": ("vocabulary/plan.json", b'"rows": '),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everything]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", KEY)
        with everything(tmp_path_factory.mktemp("everything")) as made:
            yield made


@pytest.fixture
def made(whole: Everything) -> Iterator[Everything]:
    """The build, which a test may change."""
    yield whole
    whole.restore()


def flipped(made: Everything, pattern: str, before: bytes | None = None) -> Flip:
    """A flip that is made."""
    [path] = sorted(made.out.glob(pattern))
    content = path.read_bytes()
    index = len(content) // 2 if before is None else content.index(before) + len(before)
    flip = Flip(str(path.relative_to(made.out)), index, 0)
    flip.apply(made.out)
    return flip


@pytest.mark.parametrize("kind", FLIPS)
def test_h_one_bit_in_a_file_of_any_kind_is_named_by_verify_before_it_writes(
    made: Everything, kind: str
) -> None:
    flip = flipped(made, *FLIPS[kind])
    dataset = (made.out / "dataset.json").read_bytes()
    assert names(said_by_verify(made.out), flip)
    assert (made.out / "dataset.json").read_bytes() == dataset


@pytest.mark.slow
def test_h_many_at_once_are_each_named_and_the_next_build_brings_all_bytes_back(
    made: Everything,
) -> None:
    flips = {
        flip.witness: flip
        for flip in (flipped(made, *FLIPS[kind]) for kind in FLIPS if "index's" not in kind)
    }
    output = said_by_verify(made.out)
    assert [flip for flip in flips.values() if not names(output, flip)] == []
    made.build()
    assert made.changed() == []
    assert verify_build(str(made.out), Engine(), IGNORE).samples.dead == 0


def test_h_a_flip_in_a_caption_is_not_packed_into_shards(made: Everything) -> None:
    flip = flipped(made, "captions/train-00000.parquet", None)
    shard = made.out / "shards/train-00000.tar"
    sound = shard.read_bytes()
    with pytest.raises(PipelineError, match=rf"{flip.file} is not what was written"):
        encode(
            str(made.out),
            made.recipe.replaced(pack=made.recipe.pack.replaced(embeddings=False)),
            Engine(),
            IGNORE,
        )
    assert shard.read_bytes() == sound
    made.build()
    assert made.changed() == []


@pytest.mark.parametrize(("name", "content"), [
    ("recipe.toml", b"[corpus"), ("recipe.toml", b"\xff\xfe"),  ("sources.json", b'{"a": 1}'),
    ("sources.json", b"[1]"), ("sources.json", b"["),
])  # fmt: skip
@pytest.mark.parametrize("witness", ["whole", "gone"])
def test_h_a_recipe_or_sources_of_another_form_are_one_line(
    made: Everything, name: str, content: bytes, witness: str
) -> None:
    (made.out / name).write_bytes(content)
    if witness == "gone":  # as in builds from before it was kept
        (made.out / "begun.json").unlink(missing_ok=True)
    [output] = said_by_verify(made.out)
    assert name in output
    with pytest.raises(PipelineError, match=name):
        encode(str(made.out), made.recipe, Engine(), IGNORE)


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "null",
        '{"fingerprint": 1}',
        '{"fingerprint": "", "files": {"x": 1}, "counts": {}}',
        "7",
    ],
)
def test_h_a_marker_or_plan_of_another_form_is_named(made: Everything, content: str) -> None:
    for name in (
        "captions/train-00000.done.json",
        "clips/plan.json",
        "listing/plan.json",
        "vocabulary/plan.json",
    ):
        (made.out / name).write_text(content)
    output = said_by_verify(made.out)
    assert {line.split()[0] for line in output} == {
        "captions/train-00000.done.json",
        "clips/plan.json",
        "listing/plan.json",
        "vocabulary/plan.json",
    }
    made.build()
    assert made.changed() == []


def test_h_verify_says_what_dataset_json_states_otherwise_and_leaves_it(made: Everything) -> None:
    shutil.rmtree(made.out / "versions")  # nothing vouches for it
    file = made.out / "dataset.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"splits": {}, "inputs": {"in": 3}}))
    stated = file.read_bytes()
    [output] = said_by_verify(made.out)
    assert "dataset.json states another `inputs`, `splits` than is found" in output
    assert file.read_bytes() == stated


def test_h_where_songs_stand_is_known_from_their_clips(made: Everything) -> None:
    [file] = (made.out / "assigned").iterdir()
    sound = file.read_bytes()
    flipped(made, "assigned/*.parquet", None)
    said_by_verify(made.out)
    made.build()
    assert file.read_bytes() == sound


def test_h_a_damaged_answer_costs_itself_and_its_money_stays_counted(made: Everything) -> None:
    store = Store(str(made.out))
    before = Answers(store)
    file = max((made.out / "answers").iterdir(), key=lambda path: path.stat().st_size)
    lines = file.read_bytes().splitlines()
    [index] = [number for number, line in enumerate(lines) if line == max(lines, key=len)][:1]
    [lost] = json.loads(lines[index])["answers"]
    lines[index] = lines[index].replace(
        lost["texts"][0].encode()[:9], lost["texts"][0].encode()[:8] + b"#"
    )
    file.write_bytes(b"\n".join(lines) + b"\n")
    after = Answers(store)
    assert before.get(lost["request"]) is not None
    assert after.get(lost["request"]) is None
    assert after.spent >= before.spent
    output = said_by_verify(made.out)
    assert output == (
        (
            f"answers/{file.name} is not what was written in line {index + 1}: "
            "its answer is not used, and its money stays counted"
        ),
    )
    assert Answers(store).spent == after.spent  # the line is kept aside, and what it may have cost
    assert said_by_verify(made.out) == ()
    made.build()
    assert made.changed() == []


@pytest.mark.slow
def test_h_a_hundred_flips_are_each_named_or_harmless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.benchmarks.flips import in_process

    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert in_process(tmp_path, flips=100, seed=7, together=10, mend_every=3) == 0
    assert digests(tmp_path / "build/out") == digests(tmp_path / "build/pristine")
