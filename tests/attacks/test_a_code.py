"""Table A: data is never code, whatever it names and wherever we stand."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.build.local import verify_build
from flows.build.step_process import StepProcess
from pipelines.beam.options import Engine
from pipelines.trust.trusted import NotTrusted, trust, trusted
from tests.attacks.conftest import obbligato
from tests.support.running import obbligato as in_this_process
from tests.support.small_build import Built

Change = Callable[[str, str], None]
CODEC = "from pipelines.codecs.mel import open_codec\n"


def payload(folder: Path, module: str, mark: Path, rest: str = "") -> None:
    """A module that leaves a mark where it is imported."""
    file = folder / f"{module.replace('.', '/')}.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"open({str(mark)!r}, 'w').close()\n{rest}")


@pytest.mark.parametrize(
    "command",
    [["shards", "show", "."], ["shards", "verify", "."], ["annotate", "x.flac"]],
    ids=" ".join,
)
def test_a1_a_module_in_the_working_folder_is_not_imported(
    built: Built, tmp_path: Path, command: list[str]
) -> None:
    shard = next((built.out / "shards").glob("*.tar"))
    data, mark = tmp_path / "data", tmp_path / "ran"
    data.mkdir()
    shutil.copy(shard, data)
    for module in ("psutil", "pipelines", "soundfile"):
        payload(data, module, mark, "raise SystemExit")
    obbligato(*command, cwd=data)
    assert not mark.exists()


def test_a2_nor_by_the_processes_that_take_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "ran"
    payload(tmp_path, "psutil", mark)
    monkeypatch.chdir(tmp_path)
    process = StepProcess()
    try:
        # it has loaded all of the command line by the time it sees the end of its orders
        process._process.communicate("")
    finally:
        process.close()
    assert not mark.exists()


def test_a3_a_stored_interpreter_is_not_run(
    strange: Path, in_recipe: Change, tmp_path: Path
) -> None:
    mark, program = tmp_path / "ran", tmp_path / "run.sh"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o755)
    in_recipe('python = ""', f'python = "{program}"')
    in_recipe("find = false", "find = true")
    for command in (
        ["verify", str(strange)],
        ["dead", "retry", str(strange)],
        ["encode", str(strange), "--codec", "mel"],
    ):
        output = in_this_process(*command)
        assert (output.returncode, mark.exists()) == (1, False)
        assert output.stderr.startswith(
            f"obbligato: what lies in {strange} wants label.python={program}, "
        )
        assert f"if you trust it: obbligato trust {strange} label.python={program}" in output.stderr


def test_a4_a_stored_codec_is_not_imported(
    strange: Path, in_recipe: Change, tmp_path: Path
) -> None:
    payload(strange, "evilpkg.codec", tmp_path / "ran", CODEC)
    in_recipe('codec = ""', 'codec = "evilpkg.codec"')
    output = obbligato(
        "verify", ".", cwd=strange, PYTHONPATH=f"{Path(__file__).parents[2]}:{strange}"
    )
    assert (output.returncode, (tmp_path / "ran").exists()) == (1, False)
    assert "encode.codec=evilpkg.codec" in output.stderr


def test_a5_a_stored_annotator_is_not_imported_nor_its_package(
    strange: Path, in_recipe: Change, tmp_path: Path
) -> None:
    payload(strange, "evilpkg.__init__", tmp_path / "ran")
    payload(strange, "evilpkg.beats", tmp_path / "ran")
    in_recipe('beats = "obbligato"', 'beats = "evilpkg.beats"')
    for command in (["verify", "."], ["dead", "retry", "."]):
        output = obbligato(
            *command, cwd=strange, PYTHONPATH=f"{Path(__file__).parents[2]}:{strange}"
        )
        assert (output.returncode, (tmp_path / "ran").exists()) == (1, False)
        assert "annotate.beats=evilpkg.beats" in output.stderr


@pytest.mark.parametrize(
    ("line", "to", "wanted"),
    [
        (
            'model = "laion/larger_clap_music"',
            'model = "stranger/model"',
            "label.model=stranger/model",
        ),
        ('source = ""', 'source = "stranger/codec"', "encode.source=stranger/codec"),
        ('embedder = "bridge"', 'embedder = "plug-in"', "label.embedder=plug-in"),
        ('key = "obbligato"', 'key = "plug-in"', "annotate.key=plug-in"),
        ('codec = ""', 'codec = "plug-in"', "encode.codec=plug-in"),
        ('paraphraser = "rules"', 'paraphraser = "openai"', "caption.paraphraser=openai"),
    ],
)
def test_a_stored_models_plug_ins_and_servers_want_leave_where_they_are_used(
    strange: Path, in_recipe: Change, line: str, to: str, wanted: str
) -> None:
    in_recipe(line, to)
    with pytest.raises(NotTrusted, match=wanted):
        verify_build(str(strange), Engine(), lambda _: None)


def test_a_what_its_reader_trusts_runs(strange: Path, in_recipe: Change) -> None:
    in_recipe('paraphraser = "rules"', 'paraphraser = "openai"')
    other = in_this_process("trust", strange).stdout.splitlines()
    assert [line for line in other if "source=" not in line] == [
        "wanted   caption.paraphraser=openai"
    ]
    assert in_this_process("trust", strange, "caption.paraphraser=openai").returncode == 0
    assert (
        "trusted  caption.paraphraser=openai"
        in in_this_process("trust", strange).stdout.splitlines()
    )
    assert trusted(str(strange.parent)) == frozenset()


def test_a_trust_is_kept_from_others_and_by_the_real_place(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to("out")
    trust(str(tmp_path / "link"), ["encode.codec=a.b"])
    assert trusted(f"{tmp_path}/./out") == {"encode.codec=a.b"}
    assert trusted(str(tmp_path)) == frozenset()


@pytest.mark.slow
def test_a9_a10_names_that_a_shell_or_braces_would_read_are_plain_folders(
    built: Built, tmp_path: Path
) -> None:
    folder = tmp_path / "b{1,2};$(touch x)`touch y`"
    shutil.copytree(built.out, folder)
    assert verify_build(str(folder), Engine(), lambda _: None).samples == built.dataset.samples
    strange = f"x::pipe:touch {tmp_path / 'ran'};"
    output = obbligato("verify", strange, cwd=tmp_path)
    assert output.returncode != 0
    assert not (tmp_path / "ran").exists()
    assert not list(Path.cwd().glob("[xy]"))


def test_this_interpreter_is_the_one_of_children() -> None:
    from pipelines.engine.child_process import module_command

    assert module_command("a.b", "c") == [sys.executable, "-P", "-m", "a.b", "c"]
