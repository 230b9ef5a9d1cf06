"""The Kubernetes launcher against a stand-in of kubectl whose controller runs pods as processes; manifests against Kubernetes' schemas."""

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from flows.errors import UsageError
from flows.launchers import Launching, TrainJob, launched
from flows.launchers.kubernetes import KubernetesSettings, manifests
from tests.flows.launchers import kubectl_stand_in
from tests.flows.launchers.pretending import Listener, alive, break_off, job, stop_all
from tests.waiting import until

ROOT = Path(__file__).parents[3]
KUBERNETES = "1.33"


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the objects of a cluster that is this machine."""
    kubectl_stand_in.install(tmp_path / "bin")
    (tmp_path / "objects").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.setenv("OBBLIGATO_TEST_KUBERNETES", str(tmp_path / "objects"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path / "objects"


@pytest.fixture
def launching(tmp_path: Path) -> Launching:
    settings = {"image": "obbligato:0.1.0", "mount": str(tmp_path), "poll_s": 0.02}
    return Launching(launcher="kubernetes", settings=settings)


def test_two_nodes_train_together_and_the_first_ones_log_is_told(cluster: Path, tmp_path: Path, launching: Launching) -> None:
    listener = Listener()
    assert launched(launching.made, job(tmp_path / "m", nodes=2, processes=2), listener) == (0, False)
    [name] = [file.stem.removeprefix("job-") for file in cluster.glob("job-*.json")]
    assert listener.lines[0] == f"Job {name} in namespace obbligato"
    assert {line for line in listener.lines if "turn" in line} == {f"turn 0, rank {rank} of 4 at {name}-0.{name}" for rank in (0, 1)}
    assert len(list((tmp_path / "m").glob("turn-0-*"))) == 4
    service = kubectl_stand_in.read(f"service-{name}")
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": f"uid-{name}"}
    assert service["metadata"]["ownerReferences"] == [owner]  # it goes with the Job


def test_pods_that_are_evicted_write_a_checkpoint_and_others_go_on_in_their_place(
    cluster: Path, tmp_path: Path, launching: Launching
) -> None:
    listener = Listener(stop_all)
    assert launched(launching.made, job(tmp_path / "m", "--stops", "5"), listener) == (0, False)  # more often than backoffLimit
    assert [line for line in listener.lines if "turn" in line] == [f"turn {turn}, rank 0 of 1 at home" for turn in range(6)]
    assert len(list((tmp_path / "m").glob("checkpoint-*"))) == 5
    assert len(list(cluster.glob("job-*.json"))) == 1


def test_a_signal_to_a_pod_reaches_each_of_its_processes_once(cluster: Path, tmp_path: Path, launching: Launching) -> None:
    def evict(pids: list[int]) -> None:
        os.kill(
            int(Path(f"/proc/{pids[0]}/stat").read_text().rpartition(")")[2].split()[1]), signal.SIGTERM
        )  # their parent is the pod's first

    assert launched(launching.made, job(tmp_path / "m", "--stops", "1", processes=2), Listener(evict, ranks=2)) == (0, False)
    assert len(list((tmp_path / "m").glob("checkpoint-0-*"))) == 2


def test_a_log_whose_connection_is_cut_is_followed_on(cluster: Path, tmp_path: Path, launching: Launching) -> None:
    (cluster / "cut").touch()
    launcher = launching.made
    handle = launcher.submit(job(tmp_path / "m", "--stops", "1"))
    until(lambda: list(cluster.glob("*.log")) and "works" in next(cluster.glob("*.log")).read_text(), "work")
    pid = int(next(cluster.glob("*.log")).read_text().split()[-1])
    released = threading.Thread(target=lambda: (until(lambda: not (cluster / "cut").exists(), "cut"), os.kill(pid, signal.SIGTERM)))
    released.start()
    listener = Listener()
    assert launcher.follow(handle, listener) == (0, False)
    released.join()
    assert listener.lines[-1] == "done"


def test_failures_are_tried_again_as_often_as_the_job_allows_and_wrong_usage_is_not(
    cluster: Path, tmp_path: Path, launching: Launching
) -> None:
    listener = Listener()
    assert launched(launching.made, job(tmp_path / "m", "--fails", "3"), listener) == (3, False)
    assert listener.lines.count("out of luck") == 4
    assert listener.lines[-1].endswith("failed: BackoffLimitExceeded")
    assert launched(launching.made, job(tmp_path / "n", "--fails", "2"), listener := Listener()) == (2, False)
    assert listener.lines.count("out of luck") == 1


def test_a_job_whose_follower_has_gone_is_found_again_and_not_submitted_twice(cluster: Path, tmp_path: Path, launching: Launching) -> None:
    first = launching.made.submit(job(tmp_path / "m", "--stops", "1"))
    assert launching.made.submit(job(tmp_path / "m", "--stops", "1")) == first
    assert launched(launching.made, job(tmp_path / "m", "--stops", "1"), Listener(stop_all)) == (0, False)
    assert launching.made.submit(job(tmp_path / "m")) != first


def test_what_breaks_the_following_off_deletes_the_job_whose_pods_write_a_checkpoint(
    cluster: Path, tmp_path: Path, launching: Launching
) -> None:
    listener = Listener(break_off)
    with pytest.raises(KeyboardInterrupt):
        launched(launching.made, job(tmp_path / "m", "--stops", "1"), listener)
    until(lambda: list(cluster.glob("gone-*")), "end of the Job")
    assert (tmp_path / "m" / "checkpoint-0-0").exists()
    assert alive(listener.pids) == []


def test_what_is_missing_is_named(tmp_path: Path, launching: Launching, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="needs an image: --launch image=REGISTRY/obbligato:TAG"):
        launched(Launching(launcher="kubernetes").made, job(tmp_path), print)
    with pytest.raises(UsageError, match=r"claim obbligato-corpus alone, mounted at .*: name a folder below it"):
        launched(launching.made, job(Path("/elsewhere")), print)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="kubectl is not on PATH"):
        launched(launching.made, job(tmp_path / "m"), print)


@pytest.mark.parametrize(("nodes", "processes", "kinds"), [(1, 1, ["Job"]), (1, 8, ["Job"]), (4, 8, ["Job", "Service"])])
def test_manifests_are_what_kubernetes_documents(nodes: int, processes: int, kinds: list[str]) -> None:
    train = TrainJob(arguments=("train", "s3://b/corpus", "--out", "/data/m"), out="/data/m", nodes=nodes, processes=processes)
    made = manifests(train, KubernetesSettings(image="obbligato:0.1.0", node_selector={"gpu": "h100"}), "train-m-1")
    assert [one["kind"] for one in made] == kinds
    for one in made:
        kubernetes_validate.validate(json.loads(json.dumps(one)), KUBERNETES, strict=True)
    [container] = made[0]["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == str(processes)
    assert container["args"][-4:] == ["train", "s3://b/corpus", "--out", "/data/m"]


def test_dollars_of_ours_are_not_taken_for_variables() -> None:
    train = TrainJob(arguments=("train", "/data/$(HOME)"), out="/data/m")
    found: Any = manifests(train, KubernetesSettings(image="i:1"), "n")[0]["spec"]["template"]["spec"]["containers"][0]["args"]
    assert found[-1] == "/data/$$(HOME)"
