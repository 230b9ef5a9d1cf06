"""A training recipe that takes a second, on shards of a few kilobytes, for tests."""

import json
from pathlib import Path

from tests.training.data.shards import write_shard
from training.conditions import CONTROLS, Condition
from training.dit.config import DitConfig
from training.munet.config import MuNetConfig
from training.nets import NetConfig
from training.run.presets import ready_recipe
from training.run.recipe import TrainRecipe

NET = MuNetConfig(
    latent_channels=64,
    widths=(16, 16),
    attended=(False, True),
    layers=1,
    head_width=8,
    norm_groups=4,
    text_width=384,
    control_width=16,
    rows=CONTROLS,
    row_width=8,
    frame_rate_hz=8.0,
)
DIT = DitConfig(
    latent_channels=64,
    latent_bands=8,
    width=32,
    depth=2,
    head_width=8,
    text_width=384,
    control_width=16,
    controls=(Condition.CHORDS,),
    rows=CONTROLS,
    row_width=8,
    frame_rate_hz=8.0,
)


def corpus(folder: Path, *, songs: int = 12, latents: bool = True) -> Path:
    """A folder of shards: train and, of four songs, validation."""
    write_shard(folder / "train-00000.tar", range(songs // 2), latents=latents)
    write_shard(folder / "train-00001.tar", range(songs // 2, songs), latents=latents)
    write_shard(
        folder / "validation-00000.tar",
        range(songs, songs + 4),
        latents=latents,
        split="validation",
    )
    return folder


def edited(checkpoint: Path, name: str, old: str, new: str) -> None:
    """Change a file of a checkpoint, as somebody does by hand who takes its hash and the seal out
    of state.json too.
    """
    file, state = checkpoint / name, json.loads((checkpoint / "state.json").read_text())
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    del state["files"][name], state["files"]["state.json"]
    (checkpoint / "state.json").write_text(json.dumps(state))


def settings(**knobs: object) -> dict[str, dict[str, object]]:
    """Knobs of a recipe by section, such as ``run__steps=6``."""
    out: dict[str, dict[str, object]] = {}
    for name, value in knobs.items():
        section, _, knob = name.partition("__")
        out.setdefault(section, {})[knob] = value
    return out


def recipe(shards: Path, net: NetConfig = NET, /, **knobs: object) -> TrainRecipe:
    """A small run on a corpus: six steps of four samples, an epoch being twelve, or what the knobs
    say. A transformer learns a flow, as in its presets.
    """
    small: dict[str, object] = {
        "run__steps": 6,
        "run__log_every": 1,
        "run__checkpoint_every": 3,
        "run__validate_every": 100,
        "run__played": 0,
        "data__shards": (str(shards),),
        "data__batch": 4,
        "data__micro_batch": 2,
        "data__seconds": 2.0,
        "data__workers": 0,
        "data__validation": 4,
        "text__cache_mb": 8,
        "optim__lr": 1e-2,
        "optim__warmup_steps": 2,
        "optim__ema": 0.5,
    }
    preset = "tiny" if isinstance(net, DitConfig) else "tiny-munet"
    made = ready_recipe(preset).replaced(model=net)
    for section, values in settings(**(small | knobs)).items():
        made = made.replaced(**{section: getattr(made, section).replaced(**values)})
    return made
