"""One name, one thing: who reads `Report` need not ask which of two it is."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("schemas", "pipelines", "training", "flows")


def classes() -> dict[str, list[str]]:
    """The modules that define each class, by its name without a leading underscore."""
    found: dict[str, list[str]] = defaultdict(list)
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            module = str(path.relative_to(ROOT))
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    found[node.name.lstrip("_")].append(module)
    return found


def test_classes_are_found() -> None:
    found = classes()
    assert found["Recipe"] == ["schemas/recipe.py"]
    assert len(found) > 600


def test_no_two_classes_share_a_name() -> None:
    twice = {name: modules for name, modules in classes().items() if len(modules) > 1}
    assert not twice, "\n".join(f"{name}: {', '.join(at)}" for name, at in sorted(twice.items()))
