"""The Slurm launcher against stand-ins of Slurm's commands, which run the script that they are given."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from flows.errors import UsageError
from flows.launchers import Launching, followed, launched, programs, slurm
from flows.launchers.slurm import SlurmSettings, batch_script
from tests.flows.launchers import slurm_stand_in
from tests.flows.launchers.pretending import Listener, alive, break_off, job, stop_all

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


def launching(**settings: object) -> Launching:
    return Launching(launcher="slurm", settings={"poll_s": 0.02, **settings})


def test_two_nodes_train_together_and_their_log_is_told(cluster: Path, tmp_path: Path) -> None:
    listener = Listener()
    assert launched(launching().made, job(tmp_path / "m", nodes=2, processes=2), listener) == (0, False)
    assert sorted(line for line in listener.lines if line.startswith("turn")) == [
        f"turn 0, rank {rank} of 4 at node-1" for rank in range(4)
    ]
    assert listener.lines[-1] == "Slurm job 100: completed"


def test_a_preempted_job_is_put_back_by_slurm_and_not_by_itself_too(cluster: Path, tmp_path: Path) -> None:
    listener = Listener(lambda _: slurm_stand_in.preempt("100"), ranks=2)
    assert launched(launching().made, job(tmp_path / "m", "--stops", "1", processes=2), listener) == (0, False)
    assert sorted(path.name for path in (tmp_path / "m").glob("checkpoint-*")) == ["checkpoint-0-0", "checkpoint-0-1"]
    assert not (cluster / "100" / "asked").exists()


def test_a_job_at_its_time_limit_writes_a_checkpoint_requeues_itself_and_goes_on(cluster: Path, tmp_path: Path) -> None:
    listener = Listener(lambda _: slurm_stand_in.signal_tasks("100"), ranks=2)
    assert launched(launching().made, job(tmp_path / "m", "--stops", "2", processes=2), listener) == (0, False)
    assert [line for line in listener.lines if "rank 1" in line] == [f"turn {turn}, rank 1 of 2 at 127.0.0.1" for turn in range(3)]
    assert len(list((tmp_path / "m").glob("checkpoint-*"))) == 4
    assert len(list(cluster.iterdir())) == 1  # one job from first to last


def test_a_job_that_was_stopped_as_often_as_it_may_ends_with_what_it_was_stopped_with(cluster: Path, tmp_path: Path) -> None:
    assert launched(launching().made, job(tmp_path / "m", "--stops", "9", requeues=1), Listener(stop_all)) == (75, False)
    assert len(list((tmp_path / "m").glob("checkpoint-*"))) == 2


def test_a_job_whose_node_died_on_a_cluster_that_does_not_requeue_is_submitted_again(cluster: Path, tmp_path: Path) -> None:
    died = Listener(lambda _: slurm_stand_in.end("100", "NODE_FAIL"))
    assert launched(launching().made, job(tmp_path / "m", "--stops", "1"), died) == (0, False)
    assert sorted(path.name for path in cluster.iterdir()) == ["100", "101"]


def test_a_stop_before_it_could_listen_for_stops_is_one_too(cluster: Path, tmp_path: Path) -> None:
    assert launched(launching().made, job(tmp_path / "m", "--dies"), Listener(stop_all)) == (0, False)
    assert len(list(cluster.iterdir())) == 1


def test_a_failure_is_told_with_its_words_and_is_not_tried_again(cluster: Path, tmp_path: Path) -> None:
    listener = Listener()
    assert launched(launching().made, job(tmp_path / "m", "--fails", "3"), listener) == (3, False)
    assert listener.lines[-2:] == ["out of luck", "Slurm job 100: failed"]
    assert len(list(cluster.iterdir())) == 1


def test_what_the_controller_has_forgotten_is_asked_of_accounting(cluster: Path, tmp_path: Path) -> None:
    launcher = launching().made
    handle = launcher.submit(job(tmp_path / "m", "--fails", "3"))
    launcher.follow(handle, Listener())
    slurm_stand_in.state(handle.name, forgotten="yes")
    assert launcher.follow(handle, Listener()) == (3, False)


def test_a_controller_that_is_out_of_reach_for_a_while_costs_no_run(cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = launching().made
    handle = launcher.submit(job(tmp_path / "m"))
    tries = []

    def out_of_reach(*arguments: str, **_: str) -> "subprocess.CompletedProcess[str]":
        tries.append(arguments)
        if len(tries) < 3:
            raise UsageError("Unable to contact slurm controller")
        return programs.called(*arguments, needed="")

    monkeypatch.setattr(slurm, "called", out_of_reach)
    assert launcher.follow(handle, print) == (0, False)
    monkeypatch.setattr(programs, "_OUTAGE_S", 0.0)
    tries.clear()
    with pytest.raises(UsageError, match="Unable to contact"):
        followed(launcher, handle, print)
    assert slurm_stand_in.state("100")["JobState"] == "COMPLETED"  # and not cancelled


def test_a_job_whose_follower_has_gone_is_found_again_and_not_submitted_twice(cluster: Path, tmp_path: Path) -> None:
    first = launching().made.submit(job(tmp_path / "m", "--stops", "1"))
    assert launching().made.submit(job(tmp_path / "m", "--stops", "1")) == first
    assert launched(launching().made, job(tmp_path / "m", "--stops", "1"), Listener(stop_all)) == (0, False)
    assert launching().made.submit(job(tmp_path / "m")) != first


def test_what_breaks_the_following_off_cancels_the_job(cluster: Path, tmp_path: Path) -> None:
    listener = Listener(break_off)
    with pytest.raises(KeyboardInterrupt):
        launched(launching().made, job(tmp_path / "m", "--stops", "1"), listener)
    assert slurm_stand_in.state("100")["JobState"] == "CANCELLED"
    assert (tmp_path / "m" / "checkpoint-0-0").exists()
    assert alive(listener.pids) == []


def test_a_job_that_somebody_cancels_is_not_submitted_again(cluster: Path, tmp_path: Path) -> None:
    ended = launched(launching().made, job(tmp_path / "m", "--stops", "1"), Listener(lambda _: slurm_stand_in.scancel(["100"])))
    assert ended == (1, False)
    assert len(list(cluster.iterdir())) == 1
    assert not (cluster / "100" / "asked").exists()


def test_what_is_missing_is_named(cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="invalid partition specified: none"):
        launched(launching(partition="none").made, job(tmp_path / "m"), print)
    with pytest.raises(UsageError, match="a folder that all nodes share"):
        launched(launching().made, job(tmp_path).replaced(out="s3://b/m"), print)
    with pytest.raises(ValueError, match=r"the slurm launcher: partitions: .*; it has partition, account, time"):
        launching(partitions="gpu")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"squeue is not on PATH: .* such as a cluster's login node"):
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
    assert {"nodes=2", "ntasks-per-node=8", "gpus-per-node=8", "cpus-per-task=8", "mem=200G", "partition=gpu", "account=music"} <= set(
        asked
    )
    assert {"time=12:00:00", "signal=TERM@120", "requeue", "open-mode=append", "qos=high"} <= set(asked)
    assert "module load cuda\n" in script
    plain = batch_script(job(tmp_path, processes=1), SlurmSettings(gpus=0), "log")
    assert "gpus" not in plain
    assert "MASTER" not in plain
