"""`import`, `train --from`, `export`: a published model, trained on and handed on."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from tests.support.running import obbligato
from tests.training.published.layouts import mustango, small_t5
from tests.training.runs import corpus
from training.munet.config import MuNetConfig
from training.run.checkpoints import find_checkpoint
from training.run.recipe import TrainRecipe

SMALL = {
    "run.steps": 1,
    "run.compile": "false",
    "run.precision": "fp32",
    "run.played": 0,
    "run.survey": 4,
    "data.batch": 2,
    "data.micro_batch": 2,
    "data.workers": 0,
    "data.seconds": 1,
    "data.validation": 0,
}
SETTINGS = [part for knob, value in SMALL.items() for part in ("--set", f"{knob}={value}")]


@pytest.fixture(autouse=True, scope="module")
def uncounted() -> Iterator[None]:
    """Operations are not counted: it takes longer than these runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.run.loop.flops_per_sample", lambda *_: 1e9)
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published model, a corpus, and a run that began with the one and learned from the other."""
    folder = tmp_path_factory.mktemp("place")
    mustango(folder / "mustango", small_t5(folder / "t5"))
    corpus(folder / "shards", songs=4, latents=False)
    begin = ("--from", folder / "mustango", "--out", folder / "run")
    made = obbligato("train", folder / "shards", *begin, *SETTINGS)
    assert made.returncode == 0, made.stderr
    assert "imported mustango into" in made.stdout
    return folder


def test_a_published_model_is_a_run_with_its_licence_on_the_card(place: Path) -> None:
    made = obbligato("import", place / "mustango", "--out", place / "imported", "--json")
    said = json.loads(made.stdout)
    assert (said["name"], said["licence"]) == ("mustango", "cc-by-nc-sa-4.0")
    card = (place / "imported/README.md").read_text()
    assert "imported by Obbligato" in card
    assert f"- **mustango**, cc-by-nc-sa-4.0, sha256 `{said['sha256']}`" in card
    again = obbligato("import", place / "mustango", "--out", place / "imported")
    assert (again.returncode, "is not empty" in again.stderr) == (1, True)
    going_on = obbligato("train", place / "shards", "--out", place / "imported", *SETTINGS)
    assert going_on.returncode == 1


def test_a_child_goes_by_its_parent_s_recipe_and_names_it(place: Path) -> None:
    last = find_checkpoint(str(place / "run"))
    recipe = last.record("recipe.json", TrainRecipe)
    assert isinstance(recipe.model, MuNetConfig)
    assert recipe.model.widths == (16, 32)
    assert recipe.run.start_from == str(place / "run/parent")
    assert [one.name for one in last.state().parents] == ["mustango", "mustango, imported"]
    card = (place / "run/README.md").read_text()
    assert "weights of mustango, which this model began as: cc-by-nc-sa-4.0" in card
    # the same command goes on, without another import
    again = obbligato(
        "train", place / "shards", "--from", place / "mustango", "--out", place / "run", *SETTINGS
    )
    assert "all 1 steps are done" in again.stdout
    both = obbligato(
        "train", place / "shards", "--from", place / "run", "--preset", "tiny", "--out", place / "x"
    )
    assert (both.returncode, "has a recipe of its own" in both.stderr) == (2, True)


def test_an_adapter_is_exported_whole_with_a_card_that_a_hub_reads(place: Path) -> None:
    begin = ("--from", place / "run", "--out", place / "lora", "--set", "adapter.rank=2")
    assert obbligato("train", place / "shards", *begin, *SETTINGS).returncode == 0
    refused = obbligato("export", place / "lora", "--out", place / "out", "--licence", "mit")
    assert (refused.returncode, "not yours to make mit" in refused.stderr) == (1, True)
    made = obbligato("export", place / "lora", "--out", place / "out")
    assert made.returncode == 0, made.stderr
    card = ModelCard.load(place / "out/README.md")
    assert card.data.license == "cc-by-nc-sa-4.0"
    assert card.data.pipeline_tag == "text-to-audio"
    assert "**run**" in card.text
    assert str(place) not in (place / "out/README.md").read_text()
    assert str(place) not in (place / "out/model.json").read_text()


def test_a_parent_that_names_what_nobody_has_named_by_hand_is_refused(place: Path) -> None:
    """What a model's own files say of where its text is read is data."""
    folder = place / "foreign"
    mustango(folder, Path("somebody/their-t5"))
    made = obbligato("train", place / "shards", "--from", folder, "--out", place / "y", *SETTINGS)
    assert made.returncode == 1
    assert "obbligato trust" in made.stderr
    assert "text.source=somebody/their-t5" in made.stderr
