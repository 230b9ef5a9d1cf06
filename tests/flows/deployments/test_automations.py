"""Which flows a server watches: all that it is given to run."""

import importlib

import yaml
from prefect import Flow

from flows.deployments.automations import automations, our_flows
from tests.support.building import ROOT


def test_every_deployed_flow_is_watched() -> None:
    deployments = yaml.safe_load((ROOT / "infra/prefect/prefect.yaml").read_text())["deployments"]
    paths = [deployment["entrypoint"].rpartition(".") for deployment in deployments]
    found = [getattr(importlib.import_module(module), name) for module, _, name in paths]
    assert all(isinstance(flow, Flow) for flow in found)
    assert sorted(flow.name for flow in found) == our_flows()


def test_runs_of_label_and_encode_are_started_again_too() -> None:
    for automation in automations():
        [ours] = automation.trigger.model_dump()["match_related"]
        assert {"label", "encode", "build-corpus"} <= set(ours["prefect.resource.name"])
