"""The Slurm launcher against stand-ins of Slurm's commands, which run the script that they are
given.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from flows.errors import UsageError
from flows.launchers import Handle, JobEnd, Launching, followed, launched, programs, slurm
from flows.launchers.slurm import SlurmLauncher, SlurmSettings, batch_script
from tests.flows.launchers import slurm_stand_in
from tests.flows.launchers.pretending import (
    Listener,
    alive,
    break_off,
    interrupted_once,
    job,
    stop_all,
)
from tests.support.waiting import until

ROOT = Path(__file__).parents[3]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the jobs of a cluster that is this machine."""
    slurm_stand_in.install(tmp_path / "bin")
    (tmp_path / "jobs").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.setenv("OBBLIGATO_TEST_SLURM", str(tmp_path / "jobs"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path / "jobs"


def log(folder: Path) -> str:
    """Of the first job in `m`."""
    return str(folder / "m" / "slurm" / "100.log")


def launching(**settings: object) -> Launching:
    return Launching(launcher="slurm", settings={"poll_s": 0.02, **settings})


def test_two_nodes_train_together_and_their_log_is_told(cluster: Path, tmp_path: Path) -> None:
    listener = Listener()
    assert launched(
        launching().made, job(tmp_path / "m", nodes=2, processes=2), listener
    ) == JobEnd(0)
    assert sorted(line for line in listener.lines if line.startswith("turn")) == [
        f"turn 0, rank {rank} of 4 at node-1" for rank in range(4)
    ]
    assert listener.lines[-1] == "Slurm job 100: completed"


def test_a_preempted_job_is_put_back_by_slurm_and_not_by_itself_too(
    cluster: Path, tmp_path: Path
) -> None:
    listener = Listener(lambda _: slurm_stand_in.preempt("100"), ranks=2)
    assert launched(
        launching().made, job(tmp_path / "m", "--stops", "1", processes=2), listener
    ) == JobEnd(0)
    assert sorted(path.name for path in (tmp_path / "m").glob("checkpoint-*")) == [
        "checkpoint-0-0",
        "checkpoint-0-1",
    ]
    assert not (cluster / "100" / "asked").exists()


def test_a_job_at_its_time_limit_writes_a_checkpoint_requeues_itself_and_goes_on(
    cluster: Path, tmp_path: Path
) -> None:
    listener = Listener(lambda _: slurm_stand_in.signal_tasks("100"), ranks=2)
    assert launched(
        launching().made, job(tmp_path / "m", "--stops", "2", processes=2), listener
    ) == JobEnd(0)
    assert [line for line in listener.lines if "rank 1" in line] == [
        f"turn {turn}, rank 1 of 2 at 127.0.0.1" for turn in range(3)
    ]
    assert len(list((tmp_path / "m").glob("checkpoint-*"))) == 4
    assert len(list(cluster.iterdir())) == 1  # one job from first to last


def test_a_job_that_was_stopped_as_often_as_it_may_ends_with_what_it_was_stopped_with(
    cluster: Path, tmp_path: Path
) -> None:
    assert launched(
        launching().made, job(tmp_path / "m", "--stops", "9", requeues=1), Listener(stop_all)
    ) == JobEnd(75, log=log(tmp_path))
    assert len(list((tmp_path / "m").glob("checkpoint-*"))) == 2


def test_a_job_whose_node_died_on_a_cluster_that_does_not_requeue_is_submitted_again(
    cluster: Path, tmp_path: Path
) -> None:
    died = Listener(lambda _: slurm_stand_in.end("100", "NODE_FAIL"))
    assert launched(launching().made, job(tmp_path / "m", "--stops", "1"), died) == JobEnd(0)
    assert sorted(path.name for path in cluster.iterdir()) == ["100", "101"]


def test_a_stop_before_it_could_listen_for_stops_is_one_too(cluster: Path, tmp_path: Path) -> None:
    assert launched(launching().made, job(tmp_path / "m", "--dies"), Listener(stop_all)) == JobEnd(
        0
    )
    assert len(list(cluster.iterdir())) == 1


def test_a_failure_is_told_with_its_words_and_is_not_tried_again(
    cluster: Path, tmp_path: Path
) -> None:
    listener = Listener()
    assert launched(launching().made, job(tmp_path / "m", "--fails", "3"), listener) == JobEnd(
        3, log=log(tmp_path)
    )
    assert "out of luck" in listener.lines
    assert listener.lines[-1] == "Slurm job 100: failed"
    assert len(list(cluster.iterdir())) == 1


def test_what_the_controller_has_forgotten_is_asked_of_accounting(
    cluster: Path, tmp_path: Path
) -> None:
    launcher = launching().made
    handle = launcher.submit(job(tmp_path / "m", "--fails", "3"))
    launcher.follow(handle, Listener())
    slurm_stand_in.state(handle.name, forgotten="yes")
    assert launcher.follow(handle, Listener()) == JobEnd(3, log=log(tmp_path))


@pytest.fixture
def out_of_reach(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often scontrol is not heard, from now on."""
    left = {"times": 0}

    def called(program: str, *arguments: str, **others: str) -> "subprocess.CompletedProcess[str]":
        if program == "scontrol" and left["times"]:
            left["times"] -= 1
            return subprocess.CompletedProcess(
                [program], 1, "", "slurm_load_jobs error: Unable to contact slurm controller"
            )
        return programs.called(program, *arguments, **others)

    monkeypatch.setattr(slurm, "called", called)
    return left


def test_a_controller_that_is_out_of_reach_for_a_while_costs_no_run_and_is_told_once(
    cluster: Path, tmp_path: Path, out_of_reach: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher, work = launching().made, job(tmp_path / "m", "--stops", "1")
    out_of_reach["times"] = 3
    listener = Listener(stop_all)
    assert followed(launcher, work, listener) == JobEnd(0)
    [outage] = [line for line in listener.lines if "out of reach" in line]
    assert outage.endswith(
        "the job is left alone: scontrol failed with status 1: "
        "slurm_load_jobs error: Unable to contact slurm controller"
    )

    (tmp_path / "full").touch()
    monkeypatch.setattr(programs, "_OUTAGE_S", 0.0)
    out_of_reach["times"] = 2
    with pytest.raises(UsageError, match="Unable to contact"):
        followed(launcher, work, print)
    assert slurm_stand_in.state("101")["JobState"] == "PENDING"  # and not cancelled
    slurm_stand_in.scancel(["--state=PENDING", "101"])


def test_what_asking_again_does_not_change_is_asked_once(
    cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = launching().made
    handle = launcher.submit(job(tmp_path / "m"))
    launcher.follow(handle, Listener())
    slurm_stand_in.state("100", forgotten="yes", unknown="yes")
    monkeypatch.setattr(programs, "_OUTAGE_S", 5.0)
    lines: list[str] = []
    with pytest.raises(
        UsageError, match=r"Slurm knows no job 100 any more.* its log says how it ended"
    ):
        launcher.follow(Handle("100", str(tmp_path / "none")), lines.append)
    assert lines == []


def test_a_job_whose_follower_has_gone_is_found_again_and_not_submitted_twice(
    cluster: Path, tmp_path: Path
) -> None:
    launcher, work = launching().made, job(tmp_path / "m", "--stops", "1")
    first = launcher.submit(work)
    assert launcher.find(work, listener := Listener()) == first
    assert listener.lines == [
        "Slurm job 100 is at work in this folder already: it is followed, and nothing is submitted"
    ]
    assert launched(
        launcher, job(tmp_path / "m", "--stops", "2"), listener := Listener(stop_all)
    ) == JobEnd(0)
    assert (
        "Slurm job 100 was submitted with other options, "
        "or by another version, and goes on with those."
    ) in listener.lines[1]
    assert launcher.find(work, print) is None


@pytest.mark.parametrize(
    "fields",
    [{"JobState": "COMPLETING"}, {"comment": "obbligato cancelled"}],
    ids=["ending", "cancelled"],
)
def test_a_job_that_is_ending_is_waited_for_and_not_followed(
    cluster: Path, tmp_path: Path, fields: dict[str, str]
) -> None:
    launcher, work = launching().made, job(tmp_path / "m", "--stops", "1")
    (tmp_path / "full").touch()
    launcher.submit(work)
    slurm_stand_in.state("100", **fields)
    lines: list[str] = []

    def listen(line: str) -> None:
        lines.append(line)
        slurm_stand_in.state("100", JobState="CANCELLED")

    assert launcher.find(work, listen) is None
    assert lines == ["Slurm job 100 of this folder is ending: waited for"]


def test_a_submission_that_is_broken_off_leaves_no_job(cluster: Path, tmp_path: Path) -> None:
    for file in ("full", "slow"):
        (tmp_path / file).touch()
    with interrupted_once(tmp_path / "asked", tmp_path / "go"), pytest.raises(KeyboardInterrupt):
        launched(launching().made, job(tmp_path / "m", "--stops", "1"), print)
    assert slurm_stand_in.state("100")["JobState"] == "CANCELLED"


def test_why_a_job_waits_is_told(cluster: Path, tmp_path: Path) -> None:
    (tmp_path / "full").touch()
    lines: list[str] = []

    def listen(line: str) -> None:
        lines.append(line)
        if line.endswith("pending (Resources)"):
            slurm_stand_in.state("100", Reason="Priority")
        else:
            (tmp_path / "full").unlink(missing_ok=True)

    assert launched(launching().made, job(tmp_path / "m"), listen) == JobEnd(0)
    assert lines[:2] == ["Slurm job 100: pending (Resources)", "Slurm job 100: pending (Priority)"]


def test_the_end_of_a_log_is_told_though_it_has_no_end_of_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = launching().made
    (tmp_path / "log").write_text("done")
    pauses: list[float] = []

    def pause(seconds: float) -> None:  # meanwhile, a shared file system shows the rest
        pauses.append(seconds)
        (tmp_path / "log").write_text("done\nkilled")

    monkeypatch.setattr(SlurmLauncher, "_state", lambda *_: slurm._SlurmState("COMPLETED", 0))
    monkeypatch.setattr("flows.launchers.slurm.time.sleep", pause)
    lines: list[str] = []
    assert launcher.follow(Handle("7", str(tmp_path / "log")), lines.append) == JobEnd(0)
    assert lines == ["done", "killed", "Slurm job 7: completed"]
    assert pauses == [0.02]


def test_a_cancelled_job_is_told_to_write_its_checkpoint_and_is_not_killed(
    cluster: Path, tmp_path: Path
) -> None:
    listener = Listener(break_off, ranks=2)
    with pytest.raises(KeyboardInterrupt):
        launched(launching().made, job(tmp_path / "m", "--stops", "1", processes=2), listener)
    assert (cluster / "100" / "scancel").read_text().splitlines() == [
        "--state=PENDING",
        "--batch --signal=USR1",
        "--signal=TERM",
    ]
    assert len(list((tmp_path / "m").glob("checkpoint-0-*"))) == 2
    found = slurm_stand_in.state("100")
    assert (found["JobState"], found["ExitCode"], found["comment"]) == (
        "FAILED",
        "75:0",
        "obbligato cancelled",
    )
    assert not (cluster / "100" / "asked").exists()
    assert alive(listener.pids) == []


def test_a_cancelled_job_that_does_not_end_in_time_is_killed(
    cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OBBLIGATO_TEST_KILL_WAIT_S", "0")
    listener = Listener(break_off)
    with pytest.raises(KeyboardInterrupt):
        launched(launching(grace_s=1).made, job(tmp_path / "m", "--deaf"), listener)
    assert slurm_stand_in.state("100")["JobState"] == "CANCELLED"
    until(lambda: not alive(listener.pids), "end of what was killed")


def test_a_job_that_is_cancelled_before_training_began_does_not_begin(
    cluster: Path, tmp_path: Path
) -> None:
    setup = f"touch {tmp_path}/setup; while [ ! -e {tmp_path}/go ]; do sleep 0.02; done"
    launcher = launching(setup=setup).made
    handle = launcher.submit(job(tmp_path / "m"))
    until((tmp_path / "setup").exists, "set-up")
    slurm_stand_in.scancel(["--batch", "--signal=USR1", "100"])
    (tmp_path / "go").touch()
    assert launcher.follow(handle, print) == JobEnd(75, log=log(tmp_path))
    assert not (tmp_path / "m" / "turn-0-0").exists()


def test_a_folder_may_have_any_name(cluster: Path, tmp_path: Path) -> None:
    out = tmp_path / 'My "model" #2 100%j'
    listener = Listener()
    assert launched(launching().made, job(out), listener) == JobEnd(0)
    assert "done" in listener.lines
    assert (out / "slurm" / "100.log").exists()


def test_a_job_that_somebody_cancels_is_not_submitted_again(cluster: Path, tmp_path: Path) -> None:
    ended = launched(
        launching().made,
        job(tmp_path / "m", "--stops", "1"),
        Listener(lambda _: slurm_stand_in.scancel(["100"])),
    )
    # a stop, and no failure that its log could explain
    assert ended == JobEnd(143, log=log(tmp_path))
    assert len(list(cluster.iterdir())) == 1
    assert not (cluster / "100" / "asked").exists()


def test_what_is_missing_is_named(
    cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="invalid partition specified: none"):
        launched(launching(partition="none").made, job(tmp_path / "m"), print)
    with pytest.raises(UsageError, match="a folder that all nodes share"):
        launched(launching().made, job(tmp_path).replaced(out="s3://b/m"), print)
    with pytest.raises(
        ValueError, match=r"the slurm launcher: partitions: .*; it has partition, account, time"
    ):
        launching(partitions="gpu")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        UsageError, match=r"sbatch is not on PATH: .* such as a cluster's login node"
    ):
        launched(launching().made, job(tmp_path / "m"), print)


def test_the_script_is_one_that_bash_can_read_and_asks_for_what_was_set(tmp_path: Path) -> None:
    settings = SlurmSettings(
        partition="gpu", account="music", time="12:00:00", memory="200G", options=("--qos=high",),
        setup="module load cuda", python="python3",
    )  # fmt: skip
    script = batch_script(job(tmp_path / "it's", nodes=2, processes=8), settings, "/m/slurm/%j.log")
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    if checker := shutil.which("shellcheck"):
        subprocess.run([checker, "-"], input=script, text=True, check=True)
    asked = re.findall(r"^#SBATCH --(.*)$", script, re.MULTILINE)
    assert {
        "nodes=2",
        "ntasks-per-node=8",
        "gpus-per-node=8",
        "cpus-per-task=8",
        "mem=200G",
        "partition=gpu",
        "account=music",
    } <= set(asked)
    assert {"time=12:00:00", "signal=TERM@120", "requeue", "open-mode=append", "qos=high"} <= set(
        asked
    )
    assert "module load cuda\n" in script
    plain = batch_script(job(tmp_path, processes=1), SlurmSettings(gpus=0), "log")
    assert "gpus" not in plain
    assert "MASTER" not in plain
