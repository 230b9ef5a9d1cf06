"""The manifest for training by hand is the one that the launcher makes; Slurm's script is one that
infra/README.md tells of.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

from flows.launchers import TrainJob
from flows.launchers.kubernetes import KubernetesSettings, manifests
from flows.launchers.slurm import SlurmSettings
from tests.infra import manifests as m


def test_the_training_manifest_is_the_launchers() -> None:
    arguments = ("train", "s3://corpus", "--out", "/data/model", "--preset", "base")
    job = TrainJob(arguments=arguments, out="/data/model", nodes=2, processes=8)
    made = manifests(job, KubernetesSettings(image="obbligato:0.1.0"), "train-model")
    assert m.documents(m.INFRA / "kubernetes/train.yaml") == made


def test_training_takes_the_claim_and_the_secret_that_storage_has() -> None:
    claim = m.named(
        m.INFRA / "kubernetes/storage.yaml", "PersistentVolumeClaim", "obbligato-corpus"
    )["metadata"]["name"]
    assert KubernetesSettings().claim == claim
    assert (
        f"secret generic {KubernetesSettings().secret} "
        in (m.INFRA / "kubernetes/storage.yaml").read_text()
    )


def test_settings_that_the_readme_names_exist() -> None:
    named = set(re.findall(r"--launch '?(\w+)=", (m.INFRA / "README.md").read_text())) - {"key"}
    assert {"partition", "time", "image"} <= named
    assert named <= SlurmSettings.model_fields.keys() | KubernetesSettings.model_fields.keys()


def test_deployments_name_flows_that_are_there_with_parameters_they_take(tmp_path: Path) -> None:
    deployments = yaml.safe_load((m.INFRA / "prefect/prefect.yaml").read_text())["deployments"]
    wanted = {one["entrypoint"]: sorted(one["parameters"]) for one in deployments}
    program = (
        "import importlib, json, sys\n"
        "for entry, names in json.loads(sys.argv[1]).items():\n"
        "    module, _, name = entry.rpartition('.')\n"
        "    flow = getattr(importlib.import_module(module), name)\n"
        "    unknown = set(names) - flow.parameters.properties.keys()\n"
        "    assert not unknown, (entry, unknown)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(m.INFRA.parent), "PREFECT_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program, json.dumps(wanted)], env=environment, check=True)
    assert {
        "flows.deployments.train.train_model",
        "flows.deployments.pipeline.pipeline",
    } <= wanted.keys()
