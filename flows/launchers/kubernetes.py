"""Training on Kubernetes: a Job of core kinds, one pod for each node, and kubectl. No operator is needed.

The Job starts a stopped pod again, without counting it as a failure, where training ended with a checkpoint (status 75) or the cluster
took the node away; so a run outlives evictions, and whoever follows. Pods of several nodes find the first one by a headless Service.
"""

import json
import os
import sys
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, Final

from pydantic import Field

from flows.errors import UsageError
from flows.launchers.job import PORT, STOPPED, Ended, Handle, Tell, TrainJob
from flows.launchers.programs import answer, patient
from flows.processes import ProcessGroup
from schemas.record import Record

_NEEDED: Final = "the kubernetes launcher calls it, with the context that it has"
_USER: Final = 10_001  # of the image
_LABEL: Final = "obbligato/train"  # a Job's name, on all that is its own
_RUN: Final = "obbligato/run"  # the same for all Jobs of one folder
_KEYS: Final = {"AWS_ACCESS_KEY_ID": "access-key-id", "AWS_SECRET_ACCESS_KEY": "secret-access-key", "AWS_ENDPOINT_URL": "endpoint-url"}
_WRONG: Final = 2  # status of a command that cannot be done as asked: trying again is of no use
_KEPT_S: Final = 86_400  # a Job that has ended, with its logs


class KubernetesSettings(Record):
    """Of the Kubernetes launcher."""

    image: str = Field("", description="The image of infra/container, for GPUs built with CUDA; by a fixed tag or a digest.")
    namespace: str = Field("obbligato", description="Where the Job is made.")
    gpus: int | None = Field(None, ge=0, description="GPUs of each pod. None: one for each process; 0: none.")
    gpu_resource: str = Field("nvidia.com/gpu", description="What the cluster calls a GPU. Pods tolerate a taint of that name.")
    cpu: str = Field("8", description="CPUs of each pod.")
    memory: str = Field("64Gi", description="Memory of each pod.")
    shared_memory: str = Field("8Gi", description="Of it, /dev/shm: processes that read ahead hand over batches there.")
    claim: str = Field("obbligato-corpus", description="PersistentVolumeClaim of the run's folder, which all pods can write to.")
    mount: str = Field("/data", description="Where the claim is mounted; --out lies below it.")
    secret: str = Field("obbligato-s3", description="Secret with keys of S3, as in infra/kubernetes/storage.yaml; it may be missing.")
    node_selector: dict[str, str] = Field({}, description="Labels of the nodes that will do.")
    grace_s: int = Field(120, ge=1, description="What a pod that must go gets for its checkpoint.")
    poll_s: float = Field(5.0, gt=0, description="Seconds between two looks at the Job.")


class KubernetesLauncher:
    """Makes Jobs by kubectl."""

    def __init__(self, settings: KubernetesSettings) -> None:
        self._settings = settings

    def submit(self, job: TrainJob) -> Handle:
        """Make the Job, and for several nodes its Service, which goes with it; or find the Job of the same folder that is at work.

        Raises `UsageError` naming what is missing.
        """
        name = f"{job.name}-{uuid.uuid4().hex[:5]}"
        train, *services = manifests(job, self._settings, name)
        for standing in self._get("jobs", "-l", f"{_RUN}={job.name}")["items"]:  # its follower may have gone
            if not _ends(standing) and "deletionTimestamp" not in standing["metadata"]:
                return Handle(standing["metadata"]["name"])
        made = json.loads(self._kubectl("create", "-f", "-", "-o", "json", given=json.dumps(train)))
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": made["metadata"]["uid"]}
        for service in services:
            service["metadata"]["ownerReferences"] = [owner]
            self._kubectl("create", "-f", "-", given=json.dumps(service))
        return Handle(name)

    def follow(self, handle: Handle, tell: Tell) -> Ended:
        """Tell the log of the first pod, and of those that come in its place, until the Job is complete or has failed."""
        heard: dict[str, str] = {}  # when the last line of a pod came, by its id
        tell(f"Job {handle.name} in namespace {self._settings.namespace}")
        while True:
            job, pods = patient(lambda: (self._get("job", handle.name), self._pods(handle.name)), self._settings.poll_s)
            begun = [pod for pod in pods if _index(pod) == "0" and pod["status"].get("phase") in ("Running", "Succeeded", "Failed")]
            # One that runs on although its log has ended: the connection was cut.
            new = [pod for pod in begun if pod["metadata"]["uid"] not in heard or pod["status"]["phase"] == "Running"]
            for pod in new:
                uid = pod["metadata"]["uid"]
                heard[uid] = self._tell_log(pod["metadata"]["name"], heard.get(uid, ""), tell)
            ends = _ends(job)
            if not new and "Complete" in ends:
                return Ended(0)
            if not new and "Failed" in ends:
                tell(f"Job {handle.name} failed: {ends['Failed']}")
                return Ended(next((status for status in map(_status, pods) if status not in (0, *STOPPED)), 1))
            time.sleep(self._settings.poll_s)

    def cancel(self, handle: Handle) -> None:
        """Delete the Job: its pods get SIGTERM and `grace_s` for their checkpoint."""
        self._kubectl("delete", "job", handle.name, "--ignore-not-found", "--wait=false", "--cascade=background")

    def _pods(self, name: str) -> list[Any]:
        """Pods of a Job, oldest first."""
        found: list[Any] = self._get("pods", "-l", f"{_LABEL}={name}")["items"]
        return sorted(found, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")))

    def _tell_log(self, pod: str, since: str, tell: Tell) -> str:
        """What a pod prints, to its end or since a time; returns when the last line came."""
        tied = [sys.executable, "-m", "flows.launchers.node", "--parent", str(os.getpid()), "--"]
        logs = ["kubectl", "--namespace", self._settings.namespace, "logs", "--follow", *([f"--since-time={since}"] if since else [])]
        group = ProcessGroup([*tied, *logs, f"pod/{pod}"])
        last = datetime.now(UTC)
        try:
            for _, line in group.lines():
                last = datetime.now(UTC)
                tell(line)
        finally:
            group.close()
        return f"{last:%Y-%m-%dT%H:%M:%SZ}"

    def _get(self, *what: str) -> Any:
        return json.loads(self._kubectl("get", *what, "-o", "json"))

    def _kubectl(self, *arguments: str, given: str = "") -> str:
        return answer("kubectl", "--namespace", self._settings.namespace, *arguments, given=given, needed=_NEEDED)


def _index(pod: Mapping[str, Any]) -> str:
    return str(pod["metadata"].get("annotations", {}).get("batch.kubernetes.io/job-completion-index", "0"))


def _ends(job: Mapping[str, Any]) -> dict[str, str]:
    """Which ends a Job has come to, and why."""
    conditions = job.get("status", {}).get("conditions", [])
    true = [one for one in conditions if one["status"] == "True" and one["type"] in ("Complete", "Failed")]
    return {one["type"]: f"{one.get('reason', '')} {one.get('message', '')}".strip() for one in true}


def _status(pod: Mapping[str, Any]) -> int:
    """Status of a pod's container, where it has ended."""
    containers = pod["status"].get("containerStatuses", [])
    return max((int(one["state"].get("terminated", {}).get("exitCode", 0)) for one in containers), default=0)


def manifests(job: TrainJob, settings: KubernetesSettings, name: str) -> list[dict[str, Any]]:
    """The Job, and for several nodes the headless Service by which they find the first.

    Raises `UsageError` where the image is missing, or the run's folder lies outside the claim.
    """
    if not settings.image:
        raise UsageError("the kubernetes launcher needs an image: --launch image=REGISTRY/obbligato:TAG, made by infra/container")
    if not PurePosixPath(job.out).is_relative_to(settings.mount):
        raise UsageError(f"{job.out}: pods write to the claim {settings.claim} alone, mounted at {settings.mount}: name a folder below it")
    metadata = {"name": name, "namespace": settings.namespace, "labels": {_LABEL: name, _RUN: job.name}}
    template = {"metadata": {"labels": {_LABEL: name}}, "spec": _pod(job, settings, name)}
    spec = {
        "completionMode": "Indexed",
        "completions": job.nodes,
        "parallelism": job.nodes,
        "backoffLimit": 3 * job.nodes,  # failures of pods; where one goes, the others fail with it
        "podFailurePolicy": {
            "rules": [
                {"action": "FailJob", "onExitCodes": {"containerName": "train", "operator": "In", "values": [_WRONG]}},
                {"action": "Ignore", "onExitCodes": {"containerName": "train", "operator": "In", "values": list(STOPPED)}},
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            ]
        },
        "ttlSecondsAfterFinished": _KEPT_S,
        "template": template,
    }
    made: list[dict[str, Any]] = [{"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}]
    if job.nodes > 1:
        ports = [{"name": "rendezvous", "port": PORT}]
        # Before they are ready: the first pod waits for the others, and is not ready without them.
        service = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": {_LABEL: name}, "ports": ports}
        made.append({"apiVersion": "v1", "kind": "Service", "metadata": dict(metadata), "spec": service})
    return made


def _pod(job: TrainJob, settings: KubernetesSettings, name: str) -> dict[str, Any]:
    gpus = job.processes if settings.gpus is None else settings.gpus
    spec: dict[str, Any] = {
        "restartPolicy": "Never",  # the Job makes a new pod; podFailurePolicy asks for it
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": settings.grace_s,
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": _USER, "runAsGroup": _USER, "fsGroup": _USER, "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(job, settings, name, gpus)],
        "volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": settings.claim}},
            {"name": "scratch", "emptyDir": {}},
            {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": settings.shared_memory}},
        ],
    }  # fmt: skip
    if job.nodes > 1:
        spec["subdomain"] = name  # the Service's name: pods are <Job>-<index>.<Service>
    if settings.node_selector:
        spec["nodeSelector"] = settings.node_selector
    if gpus:
        spec["tolerations"] = [{"key": settings.gpu_resource, "operator": "Exists", "effect": "NoSchedule"}]
    return spec


def _container(job: TrainJob, settings: KubernetesSettings, name: str, gpus: int) -> dict[str, Any]:
    secrets = [
        {"name": variable, "valueFrom": {"secretKeyRef": {"name": settings.secret, "key": key, "optional": True}}}
        for variable, key in _KEYS.items()
    ]
    whole = {settings.gpu_resource: str(gpus)} if gpus else {}
    return {
        "name": "train",
        "image": settings.image,
        "args": _arguments(job, name),
        "env": [*secrets, {"name": "OMP_NUM_THREADS", "value": "4"}],  # the image's is 1, for builds
        "resources": {
            "requests": {"cpu": settings.cpu, "memory": settings.memory, **whole},
            "limits": {"memory": settings.memory, **whole},
        },
        "securityContext": {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [
            {"name": "data", "mountPath": settings.mount},
            {"name": "scratch", "mountPath": "/tmp"},
            {"name": "shared-memory", "mountPath": "/dev/shm"},
        ],
    }


def _arguments(job: TrainJob, name: str) -> list[str]:
    """The container's command: plain for one process; Kubernetes fills in the pod's index."""
    command = [argument.replace("$(", "$$(") for argument in job.command("python")]  # it would fill in those of ours too
    if job.ranks == 1:
        return command
    several = ["--nodes", str(job.nodes), "--node", "$(JOB_COMPLETION_INDEX)", "--main", f"{name}-0.{name}"] if job.nodes > 1 else []
    return ["python", "-m", "flows.launchers.node", "--processes", str(job.processes), *several, "--", *command]
