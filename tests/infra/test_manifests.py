import json
from typing import Any

import kubernetes_validate
import pytest

from tests.infra import manifests as m

KUBERNETES = "1.33"

# https://nightlies.apache.org/flink/flink-kubernetes-operator-docs-main/docs/custom-resource/reference/
# (FlinkDeploymentSpec and below)
RESOURCE = {"cpu": float, "memory": str, "ephemeralStorage": str}
FLINK_SPEC = {
    "image": str,
    "imagePullPolicy": str,
    "flinkVersion": str,
    "mode": str,
    "serviceAccount": str,
    "flinkConfiguration": dict,
    "logConfiguration": dict,
    "ingress": dict,
    "job": dict,
    "restartNonce": int,
    "podTemplate": dict,
    "jobManager": {"resource": RESOURCE, "replicas": int, "podTemplate": dict},
    "taskManager": {"resource": RESOURCE, "replicas": int, "podTemplate": dict},
}
OURS = "obbligato:0.1.0"


def _core() -> list[Any]:
    found = [(path.name, document) for path in m.MANIFESTS for document in m.documents(path)]
    return [
        pytest.param(d, id=f"{name}-{d['kind']}-{d['metadata']['name']}")
        for name, d in found
        if d["kind"] != "FlinkDeployment"
    ]


@pytest.mark.parametrize("document", _core())
def test_every_manifest_is_what_kubernetes_documents(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_the_jobs_that_are_made_on_the_fly_are_what_kubernetes_documents() -> None:
    kubernetes_validate.validate(m.submitted_job(), KUBERNETES, strict=True)
    kubernetes_validate.validate(m.rendered_pool(), KUBERNETES, strict=True)


def _undocumented(given: dict[str, Any], documented: dict[str, Any], where: str) -> list[str]:
    wrong = []
    for key, value in given.items():
        kind = documented.get(key)
        if kind is None:
            wrong.append(f"{where}.{key}")
        elif isinstance(kind, dict):
            wrong += _undocumented(value, kind, f"{where}.{key}")
        elif not isinstance(value, (int, float) if kind is float else kind):
            wrong.append(f"{where}.{key}: {value!r}")
    return wrong


def test_the_flink_deployment_uses_only_documented_fields_and_valid_pod_templates() -> None:
    deployment = m.named(m.INFRA / "flink/operator.yaml", "FlinkDeployment", "obbligato-flink")
    assert deployment["apiVersion"] == "flink.apache.org/v1beta1"
    assert _undocumented(deployment["spec"], FLINK_SPEC, "spec") == []
    assert all(
        isinstance(value, str) for value in deployment["spec"]["flinkConfiguration"].values()
    )
    assert deployment["spec"]["mode"] in ("native", "standalone")
    templates = [
        part["podTemplate"] for part in m.inner(deployment["spec"]) if "podTemplate" in part
    ]
    assert len(templates) == 2
    for template in templates:
        pod = {
            "apiVersion": "v1",
            "kind": "PodTemplate",
            "metadata": {"name": "pod"},
            "template": template,
        }
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)


def test_an_unknown_flink_field_is_noticed() -> None:
    assert _undocumented({"jobManager": {"resources": {}}}, FLINK_SPEC, "spec") == [
        "spec.jobManager.resources"
    ]


def test_worker_pools_listen_where_pipelines_are_told_to_look() -> None:
    looked_for = "environment_config=localhost:50000"
    assert looked_for in m.submitted_job()["spec"]["template"]["spec"]["containers"][0]["args"]
    assert looked_for in (m.INFRA / "spark/run.sh").read_text()
    pools = [
        c
        for name in ("cluster", "operator")
        for c in m.containers(m.documents(m.INFRA / f"flink/{name}.yaml"))
        if c["name"] == "worker-pool"
    ]
    assert len(pools) == 2
    for pool in pools:
        assert pool["args"][2:] == [
            "-m",
            "pipelines.beam.worker_pool",
            "--port=50000",
            "--host=0.0.0.0",
            "--boot=/opt/apache/beam/boot",
        ]
        assert pool["ports"] == [{"name": "pool", "containerPort": 50000}]


def test_each_slot_has_a_python_worker_and_a_cpu() -> None:
    cluster = m.INFRA / "flink/cluster.yaml"
    properties = m.named(cluster, "ConfigMap", "flink-properties")["data"]["FLINK_PROPERTIES"]
    configuration = dict(line.split(": ") for line in properties.splitlines())
    managers = m.named(cluster, "Deployment", "flink-taskmanager")
    args = m.submitted_job()["spec"]["template"]["spec"]["containers"][0]["args"]
    slots = configuration["taskmanager.numberOfTaskSlots"]
    assert f"sdk_worker_parallelism={slots}" in args
    assert m.containers(managers)[1]["resources"]["requests"]["cpu"] == slots
    assert configuration["parallelism.default"] == str(managers["spec"]["replicas"] * int(slots))
    assert f"parallelism={configuration['parallelism.default']}" in args
    operator = m.named(m.INFRA / "flink/operator.yaml", "FlinkDeployment", "obbligato-flink")[
        "spec"
    ]["flinkConfiguration"]
    assert configuration["restart-strategy.type"] == "fixed-delay"
    assert int(configuration["restart-strategy.fixed-delay.attempts"]) >= 3
    assert {key: configuration[key] for key in operator if key != "web.submit.enable"} == {
        key: value for key, value in operator.items() if key != "web.submit.enable"
    }


def test_services_have_the_names_and_ports_that_others_call() -> None:
    flink = m.INFRA / "flink"
    (server,) = m.containers(m.named(flink / "job-server.yaml", "Deployment", "beam-job-server"))
    service = m.named(flink / "job-server.yaml", "Service", "beam-job-server")["spec"]
    assert {
        f"--job-port={service['ports'][0]['port']}",
        f"--artifact-port={service['ports'][1]['port']}",
    } <= set(server["args"])
    assert (
        "job_endpoint=beam-job-server:8099"
        in m.submitted_job()["spec"]["template"]["spec"]["containers"][0]["args"]
    )
    assert "--flink-master=flink-jobmanager:8081" in server["args"]
    for name in ("cluster", "operator"):
        assert 8081 in [
            port["port"]
            for port in m.named(flink / f"{name}.yaml", "Service", "flink-jobmanager")["spec"][
                "ports"
            ]
        ]


def test_services_and_policies_select_pods_that_exist() -> None:
    everything = [document for path in m.MANIFESTS for document in m.documents(path)]
    labels = [
        part["metadata"]["labels"]
        for part in m.inner([*everything, m.submitted_job()])
        if "labels" in part.get("metadata", {})
    ]
    # what the operator gives, after the deployment's name
    labels.append({"app": "obbligato-flink", "component": "jobmanager"})
    elsewhere = {"app.kubernetes.io/name": "flink-kubernetes-operator"}
    wanted = [d["spec"]["selector"] for d in everything if d["kind"] == "Service"]
    policies = [d for d in everything if d["kind"] == "NetworkPolicy"]
    wanted += [
        part["podSelector"]["matchLabels"] for part in m.inner(policies) if "podSelector" in part
    ]
    assert len(wanted) >= 8
    assert [
        w for w in wanted if w != elsewhere and not any(w.items() <= has.items() for has in labels)
    ] == []


def test_no_port_is_open_to_all_and_the_worker_pools_to_no_one() -> None:
    rules = [
        rule for d in m.documents(m.INFRA / "flink/network.yaml") for rule in d["spec"]["ingress"]
    ]
    assert all(rule["from"] for rule in rules)
    assert {port["port"] for rule in rules for port in rule["ports"]} == {
        6121,
        6122,
        6123,
        6124,
        8081,
        8099,
        8098,
    }


def test_our_pods_are_not_root_cannot_write_their_image_and_have_no_capabilities() -> None:
    documents = [
        *(d for path in m.MANIFESTS for d in m.documents(path)),
        m.submitted_job(),
        m.rendered_pool(),
    ]
    ours = [
        (pod, c) for pod in m.pods(documents) for c in pod["containers"] if c.get("image") == OURS
    ]
    assert len(ours) == 6
    for pod, container in ours:
        assert pod["securityContext"]["runAsNonRoot"]
        context = container["securityContext"]
        assert (
            context["readOnlyRootFilesystem"],
            context["allowPrivilegeEscalation"],
            context["capabilities"]["drop"],
        ) == (
            True,
            False,
            ["ALL"],
        )
        assert {"name": "scratch", "mountPath": "/tmp"} in container["volumeMounts"]
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
    for container in m.containers(documents):
        assert container["name"] == "flink-main-container" or container["securityContext"][
            "capabilities"
        ]["drop"] == ["ALL"]


def test_the_prefect_worker_may_touch_jobs_and_read_pods_and_nothing_else() -> None:
    role = m.named(m.INFRA / "kubernetes/worker.yaml", "Role", "prefect-worker")
    assert {r: set(rule["verbs"]) for rule in role["rules"] for r in rule["resources"]} == {
        "jobs": {"create", "get", "list", "watch", "patch", "delete"},
        "pods": {"get", "list", "watch"},
        "pods/log": {"get"},
    }


def test_pools_refer_only_to_variables_they_declare_and_use_every_one() -> None:
    for path in sorted(m.INFRA.glob("kubernetes/pool-*.json")):
        pool = json.loads(path.read_text())
        text = json.dumps(pool["job_configuration"])
        used = {piece.split(" }}")[0] for piece in text.split("{{ ")[1:]}
        assert used == pool["variables"]["properties"].keys(), path.name


def test_secrets_come_from_one_named_secret_each() -> None:
    documents = [
        *(d for path in m.MANIFESTS for d in m.documents(path)),
        m.submitted_job(),
        m.rendered_pool(),
    ]
    references = [part["secretKeyRef"] for part in m.inner(documents) if "secretKeyRef" in part]
    assert {(r["name"], r["key"]) for r in references} == {
        ("obbligato-s3", "access-key-id"),
        ("obbligato-s3", "secret-access-key"),
        ("obbligato-s3", "endpoint-url"),
        ("obbligato-prefect", "api-url"),
        ("obbligato-prefect", "auth-string"),
    }
