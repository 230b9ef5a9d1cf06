"""The Kubernetes launcher against a stand-in of kubectl whose controller runs pods as processes;
manifests against Kubernetes' schemas.
"""

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from flows.errors import UsageError
from flows.launchers import Handle, JobEnd, Launching, TrainJob, launched
from flows.launchers.job import LAUNCHED
from flows.launchers.kubernetes import KubernetesSettings, manifests
from tests.flows.launchers import kubectl_stand_in
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


def test_two_nodes_train_together_and_the_first_ones_log_is_told(
    cluster: Path, tmp_path: Path, launching: Launching
) -> None:
    listener = Listener()
    assert launched(launching.made, job(tmp_path / "m", nodes=2, processes=2), listener) == JobEnd(
        0
    )
    [name] = [file.stem.removeprefix("job-") for file in cluster.glob("job-*.json")]
    assert listener.lines[0] == f"Job {name} in namespace obbligato"
    assert {line for line in listener.lines if "turn" in line} == {
        f"turn 0, rank {rank} of 4 at {name}-0.{name}" for rank in (0, 1)
    }
    assert len(list((tmp_path / "m").glob("turn-0-*"))) == 4
    service = kubectl_stand_in.read(f"service-{name}")
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": f"uid-{name}"}
    assert service["metadata"]["ownerReferences"] == [owner]  # it goes with the Job


def test_pods_that_are_evicted_write_a_checkpoint_and_others_go_on_in_their_place(
    cluster: Path, tmp_path: Path, launching: Launching
) -> None:
    listener = Listener(stop_all)
    # more often than backoffLimit
    assert launched(launching.made, job(tmp_path / "m", "--stops", "5"), listener) == JobEnd(0)
    assert [line for line in listener.lines if "turn" in line] == [
        f"turn {turn}, rank 0 of 1 at home" for turn in range(6)
    ]
    assert len(list((tmp_path / "m").glob("checkpoint-*"))) == 5
    assert len(list(cluster.glob("job-*.json"))) == 1


def test_a_signal_to_a_pod_reaches_each_of_its_processes_once(
    cluster: Path, tmp_path: Path, launching: Launching
) -> None:
    def evict(pids: list[int]) -> None:
        # their parent is the pod's first
        os.kill(
            int(Path(f"/proc/{pids[0]}/stat").read_text().rpartition(")")[2].split()[1]),
            signal.SIGTERM,
        )

    assert launched(
        launching.made, job(tmp_path / "m", "--stops", "1", processes=2), Listener(evict, ranks=2)
    ) == JobEnd(0)
    assert len(list((tmp_path / "m").glob("checkpoint-0-*"))) == 2


def test_a_log_whose_connection_is_cut_is_followed_on(
    cluster: Path, tmp_path: Path, launching: Launching
) -> None:
    (cluster / "cut").touch()
    launcher = launching.made
    handle = launcher.submit(job(tmp_path / "m", "--stops", "1"))
    until(
        lambda: list(cluster.glob("*.log")) and "works" in next(cluster.glob("*.log")).read_text(),
        "work",
    )
    pid = int(next(cluster.glob("*.log")).read_text().split()[-1])

    def release() -> None:
        until(lambda: not (cluster / "cut").exists(), "cut")
        os.kill(pid, signal.SIGTERM)

    released = threading.Thread(target=release)
    released.start()
    listener = Listener()
    assert launcher.follow(handle, listener) == JobEnd(0)
    released.join()
    assert listener.lines[-1] == "done"


def test_failures_are_tried_again_as_often_as_the_job_allows_and_wrong_usage_is_not(
    cluster: Path, tmp_path: Path, launching: Launching
) -> None:
    listener = Listener()
    assert launched(launching.made, job(tmp_path / "m", "--fails", "3"), listener) == JobEnd(3)
    assert listener.lines.count("out of luck") == 4
    assert listener.lines[-1].endswith("failed: BackoffLimitExceeded")
    assert launched(
        launching.made, job(tmp_path / "n", "--fails", "2"), listener := Listener()
    ) == JobEnd(2)
    assert listener.lines.count("out of luck") == 1


def test_a_job_whose_follower_has_gone_is_found_again_and_not_submitted_twice(
    cluster: Path, tmp_path: Path, launching: Launching
) -> None:
    launcher, work = launching.made, job(tmp_path / "m", "--stops", "1")
    first = launcher.submit(work)
    assert launcher.find(work, listener := Listener()) == first
    assert listener.lines == [
        (
            f"Job {first.name} is at work in this folder already: "
            "it is followed, and nothing is submitted"
        )
    ]
    assert launched(
        launcher, job(tmp_path / "m", "--stops", "2"), listener := Listener(stop_all)
    ) == JobEnd(0)
    assert (
        f"Job {first.name} was submitted with other options, "
        "or by another version, and goes on with those."
    ) in listener.lines[1]
    assert launcher.find(work, print) is None


def test_a_job_that_is_being_deleted_is_waited_for_and_not_followed(
    cluster: Path, tmp_path: Path, launching: Launching
) -> None:
    launcher = launching.made
    first = launcher.submit(job(tmp_path / "m", "--deaf"))
    until(
        lambda: (
            list(cluster.glob("*.log")) and "works as" in next(cluster.glob("*.log")).read_text()
        ),
        "work",
    )
    launcher.cancel(first)
    lines: list[str] = []

    def listen(line: str) -> None:
        lines.append(line)
        os.kill(int(next(cluster.glob("*.log")).read_text().split()[-1]), signal.SIGKILL)

    assert launcher.find(job(tmp_path / "m"), listen) is None
    assert lines == [f"Job {first.name} of this folder is ending: waited for"]
    assert (cluster / f"gone-{first.name}").exists()


def test_a_job_whose_service_could_not_be_made_is_deleted(
    cluster: Path, tmp_path: Path, launching: Launching
) -> None:
    (cluster / "no-services").touch()
    with pytest.raises(
        UsageError, match=r"kubectl create failed with status 1: .*services .* is forbidden"
    ):
        launched(launching.made, job(tmp_path / "m", "--stops", "1", nodes=2), print)
    until(lambda: list(cluster.glob("gone-*")), "end of the Job")


def test_a_job_that_was_left_without_its_service_is_given_one(
    cluster: Path, tmp_path: Path, launching: Launching
) -> None:
    launcher, work = launching.made, job(tmp_path / "m", "--stops", "1", nodes=2)
    name = launcher.submit(work).name
    for _ in range(2):
        (cluster / f"service-{name}.json").unlink()
        launcher.find(work, print)
        assert (
            kubectl_stand_in.read(f"service-{name}")["metadata"]["ownerReferences"][0]["uid"]
            == f"uid-{name}"
        )
    launcher.find(work, print)  # one that is there is no error
    launcher.cancel(Handle(name))
    until(lambda: list(cluster.glob("gone-*")), "end of the Job")


def test_a_submission_that_is_broken_off_leaves_no_job(
    cluster: Path, tmp_path: Path, launching: Launching
) -> None:
    (cluster / "slow").touch()
    with interrupted_once(cluster / "asked", cluster / "go"), pytest.raises(KeyboardInterrupt):
        launched(launching.made, job(tmp_path / "m", "--stops", "1"), print)
    assert len(list(cluster.glob("job-*.json"))) == 1
    until(lambda: list(cluster.glob("gone-*")), "end of the Job")


def test_why_pods_wait_is_told_once_also_of_those_that_are_not_the_first(
    cluster: Path, tmp_path: Path, launching: Launching
) -> None:
    for file in ("late-1", "no-image-1"):
        (cluster / file).touch()
    listener = Listener(lambda _: (cluster / "late-1").unlink())

    def listen(line: str) -> None:
        listener(line)
        if "ErrImagePull" in line:
            (cluster / "no-image-1").unlink()

    def stop_first_once_all_work() -> None:
        until((tmp_path / "m" / "turn-0-1").exists, "work of the second")
        os.kill(listener.pids[0], signal.SIGTERM)

    other = threading.Thread(target=stop_first_once_all_work)
    other.start()
    # The first works, and has nothing to say.
    assert launched(
        launching.made, job(tmp_path / "m", "--stops", "1", "--rank", "0", nodes=2), listen
    ) == JobEnd(0)
    other.join()
    [line] = [line for line in listener.lines if "waits" in line]
    assert line.endswith("-1-1 waits: ErrImagePull: no such image")


def test_the_last_words_of_another_node_that_failed_are_told(
    cluster: Path, tmp_path: Path, launching: Launching
) -> None:
    listener = Listener()
    ended = launched(
        launching.made, job(tmp_path / "m", "--fails", "137", "--rank", "1", nodes=2), listener
    )
    assert ended == JobEnd(137)
    [first, *_] = [index for index, line in enumerate(listener.lines) if "(node 1) ended" in line]
    assert listener.lines[first].endswith(
        "ended with status 137: OOMKilled, it needs more memory (--launch memory=…)"
    )
    assert listener.lines[first + 1].startswith("turn 0, rank 1 of 2")
    assert listener.lines[first + 2] == "out of luck"


def test_a_job_that_somebody_deletes_is_not_asked_for_again_and_again(
    cluster: Path, tmp_path: Path, launching: Launching
) -> None:
    listener = Listener(
        lambda _: launching.made.cancel(
            Handle(next(cluster.glob("job-*.json")).stem.removeprefix("job-"))
        )
    )
    with pytest.raises(UsageError, match=r"kubectl get failed with status 1: .*NotFound"):
        launched(launching.made, job(tmp_path / "m", "--stops", "1"), listener)


def test_a_replaced_run_is_told_that_it_may_wait_for_the_lock_of_a_killed_one() -> None:
    train = TrainJob(arguments=("train", "s3://b/corpus", "--out", "/data/m"), out="/data/m")
    [container] = manifests(train, KubernetesSettings(image="i:1"), "n")[0]["spec"]["template"][
        "spec"
    ]["containers"]
    assert {"name": LAUNCHED, "value": "kubernetes"} in container["env"]


def test_what_breaks_the_following_off_deletes_the_job_whose_pods_write_a_checkpoint(
    cluster: Path, tmp_path: Path, launching: Launching
) -> None:
    listener = Listener(break_off)
    with pytest.raises(KeyboardInterrupt):
        launched(launching.made, job(tmp_path / "m", "--stops", "1"), listener)
    until(lambda: list(cluster.glob("gone-*")), "end of the Job")
    assert (tmp_path / "m" / "checkpoint-0-0").exists()
    assert alive(listener.pids) == []


def test_what_is_missing_is_named(
    tmp_path: Path, launching: Launching, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="needs an image: --launch image=REGISTRY/obbligato:TAG"):
        launched(Launching(launcher="kubernetes").made, job(tmp_path), print)
    with pytest.raises(
        UsageError, match=r"claim obbligato-corpus alone, mounted at .*: name a folder below it"
    ):
        launched(launching.made, job(Path("/elsewhere")), print)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="kubectl is not on PATH"):
        launched(launching.made, job(tmp_path / "m"), print)


@pytest.mark.parametrize(
    ("nodes", "processes", "kinds"), [(1, 1, ["Job"]), (1, 8, ["Job"]), (4, 8, ["Job", "Service"])]
)
def test_manifests_are_what_kubernetes_documents(
    nodes: int, processes: int, kinds: list[str]
) -> None:
    train = TrainJob(
        arguments=("train", "s3://b/corpus", "--out", "/data/m"),
        out="/data/m",
        nodes=nodes,
        processes=processes,
    )
    made = manifests(
        train,
        KubernetesSettings(image="obbligato:0.1.0", node_selector={"gpu": "h100"}),
        "train-m-1",
    )
    assert [one["kind"] for one in made] == kinds
    for one in made:
        kubernetes_validate.validate(json.loads(json.dumps(one)), KUBERNETES, strict=True)
    [container] = made[0]["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == str(processes)
    assert container["args"][-4:] == ["train", "s3://b/corpus", "--out", "/data/m"]


def test_dollars_of_ours_are_not_taken_for_variables() -> None:
    train = TrainJob(arguments=("train", "/data/$(HOME)"), out="/data/m")
    found: Any = manifests(train, KubernetesSettings(image="i:1"), "n")[0]["spec"]["template"][
        "spec"
    ]["containers"][0]["args"]
    assert found[-1] == "/data/$$(HOME)"
