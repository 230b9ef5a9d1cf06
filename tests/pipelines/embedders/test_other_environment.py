"""A plug-in whose packages break ours lives in an environment of its own, where its embedder's
child runs.
"""

import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines.embedders.child import EmbeddedClip, SourceExcerpt, embed_excerpts
from pipelines.embedders.recipe_embedder import description, embedder_child
from pipelines.engine.child_process import CHILDREN
from pipelines.errors import PipelineError
from schemas.label_recipe import LabelRecipe
from schemas.recipe import LimitsRecipe, Recipe
from tests.support.melodies import RATE_HZ, melody

ROOT = Path(__file__).parents[3]
ENTRY = "[obbligato.embedders]\nelsewhere = tests.support.plug_ins.plain_embedder\n"


@pytest.fixture
def python(tmp_path: Path) -> str:
    """The interpreter of an environment in which alone the plug-in is installed."""
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True
    )
    packages = Path(
        sysconfig.get_path(
            "purelib", "venv", {"base": str(tmp_path / "env"), "platbase": str(tmp_path / "env")}
        )
    )
    (packages / "ours.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n")
    info = packages / "elsewhere-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1\n")
    (info / "entry_points.txt").write_text(ENTRY)
    return str(tmp_path / "env/bin/python")


def test_its_embedder_describes_itself_and_embeds_from_there(python: str, tmp_path: Path) -> None:
    recipe = LabelRecipe(embedder="elsewhere", python=python)
    soundfile.write(tmp_path / "a.wav", melody(0, 5), RATE_HZ)
    try:
        assert description(Recipe(label=recipe)).dimension == 32
        with embedder_child(recipe, LimitsRecipe()) as child:
            [made] = child.run(
                embed_excerpts, [SourceExcerpt(str(tmp_path / "a.wav"), 0, 5, None)], recipe
            )
    finally:
        CHILDREN.close()
    assert isinstance(made, EmbeddedClip)
    assert np.linalg.norm(made.vector) == pytest.approx(1, abs=1e-5)
    assert len(made.fingerprint) == 100


def test_here_the_same_plug_in_is_unknown() -> None:
    with pytest.raises(
        PipelineError, match=r"no embedder called 'elsewhere': expected bridge, clap"
    ):
        description(Recipe(label=LabelRecipe(embedder="elsewhere")))


def test_an_interpreter_that_is_not_there_is_named() -> None:
    with pytest.raises(PipelineError, match="interpreter /no/python cannot be started"):
        description(Recipe(label=LabelRecipe(python="/no/python")))
