"""What names, paths and settings may do in a launcher's script or manifest.

The review's table J.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from flows.errors import UsageError
from flows.launchers import TrainJob
from flows.launchers.command import launching_of
from flows.launchers.kubernetes import KubernetesSettings, manifests
from flows.launchers.slurm_script import SlurmSettings, batch_script

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {"AWS_SECRET_ACCESS_KEY": "SECRET", "JOB_COMPLETION_INDEX": "0"}
WORDS = (
    "$(AWS_SECRET_ACCESS_KEY)",
    "$$(AWS_SECRET_ACCESS_KEY)",
    "$$$(AWS_SECRET_ACCESS_KEY)",
    "a$$b",
    "$",
    "a$",
    "$$",
    "$(",
    "$()",
    "cost: 5$",
)


def expanded(word: str) -> str:
    """A port of Kubernetes' expansion.Expand: ``$$`` is ``$``, ``$(NAME)`` is filled in, anything
    else stays.
    """
    out, at = "", 0
    while at < len(word):
        if word[at] != "$" or at + 1 == len(word):
            out, at = out + word[at], at + 1
        elif word[at + 1] == "$":
            out, at = out + "$", at + 2
        elif word[at + 1] == "(" and ")" in word[at + 2 :]:
            end = word.index(")", at)
            name = word[at + 2 : end]
            out, at = out + ENVIRONMENT.get(name, f"$({name})"), end + 1
        else:
            out, at = out + word[at : at + 2], at + 2
    return out


@pytest.mark.parametrize("nodes", [1, 2])
def test_j_arguments_reach_a_pod_as_they_were_given(nodes: int) -> None:
    train = TrainJob(arguments=("train", *WORDS), out="/data/m", nodes=nodes)
    container: Any = manifests(train, KubernetesSettings(image="i:1"), "n")[0]["spec"]["template"][
        "spec"
    ]["containers"][0]
    assert tuple(map(expanded, container["args"]))[-len(WORDS) :] == WORDS


def test_j_a_build_submitted_to_flink_keeps_its_arguments_too() -> None:
    command = [str(ROOT / "infra/flink/submit.sh"), *WORDS, "--out", "s3://corpus"]
    done = subprocess.run(
        command, env={**os.environ, "DRY_RUN": "1"}, capture_output=True, text=True, check=True
    )
    [container] = json.loads(done.stdout)["spec"]["template"]["spec"]["containers"]
    assert tuple(map(expanded, container["args"]))[2 : 2 + len(WORDS)] == WORDS


@pytest.mark.parametrize("knob", ["partition", "account", "time", "memory"])
@pytest.mark.parametrize("sign", ["\n", "\r", "\x0b", "\x00", "\x1b", "\u2028"])
def test_j_a_slurm_setting_that_would_end_its_line_is_refused(knob: str, sign: str) -> None:
    with pytest.raises(
        UsageError, match=rf"the slurm launcher: {knob}: .* has control characters"
    ) as refused:
        launching_of("slurm", 1, 1, [f"{knob}=gpu{sign}touch owned"])
    assert "\n" not in str(refused.value)


def test_j_an_option_of_sbatch_that_would_end_its_line_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"the slurm launcher: options\.1: .* has control characters"
    ):
        launching_of("slurm", 1, 1, [r'options=["--qos=high", "--qos=high\ntouch owned"]'])


def test_j_a_folder_whose_name_would_end_a_line_of_the_script_is_refused() -> None:
    job = TrainJob(arguments=("train", "/c"), out="/m", nodes=1, processes=1)
    with pytest.raises(UsageError, match="control characters"):
        batch_script(job, SlurmSettings(), "/m\ntouch /tmp/x/log")
