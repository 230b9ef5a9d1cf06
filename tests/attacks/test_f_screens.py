"""What names, captions and forged files may do to a terminal: nothing. The review's table F."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from flows.deployments.artifacts import rewording_report
from flows.screens.evaluation import print_report
from flows.screens.model_card import model_card
from pipelines.build.tables import INPUT_LEDGER
from pipelines.storage.store import Store
from schemas.corpus import LedgerRow, Outcome, Unit
from tests.support.model_facts import OURS, facts
from tests.support.running import obbligato
from tests.support.written_plan import write_plan
from training.evaluation.report import Counts, EvaluationReport, SpaceFigures, UnscoredClip

ROOT = Path(__file__).parents[2]
CLEAR, TITLE, TURNED, C1, TAG = (
    "\x1b[2J",
    "\x1b]0;mine\x07",
    "\u202egnp\u2066",
    "\x9b31m",
    "\U000e0041",
)
HOSTILE = f"{CLEAR}{TITLE}{TURNED}{C1}{TAG}\u200b\u2028"
SEEN = r"\x1b[2J\x1b]0;mine\x07\u202egnp\u2066\x9b31m\U000e0041\u200b\u2028"


def harmless(text: str) -> bool:
    return all(sign.isprintable() or sign in "\n\t" for sign in text)


def in_a_terminal(*arguments: str) -> str:
    """What a command draws on a terminal of its own."""
    reader, writer = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *arguments],
        cwd=ROOT,
        stdin=writer,
        stdout=writer,
        stderr=writer,
    )
    os.close(writer)
    picture = b""
    try:
        while part := os.read(reader, 65536):
            picture += part
    except OSError:  # the other end is closed
        pass
    os.close(reader)
    process.wait()
    return picture.decode()


@pytest.mark.parametrize(
    "command",
    [("annotate",), ("plan",), ("build", "--out", "never-made")],
    ids=lambda command: command[0],
)
def test_f_the_name_of_a_missing_file_is_shown_escaped(command: Sequence[str]) -> None:
    done = obbligato(*command, f"{HOSTILE}.wav")
    assert done.returncode != 0
    assert SEEN in done.stderr
    assert harmless(done.stdout + done.stderr)
    assert done.stderr.count("\n") == 1


def test_f_a_name_that_is_no_text_is_shown_and_one_with_markup_is_not_coloured(
    tmp_path: Path,
) -> None:
    assert "\\udcff.wav" in obbligato("annotate", "\udcff.wav").stderr
    assert "[red]x[/red] :boom:.wav" in in_a_terminal(
        "plan", str(tmp_path / "[red]x[/red] :boom:.wav")
    )


@pytest.mark.parametrize(
    "arguments", [("annotate", f"--{HOSTILE}"), (f"{HOSTILE}",)], ids=["option", "command"]
)
def test_f_wrong_usage_is_shown_escaped(arguments: Sequence[str]) -> None:
    done = obbligato(*arguments)
    assert done.returncode == 2
    assert harmless(done.stderr)
    assert "x1b[2J" in done.stderr


def test_f_on_a_terminal_too_nothing_but_our_own_drawing_comes_through() -> None:
    picture = in_a_terminal("annotate", f"{HOSTILE}.wav")
    assert SEEN in picture
    assert not any(sign in picture for sign in (CLEAR, TITLE, "\u202e", "\x9b", TAG))


def forge(folder: Path) -> None:
    """A build whose recipe is refused for the name of a section."""
    (folder / "sources.json").write_text("[]")
    name = '"' + "".join(f"\\U{ord(sign):08x}" for sign in HOSTILE) + "x" * 60_000 + '"'
    (folder / "recipe.toml").write_text(f"[{name}]\na = 1\n")


def test_f_a_forged_build_gets_one_short_line(tmp_path: Path) -> None:
    forge(tmp_path)
    done = obbligato("verify", str(tmp_path))
    assert done.returncode == 2
    assert harmless(done.stderr)
    assert done.stderr.count("\n") == 1
    assert len(done.stderr) < 4200
    assert "prints every knob" in done.stderr  # what to do stands at the end


def test_f_a_flow_is_told_of_a_forged_build_in_one_short_line(tmp_path: Path) -> None:
    forge(tmp_path)
    order = {
        "step": "probe",
        "share": "",
        "out": str(tmp_path),
        "run_folder": "runs/1",
        "workers": 1,
        "runner": "local",
        "beam": [],
    }
    command = [sys.executable, "-m", "flows.cli", "serve-steps", "--parent", str(os.getpid())]
    received = json.dumps({**order, "lock": "", "timeout_s": 60.0}) + "\n"
    done = subprocess.run(
        command, cwd=ROOT, input=received, capture_output=True, text=True, check=True
    )
    error = json.loads(done.stdout.splitlines()[-1])["error"]
    assert error.isprintable()
    assert len(error) < 4200


def test_f_the_holder_of_a_lock_is_shown_escaped(tmp_path: Path) -> None:
    holder = {
        "holder_id": "x",
        "purpose": HOSTILE,
        "host": "h\x1b[1m",
        "boot_id": "",
        "pid_namespace": 1,
        "pid": 1,
        "process_start": 1,
        "taken": "then\nand then",
        "renewed": "now",
        "lease_s": 120.0,
    }
    (tmp_path / "run.lock").write_text(json.dumps(holder))
    done = obbligato("unlock", str(tmp_path))
    assert done.returncode == 0
    assert (
        f"removed the lock of {SEEN} (host h\\x1b[1m, process 1, since then\\nand then"
        in done.stdout
    )
    assert harmless(done.stdout)
    assert done.stdout.count("\n") == 1


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A build's folder whose ledger a stranger wrote."""
    folder = tmp_path_factory.mktemp("forged")
    store = Store(str(folder))
    row = LedgerRow(
        unit=Unit.INPUT,
        key=f"song ♯{HOSTILE}",
        uri=HOSTILE,
        stage="probe",
        outcome=Outcome.DEAD,
        code="[red]",
        message=HOSTILE,
    )
    write_plan(store, {})
    store.write_records(INPUT_LEDGER, LedgerRow, [row])
    return str(folder)


@pytest.mark.parametrize("command", [("show", "song"), ("ls", "--json")], ids=["show", "ls-json"])
def test_f_json_of_a_ledger_is_plain_text_and_still_json(
    ledger: str, command: tuple[str, str]
) -> None:
    done = obbligato("dead", command[0], ledger, command[1])
    assert harmless(done.stdout)
    assert "song ♯" in done.stdout
    assert json.loads(done.stdout)["message"] == HOSTILE


def test_f_a_ledger_on_a_terminal_is_text(ledger: str) -> None:
    picture = in_a_terminal("dead", "ls", ledger)
    assert "[red]" in picture
    assert not any(sign in picture for sign in (CLEAR, TITLE, "\u202e", "\x9b", TAG))


def test_f_problems_of_an_evaluation_are_shown_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    counts = Counts(given=1, scored=0, dead=1, skipped=0, without_prompt=0, swaps=0)
    print_report(
        EvaluationReport(
            system="theirs",
            seed=0,
            counts=counts,
            figures=(),
            published=(),
            space=SpaceFigures(embedder="clap", version="1", licence="CC0-1.0"),
            clips=(),
            problems=(UnscoredClip(name=f"{HOSTILE}[red]", reason="is no\naudio"),),
            tools={},
        )
    )
    shown = capsys.readouterr().out
    assert harmless(shown)
    assert r"\x1b[2J" in shown
    assert r"[red]: is no\naudio" in shown.replace("\n", "")


MARKUP = "x\n# Free <script>1</script> [y](http://z) ![p](http://q) | `code`"


def test_f_versions_of_a_strangers_model_stay_in_their_line_of_its_card() -> None:
    rogue = facts(OURS, found=[None]).replaced(torch=MARKUP, obbligato=MARKUP)
    card = model_card(rogue)
    assert [line for line in card.splitlines() if line.startswith("#")] == [
        "# night music",
        "## Learned from",
        "## Licences",
    ]
    assert "<script>" not in card.replace(r"\<script\>", "")
    assert "](http" not in card.replace(r"\](http", "")


def test_f_markdown_on_prefects_page_shows_text_from_outside_as_it_is() -> None:
    example = {"sample": MARKUP, "caption": MARKUP, "rewording": MARKUP}
    received = {
        "calls": {},
        "usd": 0.0,
        "usd_in_all": 0.0,
        "budget_usd": 1.0,
        "examples": {MARKUP: [example]},
    }
    shown = rewording_report({}, received)
    assert not [line for line in shown.splitlines() if line.startswith("#")]
    assert "<script>" not in shown.replace(r"\<script\>", "")
    assert "](http" not in shown.replace(r"\](http", "")
