"""A released transformer as a run of ours: rows on it are trained by the usual commands."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AceStepTransformer1DModel, StableAudioDiTModel, StableAudioProjectionModel

from tests.training.published.layouts import write_vae
from tests.training.run.test_loop import silent
from training.conditions import Condition
from training.errors import TrainingError
from training.published.exporting import export_model
from training.published.importing import import_published
from training.run.checkpoints import find_checkpoint
from training.run.loop import train
from training.run.recipe import TrainRecipe
from training.run.warm_start import played_weights

FRAME = 64 * 8  # numbers of a frame of `mel`
TEXT = 384  # MiniLM's


def stable_audio(folder: Path) -> Path:
    torch.manual_seed(0)
    transformer = StableAudioDiTModel(
        in_channels=FRAME,
        out_channels=FRAME,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=2,
        num_key_value_attention_heads=1,
        cross_attention_dim=16,
        cross_attention_input_dim=16,
        time_proj_dim=16,
        global_states_input_dim=32,
    )
    transformer.save_pretrained(folder / "transformer")
    StableAudioProjectionModel(TEXT, 16, 0, 64).save_pretrained(folder / "projection_model")
    return folder


def ace_step(folder: Path) -> Path:
    torch.manual_seed(0)
    AceStepTransformer1DModel(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        in_channels=3 * FRAME,
        audio_acoustic_hidden_dim=FRAME,
        encoder_hidden_size=TEXT,
    ).save_pretrained(folder / "transformer", max_shard_size="60KB")
    return folder


def child(run: Path, shards: Path) -> TrainRecipe:
    theirs = find_checkpoint(str(run)).record("recipe.json", TrainRecipe)
    small: dict[str, Any] = {
        "run": {"steps": 2, "start_from": str(run), "compile": False, "precision": "fp32"},
        "data": {"shards": (str(shards),), "batch": 2, "micro_batch": 2, "workers": 0},
        "model": {"rows": (Condition.CHORDS,), "row_width": 8},
        "adapter": {"frozen": ("loaded",)},
        "optim": {"lr": 1e-2},
    }
    small["run"] |= {"played": 0, "survey": 4}
    small["data"] |= {"seconds": 1.0, "validation": 0}
    made = {section: getattr(theirs, section).replaced(**knobs) for section, knobs in small.items()}
    return theirs.replaced(**made)


@pytest.mark.parametrize("make", [stable_audio, ace_step])
def test_rows_are_trained_on_it_and_it_stays(tmp_path: Path, shards: Path, make: Any) -> None:
    made = import_published(
        str(make(tmp_path / "released")), str(tmp_path / "run"), codec="mel", text="minilm"
    )
    base = find_checkpoint(str(tmp_path / "run")).weights("ema.safetensors")
    assert made.parameters == sum(value.numel() for value in base.values())
    train(child(tmp_path / "run", shards), str(tmp_path / "child"), silent)
    last = find_checkpoint(str(tmp_path / "child"))
    own, played = last.weights("adapter.safetensors"), played_weights(last)
    assert {name.split(".")[1] for name in own} == {"rows"}
    assert any(value.any() for name, value in own.items() if ".into." in name)
    assert all(torch.equal(value, played[name]) for name, value in base.items())
    assert last.state().parents[0].name == "released"
    handed_on = export_model(str(tmp_path / "child"), str(tmp_path / "out"))
    assert (handed_on.opened_by, handed_on.rest) == ("", ("released",))
    import_published(str(tmp_path / "out"), str(tmp_path / "back"))
    back = find_checkpoint(str(tmp_path / "back")).weights("ema.safetensors")
    assert all(torch.equal(value, back[name]) for name, value in played.items())


def test_all_of_it_is_trained_where_nothing_is_frozen_its_tables_aside(
    tmp_path: Path, shards: Path
) -> None:
    import_published(
        str(stable_audio(tmp_path / "released")), str(tmp_path / "run"), codec="mel", text="minilm"
    )
    chosen = child(tmp_path / "run", shards)
    chosen = chosen.replaced(adapter=chosen.adapter.replaced(frozen=()))
    train(chosen, str(tmp_path / "child"), silent)
    base = find_checkpoint(str(tmp_path / "run")).weights("ema.safetensors")
    after = find_checkpoint(str(tmp_path / "child")).weights("model.safetensors")
    same = {name for name, value in base.items() if torch.equal(value, after[name])}
    assert same == {"released.base.time_proj.weight"}


def test_what_a_transformer_does_not_bring_must_be_named(tmp_path: Path) -> None:
    folder = str(stable_audio(tmp_path / "released"))
    with pytest.raises(TrainingError, match=r"name the codec.*import --codec … --text"):
        import_published(folder, str(tmp_path / "run"))
    write_vae(tmp_path / "audioldm")
    import_published(str(tmp_path / "audioldm"), str(tmp_path / "codec"))
    other = f"audioldm={tmp_path / 'codec'}"
    config = tmp_path / "released/transformer/config.json"
    stated = json.loads(config.read_text())
    for knob, reason in (
        ({"num_layers": 10**5}, "more than 256 blocks"),
        ({"num_attention_heads": 10**9}, "as large as this one"),
        ({"in_channels": None}, "is shaped by in_channels"),
    ):
        config.write_text(json.dumps(stated | knob))
        with pytest.raises(TrainingError, match=reason):
            import_published(folder, str(tmp_path / "run"), codec="mel", text="minilm")
    config.write_text(json.dumps(stated))
    with pytest.raises(TrainingError, match=r"frames of 512 numbers, not of 4 channels in 4 bands"):
        import_published(folder, str(tmp_path / "run"), codec=other, text="minilm")
