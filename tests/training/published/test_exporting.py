"""Runs of ours in diffusers' layout: its own classes open them, and import reads them back."""

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    FlowMatchEulerDiscreteScheduler,
    UNet2DConditionModel,
)
from transformers import SpeechT5HifiGan

from tests.training.published.layouts import WIDTH, drawn, tango, weights_of
from tests.training.published.test_importing import STEPS, TIMES, opened, words
from training.conditions import CONTROLS
from training.conditions.beats import batched_beats
from training.conditions.chords import batched_chords
from training.diffusion.model import Conditions, LatentDiffusion
from training.errors import TrainingError
from training.munet.config import MuNetConfig
from training.objectives.diffusion import Diffusion
from training.objectives.flow import FlowConfig
from training.published.exporting import export_model, scheduler_config
from training.published.front_matter import front_matter, licence_of
from training.published.importing import import_published
from training.run import checkpoints
from training.run.checkpoints import find_checkpoint, folder_of
from training.run.model_weights import begin_with
from training.run.recipe import TrainRecipe
from training.run.run_state import Parent

BLIND = MuNetConfig(
    latent_channels=4,
    widths=(32, 64),
    attended=(False, True),
    layers=1,
    head_width=16,
    norm_groups=8,
    text_width=WIDTH,
    controls=(),
)


@pytest.fixture(scope="module")
def with_rows(tmp_path_factory: pytest.TempPathFactory, text: Path) -> Path:
    """A run whose net has frame rows beside what TANGO's has."""
    folder = tmp_path_factory.mktemp("rows")
    tango(folder / "tango", text, BLIND)
    import_published(str(folder / "tango"), str(folder / "run"), licence="cc-by-nc-sa-4.0")
    last = find_checkpoint(str(folder / "run"))
    recipe = last.record("recipe.json", TrainRecipe)
    recipe = recipe.replaced(
        model=recipe.model.replaced(rows=CONTROLS),
        codec=recipe.codec.replaced(vocoder=str(folder / "vocoder")),
    )
    torch.manual_seed(1)
    model = LatentDiffusion(recipe.model, recipe.objective)
    begin_with(model, last.weights("ema.safetensors"))
    documents = {
        "recipe.json": recipe.model_dump(mode="json"),
        "corpus.json": last.json("corpus.json"),
        "state.json": {**last.json("state.json"), "step": 1, "files": {}},
    }
    weights = {name: value.detach() for name, value in model.named_parameters()}
    checkpoints.write(
        last.store, 1, weights={"ema.safetensors": weights}, optimizer=None, documents=documents
    )
    return folder / "run"


def test_diffusers_opens_each_part_and_predicts_what_we_do(with_rows: Path, tmp_path: Path) -> None:
    made, out = export_model(str(with_rows), str(tmp_path / "out")), tmp_path / "out"
    assert made.opened_by == "diffusers"
    index = json.loads((out / "model_index.json").read_text())
    assert index["unet"] == ["diffusers", "UNet2DConditionModel"]
    unet = UNet2DConditionModel.from_pretrained(out, subfolder="unet").eval()
    scheduler = DDPMScheduler.from_pretrained(out, subfolder="scheduler")
    AutoencoderKL.from_pretrained(out, subfolder="vae")
    SpeechT5HifiGan.from_pretrained(out, subfolder="vocoder")
    model, x = opened(with_rows), drawn("latent", 2, 4, 16, 4)
    assert isinstance(model.objective, Diffusion)
    assert torch.allclose(scheduler.alphas_cumprod, model.objective.left, rtol=1e-6)
    assert scheduler.config.prediction_type == "v_prediction"
    nothing = Conditions(words(), batched_beats([None] * 2), batched_chords([None] * 2))
    with torch.no_grad():
        mask_BL = words().mask_BL
        theirs = unet(x, STEPS, words().states_BLD, encoder_attention_mask=mask_BL).sample
        assert theirs.std() > 0.1
        assert (model.predict(x, TIMES, nothing) - theirs).abs().max() < 1e-5


def test_what_was_exported_is_imported_with_the_same_bytes(
    with_rows: Path, imported: Path, tmp_path: Path, text: Path
) -> None:
    for number, (run, step) in enumerate(((with_rows, 1), (imported, 0))):
        out, back = tmp_path / f"out{number}", tmp_path / f"back{number}"
        export_model(str(run), str(out))
        import_published(str(out), str(back), text=str(text))
        files = [
            folder / folder_of(at) / "ema.safetensors" for folder, at in ((run, step), (back, 0))
        ]
        assert files[0].read_bytes() == files[1].read_bytes()
        ours, theirs = (find_checkpoint(str(one)).state().parents for one in (run, back))
        assert [one.sha256 for one in theirs[:-1]] == [one.sha256 for one in ours]
        assert theirs[0].licence == "cc-by-nc-sa-4.0"


def test_a_flow_s_times_are_shifted_for_diffusers_as_for_us() -> None:
    flow = FlowConfig(shift=3.0)
    theirs = FlowMatchEulerDiscreteScheduler.from_config(scheduler_config(flow))
    ours = [flow.shifted(step / 1000, frames=80) for step in range(1000, 0, -1)]
    assert ours[500] == 0.75
    assert theirs.sigmas[:1000].tolist() == pytest.approx(ours, abs=1e-6)
    assert scheduler_config(flow.replaced(target="latent")) == {}  # they know velocities alone


def test_mustango_goes_out_under_the_names_it_came_in(imported: Path, tmp_path: Path) -> None:
    made = export_model(str(imported), str(tmp_path / "out"))
    assert (made.opened_by, made.rest) == ("Mustango's code", ("beats", "chords"))
    held = safetensors.torch.load_file(tmp_path / "out/unet/diffusion_pytorch_model.safetensors")
    theirs = {
        name.removeprefix("unet."): value
        for name, value in weights_of("mustango").items()
        if name.startswith("unet.")
    }
    assert held.keys() == theirs.keys()
    assert all(torch.equal(value, held[name]) for name, value in theirs.items())
    config = json.loads((tmp_path / "out/unet/config.json").read_text())
    assert config["_class_name"] == "UNet2DConditionModelMusic"
    assert config["up_block_types"] == ["UpBlock2D", "CrossAttnUpBlock2DMusic"]


def test_nothing_that_is_handed_on_names_a_folder_of_this_machine(
    with_rows: Path, tmp_path: Path, text: Path
) -> None:
    export_model(str(with_rows), str(tmp_path / "out"))
    written = [file.read_text() for file in (tmp_path / "out").rglob("*.json")]
    assert len(written) == 8
    assert not any(str(folder) in one for folder in (with_rows.parent, text) for one in written)
    with pytest.raises(TrainingError, match="is not empty"):
        export_model(str(with_rows), str(tmp_path / "out"))


def test_the_card_s_head_says_what_a_hub_wants(with_rows: Path, tmp_path: Path) -> None:
    made = export_model(str(with_rows), str(tmp_path / "out"))
    hub = made.parents[0].replaced(address="declare-lab/tango")
    assert front_matter(made._replace(parents=(hub,))).splitlines() == [
        "---",
        "base_model:",
        "- declare-lab/tango",
        "library_name: diffusers",
        "license: cc-by-nc-sa-4.0",
        "pipeline_tag: text-to-audio",
        "tags:",
        "- music",
        "- obbligato",
        *(f"- {control}" for control in CONTROLS),
        "---",
    ]
    ours = front_matter(made._replace(parents=()), "Company licence, 2026")
    assert "license: other\nlicense_name: Company licence, 2026\n" in ours


def test_a_licence_of_others_is_not_given_anew() -> None:
    tango_s = Parent(name="tango", address="x", sha256="", licence="cc-by-nc-sa-4.0")
    assert licence_of([tango_s], "cc-by-nc-sa-4.0") == "cc-by-nc-sa-4.0"
    with pytest.raises(TrainingError, match="not yours to make mit"):
        licence_of([tango_s], "mit")
