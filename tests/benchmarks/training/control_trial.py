"""What a trained model follows beyond the prompts of its corpus: unseen progressions, and curves.

    python -m tests.benchmarks.training.control_trial unseen RUN SHARDS [--each 12] [--judge madmom]
    python -m tests.benchmarks.training.control_trial curves RUN SHARDS [--songs 50]

`unseen`: progressions drawn at random, of which no training song of SHARDS has one, each beside
itself reversed: one chord a bar, two, one a beat, changes off the beat, sevenths, slash chords, in
3/4 and 4/4, at 60 to 180 BPM; and captions as people write them. Judged against the asked timeline
by our annotators and by an ear that labelled nothing. Beside them what both ears hear in held-out
recordings, against their own labels.

`curves`: dynamics and melody of held-out recordings, asked for all of the time and for half of it,
and not at all, which says what beats and chords give away; and of another song, whose curve has to
win over them. Chance is the curve of the song that is not asked for. Prints Markdown tables; every
figure is a mean over clips with its 95 % interval by bootstrap.
"""

import argparse
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import numpy as np
import soundfile

from pipelines.annotators.windows import AnnotateWindow
from pipelines.engine import bucket
from pipelines.shards.find import find_shards
from pipelines.storage.temporary import temporary_folder
from schemas.chord import Chord
from schemas.controls import AudioControls
from schemas.identity import Split, keyed_rng
from schemas.labels import ChordSegment, Labels
from schemas.pitch import Key
from schemas.recipe import Recipe
from schemas.sample import Sample
from tests.benchmarks.training.held_out_songs import first_text, held_out_songs
from training.conditions import Condition
from training.conditions.clip_controls import ALWAYS, ClipControls, ControlCurves, Known, Span
from training.evaluation.ceilings import read_ceilings
from training.evaluation.clips import MadeClip
from training.evaluation.estimated import EstimatedClip, estimate
from training.evaluation.judges.hearing import judged
from training.evaluation.originals import originals
from training.generation.generate import GenerationRequest, Generator
from training.metrics.controls import PromptControls
from training.metrics.intervals import mean_interval
from training.metrics.timeline import ChordRule, chord_overlap, dynamics_figures, melody_accuracy
from training.metrics.timing import AskedCurves, SoundingChord, sounding_spans, timing_of
from training.prompt_controls.controls import ControlOrigin, ControlOrigins, stated_labels
from training.prompt_controls.grid import Grid, beat_grid
from training.prompt_controls.keys import best_key
from training.prompt_controls.requested import Provenance
from training.prompt_controls.resolve import resolve_controls

V = TypeVar("V")
SECONDS: Final = 10.0
TRIADS: Final = ("maj", "min")
SEVENTHS: Final = ("maj7", "min7", "7")
STATED: Final = ControlOrigin(source=Provenance.FLAG)
CAPTIONS: Final = (
    "Laid-back strings over Dm7, G7 and Cmaj7, somewhere around 84 bpm",
    "An organ vamps between E minor and A major, 100 BPM",
    "Plucked guitar going Bb - F - Gm - Eb, pretty quick, 140 bpm",
    "Sad waltz at 96 bpm: Cm, Fm, G, Cm",
    "just four chords round and round: F#m D A E at 118 BPM",
    "A choir holds Ab, then Db, then Eb and back to Ab. 72 bpm.",
    "Bass and flute, 3/4, chords Bm, Em, F#, about 110 beats per minute",
    "Something hopeful: C, Am, Dm, G at one hundred and twenty... so 120 bpm",
    "a slow march with the chords Gm Cm D Gm, 66 BPM",
    "Fast brass, 160 BPM, F Bb C F",
)


class Kind(NamedTuple):
    """A kind of progression: how long each chord lasts, when it begins, of what it is drawn."""

    name: str
    beats_each: int
    beats_per_bar: int = 4
    qualities: tuple[str, ...] = TRIADS
    slash: bool = False
    late_beats: float = 0.0


KINDS: Final = (
    Kind("one a bar", 4),
    Kind("one a bar, 3/4", 3, 3),
    Kind("two a bar", 2),
    Kind("one a beat", 1),
    Kind("two a bar, half a beat late", 2, late_beats=0.5),
    Kind("sevenths, two a bar", 2, qualities=SEVENTHS),
    Kind("slash chords, one a bar", 4, slash=True),
)


class Asked(NamedTuple):
    """A piece to be played."""

    name: str
    kind: str
    caption: str
    labels: Labels


class Heard(NamedTuple):
    """A piece as an ear hears it."""

    asked: Asked
    spans: Sequence[SoundingChord]


def unseen(run: str, shards: str, each: int, judge: str) -> None:
    """The table of unseen progressions."""
    known = set(_train_progressions(shards))
    generator = Generator.of(run)
    pieces = [one for kind in KINDS for one in _pieces(kind, each, known)]
    pieces += list(_captioned(generator))
    with temporary_folder() as folder:
        made = _played(generator, pieces, Path(folder))
        recorded = _recorded(shards, 4 * each, Path(folder))
        pieces += [one for one, _ in recorded]
        made += [clip for _, clip in recorded]
        ours = [
            Heard(asked, sounding_spans(one.labels) if one.labels else ())
            for asked, one in zip(pieces, estimate(made, Recipe()), strict=True)
        ]
        windows = [AnnotateWindow(one.name, one.path, 0.0, SECONDS) for one in made]
        found = judged(windows, judge, Recipe())
        theirs = [
            Heard(asked, sounding_spans(labels) if labels else ())
            for asked, labels in zip(pieces, found.labels, strict=True)
        ]
    print("| progression | chords/s | pieces | ear | pairs followed | majmin | sevenths |")
    print("|---|---:|---:|---|---:|---:|---:|")
    for name in dict.fromkeys(one.kind for one in pieces):
        for ear, all_heard in (("obbligato", ours), (judge, theirs)):
            print(_row(name, ear, [one for one in all_heard if one.asked.kind == name]))


def _row(name: str, ear: str, heard: Sequence[Heard]) -> str:
    rate = np.mean([len(one.asked.labels.chords.segments) / SECONDS for one in heard])
    followed = [_followed(one, other) for one, other in zip(heard[::2], heard[1::2], strict=False)]
    figures = [_overlaps(heard, rule) for rule in (ChordRule.MAJMIN, ChordRule.SEVENTHS)]
    pairs = f"{sum(followed):g} of {len(followed)}" if _is_paired(heard) else "–"
    return (
        " | ".join(
            (f"| {name}", f"{rate:.2f}", str(len(heard)), ear, pairs, *map(_mean, figures)),
        )
        + " |"
    )


def _is_paired(heard: Sequence[Heard]) -> bool:
    return heard[0].asked.kind in {kind.name for kind in KINDS}


def _followed(one: Heard, other: Heard) -> float:
    """Whether each piece is nearer to its own timeline than to the other's; a tie is half."""
    sides = []
    for mine, theirs in ((one, other), (other, one)):
        own, strange = (
            chord_overlap(sounding_spans(asked.labels), mine.spans, ChordRule.MAJMIN) or 0.0
            for asked in (mine.asked, theirs.asked)
        )
        sides.append(0.5 if own == strange else float(own > strange))
    return min(sides)


def _overlaps(heard: Sequence[Heard], rule: ChordRule) -> list[float]:
    found = (chord_overlap(sounding_spans(one.asked.labels), one.spans, rule) for one in heard)
    return [one for one in found if one is not None]


def _mean(values: Sequence[float]) -> str:
    if not values:
        return "–"
    middle, low, high = mean_interval(values, 0, "control trial")
    return f"{middle:.2f} ({low:.2f}–{high:.2f})"


def _train_progressions(shards: str) -> Iterator[tuple[str, ...]]:
    """Every run of four different chords in a row of a training song."""
    train = [shard for shard in find_shards(shards).shards if shard.split == Split.TRAIN]
    for _, sample in originals(train):
        labels = [one.label for one in sample.chords.segments] if sample else []
        for start in range(len(labels) - 3):
            yield tuple(labels[start : start + 4])


def _pieces(kind: Kind, each: int, known: set[tuple[str, ...]]) -> Iterator[Asked]:
    """Pieces of a kind in pairs: a drawn progression, then the same reversed."""
    for number in range(each):
        rng = keyed_rng(0, str(number), f"progression {kind.name}")
        bpm = float(rng.integers(60, 181))
        labels = _drawn(kind, rng)
        while tuple(labels) in known or tuple(labels[::-1]) in known:
            labels = _drawn(kind, rng)
        for side, chords in enumerate((labels, labels[::-1])):
            yield Asked(
                f"{kind.name}-{number}-{side}".replace(" ", "-").replace("/", "-").replace(",", ""),
                kind.name,
                "Plucked strings and an organ play.",
                _labels(kind, bpm, chords),
            )


def _drawn(kind: Kind, rng: np.random.Generator) -> list[str]:
    """Four chords, no two alike next to each other, that differ when reversed."""
    while True:
        chords = [
            Chord(root=int(rng.integers(12)), quality=str(rng.choice(kind.qualities)))
            for _ in range(4)
        ]
        if kind.slash:
            chords = [
                one.replaced(bass=(one.root + int(rng.choice([4, 7]))) % 12) for one in chords
            ]
            chords = [_with_true_third(one) for one in chords]
        labels = [one.harte for one in chords]
        if labels != labels[::-1] and all(one != other for one, other in pairwise(labels)):
            return labels


def _with_true_third(chord: Chord) -> Chord:
    """Over its third or fifth: of a minor chord the minor third."""
    is_third = chord.bass == (chord.root + 4) % 12
    if chord.quality == "min" and is_third:
        return chord.replaced(bass=(chord.root + 3) % 12)
    return chord


def _labels(kind: Kind, bpm: float, labels: Sequence[str]) -> Labels:
    grid = beat_grid(bpm, kind.beats_per_bar, SECONDS)
    late_s = kind.late_beats * 60 / bpm
    starts_s = [round(time_s + late_s, 3) for time_s in grid.times_s[:: kind.beats_each]]
    starts_s = [0.0, *(time_s for time_s in starts_s[1:] if time_s < SECONDS - 0.05)]
    segments = tuple(
        ChordSegment(start_s=start_s, end_s=end_s, label=labels[index % len(labels)])
        for index, (start_s, end_s) in enumerate(pairwise([*starts_s, SECONDS]))
    )
    return _stated(grid, segments)


def _stated(grid: Grid, segments: tuple[ChordSegment, ...]) -> Labels:
    key: Key = best_key([one.chord for one in segments if one.chord], None)
    origins = ControlOrigins(tempo=STATED, meter=STATED, key=STATED, chords=STATED)
    return stated_labels(grid, key, segments, origins)


def _captioned(generator: Generator) -> Iterator[Asked]:
    statistics = generator.survey.statistics
    for number, caption in enumerate(CAPTIONS):
        resolved = resolve_controls(caption, duration_s=SECONDS, statistics=statistics)
        yield Asked(f"words-{number}", "a person's words", caption, resolved.labels)


def _played(generator: Generator, pieces: Sequence[Asked], folder: Path) -> list[MadeClip]:
    requests = [
        GenerationRequest(one.name, one.caption, ClipControls(one.labels)) for one in pieces
    ]
    return _written(generator, requests, folder)


def _recorded(shards: str, most: int, folder: Path) -> list[tuple[Asked, MadeClip]]:
    """Held-out recordings, asked for what their labels say."""
    samples = list(held_out_songs(shards, most))
    clips = [
        MadeClip(one.key, "", PromptControls(), "", timing_of(one.labels), reference=one.key)
        for one in samples
    ]
    found = read_ceilings(clips, shards, folder, Recipe()).recordings
    asked = {one.key: Asked(one.key, "held-out recordings", "", one.labels) for one in samples}
    return [(asked[key], one.made) for key, one in found.items()]


def _written(
    generator: Generator,
    requests: Sequence[GenerationRequest],
    folder: Path,
    curves: Sequence[AskedCurves | None] = (),
) -> list[MadeClip]:
    made: list[MadeClip] = []
    for part in bucket.batches(requests, 16):
        for request, wave in zip(part, generator.play(part), strict=True):
            path = folder / f"{request.key}.flac"
            soundfile.write(path, wave, generator.codec.facts.rate_hz, subtype="PCM_16")
            asked = curves[len(made)] if curves else None
            made.append(
                MadeClip(
                    request.key,
                    request.prompt,
                    PromptControls(),
                    str(path),
                    timing_of(request.controls.labels),
                    curves=asked,
                )
            )
    return made


class Mask(NamedTuple):
    """For which part of a clip a curve is asked."""

    name: str
    spans: tuple[Span, ...] | None  # none: for all of it
    shift: int = 0  # whose curve: of the song so many places on


MASKS: Final = (
    Mask("all of the time", None),
    Mask("the first half", (Span(0.0, SECONDS / 2),)),
    Mask("the last half", (Span(SECONDS / 2, SECONDS),)),
    Mask("never", ()),
    Mask("all of the time, another song's", None, 1),
)


def curves(run: str, shards: str, songs: int) -> None:
    """The table of curves."""
    generator = Generator.of(run)
    samples = list(held_out_songs(shards, songs))
    print("| curve | asked | clips | as asked | as the other |")
    print("|---|---|---:|---:|---:|")
    for condition in (Condition.DYNAMICS, Condition.MELODY):
        for mask in MASKS:
            with temporary_folder() as folder:
                heard = _heard_curves(generator, samples, condition, mask, Path(folder))
            print(_curve_rows(samples, heard, condition, mask))


def _heard_curves(
    generator: Generator,
    samples: Sequence[Sample],
    condition: Condition,
    mask: Mask,
    folder: Path,
) -> list[EstimatedClip]:
    known: Known = ALWAYS if mask.spans is None else {condition: mask.spans}
    asked = [*samples[mask.shift :], *samples[: mask.shift]]
    requests = [
        GenerationRequest(
            one.key,
            first_text(one),
            ClipControls(one.labels, _only(other.controls, condition), known),
        )
        for one, other in zip(samples, asked, strict=True)
    ]
    wanted = [AskedCurves(dynamics_db=one.controls.dynamics_db) for one in samples]
    return list(estimate(_written(generator, requests, folder, wanted), Recipe()))


def _only(controls: AudioControls, condition: Condition) -> ControlCurves:
    if condition is Condition.DYNAMICS:
        return ControlCurves(dynamics_db=controls.dynamics_db)
    return ControlCurves(melody=controls.melody)


def _curve_rows(
    samples: Sequence[Sample], heard: Sequence[EstimatedClip], condition: Condition, mask: Mask
) -> str:
    """Over what was asked for; where nothing was, over the whole clip."""
    own: list[float | None] = []
    other: list[float | None] = []
    for index, one in enumerate(heard):
        if one.controls is None:
            continue
        asked = samples[(index + mask.shift) % len(samples)].controls
        strange = samples[(index + 1 - mask.shift) % len(samples)].controls
        for wanted, scores in ((asked, own), (strange, other)):
            scores.append(_curve_score(wanted, one.controls, condition, mask))
    known = [[score for score in scores if score is not None] for scores in (own, other)]
    return (
        f"| {condition} | {mask.name} | {len(known[0])} | {_mean(known[0])} | {_mean(known[1])} |"
    )


def _curve_score(
    asked: AudioControls, heard: AudioControls, condition: Condition, mask: Mask
) -> float | None:
    """Of dynamics the correlation, of a melody the share of right classes."""
    if condition is Condition.MELODY:
        return melody_accuracy(_masked(asked.melody, mask, asked.frame_rate_hz), heard.melody)
    found = dynamics_figures(
        _masked(asked.dynamics_db, mask, asked.frame_rate_hz), heard.dynamics_db
    )
    return found.correlation if found else None


def _masked(values: Sequence[V], mask: Mask, rate_hz: int) -> list[V | None]:
    if not mask.spans:
        return list(values)
    [span] = mask.spans
    return [
        value if span.start_s <= index / rate_hz < span.end_s else None
        for index, value in enumerate(values)
    ]


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["unseen", "curves"])
    parser.add_argument("run")
    parser.add_argument("shards")
    parser.add_argument("--each", type=int, default=12)
    parser.add_argument("--judge", default="madmom")
    parser.add_argument("--songs", type=int, default=50)
    given = parser.parse_args()
    if given.what == "unseen":
        unseen(given.run, given.shards, given.each, given.judge)
    else:
        curves(given.run, given.shards, given.songs)


if __name__ == "__main__":
    main()
