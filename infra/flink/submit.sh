#!/usr/bin/env bash
# Runs `obbligato build` on the Flink cluster of this folder, as a Job in its namespace: the job server takes no one else.
#
#   infra/flink/submit.sh s3://bucket/music --out s3://bucket/corpus [more options of obbligato build]
#   kubectl -n obbligato logs -f job/NAME                              NAME is printed
#
# NAMESPACE (obbligato), IMAGE, SLOTS (slots of a task manager) and PARALLELISM can be set; DRY_RUN=1 prints the Job instead.
# Sources and output must be URLs that every pod can reach.
#
# Without a job server in the cluster, from a machine with Java and a way to the job manager's port (and to Maven Central):
#   obbligato build … --runner FlinkRunner --beam flink_master=HOST:8081 --beam flink_version=1.20 \
#       --beam environment_type=EXTERNAL --beam environment_config=localhost:50000
set -euo pipefail
(($# >= 3)) || { sed -n '2,13p' "$0" >&2; exit 2; }
export NAMESPACE=${NAMESPACE:-obbligato} IMAGE=${IMAGE:-obbligato:0.1.0} SLOTS=${SLOTS:-4} PARALLELISM=${PARALLELISM:-8}

job=$(python3 - "$@" <<'PYTHON'
import json, os, sys

options = {
    "job_endpoint": "beam-job-server:8099",
    "environment_type": "EXTERNAL",
    "environment_config": "localhost:50000",
    "parallelism": os.environ["PARALLELISM"],
    "sdk_worker_parallelism": os.environ["SLOTS"],
    # Beam would stage a list of installed packages, which task managers could only read from a volume shared with the job server.
    "experiments": "disable_logging_submission_environment",
}
given = [argument.replace("$", "$$") for argument in sys.argv[1:]]  # Kubernetes would fill in $(NAME)
args = ["obbligato", "build", *given, "--runner", "PortableRunner"]
for name, value in options.items():
    args += ["--beam", f"{name}={value}"]
keys = {"AWS_ACCESS_KEY_ID": "access-key-id", "AWS_SECRET_ACCESS_KEY": "secret-access-key", "AWS_ENDPOINT_URL": "endpoint-url"}
secret = lambda name, key: {"name": "obbligato-s3", "key": key, **({"optional": True} if name == "AWS_ENDPOINT_URL" else {})}
container = {
    "name": "submit",
    "image": os.environ["IMAGE"],
    "args": args,
    "env": [{"name": name, "valueFrom": {"secretKeyRef": secret(name, key)}} for name, key in keys.items()],
    "resources": {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"memory": "4Gi"}},
    "securityContext": {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],
}
pod = {
    "restartPolicy": "Never",
    "automountServiceAccountToken": False,
    "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [container],
    "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "10Gi"}}],
}
# No retries by Kubernetes: the build finishes what is unfinished when it is submitted again.
spec = {"backoffLimit": 0, "template": {"metadata": {"labels": {"obbligato/submits": "true"}}, "spec": pod}}
metadata = {"generateName": "obbligato-build-", "namespace": os.environ["NAMESPACE"]}
print(json.dumps({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}, indent=2))
PYTHON
)
if [[ -n ${DRY_RUN:-} ]]; then
    echo "$job"
else
    kubectl create -f - <<<"$job"
fi
