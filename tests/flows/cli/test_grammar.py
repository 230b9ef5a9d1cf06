"""What holds for all commands: their grammar, their help, completion by a shell, and old names."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer import Context, rich_utils
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

import flows.build.demo
from flows.build.order import STEPS
from flows.cli import app
from flows.cli.options import PRESETS
from flows.cli.renamed import evaluation_settings, renewed
from flows.models.evaluation import EvaluationOptions, evaluation_choice
from schemas.agreement import KindAgreement
from tests.pipelines.shards.shard_samples import KEY, our_sample, write_build
from tests.support.building import ROOT
from tests.support.running import obbligato
from tests.support.small_dataset import small_dataset
from training.run.presets import READY
from training.tokens.recipe import READY_TOKENS

ALWAYS_JSON = {"captions facts", "step"}  # lines of it, and nothing else


def commands(group: TyperGroup | None = None, path: str = "") -> Iterator[tuple[str, TyperCommand]]:
    """All commands that are shown, and the training of a model, by the words that one types."""
    chosen = group or get_command(app)
    assert isinstance(chosen, TyperGroup)
    for name in chosen.list_commands(Context(chosen)):
        command = chosen.commands[name]
        words = f"{path} {name}".strip()
        if isinstance(command, TyperGroup):
            yield from commands(command, words)
        elif words == "train model":
            yield "train", command  # type: ignore[misc]  # typer's own
        elif not command.hidden:
            yield words, command  # type: ignore[misc]


COMMANDS = dict(commands())


def test_what_is_written_is_an_option_and_what_is_read_comes_first() -> None:
    assert [
        name
        for name, command in COMMANDS.items()
        if not isinstance(command.params[0], TyperArgument)
    ] == []
    options = {
        name: {opt for param in command.params for opt in param.opts}
        for name, command in COMMANDS.items()
    }
    assert [name for name, known in options.items() if "--to" in known] == []
    writes = {name for name, known in options.items() if "--out" in known}
    assert writes == {
        "demo",
        "build",
        "pipeline",
        "evaluate",
        "sample",
        "train",
        "train codec",
        "train predictors",
        "train vocoder",
        "train upsampler",
        "upsample",
        "import",
        "export",
        "shards extract",
        "shards export",
        "shards report",
        "captions vocabulary",
        "report",
    }


def test_all_that_print_print_json() -> None:
    without = {
        name
        for name, command in COMMANDS.items()
        if not any("--json" in param.opts for param in command.params)
    }
    assert without == ALWAYS_JSON


def test_every_option_and_argument_says_what_it_is() -> None:
    params = [(name, param) for name, command in COMMANDS.items() for param in command.params]
    shown = [
        (name, param)
        for name, param in params
        if isinstance(param, TyperArgument | TyperOption) and not param.hidden
    ]
    assert [(name, param.name) for name, param in shown if not vars(param)["help"]] == []


@pytest.mark.parametrize(
    "word", ["--set", "--json", "--workers", "--device", "--force", "--map", "--recipe"]
)
def test_an_option_of_one_name_means_one_thing(word: str) -> None:
    params = [param for command in COMMANDS.values() for param in command.params]
    helps = {vars(param)["help"] for param in params if word in param.opts}
    also = {
        "--json": {"One JSON object a line."},
        "--recipe": {"A training recipe in TOML, laid over the preset."},
    }
    assert len(helps - also.get(word, set())) == 1


def test_the_help_fits_a_screen_and_begins_with_demo_and_build(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rich_utils, "MAX_WIDTH", 100)
    output = obbligato("--help", COLUMNS="100")
    lines = output.stdout.splitlines()
    assert len(lines) <= 46
    assert max(len(line) for line in lines) <= 100
    shown = [found[1] for line in lines if (found := re.match(r"│ (\w+) ", line))]
    assert shown[:3] == ["demo", "build", "plan"]
    assert set(shown) == {name.partition(" ")[0] for name in COMMANDS}


def test_the_version_is_that_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert obbligato("--version").stdout == f"obbligato {project['version']}\n"


@pytest.mark.parametrize("command", [(), ("shards", "show"), ("train",)])
def test_the_help_of_flags_names_no_type(command: tuple[str, ...]) -> None:
    output = obbligato(*command, "--help").stdout
    assert "--help" in output
    assert "<bool>" not in output


def test_help_loads_no_heavy_library() -> None:
    script = (
        "import sys; from flows.cli import main\ntry: main()\nexcept SystemExit: print('LOADED', "
        "*sorted(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.rpartition("LOADED")[2].split())
    assert "typer" in loaded
    heavy = {
        "torch",
        "apache_beam",
        "prefect",
        "transformers",
        "essentia",
        "numpy",
        "pyarrow",
        "duckdb",
        "fsspec",
        "pydantic",
    }
    assert loaded & heavy == set()


def test_the_help_of_step_names_all_steps() -> None:
    output = " ".join(obbligato("step", "--help").stdout.split())
    assert f"Steps, in their order: {', '.join(STEPS)}." in output


# What a shell completes.


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("obbligato bu", ["build"]),
        ("obbligato train ", ["codec", "vocoder", "upsampler", "predictors"]),
        ("obbligato train --pre", ["--preset"]),
        ("obbligato train corpus --pre", ["--preset"]),
        ("obbligato train predictors --pri", ["--print"]),
        ("obbligato step corpus an", ["annotate"]),
        ("obbligato build music --recipe mu", ["musicbench"]),
        ("obbligato shards export corpus --split t", ["train", "test"]),
        ("obbligato heeds --dev", ["--device"]),
        ("obbligato build music --set ingest.clip", ["ingest.clips=", "ingest.clip_s="]),
        ("obbligato train corpus --set run.ste", ["run.steps="]),
        ("obbligato train predictors corpus --set run.st", ["run.steps="]),
        ("obbligato train codec corpus --set vae.st", ["vae.steps="]),
        (
            "obbligato train corpus --preset ",
            [
                "tiny",
                "tiny-munet",
                "small",
                "small-dit",
                "base",
                "n2m",
                "stable",
                "tokens-tiny",
            ],
        ),
        ("obbligato encode corpus --codec m", ["mel"]),
    ],
)
def test_words_are_completed(words: str, completed: list[str]) -> None:
    last = str(words.count(" "))
    output = obbligato(_OBBLIGATO_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=last)
    assert (output.stdout.split(), output.stderr) == (completed, "")
    zsh = obbligato(_OBBLIGATO_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS=words).stdout
    assert re.findall(r'(?<=[(\n])"([\w.=-]+)"', zsh) == completed


def test_presets_that_are_completed_are_those_there_are() -> None:
    assert (*READY, *READY_TOKENS) == PRESETS


PROGRAM = """\
#!/bin/sh
exec {python} -c 'from flows.cli import main; main()' "$@"
"""
TAB = """\
eval "$(_OBBLIGATO_COMPLETE=source_bash obbligato)"
COMP_WORDS=(obbligato sha) COMP_CWORD=1
_obbligato_completion obbligato
echo "${COMPREPLY[@]}"
"""


def test_a_real_bash_completes(tmp_path: Path) -> None:
    program = tmp_path / "obbligato"
    program.write_text(PROGRAM.format(python=shlex.quote(sys.executable)))
    program.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        ["bash", "--norc", "-c", TAB], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "shards\n"


# `train` and what it trains.


def test_train_learns_from_folders_that_have_the_name_of_a_command() -> None:
    for folder in ("./codec", "model", "corpus"):
        assert f'"shards":["{folder}"]' in obbligato("train", folder, "--print", "--json").stdout
    assert "--out" in obbligato("train", "codec", "corpus").stderr


def test_train_alone_shows_its_help() -> None:
    assert obbligato("train").stdout == obbligato("train", "--help").stdout
    assert "Usage: obbligato train [OPTIONS] [SHARDS]..." in obbligato("train").stdout


# Old names, for one version.


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("heeds nowhere shards", "ablate nowhere shards"),
        ("predictors --print", "train predictors --print"),
        ("train-codec nowhere --out codec", "train codec nowhere --out codec"),
        ("step annotate --out nowhere", "step nowhere annotate"),
        ("step --out=nowhere annotate --slice 2/1", "step nowhere annotate --share 2/1"),
        ("encode nowhere --source=mel", "encode nowhere --weights=mel"),
        ("sample Air --model nowhere --n 3", "sample Air --model nowhere --count 3"),
        (
            "captions vocabulary --captions none.csv --out v.jsonl",
            "captions vocabulary none.csv --out v.jsonl",
        ),
    ],
)
def test_an_old_name_works_and_says_the_new_one(old: str, new: str, tmp_path: Path) -> None:
    before, after = obbligato(*old.split(), cwd=tmp_path), obbligato(*new.split(), cwd=tmp_path)
    lines = [
        line
        for line in before.stderr.splitlines()
        if "; the old form goes with the next version" in line
    ]
    assert len(lines) == (2 if "--slice" in old else 1)  # one for each old name
    assert (before.returncode, before.stdout) == (after.returncode, after.stdout)
    assert before.stderr == "".join(f"{line}\n" for line in lines) + after.stderr
    assert after.stderr or after.stdout
    assert all(re.search(r"is now `[a-z]", line) for line in lines)


def test_an_old_to_writes_where_out_does(tmp_path: Path) -> None:
    build = write_build(tmp_path / "build", our_sample())
    output = obbligato("shards", "extract", build, "--to", tmp_path / "out")
    assert output.returncode == 0
    assert output.stderr == (
        "obbligato: `extract --to` is now `extract --out`; the old form goes with the next "
        "version\n"
    )
    assert (tmp_path / f"out/{KEY}.flac").exists()
    output = obbligato("shards", "export", build, f"--to={tmp_path}/rows.jsonl")
    assert "`export --to` is now `export --out`" in output.stderr
    assert (tmp_path / "rows.jsonl").read_text().count("\n") == 1


def test_the_demo_takes_its_folder_as_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    arguments: list[Path] = []
    dataset, recovery = small_dataset(name="three"), KindAgreement(samples=3, beats=0.5)
    made = flows.build.demo.Demo("there", dataset, recovery)

    def demo(out: Path, *_: object) -> flows.build.demo.Demo:
        arguments.append(out)
        return made

    monkeypatch.setattr(flows.build.demo, "run_demo", demo)
    output = obbligato("demo", "here", "--json", cwd=tmp_path)
    assert output.stderr == (
        "obbligato: `demo here` is now `demo --out here`; the old form goes with the next version\n"
    )
    answer = json.loads(output.stdout)
    assert (answer["out"], answer["dataset"]) == ("there", dataset.as_json())
    assert (answer["recovery"]["samples"], answer["recovery"]["beats"]) == (3, 0.5)
    assert obbligato("demo", "--out", "here", "--json", cwd=tmp_path).stderr == ""
    assert obbligato("demo", "--json", cwd=tmp_path).returncode == 0
    assert arguments == [Path("here"), Path("here"), Path("demo")]


def test_a_pipeline_takes_whole_options_of_evaluate_as_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    old = ["--show=20", "--no-swaps", "--set=annotate.batch=8", "--embedder=clap"]
    chosen = evaluation_choice(list(evaluation_settings(old)))
    assert chosen.options == EvaluationOptions(show=20, swaps=False)
    assert (chosen.recipe.annotate.batch, chosen.recipe.label.embedder) == (8, "clap")
    lines = capsys.readouterr().err.splitlines()
    assert lines[1] == (
        "obbligato: `pipeline --evaluate=--no-swaps` is now `pipeline --evaluate "
        "swaps=false`; the old form goes with the next version"
    )
    assert len(lines) == 4


def test_what_stands_after_two_dashes_is_no_option() -> None:
    assert renewed("extract", ["corpus", "--", "--to"]) == ["corpus", "--", "--to"]


# What the README shows.


def code_of_readme() -> Iterator[str]:
    """Lines of code of the README in which commands stand: what a shell reads, not what is
    printed.
    """
    text = (ROOT / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"```(\w*)\n(.*?)```", text, re.S)
    for language, block in blocks:
        lines = block.splitlines()
        yield from lines if language == "sh" else [line.partition("$ ")[2] for line in lines]
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S))


def shown_in_readme() -> Iterator[str]:
    """Commands of ours in the README, each from its first word on to where it ends."""
    for line in code_of_readme():
        for part in re.split(r"&&|\s#", line):
            if found := re.search(r"(?:^|[\s/])obbligato ([a-z].*)", part):
                yield found[1]
    yield from listed_in_readme()


def listed_in_readme() -> Iterator[str]:
    """Commands of the README's table of them, which leaves out the program's name."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    _, _, section = text.partition("\n## Commands\n")
    rows = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("|")]
    yield from re.findall(r"`([a-z][^`]*)`", "\n".join(rows))


def test_commands_in_the_readme_are_there_with_their_options_and_none_is_left_out() -> None:
    groups = {name.partition(" ")[0] for name in COMMANDS if " " in name} - {"train"}
    seen: set[str] = set()
    for shown in shown_in_readme():
        words = re.split(r"[\s,]+", shown)
        names = [words[0]]
        if words[0] in groups:
            names = [f"{words[0]} {word}" for word in words[1:] if f"{words[0]} {word}" in COMMANDS]
            assert names, shown
        elif " ".join(words[:2]) in COMMANDS:
            names = [" ".join(words[:2])]
        assert set(names) <= COMMANDS.keys(), shown
        seen |= set(names)
        known = {
            opt
            for name in names
            for param in COMMANDS[name].params
            for opt in (*param.opts, *param.secondary_opts)
        }
        assert set(re.findall(r"(?<!\S)--[a-z][a-z-]*", shown)) <= known | {"--help"}, shown
    assert {name.partition(" ")[0] for name in COMMANDS} - {
        name.partition(" ")[0] for name in seen
    } == set()
