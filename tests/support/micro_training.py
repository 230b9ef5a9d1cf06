"""The smallest training there is, for tests that run the whole command."""

import json
from collections.abc import Sequence
from pathlib import Path

from tests.pipelines.shards.shard_samples import our_sample, write_build

SETTINGS = (
    "model.width=16",
    "model.depth=1",
    "model.head_width=8",
    "model.control_width=8",
    "data.seconds=1",
    "data.batch=2",
    "data.micro_batch=1",
    "data.workers=0",
    "data.validation=2",
    "text.cache_mb=50",
    "optim.warmup_steps=0",
    "run.log_every=1",
    "run.validate_every=1000",
    "run.played=0",
)
NAMED = {
    "name": "Airs",
    "obbligato": "0.0.9",
    "licences": {"sources": {"CC-BY-4.0": 1}, "tools": {"madmom": "CC-BY-NC-SA-4.0"}},
}


def corpus(folder: Path) -> Path:
    """A build of four samples, which says its name and licences."""
    write_build(folder, *[our_sample(variant) for variant in ("orig", "pd1", "pu1", "s1")])
    file = folder / "dataset.json"
    file.write_text(json.dumps(NAMED | json.loads(file.read_text())))
    return folder


def as_options(settings: Sequence[str] = SETTINGS) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]
