"""Readers of what trainers are given, written from their loaders and not from our export: names,
types and units of every field, and nothing beside them.
"""

import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple

NOTES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
KEY = re.compile(r"([A-G])([#b]?) (major|minor)")
# what ACE-Step's prompt says beside the caption, in any words of ours or of the tests' sources
APART = re.compile(r"\bBPM\b|per minute|\b(?:major|minor|waltz)\b|\d/\d|to the bar|[Bb]ars? ", re.I)
# acestep/training/dataset_builder_modules/models.py: AudioSample, DatasetMetadata
ACESTEP_SAMPLE = {
    "id": str, "audio_path": str, "filename": str, "caption": str, "genre": str, "lyrics": str,
    "raw_lyrics": str, "formatted_lyrics": str, "bpm": (int, NoneType), "keyscale": str,
    "timesignature": str, "duration": int, "language": str, "is_instrumental": bool,
    "custom_tag": str, "labeled": bool, "prompt_override": (str, NoneType),
}  # fmt: skip
ACESTEP_SET = {
    "name": str, "custom_tag": str, "tag_position": str, "created_at": str, "num_samples": int,
    "all_instrumental": bool, "genre_ratio": int,
}  # fmt: skip
# audiocraft/data/audio_dataset.py: AudioMeta; music_dataset.py: MusicInfo, all fields required
AUDIO_META = {
    "path": str, "duration": float, "sample_rate": int, "amplitude": (float, NoneType),
    "weight": (float, NoneType), "info_path": (str, NoneType),
}  # fmt: skip
MUSIC_INFO = {
    "title": (str, NoneType), "artist": (str, NoneType), "key": (str, NoneType),
    "bpm": (float, NoneType), "genre": (str, NoneType), "moods": list, "keywords": list,
    "description": (str, NoneType), "name": str, "instrument": (str, NoneType),
}  # fmt: skip
# what docs/datasets.md says of a dataset config, and what we promise to conditioners
AUDIO_DIR = {"id": str, "path": str, "custom_metadata_module": str}
SIDECAR = {"prompts": list}
FACTS = {"bpm": float, "key": str, "beats_per_bar": int}


class WrongForm(Exception):
    """A file is not what its trainer reads."""


class ReadBack(NamedTuple):
    """What a trainer would learn of one audio file."""

    audio: str
    duration_s: float
    bpm: float | None
    key: tuple[int, str] | None
    beats_per_bar: int | None
    texts: tuple[str, ...]


def check(found: Mapping[str, Any], wanted: Mapping[str, Any], what: str) -> None:
    if found.keys() != wanted.keys():
        raise WrongForm(f"{what}: {sorted(found.keys() ^ wanted.keys())}")
    for name, kinds in wanted.items():
        if type(found[name]) not in (kinds if isinstance(kinds, tuple) else (kinds,)):
            raise WrongForm(f"{what}: {name} is {found[name]!r}")


def key_of(text: str) -> tuple[int, str] | None:
    if not text:
        return None
    read = KEY.fullmatch(text)
    if read is None:
        raise WrongForm(f"{text!r} is no key")
    return (NOTES[read[1]] + {"": 0, "#": 1, "b": -1}[read[2]]) % 12, read[3]


def acestep_sample(row: Mapping[str, Any]) -> ReadBack:
    check(row, ACESTEP_SAMPLE, "sample")
    if row["bpm"] is not None and not 30 <= row["bpm"] <= 300:
        raise WrongForm(f"bpm {row['bpm']}")
    if row["timesignature"] not in ("", "2", "3", "4", "6"):
        raise WrongForm(f"timesignature {row['timesignature']!r}")
    for name in ("caption", "genre"):
        if APART.search(row[name]):
            raise WrongForm(f"{name} says what fields say: {row[name]!r}")
    if not row["labeled"] or not row["audio_path"].endswith(f"/{row['filename']}"):
        raise WrongForm("its trainer would skip it")
    return ReadBack(
        row["audio_path"], row["duration"], row["bpm"], key_of(row["keyscale"]),
        int(row["timesignature"]) if row["timesignature"] else None,
        (row["caption"], row["genre"]),
    )  # fmt: skip


def music_info(meta: Mapping[str, Any], info: Mapping[str, Any]) -> ReadBack:
    check(meta, AUDIO_META, "meta")
    check(info, MUSIC_INFO, "info")
    if Path(meta["path"]).stem != info["name"]:
        raise WrongForm(f"{meta['path']} is not {info['name']}")
    texts = (info["description"] or "", ", ".join(info["keywords"]))
    return ReadBack(
        meta["path"], meta["duration"], info["bpm"], key_of(info["key"] or ""), None, texts
    )


def stable_audio(audio: str, duration_s: float, known: Mapping[str, Any]) -> ReadBack:
    facts = {name: kind for name, kind in FACTS.items() if name in known}
    check(known, {**SIDECAR, **facts}, "sidecar")
    return ReadBack(
        audio, duration_s, known.get("bpm"), key_of(known.get("key", "")),
        known.get("beats_per_bar"), tuple(known["prompts"]),
    )  # fmt: skip


def read_acestep(path: Path) -> list[ReadBack]:
    found = json.loads(path.read_bytes())
    check(found, {"metadata": dict, "samples": list}, path.name)
    check(found["metadata"], ACESTEP_SET, "metadata")
    samples = [acestep_sample(row) for row in found["samples"]]
    if found["metadata"]["num_samples"] != len({row["id"] for row in found["samples"]}):
        raise WrongForm("ids are names of files: each must be its own")
    return samples


def read_musicgen(folder: Path) -> list[ReadBack]:
    lines = [json.loads(line) for line in (folder / "data.jsonl").read_text().splitlines()]
    return [
        music_info(line, json.loads(Path(line["path"]).with_suffix(".json").read_bytes()))
        for line in lines
    ]


def read_stable_audio(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each audio file of a config, with what its metadata module makes of it."""
    config = json.loads(path.read_bytes())
    check(config, {"dataset_type": str, "datasets": list, "random_crop": bool}, path.name)
    if config["dataset_type"] != "audio_dir" or config["random_crop"]:
        raise WrongForm("segments that are cut at bars are not cropped at random")
    for place in config["datasets"]:
        check(place, AUDIO_DIR, "place")
        spec = importlib.util.spec_from_file_location("made", place["custom_metadata_module"])
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for audio in sorted(Path(place["path"]).rglob("*.flac")):
            yield str(audio), module.get_custom_metadata({"path": str(audio)}, None)
