"""What runs before a commit is what `make test` checks beside its tests."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def test_the_hooks_are_the_checks_of_make_test_in_their_order() -> None:
    rules = (ROOT / "Makefile").read_text().partition("\nchecks:")[2].partition("\n\n")[0]
    checks = re.findall(r"^\t\$\(BIN\)/(.+)$", rules, re.MULTILINE)
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    (local,) = config["repos"]
    entries = [
        re.fullmatch(
            r"""bash -c '"\$\{OBBLIGATO_VENV:-\.venv\}/bin/([\w-]+)"(.*)'""", hook["entry"]
        )
        for hook in local["hooks"]
    ]
    hooks = [f"{entry[1]}{entry[2]}" for entry in entries if entry]
    # A hook mends the form of what it is given; `make test` only says that it is wrong.
    assert hooks == [check.replace("ruff format --check", "ruff format") for check in checks]
    assert len(hooks) == 4
    assert not any(hook["pass_filenames"] for hook in local["hooks"])


def test_an_environment_that_is_a_link_is_ignored_too() -> None:
    assert "/.venv" in (ROOT / ".gitignore").read_text().split()
