"""Who is asked for a password, and who keeps the one that they have."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.building import ROOT

PROGRAM = """
from flows.deployments.own_server import guard_own_server
guard_own_server()
guard_own_server()
from prefect.settings import get_current_settings
told = get_current_settings()
for one in (told.server.api.auth_string, told.api.auth_string):
    print(one.get_secret_value() if one else "")
"""


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"PREFECT_API_URL": "http://127.0.0.1:1/api"}, ["", ""]),
        (
            {"PREFECT_API_URL": "http://127.0.0.1:1/api", "PREFECT_API_AUTH_STRING": "me:mine"},
            ["", "me:mine"],
        ),
        (
            {"PREFECT_SERVER_API_AUTH_STRING": "me:mine", "PREFECT_API_AUTH_STRING": "me:mine"},
            ["me:mine", "me:mine"],
        ),
        ({}, None),
    ],
)
def test_a_server_without_a_name_gets_a_new_password_and_a_named_one_keeps_its_own(
    settings: dict[str, str], kept: list[str] | None, tmp_path: Path
) -> None:
    without = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment = {**without, "PREFECT_HOME": str(tmp_path), "PYTHONPATH": str(ROOT), **settings}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    found = done.stdout.split("\n")[:2]
    assert found == kept or (kept is None and found[0] == found[1] and len(found[0]) > 40)
