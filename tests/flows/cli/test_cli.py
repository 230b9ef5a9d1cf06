"""The command line as a user meets it."""

import json
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

from flows.build.recipe_files import load_recipe, recipe_toml
from flows.build.run_step import stored_build
from schemas.recipe import EncodeRecipe, Recipe
from tests.support.building import ROOT
from tests.support.running import obbligato as run
from tests.support.small_build import Built
from tests.support.tone_corpus import Corpus


def test_the_printed_recipe_reads_back_as_the_default() -> None:
    printed = run("recipe").stdout
    assert Recipe.model_validate(tomllib.loads(printed)) == Recipe()
    knobs = sum(
        len(type(getattr(Recipe(), section)).model_fields) for section in Recipe.model_fields
    )
    assert printed.count("\n# ") >= knobs


def test_settings_lie_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(recipe_toml(Recipe(), comments=True).replace("clip_s = 10.0", "clip_s = 30.0"))
    recipe = load_recipe(file, ["ingest.spaced_clips=4", "ingest.clips=spaced"])
    assert (recipe.ingest.clip_s, recipe.ingest.spaced_clips, recipe.ingest.clips) == (
        30.0,
        4,
        "spaced",
    )


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (
            ("build", "nowhere", "--out", "never-made"),
            "nowhere does not exist: name a folder, file, glob, manifest or URL",
        ),
        (
            ("recipe", "--set", "ingest.clip_seconds=3"),
            "ingest.clip_seconds is not a knob; did you mean ingest.clip_s?",
        ),
        (("recipe", "--set", "clip_s=3"), "expected section.key=value"),
        (("dead", "ls", "nowhere"), "holds no ledger: build something there first"),
        (("verify", "nowhere"), "nowhere holds no build"),
        (("encode", "nowhere", "--codec", "mel"), "nowhere holds no build"),
        (("encode", "nowhere", "--codec", "melt"), "no codec called 'melt': expected audioldm, "),
        (("step", "nowhere", "annotate"), "nowhere holds no build"),
        (("dead", "retry", "nowhere"), "nowhere holds no build"),
        (("captions", "vocabulary", "none.csv", "--out", "v.jsonl"), "none.csv does not exist"),
        (("shards", "ls", "nowhere"), "nowhere does not exist: name a build, a folder of tars"),
        (("train", "nowhere", "--out", "never-made"), "nowhere does not exist: name a build"),
        (("train", "x", "--preset", "huge", "--print"), "no preset called 'huge': expected tiny"),
        (("sample", "Air", "--model", "nowhere"), "nowhere does not exist: name the folder of a"),
        (("ablate", "nowhere", "shards"), "nowhere does not exist: name the folder of a training"),
        (("trust", "nowhere"), "nowhere does not exist: name a build, or the folder of a training"),
        (
            ("build", "music", "--out", "never-made", "--runner", "Nope"),
            "runner Nope is unknown: expected local, ",
        ),
        (("build",), "missing argument 'SOURCE'; `obbligato build --help` helps"),
        (("build", "music"), "missing option '--out'; `obbligato build --help` helps"),
        (
            ("build", "music", "--oot", "x"),
            "no such option: --oot (Possible options: --out, --set)",
        ),
        (
            ("plan", "music", "--set"),
            "option '--set' requires an argument; `obbligato",
        ),
        (
            ("verify", "corpus", "--workers", "none"),
            "invalid value for '--workers': Input should be a valid integer",
        ),
        (("bild",), "no such command 'bild'"),
        (("shards", "lst"), "no such command 'lst'"),
        (("train", "--oot"), "no such option: --oot"),
        (("annotate", "tests"), "tests is a folder: name its files, as in tests/*.flac, or build"),
        (("annotate", "*.aiff"), "*.aiff is a pattern: leave its quotes away"),
    ],
)
def test_wrong_use_is_one_line_that_says_what_to_do(
    arguments: tuple[str, ...], output: str
) -> None:
    done = run(*arguments, cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("obbligato: ")
    assert output in done.stderr
    assert done.stdout == ""
    assert not (ROOT / "never-made").exists()
    assert not (ROOT / "nowhere").exists()


def test_annotate_prints_labels_and_names_what_it_cannot_read(built: Built, tmp_path: Path) -> None:
    piece = next(Path(built.sources[0]).parent.glob("*.flac"))
    (tmp_path / "text.wav").write_text("no audio")
    done = run("annotate", "--json", str(piece), str(tmp_path / "text.wav"))
    good, bad = (json.loads(line) for line in done.stdout.splitlines())
    truth = json.loads(piece.with_suffix(".truth.json").read_text())
    assert good["labels"]["key"]["tonic"] == truth["key"]["tonic"]
    assert good["labels"]["meter"]["beats_per_bar"] == truth["meter"]["beats_per_bar"]
    assert bad["error"].startswith("undecodable: libsndfile")
    assert done.returncode == 1


def test_a_plan_counts_what_the_build_then_makes(built: Built) -> None:
    plan = json.loads(run("plan", *built.sources, "--json", "--set", "ingest.clip_s=8").stdout)
    assert (plan["inputs"], plan["songs"], plan["unread"]) == (4, 4, 0)
    assert plan["clips"] == built.dataset.stages["annotate"]["clips"]


def test_a_plan_names_a_file_whose_header_it_cannot_read_and_why(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"{number}.wav").write_text("no audio")
    plan = json.loads(run("plan", tmp_path, "--json").stdout)
    assert [problem["file"] for problem in plan["problems"]] == [
        str(tmp_path / f"{number}.wav") for number in range(2)
    ]
    reasons = {problem["reason"] for problem in plan["problems"]}
    assert {reason.partition(": ")[0] for reason in reasons} == {"undecodable"}
    shown = run("plan", tmp_path).stdout.splitlines()
    [reason, *_] = reasons
    assert f"unread:  {tmp_path}/0.wav: {reason}" in shown
    assert sum(line.startswith("unread:") for line in shown) == 2


def test_the_ledger_can_be_looked_into(built: Built) -> None:
    assert run("dead", "ls", str(built.out)).stdout.splitlines()[-1] == "0 rows"
    piece = str(next(Path(built.sources[0]).parent.glob("*.flac")))
    shown = run("dead", "show", str(built.out), built.sources[0]).stdout
    assert shown.count('"outcome": "used"') == 4
    assert piece in shown


def test_encode_puts_latents_into_the_shards_of_a_build_and_its_recipe_keeps_the_codec(
    tmp_path: Path,
) -> None:
    corpus = Corpus(tmp_path, songs=1)
    corpus.build()
    refused = run("encode", str(corpus.out))
    assert (refused.returncode, refused.stderr) == (
        2,
        "obbligato: no codec to encode with: name one with --codec\n",
    )
    done = run(
        "encode",
        str(corpus.out),
        "--codec",
        "tests.pipelines.codecs.level",
        "--weights",
        "1.0",
        "--set",
        "encode.batch=2",
    )
    assert done.returncode == 0, done.stderr
    [shard] = (corpus.out / "shards").glob("*.tar")
    with tarfile.open(shard) as tar:
        names = {name.partition(".")[2] for name in tar.getnames()}
    assert names == {"latent.npy", "flac", "json"}
    assert stored_build(str(corpus.out))[1].encode == EncodeRecipe(
        codec="tests.pipelines.codecs.level", source="1.0", batch=2
    )
    again = run("encode", str(corpus.out), "--codec", "mel")
    assert again.returncode == 0, again.stderr
    assert stored_build(str(corpus.out))[1].encode == EncodeRecipe(codec="mel", batch=2)


def test_what_drives_a_build_loads_neither_torch_nor_beam() -> None:
    script = (
        "import sys, flows.build.run_step; print(sorted({'torch', "
        "'transformers', 'apache_beam', 'prefect'} & sys.modules.keys()))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )


def test_an_old_name_of_a_step_is_taken_and_the_new_one_told(built: Built, tmp_path: Path) -> None:
    out = shutil.copytree(built.out, tmp_path / "out")
    done = run("step", str(out), "weigh")
    assert (done.returncode, done.stderr) == (0, "step weigh is called text_frequencies now\n")
    assert json.loads(done.stdout.splitlines()[-1])["report"]["step"] == "text_frequencies"
