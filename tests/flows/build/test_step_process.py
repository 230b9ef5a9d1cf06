"""A step's process: what it prints, how it dies, and that nothing of it stays."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from flows.build import step_process
from flows.build.step_process import StepFailed, StepOrder, StepProcess, StepProcesses
from pipelines.engine.child_process import spawn

ORDER = StepOrder("out", "runs/1", 1, "local", (), "", 60.0)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for `obbligato serve-steps`, which a test writes."""
    file = tmp_path / "stand_in.py"
    plain = spawn
    monkeypatch.setattr(
        "flows.build.step_process.spawn",
        lambda _, **options: plain([sys.executable, str(file)], **options),
    )
    return file


def take(process: StepProcess | StepProcesses, timeout_s: float = 60.0) -> object:
    return process.take(
        "pack", "", ORDER._replace(timeout_s=timeout_s), lambda *_: None, lambda _: None
    )


def living(process: StepProcess) -> list[psutil.Process]:
    """What lives of a process's group."""
    return [
        each
        for each in psutil.process_iter()
        if each.status() != psutil.STATUS_ZOMBIE and step_process._group_of(each.pid) == process.pid
    ]


def test_empty_lines_on_its_error_output_end_no_step(program: Path) -> None:
    program.write_text(
        "import sys\ninput()\nprint('\\n\\n\\n', file=sys.stderr, "
        "flush=True)\nprint('{\"reports\": 7}', flush=True)\ninput()"
    )
    process = StepProcess()
    assert take(process) == 7
    process.close()


def test_one_that_dies_is_reported_with_its_last_words_though_a_child_lives_and_none_stays(
    program: Path,
) -> None:
    program.write_text(
        "import subprocess, sys, os\n"
        "subprocess.Popen(['sleep', '300'])\n"
        "print('no space', file=sys.stderr)\n"
        "os._exit(3)"
    )
    process = StepProcess()
    with pytest.raises(StepFailed, match="step pack: its process died with status 3: no space"):
        take(process)
    assert [each.name() for each in living(process)] == ["sleep"]
    process.close()
    assert living(process) == []


def test_one_that_takes_too_long_is_named_with_the_limit(program: Path) -> None:
    program.write_text("import time\nwhile True: time.sleep(1)")
    process = StepProcess()
    with pytest.raises(StepFailed, match="took longer than 1 s and was ended") as failed:
        take(process, timeout_s=1.0)
    assert failed.value.final
    process.close()
    assert not process.alive


def test_one_that_went_while_it_was_idle_is_replaced(program: Path) -> None:
    program.write_text("input()\nprint('{\"reports\": 1}', flush=True)")
    pool = StepProcesses()
    assert [take(pool) for _ in range(3)] == [1, 1, 1]
    pool.close()


def test_a_step_whose_starter_is_killed_ends_with_it(tmp_path: Path) -> None:
    program = (
        "import time\nfrom flows.build.step_process import StepProcess\nprocess = "
        "StepProcess()\nprint(process.pid, flush=True)\n"
        "while True: time.sleep(1)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    starter = subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    step = psutil.Process(int(starter.stdout.readline()))
    starter.kill()
    starter.wait()
    step.wait(timeout=30)
