"""Flink's manifests are what their one description gives."""

import runpy
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from pydantic import ValidationError

from tests.infra import manifests as m

GENERATOR: Final = runpy.run_path(str(m.INFRA / "flink/manifests.py"))
DESCRIBED: Final = GENERATOR["described"]()


def made(**changes: Any) -> dict[Path, str]:
    """The files of the description with some values changed."""
    return dict(GENERATOR["manifests"](DESCRIBED.replaced(**changes)))


def test_the_files_that_users_apply_are_those_that_make_manifests_writes() -> None:
    files = made()
    assert {str(file.relative_to(m.INFRA)) for file in files} == {
        "flink/cluster.yaml",
        "flink/operator.yaml",
        "flink/job-server.yaml",
        "flink/network.yaml",
        "cluster/flink.yaml",
    }
    for file, text in files.items():
        assert file.read_bytes() == text.encode(), f"{file.name} differs: make manifests"


def test_what_the_description_says_is_said_by_every_file_that_needs_it() -> None:
    ports = DESCRIBED.ports.replaced(pool=50_001, rest=8_082)
    files = made(image="obbligato:9.9.9", task_managers=3, slots=2, ports=ports)
    texts = {file.name: text for file, text in files.items() if file.parent.name == "flink"}
    everything = [one for text in texts.values() for one in yaml.safe_load_all(text)]
    pools = [c for c in m.containers(everything) if c["name"] == "worker-pool"]
    assert [
        (pool["image"], pool["args"][4], pool["resources"]["requests"]["cpu"]) for pool in pools
    ] == [("obbligato:9.9.9", "--port=50001", "2")] * 2
    for name in ("cluster.yaml", "operator.yaml"):
        assert "port: 8082" in texts[name]
        configured = texts[name].replace('"', "")
        assert "taskmanager.numberOfTaskSlots: 2\n" in configured
        assert "parallelism.default: 6\n" in configured
    assert "--flink-master=flink-jobmanager:8082" in texts["job-server.yaml"]
    assert not [name for name, text in texts.items() if "50000" in text or "8081" in text]


def test_how_flink_starts_again_is_the_same_on_a_cluster_and_on_one_machine() -> None:
    everywhere = {**DESCRIBED.everywhere, "restart-strategy.fixed-delay.attempts": "7"}
    texts = [text.replace('"', "") for text in made(everywhere=everywhere).values()]
    said = [text.count("restart-strategy.fixed-delay.attempts: 7\n") for text in texts]
    assert sorted(said) == [0, 0, 1, 1, 1]


def test_a_name_that_is_misspelt_and_a_port_that_is_none_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"slot\n.*Extra inputs are not permitted"):
        DESCRIBED.replaced(slot=2)
    with pytest.raises(ValidationError, match="less than 65536"):
        DESCRIBED.ports.replaced(pool=65_536)
