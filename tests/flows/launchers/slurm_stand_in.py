"""Stand-ins of sbatch, srun, scontrol, sacct, scancel and squeue that really run what they are
given, on this machine.

One program under all names; `install` puts them into a folder for PATH. Jobs live in folders of
OBBLIGATO_TEST_SLURM.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

NAMES = ("sbatch", "srun", "scontrol", "sacct", "scancel", "squeue")
CONTROLLER = "controller"


def install(folder: Path) -> None:
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_text(f'#!/bin/sh\nexec {sys.executable} -S {__file__} {name} "$@"\n')
        (folder / name).chmod(0o755)


def jobs() -> Path:
    return Path(os.environ["OBBLIGATO_TEST_SLURM"])


def state(job: str, **changes: object) -> dict[str, str]:
    """What is known of a job, after changes; written at once, so that readers see it whole."""
    file = jobs() / job / "state.json"
    found = json.loads(file.read_text()) if file.exists() else {}
    if changes:
        made = file.with_name(f"state.{os.getpid()}")
        made.write_text(json.dumps({**found, **changes}))
        made.replace(file)
    return {**found, **changes}


def sbatch(arguments: list[str]) -> None:
    assert arguments[0] == "--parsable"
    script = sys.stdin.read()
    if (jobs().parent / "slow").exists():  # the answer comes late
        (jobs().parent / "slow").rename(jobs().parent / "asked")
        while not (jobs().parent / "go").exists():
            time.sleep(0.02)
    if "partition=none" in script:
        sys.exit("sbatch: error: invalid partition specified: none")
    job = str(100 + len(list(jobs().iterdir())))
    (jobs() / job).mkdir()
    (jobs() / job / "script").write_text(script)
    words = [
        shlex.split(line, comments=True)[0]
        for line in re.findall(r"^#SBATCH --(\w.*=.*)$", script, re.MULTILINE)
    ]
    options = dict(
        word.split("=", maxsplit=1)
        for word in (*words, *(argument[2:] for argument in arguments[1:]))
    )
    state(
        job,
        JobState="PENDING",
        Reason="Resources",
        ExitCode="0:0",
        **{name.replace("-", "_"): value for name, value in options.items()},
    )
    subprocess.Popen(
        [sys.executable, "-S", __file__, CONTROLLER, job],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    print(f"{job};here")


def controller(arguments: list[str]) -> None:
    """A job's turns."""
    [job] = arguments
    task = state(job)
    restarts = 0
    while True:
        while (jobs().parent / "full").exists():  # all nodes are taken
            if state(job)["JobState"] == "CANCELLED":
                return
            time.sleep(0.02)
        state(job, JobState="RUNNING", Reason="None", requeued="", pid=str(os.getpid()))
        environment = {
            **os.environ,
            "SLURM_JOB_ID": job,
            "SLURM_JOB_NODELIST": "here",
            "SLURM_JOB_NUM_NODES": task["nodes"],
            "SLURM_NTASKS": str(int(task["nodes"]) * int(task["ntasks_per_node"])),
            "SLURM_NTASKS_PER_NODE": task["ntasks_per_node"],
            **({"SLURM_RESTART_COUNT": str(restarts)} if restarts else {}),
        }
        output = re.sub("%[%j]", lambda code: "%" if code[0] == "%%" else job, task["output"])
        if not Path(output).parent.is_dir():  # as Slurm has it
            state(job, JobState="FAILED", ExitCode="0:53")
            return
        with Path(output).open("ab") as log:
            script = subprocess.Popen(
                ["bash", str(jobs() / job / "script")],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        (jobs() / job / "script.pid").write_text(str(script.pid))
        status = script.wait()
        now = state(job)
        if now["JobState"] != "RUNNING":  # ended from outside
            return
        if not now["requeued"]:
            state(job, JobState="FAILED" if status else "COMPLETED", ExitCode=f"{status}:0")
            return
        restarts += 1
        state(job, JobState="PENDING")


def srun(arguments: list[str]) -> None:
    command = arguments[
        next(index for index, word in enumerate(arguments) if not word.startswith("--")) :
    ]
    tasks, each = int(os.environ["SLURM_NTASKS"]), int(os.environ["SLURM_NTASKS_PER_NODE"])
    started = [
        subprocess.Popen(
            command,
            env={**os.environ, "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank % each)},
        )
        for rank in range(tasks)
    ]
    (jobs() / os.environ["SLURM_JOB_ID"] / "tasks").write_text(
        " ".join(str(task.pid) for task in started)
    )
    sys.exit(
        max(status if status >= 0 else 128 - status for status in (task.wait() for task in started))
    )


def signal_tasks(job: str) -> None:
    """As Slurm does before a time limit and on preemption: SIGTERM to each task, and not to the
    batch script.
    """
    for pid in (jobs() / job / "tasks").read_text().split():
        os.kill(int(pid), signal.SIGTERM)


def scontrol(arguments: list[str]) -> None:
    if arguments[:2] == ["show", "hostnames"]:
        print("node-1\nnode-2")
    elif arguments[:2] == ["show", "job"]:
        found = state(arguments[2])
        if found.get("forgotten"):
            sys.exit("slurm_load_jobs error: Invalid job id specified")
        print(
            f"JobId={arguments[2]} JobName={found['job_name']} JobState={found['JobState']} "
            f"Reason={found['Reason']} ExitCode={found['ExitCode']} Comment={found['comment']}"
        )
    elif arguments[0] == "update":
        state(arguments[1].removeprefix("JobId="), comment=arguments[2].removeprefix("Comment="))
    else:
        assert arguments[0] == "requeue"
        (jobs() / arguments[1] / "asked").touch()
        state(arguments[1], requeued="yes")


def squeue(arguments: list[str]) -> None:
    name = next(argument for argument in arguments if argument.startswith("--name=")).removeprefix(
        "--name="
    )
    for job in sorted(jobs().iterdir()):
        found = state(job.name)
        if found["job_name"] == name and found["JobState"] in ("PENDING", "RUNNING", "COMPLETING"):
            print("|".join((job.name, found["JobState"], found["comment"])))


def sacct(arguments: list[str]) -> None:
    found = state(
        next(argument for argument in arguments if argument.startswith("--jobs=")).removeprefix(
            "--jobs="
        )
    )
    if found.get("unknown"):
        return
    cancelled = " by 1000" if found["JobState"] == "CANCELLED" else ""
    print(f"{found['JobState']}{cancelled}|{found['ExitCode']}")


def scancel(arguments: list[str]) -> None:
    *options, job = arguments
    with (jobs() / job / "scancel").open("a") as asked:
        asked.write(" ".join(options) + "\n")
    found = state(job)["JobState"]
    if options == ["--batch", "--signal=USR1"]:
        os.kill(int((jobs() / job / "script.pid").read_text()), signal.SIGUSR1)
    elif options == ["--signal=TERM"]:
        signal_tasks(job)
    elif options == ["--state=PENDING"] and found == "PENDING":
        state(job, JobState="CANCELLED")
    elif not options:
        end(job, "CANCELLED")


def end(job: str, how: str, **changes: str) -> None:
    """End a job as Slurm does: SIGTERM to its tasks and its script, and SIGKILL to what is left of
    it once its tasks have gone.
    """
    state(job, JobState=how, **changes)
    script = int((jobs() / job / "script.pid").read_text())
    os.kill(script, signal.SIGTERM)
    signal_tasks(job)
    deadline = time.monotonic() + float(os.environ.get("OBBLIGATO_TEST_KILL_WAIT_S", "30"))
    pids = [int(pid) for pid in (jobs() / job / "tasks").read_text().split()]
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        pass
    os.killpg(script, signal.SIGKILL)  # its tasks are of its group


def preempt(job: str) -> None:
    """As Slurm does with PreemptMode=REQUEUE: the end of the whole job, and its return to the
    queue.
    """
    end(job, "RUNNING", requeued="yes")


if __name__ == "__main__":
    if shutil.which("bash") is None:
        sys.exit("no bash")
    globals()[sys.argv[1]](sys.argv[2:])
