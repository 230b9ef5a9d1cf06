"""A Job of core kinds, for several nodes a headless Service, and what can be set in them."""

from typing import Any, Final

from pydantic import Field

from flows.launchers.job import LAUNCHED, PORT, STOPPED, TrainJob
from pipelines.engine.child_process import module_command
from schemas.record import Record

LABEL: Final = "obbligato/train"  # a Job's name, on all that is its own
RUN: Final = "obbligato/run"  # the same for all Jobs of one folder
_USER: Final = 10_001  # of the image
_KEYS: Final = {
    "AWS_ACCESS_KEY_ID": "access-key-id",
    "AWS_SECRET_ACCESS_KEY": "secret-access-key",
    "AWS_ENDPOINT_URL": "endpoint-url",
}
_WRONG: Final = 2  # status of a command that cannot be done as asked: trying again is of no use
_EXPIRY_S: Final = 86_400  # a Job that has ended, with its logs


class KubernetesSettings(Record):
    """Of the Kubernetes launcher."""

    image: str = Field(
        "",
        description=(
            "The image of infra/container, for GPUs built with CUDA; by a fixed tag or a digest."
        ),
    )
    namespace: str = Field("obbligato", description="Where the Job is made.")
    gpus: int | None = Field(
        None, ge=0, description="GPUs of each pod. None: one for each process; 0: none."
    )
    gpu_resource: str = Field(
        "nvidia.com/gpu",
        description="What the cluster calls a GPU. Pods tolerate a taint of that name.",
    )
    cpu: str = Field("8", description="CPUs of each pod.")
    memory: str = Field("64Gi", description="Memory of each pod.")
    shared_memory: str = Field(
        "8Gi", description="Of it, /dev/shm: processes that read ahead hand over batches there."
    )
    claim: str = Field(
        "obbligato-corpus",
        description="PersistentVolumeClaim of the run's folder, which all pods can write to.",
    )
    mount: str = Field("/data", description="Where the claim is mounted; --out lies below it.")
    secret: str = Field(
        "obbligato-s3",
        description=(
            "Secret with keys of S3, as in infra/kubernetes/storage.yaml; it may be missing."
        ),
    )
    node_selector: dict[str, str] = Field({}, description="Labels of the nodes that will do.")
    grace_s: int = Field(
        120, ge=1, description="What a pod that must go gets for its checkpoint, at least."
    )
    poll_s: float = Field(5.0, gt=0, description="Seconds between two looks at the Job.")


def manifests(job: TrainJob, settings: KubernetesSettings, name: str) -> list[dict[str, Any]]:
    """The Job, and for several nodes the headless Service by which they find the first."""
    metadata = {
        "name": name,
        "namespace": settings.namespace,
        "labels": {LABEL: name, RUN: job.name},
    }
    template = {"metadata": {"labels": {LABEL: name}}, "spec": _pod(job, settings, name)}
    spec = {
        "completionMode": "Indexed",
        "completions": job.nodes,
        "parallelism": job.nodes,
        "backoffLimit": 3 * job.nodes,  # failures of pods; where one goes, the others fail with it
        "podFailurePolicy": {
            "rules": [
                {
                    "action": "FailJob",
                    "onExitCodes": {"containerName": "train", "operator": "In", "values": [_WRONG]},
                },
                {
                    "action": "Ignore",
                    "onExitCodes": {
                        "containerName": "train",
                        "operator": "In",
                        "values": list(STOPPED),
                    },
                },
                {
                    "action": "Ignore",
                    "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                },
            ]
        },
        "ttlSecondsAfterFinished": _EXPIRY_S,
        "template": template,
    }
    resources: list[dict[str, Any]] = [
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}
    ]
    if job.nodes > 1:
        ports = [{"name": "rendezvous", "port": PORT}]
        # Before they are ready: the first pod waits for the others, and is not ready without them.
        service = {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {LABEL: name},
            "ports": ports,
        }
        resources.append(
            {"apiVersion": "v1", "kind": "Service", "metadata": dict(metadata), "spec": service}
        )
    return resources


def _pod(job: TrainJob, settings: KubernetesSettings, name: str) -> dict[str, Any]:
    gpus = job.processes if settings.gpus is None else settings.gpus
    spec: dict[str, Any] = {
        "restartPolicy": "Never",  # the Job makes a new pod; podFailurePolicy asks for it
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": max(settings.grace_s, job.checkpoint_s),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(job, settings, name, gpus)],
        "volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": settings.claim}},
            {"name": "scratch", "emptyDir": {}},
            {
                "name": "shared-memory",
                "emptyDir": {"medium": "Memory", "sizeLimit": settings.shared_memory},
            },
        ],
    }
    if job.nodes > 1:
        spec["subdomain"] = name  # the Service's name: pods are <Job>-<index>.<Service>
    if settings.node_selector:
        spec["nodeSelector"] = settings.node_selector
    if gpus:
        spec["tolerations"] = [
            {"key": settings.gpu_resource, "operator": "Exists", "effect": "NoSchedule"}
        ]
    return spec


def _container(job: TrainJob, settings: KubernetesSettings, name: str, gpus: int) -> dict[str, Any]:
    secrets = [
        {
            "name": variable,
            "valueFrom": {"secretKeyRef": {"name": settings.secret, "key": key, "optional": True}},
        }
        for variable, key in _KEYS.items()
    ]
    whole = {settings.gpu_resource: str(gpus)} if gpus else {}
    return {
        "name": "train",
        "image": settings.image,
        "args": _arguments(job, name),
        "env": [
            *secrets,
            {"name": LAUNCHED, "value": "kubernetes"},
            {"name": "OMP_NUM_THREADS", "value": "4"},  # the image's is 1, for builds
        ],
        "resources": {
            "requests": {"cpu": settings.cpu, "memory": settings.memory, **whole},
            "limits": {"memory": settings.memory, **whole},
        },
        "securityContext": {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "data", "mountPath": settings.mount},
            {"name": "scratch", "mountPath": "/tmp"},
            {"name": "shared-memory", "mountPath": "/dev/shm"},
        ],
    }


def _arguments(job: TrainJob, name: str) -> list[str]:
    """The container's command: plain for one process.

    Kubernetes fills in the pod's index, and takes each $$ of ours for a $.
    """
    command = [argument.replace("$", "$$") for argument in job.command("python")]
    if job.ranks == 1:
        return command
    several = (
        [
            "--nodes",
            str(job.nodes),
            "--node",
            "$(JOB_COMPLETION_INDEX)",
            "--main",
            f"{name}-0.{name}",
        ]
        if job.nodes > 1
        else []
    )
    return module_command(
        "flows.launchers.node",
        "--processes",
        str(job.processes),
        *several,
        "--",
        *command,
        python="python",
    )
