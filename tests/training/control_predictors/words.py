"""Shards whose captions hint at meter, tempo, mode and chords without stating any of them, for
tests.
"""

from itertools import accumulate, pairwise
from pathlib import Path

from pipelines.storage.tar import TarWriter
from schemas.caption import Caption, CaptionKind
from schemas.labels import Beats, Chords, ChordSegment, KeyLabel, Meter, Tempo
from schemas.pitch import Key
from schemas.sample import Sample
from tests.training.data.shards import sample_of
from training.control_predictors.recipe import PredictorNet, PredictorRecipe

HOW = {"confidence": 0.9, "tool": "truth", "version": "1", "licence": "CC0"}
# What music is like: words, BPM, beats per bar, key, and a round of chords that last a bar each.
SWAYING = ("A lilting dance with a lute.", 90, 3, "A minor", "A:min D:min E:7")
MARCHING = ("A parade of brass on the street.", 130, 4, "C major", "C:maj F:maj G:maj F:maj")


def sample(number: int, *, split: str = "train") -> Sample:
    """Every other one sways, the others march, each in a key of its own; 12 s."""
    words, bpm, meter, name, chords = (SWAYING, MARCHING)[number % 2]
    key, up, bar_s = Key.parse(name), number % 12, meter * 60 / bpm
    beats_s = tuple(round(place * 60 / bpm, 3) for place in range(int(12 * bpm / 60)))
    numbers = tuple(place % meter + 1 for place in range(len(beats_s)))
    labels = [ChordSegment(start_s=0, end_s=1, label=label) for label in chords.split()]
    starts_s = [*(round(at_s, 3) for at_s in accumulate([0.0, *[bar_s] * 40]) if at_s < 11.9), 12.0]
    segments = [
        ChordSegment(start_s=start_s, end_s=end_s, label=chord.transposed(up).harte)
        for (start_s, end_s), chord in zip(
            pairwise(starts_s), [labels[place % len(labels)].chord for place in range(40)]
        )
        if chord
    ]
    caption = Caption(text=words, kind=CaptionKind.SOURCE, sentences=(words,), facts=())
    return sample_of(
        number,
        split=split,
        duration_s=12,
        captions=(caption,),
        tempo=Tempo(bpm=bpm, **HOW),
        meter=Meter(beats_per_bar=meter, **HOW),
        beats=Beats(times_s=beats_s, numbers=numbers, downbeat_confidence=0.9, **HOW),
        chords=Chords(segments=tuple(segments), **HOW),
        key_label=KeyLabel(tonic=(key.tonic + up) % 12, mode=key.mode, **HOW),
    )


def corpus(folder: Path, *, validation: bool = True, broken: int = 0) -> Path:
    """A folder of shards of 24 train samples, of which some are broken, and 8 of validation."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, numbers in (
        (("train", range(24)), ("validation", range(100, 108)))
        if validation
        else (("train", range(24)),)
    ):
        with (folder / f"{split}-00000.tar").open("wb") as out:
            tar = TarWriter(out)
            for number in numbers:
                one = sample(number, split=split)
                is_broken = split == "train" and number < broken
                tar.add(f"{one.key}.json", b"{}" if is_broken else one.model_dump_json().encode())
            tar.close()
    return folder


def recipe(shards: Path, **run: int) -> PredictorRecipe:
    """A training of seconds."""
    base = PredictorRecipe()
    return base.replaced(
        run=base.run.replaced(
            **{"steps": 120, "validate_every": 40, "visits": 1, "survey": 24} | run
        ),
        data=base.data.replaced(shards=(str(shards),), batch=16),
        model=PredictorNet(width=32, heads=4, layers=1, dropout=0.0),
        optim=base.optim.replaced(lr=1e-2, warmup_steps=5),
    )
