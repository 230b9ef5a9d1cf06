"""Writes Flink's manifests from one description: `make manifests`.

    python infra/flink/manifests.py

Values stand in description.toml and infra/cluster/versions.env, and what is around them in
templates/. What is written is committed, so that `kubectl apply -f` needs nothing of this;
tests/infra makes it again and compares.
"""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import Field

from schemas.record import Record

_HERE: Final = Path(__file__).parent
_INFRA: Final = _HERE.parent
_WRITTEN: Final = {  # by template; worker-pool.yaml is a part of others
    "cluster.yaml": "flink/cluster.yaml",
    "operator.yaml": "flink/operator.yaml",
    "job-server.yaml": "flink/job-server.yaml",
    "network.yaml": "flink/network.yaml",
    "one-machine.yaml": "cluster/flink.yaml",
}
Port = Annotated[int, Field(gt=0, lt=2**16)]
Count = Annotated[int, Field(gt=0)]
Memory = Annotated[str, Field(pattern=r"^\d+[MG]i$")]  # as Kubernetes writes it


class Ports(Record):
    """Where Flink, Beam's job server and the worker pools listen."""

    task_data: Port
    task_calls: Port
    job_calls: Port
    job_files: Port
    rest: Port
    job_server: Port
    artifacts: Port
    pool: Port


class Description(Record):
    """What the manifests have in common; unknown names are refused."""

    image: str
    flink_build: str
    task_managers: Count
    slots: Count
    job_manager_mib: Count
    job_manager_limit_mib: Count
    task_manager_mib: Count
    task_manager_limit_mib: Count
    pool_memory: Memory
    pool_memory_limit: Memory
    pool_scratch: Memory
    ports: Ports
    everywhere: dict[str, str]

    @property
    def on_kubernetes(self) -> dict[str, str]:
        """Settings of Flink where Kubernetes runs it, by whoever's hand."""
        return {
            "jobmanager.rpc.port": str(self.ports.job_calls),
            "blob.server.port": str(self.ports.job_files),
            "taskmanager.rpc.port": str(self.ports.task_calls),
            "taskmanager.data.port": str(self.ports.task_data),
            "taskmanager.numberOfTaskSlots": str(self.slots),
            "parallelism.default": str(self.task_managers * self.slots),
            **self.everywhere,
        }


def described() -> Description:
    """What description.toml says. Raises `ValueError` naming what is wrong."""
    return Description.model_validate(tomllib.loads((_HERE / "description.toml").read_text()))


def versions() -> dict[str, str]:
    """The engines' versions by their lower-case names: ``beam``, ``flink``, ``spark``."""
    lines = (_INFRA / "cluster/versions.env").read_text().splitlines()
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name.removesuffix("_VERSION").lower(): value for name, _, value in pairs}


def manifests(description: Description) -> Iterator[tuple[Path, str]]:
    """Each file that is written, and its content."""
    templates = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        undefined=StrictUndefined,
        variable_start_string="${",
        variable_end_string="}",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    engines = versions()
    for template, written in _WRITTEN.items():
        text = templates.get_template(template).render(
            dict(description),
            on_kubernetes=description.on_kubernetes,
            versions=engines,
            flink_minor=engines["flink"].rpartition(".")[0],
            flink_image=f"flink:{engines['flink']}-{description.flink_build}",
        )
        yield _INFRA / written, text


if __name__ == "__main__":
    try:
        files = dict(manifests(described()))
    except ValueError as error:  # of TOML, or of what a name may hold
        sys.exit(f"infra/flink/description.toml: {error}")
    for file, text in files.items():
        file.write_text(text)
