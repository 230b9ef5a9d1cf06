"""What dataset.json says of a build so small that a test can hold it."""

from typing import Any

from schemas.dataset import Dataset


def small_dataset(**changes: Any) -> Dataset:
    """A dataset of one input and one sample, but for the fields that are named."""
    return Dataset.model_validate(
        {
            "name": "small",
            "obbligato": "0.1.0",
            "schema_version": 1,
            "splits": {},
            "inputs": {"in": 1, "used": 1},
            "agreement": {},
            "stages": {},
            "samples": {"planned": 1, "written": 1, "rejected": 0, "dead": 0},
            "licences": {"distinct": 0, "sources": {}, "tools": {}},
            "groups": {},
            "tools": {},
            "pseudo_labels": {},
            "latents": {},
            "shards": (),
            **changes,
        }
    )


def listed_shard(number: int, sha256: str) -> dict[str, Any]:
    """A shard of train, as dataset.json lists it."""
    file = f"shards/train-{number:05d}.tar"
    stated = {"count": 1, "bytes": 1, "duration_s": 1.0, "sha256": sha256}
    return {"file": file, "split": "train", **stated}
