"""Tiny shards for tests: a bar of A minor in three beats, as one of our samples or as another's."""

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from pipelines.storage.tar import TarWriter
from schemas.caption import Caption, CaptionKind
from schemas.controls import AudioControls
from schemas.corpus import Change, Source
from schemas.fact import FactKind
from schemas.labels import Beats, Chords, ChordSegment, KeyLabel, Meter, Tempo
from schemas.sample import Sample
from tests.support.fact_forms import fact_of

RATE_HZ = 8000
CLIP = "00112233445566aa-0-2000"
KEY = f"{CLIP}-orig"
CONTROLS = AudioControls(
    dynamics_db=(-9.0,) * 20, melody=(9,) * 20, loudness_lufs=-9.0, onsets_per_s=0.0,
    music_share=1.0, speech_share=0.0, noise_share=0.0, silence_share=0.0,
)  # fmt: skip
Members = Sequence[tuple[str, bytes]]


def flac(duration_s: float = 2.0) -> bytes:
    out = io.BytesIO()
    times = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    soundfile.write(out, 0.5 * np.sin(2 * np.pi * 440 * times), RATE_HZ, format="FLAC")
    return out.getvalue()


def our_sample(variant: str = "orig", **fields: Any) -> Sample:
    how = {"confidence": 0.75, "tool": "truth", "version": "1", "licence": "CC0"}
    segments = [
        ChordSegment(start_s=start, end_s=end, label=label)
        for start, end, label in (
            (0.0, 0.5, "N"),
            (0.5, 1.0, "A:min"),
            (1.0, 1.5, "N"),
            (1.5, 1.75, "A:min"),
            (1.75, 2.0, "Ab:dim7"),
        )
    ]
    sentences = (
        "A flute plays.",
        "It gets louder.",
        "The key is A minor.",
        "The meter is 3/4.",
        "It runs at 120 BPM.",
    )
    facts = (
        fact_of(FactKind.DYNAMICS, "crescendo", 1), fact_of(FactKind.KEY, "A minor", 2),
        fact_of(FactKind.METER, "3", 3), fact_of(FactKind.BPM, "120", 4),
    )  # fmt: skip
    captions = (
        Caption(
            text="A flute plays.", kind=CaptionKind.SOURCE, sentences=("A flute plays.",), facts=()
        ),
        Caption(
            text=" ".join(sentences), kind=CaptionKind.CONTROL, sentences=sentences, facts=facts
        ),
        Caption(
            text="A flute, louder and louder.",
            kind=CaptionKind.PARAPHRASE,
            sentences=("A flute, louder and louder.",),
            facts=(),
        ),
    )
    sample = Sample(
        key=f"{CLIP}-{variant}",
        song_id="00112233445566aa",
        clip_key=CLIP,
        split="train",
        change=Change(variant=variant),
        source=Source(
            uri="/music/flute.wav",
            licence="CC-BY-4.0",
            title="Air",
            metadata='{"is_audioset_eval": true}',
        ),
        start_s=0,
        end_s=2,
        duration_s=2,
        rate_hz=RATE_HZ,
        channels=1,
        beats=Beats(times_s=(0.5, 1.0, 1.5), numbers=(1, 2, 3), **how),
        meter=Meter(beats_per_bar=3, **how),
        tempo=Tempo(bpm=120, **how),
        chords=Chords(segments=tuple(segments), **how),
        key_label=KeyLabel(tonic=9, mode="minor", **how),
        controls=CONTROLS,
        captions=captions,
    )
    return sample.replaced(**fields)


def ours(*samples: Sample) -> list[tuple[str, bytes]]:
    """Members of our samples in a shard."""
    return [
        member
        for sample in samples
        for member in (
            (f"{sample.key}.flac", flac(2.0)),
            (f"{sample.key}.json", sample.model_dump_json().encode()),
        )
    ]


def foreign(*keys: str, caption: str = "A flute plays a slow air.") -> list[tuple[str, bytes]]:
    """Members of another's samples: sound and a caption."""
    return [
        member
        for key in keys
        for member in (
            (f"{key}.flac", flac(1.0)),
            (f"{key}.json", json.dumps({"caption": caption}).encode()),
        )
    ]


def tar_bytes(members: Members) -> bytes:
    out = io.BytesIO()
    tar = TarWriter(out)
    for name, content in members:
        tar.add(name, content)
    tar.close()
    return out.getvalue()


def write_shard(path: Path, members: Members) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(tar_bytes(members))
    return path


def write_build(folder: Path, *samples: Sample) -> Path:
    """A build as `pack` and the end of a build leave it: shard, index, dataset.json."""
    shard = write_shard(folder / "shards/train-00000.tar", ours(*samples))
    index = {
        "bytes": shard.stat().st_size,
        "count": len(samples),
        "sha256": hashlib.sha256(shard.read_bytes()).hexdigest(),
        "keys": [sample.key for sample in samples],
        "duration_s": round(sum(sample.duration_s for sample in samples), 3),
    }
    (folder / "shards/train-00000.json").write_text(json.dumps(index))
    (folder / "dataset.json").write_text(
        json.dumps({"shards": [{"file": "shards/train-00000.tar"}]})
    )
    return folder
