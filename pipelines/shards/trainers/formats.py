"""What each trainer reads, field by field, as its own loader names, types and limits it.

- ACE-Step 1.5 (`acestep/training/dataset_builder_modules`: models, serialization, preprocess): one
  JSON of `metadata` and `samples`. Tempo, key and meter are fields, which its prompt states beside
  the caption, and so the caption does not. It cuts audio at 240 s, and text at 256 tokens, of which
  the prompt's own words take some.
- audiocraft (`audiocraft/data`: audio_dataset, music_dataset), for MusicGen: lines of audio files,
  and a JSON beside each file, in which all fields must be there, null where they are not known.
- stable-audio-tools (`stable_audio_tools/data/dataset.py`, "audio_dir"): a folder of audio, and a
  Python file whose `get_custom_metadata` gives what belongs to a file; ours reads it from the JSON
  beside it, and draws one of the texts each time.
"""

import json
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

from pipelines.captioning.metadata import Metadata
from pipelines.captioning.sentences import Attribute, available
from pipelines.shards.trainers.texts import Registers
from schemas.corpus import Source
from schemas.fact import FactKind
from schemas.labels import Labels
from schemas.recipe import CaptionRecipe

# acestep/constants.py: BPM_MIN and BPM_MAX, and VALID_TIME_SIGNATURES
_ACESTEP_BPM: Final = (30, 300)
_ACESTEP_METERS: Final = (2, 3, 4, 6)
_BPM_DECIMALS: Final = 2
METADATA_MODULE: Final = '''"""What `obbligato shards export` wrote of each file."""

import json
import os
import random


def get_custom_metadata(info, audio):
    with open(os.path.splitext(info["path"])[0] + ".json", encoding="utf-8") as file:
        known = json.load(file)
    known["prompt"] = random.choice(known.pop("prompts") or [""])
    return known
'''


class ExportForm(StrEnum):
    """Whose form is written; each takes segments of audio and texts of a limited length."""

    ACESTEP = "acestep"
    STABLE_AUDIO_TOOLS = "stable-audio-tools"
    MUSICGEN = "musicgen"


class TrainerLimits(NamedTuple):
    """What a trainer takes, and the kinds of fact that it wants as fields and not in its text."""

    most_s: float
    most_tokens: int
    apart: frozenset[FactKind] = frozenset()


LIMITS: Final = {
    # of 256 tokens, 80 are left to the prompt's instruction and its four fields
    ExportForm.ACESTEP: TrainerLimits(
        240.0, 176, frozenset((FactKind.BPM, FactKind.KEY, FactKind.METER))
    ),
    # Stable Audio Open: 2,097,152 samples at 44.1 kHz, and 128 tokens of T5
    ExportForm.STABLE_AUDIO_TOOLS: TrainerLimits(47.5, 128),
    # dataset.segment_duration × min_segment_ratio of MusicGen's solver, 30 s × 0.8: of what is no
    # longer it takes all, so that what is said of the whole holds; its T5 was trained on 512 tokens
    ExportForm.MUSICGEN: TrainerLimits(24.0, 512),
}


class Known(NamedTuple):
    """What labels are sure of, absent else."""

    bpm: float | None = None
    key: str | None = None  # "A minor", "Ab major"
    beats_per_bar: int | None = None


def known_of(labels: Labels, recipe: CaptionRecipe) -> Known:
    """The facts of a segment that reach the recipe's confidences (`caption.min_…_confidence`)."""
    may, key = available(labels, recipe), labels.key.key
    bpm = labels.tempo.bpm if Attribute.TEMPO in may else None
    return Known(
        None if bpm is None else round(bpm, _BPM_DECIMALS),
        key.name if key and Attribute.KEY in may else None,
        labels.meter.beats_per_bar if Attribute.METER in may else None,
    )


class Segment(NamedTuple):
    """One audio file of an export and all that is known of it."""

    name: str  # of the file, without folder and extension
    split: str
    duration_s: float
    rate_hz: int
    known: Known
    texts: Registers
    caption: str  # one of the texts, drawn for trainers that take one
    source: Source
    metadata: Metadata

    @property
    def file(self) -> str:
        """The audio's name in the export."""
        return f"audio/{self.split}/{self.name}.flac"


def sidecar(trainer: ExportForm, segment: Segment) -> dict[str, Any] | None:
    """The JSON beside the audio file, none where the trainer reads none."""
    if trainer is ExportForm.MUSICGEN:
        return _music_info(segment)
    return _metadata(segment) if trainer is ExportForm.STABLE_AUDIO_TOOLS else None


def _music_info(segment: Segment) -> dict[str, Any]:
    meta, source = segment.metadata, segment.source
    return {
        "title": source.title or None,
        "artist": source.artist or None,
        "key": segment.known.key,
        "bpm": segment.known.bpm,
        "genre": ", ".join(meta.genres) or None,
        "moods": list(meta.moods),
        "keywords": [tag for tag in segment.texts.tags.split(", ") if tag],
        "description": segment.caption or None,
        "name": segment.name,
        "instrument": ", ".join(meta.instruments) or None,
    }


def _metadata(segment: Segment) -> dict[str, Any]:
    facts = {name: value for name, value in segment.known._asdict().items() if value is not None}
    return {"prompts": list(segment.texts.different), **facts}


def acestep_sample(segment: Segment, root: str) -> dict[str, Any]:
    """A segment as `AudioSample` of ACE-Step 1.5.

    Whether somebody sings is not known: no lyrics, which its trainer takes as instrumental, are
    what can be said. Its `id` names a file of its own, so it is the segment's whole name.
    """
    bpm, beats = segment.known.bpm, segment.known.beats_per_bar
    low, high = _ACESTEP_BPM
    return {
        "id": segment.name,
        "audio_path": f"{root}/{segment.file}",
        "filename": f"{segment.name}.flac",
        "caption": segment.caption,
        "genre": segment.texts.tags,
        "lyrics": "",
        "raw_lyrics": "",
        "formatted_lyrics": "",
        "bpm": round(bpm) if bpm is not None and low <= round(bpm) <= high else None,
        "keyscale": segment.known.key or "",
        "timesignature": str(beats) if beats in _ACESTEP_METERS else "",
        "duration": int(segment.duration_s),
        "language": "unknown",
        "is_instrumental": False,
        "custom_tag": "",
        "labeled": True,
        "prompt_override": None,
    }


def audio_meta(segment: Segment, root: str) -> dict[str, Any]:
    """A segment as `AudioMeta` of audiocraft."""
    return {
        "path": f"{root}/{segment.file}",
        "duration": segment.duration_s,
        "sample_rate": segment.rate_hz,
        "amplitude": None,
        "weight": None,
        "info_path": None,
    }


def listing(
    trainer: ExportForm, segments: Sequence[Segment], split: str, root: str, dataset: str
) -> tuple[str, bytes]:
    """The file that a trainer is given for a split: its name and bytes."""
    write: dict[ExportForm, Callable[[], tuple[str, bytes]]] = {
        ExportForm.ACESTEP: lambda: (f"{split}.json", _acestep(segments, root, dataset)),
        ExportForm.STABLE_AUDIO_TOOLS: lambda: (f"{split}.json", _audio_dir(split, root, dataset)),
        ExportForm.MUSICGEN: lambda: (f"{split}/data.jsonl", _audio_metas(segments, root)),
    }
    return write[trainer]()


def _acestep(segments: Sequence[Segment], root: str, dataset: str) -> bytes:
    metadata = {
        "name": dataset,
        "custom_tag": "",
        "tag_position": "prepend",
        "created_at": "",
        "num_samples": len(segments),
        "all_instrumental": False,
        "genre_ratio": 0,
    }
    samples = [acestep_sample(segment, root) for segment in segments]
    return json_bytes({"metadata": metadata, "samples": samples})


def _audio_dir(split: str, root: str, dataset: str) -> bytes:
    place = {
        "id": dataset,
        "path": f"{root}/audio/{split}",
        "custom_metadata_module": f"{root}/metadata.py",
    }
    return json_bytes({"dataset_type": "audio_dir", "datasets": [place], "random_crop": False})


def _audio_metas(segments: Sequence[Segment], root: str) -> bytes:
    lines = [json.dumps(audio_meta(segment, root), ensure_ascii=False) for segment in segments]
    return "".join(f"{line}\n" for line in lines).encode()


def json_bytes(value: dict[str, Any]) -> bytes:
    """JSON as people read it, fields in the order given."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"
