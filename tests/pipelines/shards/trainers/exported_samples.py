"""Samples with known music for exports: beats on a grid, chords a bar each, words of a source."""

from typing import Any

import numpy as np

from pipelines.captioning.facts import facts_of, split_sentences
from schemas.caption import Caption, CaptionKind
from schemas.chord import Chord, ChordQuality
from schemas.controls import AudioControls
from schemas.corpus import Change, Source
from schemas.identity import SampleKey
from schemas.labels import Beats, Chords, ChordSegment, KeyLabel, Meter, Tempo
from schemas.pitch import Mode
from schemas.sample import Sample

RATE_HZ = 8000
_WORDS = (
    "A flute plays a gentle tune.",
    "A slow waltz with strings. The flute enters at 0:05.",
    "It is in the key of A minor, at 120 BPM.",
    "Birds sing over a brisk groove in 4/4. At the end it fades.",
    "The chords are Am, F and C. A drum solo follows.",
    "This is a loud, happy song in C major.",
)
_METADATA = (
    "{}",
    '{"instruments": ["piano", "electric guitar", "drums", "bass"], "moods": "calm, happy"}',
    '{"instruments": "A minor, flute", "moods": "120 BPM", "genres": "waltz, jazz"}',
)


def random_sample(number: int, *, least_s: float = 5.0, most_s: float = 90.0) -> Sample:
    """A sample whose labels are true of some music, sure or not, and whose source says something,
    true or not.
    """
    rng = np.random.default_rng(number)
    duration_s = round(float(rng.uniform(least_s, most_s)), 3)
    bpm, beats = float(rng.integers(50, 200)), int(rng.choice([2, 3, 4, 5, 6, 7]))
    offset_s, first = float(rng.uniform(0, 1)), int(rng.integers(beats))
    times = np.round(np.arange(offset_s, duration_s - 0.001, 60 / bpm), 3)
    numbers = (np.arange(len(times)) + first) % beats + 1
    if rng.random() < 0.1:
        times, numbers = times[:0], numbers[:0]
    claims: list[dict[str, Any]] = [
        {"confidence": float(rng.choice([0.0, 0.5, 0.85, 0.99])), "tool": "t", "version": "1"}
        for _ in range(5)
    ]
    for claim in claims:
        claim["licence"] = "CC0-1.0"
    words = " ".join(_WORDS[at] for at in rng.choice(len(_WORDS), int(rng.integers(3))))
    return Sample(
        key=_key(number),
        song_id=f"{number:016x}",
        clip_key=f"{number:016x}-0-{round(duration_s * 1000)}",
        split="train" if number % 4 else "validation",
        change=Change() if rng.random() < 0.8 else Change(variant="v1", gain_start=0.2),
        source=Source(
            uri=f"{number}.wav",
            licence=("CC-BY-4.0", "CC0-1.0")[number % 2],
            genre=str(rng.choice(["", "jazz", "Slow rock", "drum & bass"])),
            metadata=str(rng.choice(_METADATA)),
        ),
        start_s=0,
        end_s=duration_s,
        duration_s=duration_s,
        rate_hz=RATE_HZ,
        channels=1,
        beats=Beats(times_s=tuple(times.tolist()), numbers=tuple(numbers.tolist()), **claims[0]),
        meter=Meter(beats_per_bar=beats if len(times) else None, **claims[1]),
        tempo=Tempo(bpm=bpm if len(times) > 2 else None, **claims[2]),
        chords=Chords(segments=_chords(rng, duration_s), **claims[3]),
        key_label=KeyLabel(
            tonic=int(rng.integers(12)), mode=list(Mode)[int(rng.integers(2))], **claims[4]
        ),
        controls=AudioControls(
            dynamics_db=(-9.0,), melody=(9,), loudness_lufs=-9.0, onsets_per_s=0.0,
            music_share=1.0, speech_share=0.0, noise_share=0.0, silence_share=0.0,
        ),
        captions=_captions(words),
    )  # fmt: skip


def _key(number: int) -> SampleKey:
    return f"{number:016x}-0-90000-orig"


def _captions(words: str) -> tuple[Caption, ...]:
    if not words:
        return ()
    sentences = split_sentences(words)
    return (
        Caption(
            text=words, kind=CaptionKind.SOURCE, sentences=sentences, facts=facts_of(sentences)
        ),
    )


def _chords(rng: np.random.Generator, duration_s: float) -> tuple[ChordSegment, ...]:
    starts = np.round(np.arange(0, duration_s - 1, float(rng.uniform(1, 8))), 3).tolist()
    roots = rng.integers(12, size=4).tolist()
    qualities = [list(ChordQuality)[at] for at in rng.integers(4, size=4).tolist()]
    labels = [
        Chord(root=root, quality=quality).harte
        for root, quality in zip(roots, qualities, strict=True)
    ]
    return tuple(
        ChordSegment(start_s=start, end_s=end, label=labels[at % 4])
        for at, (start, end) in enumerate(zip(starts, [*starts[1:], duration_s], strict=True))
    )
