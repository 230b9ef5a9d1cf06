"""What tests of infra/ share: its files, read."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

INFRA = Path(__file__).parents[2] / "infra"
CONSTRAINTS = dict(
    line.split("==") for line in (INFRA / "constraints.txt").read_text().split() if "==" in line
)
BEAM = CONSTRAINTS["apache-beam"]
MANIFESTS = sorted([*INFRA.glob("flink/*.yaml"), *INFRA.glob("kubernetes/*.yaml")])
SCRIPTS = sorted(INFRA.rglob("*.sh"))


def documents(path: Path) -> list[dict[str, Any]]:
    """The documents of a YAML file."""
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def named(path: Path, kind: str, name: str) -> dict[str, Any]:
    """The one document of this kind and name."""
    return next(
        found
        for found in documents(path)
        if (found["kind"], found["metadata"]["name"]) == (kind, name)
    )


def inner(value: Any) -> Iterator[dict[str, Any]]:
    """Every mapping inside a document."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from inner(part)


def containers(document: Any) -> list[dict[str, Any]]:
    """Every container of every pod in a document."""
    return [container for part in inner(document) for container in part.get("containers", [])]


def pods(document: Any) -> list[dict[str, Any]]:
    """Every pod's specification in a document."""
    return [part for part in inner(document) if "containers" in part]


def images() -> dict[str, list[str]]:
    """Images by the file that names them."""
    found = {
        path.name: [c["image"] for c in containers(documents(path)) if "image" in c]
        for path in MANIFESTS
    }
    found["compose.yaml"] = [service["image"] for service in compose()["services"].values()]
    pools = sorted(INFRA.glob("kubernetes/pool-*.json"))
    return found | {
        path.name: [json.loads(path.read_text())["variables"]["properties"]["image"]["default"]]
        for path in pools
    }


def compose() -> dict[str, Any]:
    """The compose file."""
    found: dict[str, Any] = yaml.safe_load((INFRA / "compose.yaml").read_text())
    return found


def submitted_job() -> dict[str, Any]:
    """The Job that infra/flink/submit.sh would create."""
    command = [str(INFRA / "flink/submit.sh"), "s3://music", "--out", "s3://corpus"]
    done = subprocess.run(
        command, env={**os.environ, "DRY_RUN": "1"}, capture_output=True, text=True, check=True
    )
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def rendered_pool() -> dict[str, Any]:
    """The Job of the Kubernetes pool with every variable at its default, as Prefect would fill it
    in.
    """
    pool = json.loads((INFRA / "kubernetes/pool-kubernetes.json").read_text())
    values = {
        name: variable["default"] for name, variable in pool["variables"]["properties"].items()
    }
    values |= {"name": "a-flow-run", "command": ["prefect", "flow-run", "execute"]}
    job: dict[str, Any] = _filled(pool["job_configuration"]["job_manifest"], values)
    return job


def _filled(template: Any, values: dict[str, Any]) -> Any:
    if isinstance(template, dict):
        filled = {key: _filled(value, values) for key, value in template.items()}
        return {key: value for key, value in filled.items() if value is not None}
    if isinstance(template, list):
        return [_filled(value, values) for value in template]
    if isinstance(template, str) and template.startswith("{{ "):
        name, _, rest = template[3:].partition(" }}")
        return f"{values[name]}{rest}" if rest else values[name]
    return template
