"""A package that is not installed is one line that says which extra brings it.

Commands run in one process of their own, in which no optional package can be found, nor in its
children: as in a core install.
"""

import importlib
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest

from pipelines.extras import PACKAGES, MissingExtra, missing_extra, naming_extras, require

ROOT = Path(__file__).parents[2]
# Loaded by each Python that starts with it on its path, so by children of a build too.
NOTHING = """
import os, sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in os.environ["ABSENT"].split():
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Nothing())
"""
# Each command's exit status and what it wrote to stderr.
SCRIPT = """
import contextlib, io, json, sys
from flows.cli import main

for arguments in json.load(sys.stdin):
    said, sys.argv, status = io.StringIO(), ["obbligato", *arguments], 0
    with contextlib.redirect_stderr(said):
        try:
            main()
        except SystemExit as ended:
            status = ended.code
    print(json.dumps([status, said.getvalue()]))
"""
CORE = {  # the extra that a command asks for in a core install
    "build nowhere --out out --slices 2": "flows",
    "pipeline nowhere --out out": "flows",
    "build nowhere --out out --runner FlinkRunner": "beam",
    "build nowhere --out out --set caption.paraphraser=openai": "llm",
    "build songs --out out --set label.vocabularies=['words.txt']": "label",
    "build songs --out out --set encode.codec=encodec": "train",
    "train nowhere --out out": "train",
    "sample Calm --model nowhere": "train",
    "plan s3://bucket/music": "s3",
    "shards ls gs://bucket/shards": "gcs",
    "shards ls https://host/a.tar": "http",
}
OTHERS = {  # and where all is there but what these bring
    "build songs --out out --dask tcp://host:1": "dask",
    "build songs --out out --set label.vocabularies=['words.txt'] --set label.search=approximate": (
        "ann"
    ),
}
COMMANDS = CORE | OTHERS


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """Each command's exit status and what it wrote to stderr, by the command."""
    folder = tmp_path_factory.mktemp("core")
    (folder / "words.txt").write_text("a calm flute\n")
    (folder / "songs").mkdir()
    (folder / "path").mkdir()
    (folder / "path/sitecustomize.py").write_text(NOTHING)
    found = {
        **_ended(folder, CORE, PACKAGES),
        **_ended(folder, OTHERS, ("faiss", "fluidsynth", "prefect_dask")),
    }
    assert not (folder / "out").exists()
    return found


def _ended(
    folder: Path, commands: Iterable[str], absent: Iterable[str]
) -> dict[str, tuple[int, str]]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps([command.split() for command in commands]),
        env={
            **os.environ,
            "PYTHONPATH": f"{folder / 'path'}:{ROOT}",
            "ABSENT": " ".join(absent),
        },
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(zip(commands, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_says_in_one_line_which_extra_it_lacks(
    command: str, ended: dict[str, tuple[int, str]]
) -> None:
    status, stderr = ended[command]
    assert status == 2
    install = rf"pip install 'obbligato\[{COMMANDS[command]}\]'"
    assert re.fullmatch(rf"obbligato: [^\n]+ is not installed; {install}\n", stderr), stderr


def test_what_is_named_is_what_the_project_offers() -> None:
    offered = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = offered["optional-dependencies"]
    assert {package.extra for package in PACKAGES.values()} == extras.keys() - {"all", "test"}
    core = {re.findall(r"^[\w-]+", line)[0].replace("-", "_") for line in offered["dependencies"]}
    assert not core & PACKAGES.keys()


def test_an_extra_brings_the_packages_that_it_is_named_for() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    distributions = {
        "faiss": "faiss_cpu",
        "fluidsynth": "pyfluidsynth",
        "aiohttp": "fsspec",  # whose extra http it is
        "grpc": "apache_beam",
        "huggingface_hub": "transformers",
    }
    for name, package in PACKAGES.items():
        brought = {
            re.findall(r"^[\w-]+", line)[0].replace("-", "_") for line in extras[package.extra]
        }
        assert distributions.get(name, name) in brought


def test_another_missing_module_is_an_error_of_its_own() -> None:
    with pytest.raises(ModuleNotFoundError, match="nowhere"), naming_extras():
        import nowhere  # type: ignore[import-not-found]  # noqa: F401


def test_the_package_behind_another_packages_error_is_named() -> None:
    absent = ImportError("Install s3fs to access S3")  # as fsspec says it
    absent.__cause__ = ModuleNotFoundError("No module named 's3fs'", name="s3fs")
    with pytest.raises(MissingExtra, match=r"^s3fs is not .* 'obbligato\[s3\]'$"), naming_extras():
        raise absent


def test_training_the_annotators_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "training.annotator_training.sounds"
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "fluidsynth", None)
    with pytest.raises(MissingExtra, match=r"^pyfluidsynth is not .* 'obbligato\[fit\]'$"):
        importlib.import_module(name)


def test_looking_for_a_package_does_not_import_it(monkeypatch: pytest.MonkeyPatch) -> None:
    require("diffusers")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"obbligato\[train\]"):
        require("diffusers")
    assert str(missing_extra("transformers", "train")).endswith("'obbligato[train]'")
