"""`obbligato train` through a launcher: real training by two processes, and what its options
mean.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.errors import UsageError
from flows.launchers import JobEnd, Launching, TrainJob
from flows.launchers.command import check_end, launching_of, stopped
from tests.support.micro_training import as_options, corpus
from training.run.checkpoints import STATE, find_checkpoint

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_two_processes_train_by_a_recipes_file_and_one_of_them_tells(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text('[run]\nsteps = 2\ndevice = "cpu"\n')
    words = [
        str(corpus(tmp_path / "corpus")),
        "--out",
        "model",
        "--recipe",
        "recipe.toml",
        "--processes",
        "2",
        *as_options(),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli", "train", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert len([line for line in lines if line.endswith("2 × cpu, fp32")]) == 1
    assert [line for line in lines if line.startswith("done")] == [
        f"done at step 2: {tmp_path}/model/checkpoints/step-00000002"
    ]
    assert find_checkpoint(str(tmp_path / "model")).json(STATE)["step"] == 2
    assert (tmp_path / "model" / "README.md").read_text().startswith("# model\n")


def test_settings_of_a_launcher_are_text_as_it_stands_but_for_lists_and_tables() -> None:
    kubernetes = launching_of(
        "kubernetes", 1, 1, ["image=i:1", "cpu=4", "node_selector={gpu = 'h100'}"]
    )
    assert kubernetes.settings == {"image": "i:1", "cpu": "4", "node_selector": {"gpu": "h100"}}


@pytest.mark.parametrize(
    ("given", "output"),
    [
        (
            ("local", 1, 1, ["grace_s"]),
            "--launch grace_s: expected key=value, such as partition=gpu",
        ),
        (
            ("local", 1, 1, ["grace=3"]),
            "^--launch: the local launcher: grace: Extra inputs are not permitted; it has grace_s",
        ),
        (
            ("lsf", 1, 1, []),
            "^--launcher: no launcher called 'lsf': expected kubernetes, local, slurm",
        ),
        (
            ("slurm", 1, 1, ["cpus=many"]),
            "^--launch: the slurm launcher: cpus: Input should be a valid integer",
        ),
    ],
)
def test_wrong_options_are_refused_with_what_is_right(
    given: tuple[str, int, int, list[str]], output: str
) -> None:
    with pytest.raises(UsageError, match=output):
        launching_of(*given)


def test_the_default_is_here_by_one_process() -> None:
    assert (Launching().launcher, Launching().processes, Launching().nodes) == ("local", 1, 1)


def test_a_failure_names_the_log_that_says_why() -> None:
    with pytest.raises(
        UsageError, match=r"status 137; the first error in /m/slurm/7\.log says why"
    ):
        check_end(JobEnd(137, log="/m/slurm/7.log"), "/m")
    check_end(JobEnd(75), "/m")


def test_what_is_said_of_a_stop_is_what_is_known_of_it() -> None:
    job = TrainJob(arguments=(), out="/m", requeues=2)
    assert "stopped 3 times, as often as it may go on, and has more to do" in stopped(
        JobEnd(75, requeue=True), job
    )
    once = stopped(
        JobEnd(143, log="/m/slurm/7.log"), job
    )  # as an administrator's scancel leaves it
    assert once == (
        "training in /m was stopped with status 143 and not put back, "
        "and has more to do; the same command goes on. "
    ) + ("Its log: /m/slurm/7.log")
