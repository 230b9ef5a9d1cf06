"""Learned predictors against what is usual in their corpus, on songs that neither has seen.

    python -m tests.benchmarks.training.predictors SHARDS PREDICTORS [--held-out SHARDS]
        [--split test …] [--seeds 8] [--drawn]

SHARDS are those that the predictors learned from; songs of `--held-out` shards are all new to them,
such as a demo of another seed. Their validation split decided when to stop, and how far to trust
the text: test is the split to quote. Originals alone are looked at.

Both fill the same captions by `resolve_controls`, so what is stated stands and what is predicted
is all that differs:

- as they are: one control caption of each clip, or its source's words where it has none.
- masked: control captions and rewordings without the sentences that state the thing in question.
- masked, of those that state chords: for beats, whose bars the pace of chords gives away.
- source: the source's own words alone.
- source, in its key: the same with the key given, so that chords are not a matter of a lucky tonic.

Figures are means over clips and seeds of a song, then over songs; intervals are of the paired
difference over songs. CMOT takes the chords of the labels for asked and those that were filled in
for heard; CPT is the precision beside it. Prints a Markdown table.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from pipelines.labels.transform import transposed
from schemas.caption import Caption, CaptionKind
from schemas.fact import FactKind
from schemas.identity import Split
from schemas.pitch import Key
from schemas.sample import Sample
from training.control_predictors.predictors import Predictors
from training.data.examples import members_of, parsed
from training.data.index import index_corpus, read_ranges
from training.metrics.controls import estimated_controls
from training.metrics.intervals import mean_interval
from training.metrics.outcomes import Metric, scores
from training.prompt_controls.controls import ResolvedControls
from training.prompt_controls.corpus import CorpusStatistics
from training.prompt_controls.counting import MIN_CONFIDENCE, corpus_statistics
from training.prompt_controls.resolve import resolve_controls

TEMPO = frozenset((FactKind.BPM, FactKind.TEMPO_WORD))
METER = frozenset((FactKind.METER,))
KEY = frozenset((FactKind.KEY,))
CHORDS = frozenset((FactKind.CHORDS, FactKind.TIMED_CHORDS))
SAME_TEMPO = 0.04
SURVEY = 2000  # as a model's own statistics


class Asking(NamedTuple):
    """A caption to fill, and whether the key is given beside it."""

    text: str
    key: str | None = None


class Thing(NamedTuple):
    """What is compared: its name, the facts that state it, how a clip fares, and whether less is
    better.
    """

    name: str
    facts: frozenset[FactKind]
    figure: Callable[[Sample, ResolvedControls], float | None]
    is_error: bool = False


def meter_right(sample: Sample, made: ResolvedControls) -> float | None:
    known = sample.meter.beats_per_bar
    return None if known is None else float(made.labels.meter.beats_per_bar == known)


def interval_error_ms(sample: Sample, made: ResolvedControls) -> float | None:
    known, filled = sample.tempo.bpm, made.labels.tempo.bpm
    return None if known is None or filled is None else abs(60 / filled - 60 / known) * 1000


def tempo_right(sample: Sample, made: ResolvedControls) -> float | None:
    known, filled = sample.tempo.bpm, made.labels.tempo.bpm
    return None if known is None or filled is None else float(abs(filled / known - 1) <= SAME_TEMPO)


def mode_right(sample: Sample, made: ResolvedControls) -> float | None:
    return (
        None
        if sample.key_label.mode is None
        else float(made.labels.key.mode == sample.key_label.mode)
    )


def chord_score(metric: Metric) -> Callable[[Sample, ResolvedControls], float | None]:
    def figure(sample: Sample, made: ResolvedControls) -> float | None:
        return scores(estimated_controls(sample.labels), estimated_controls(made.labels)).get(
            metric
        )

    return figure


def chords_from_the_tonic(sample: Sample, made: ResolvedControls) -> float | None:
    """CMOT with the labels moved to the tonic that was filled in: harmony without the luck of a
    tonic that nobody states.
    """
    known, filled = sample.key_label.tonic, made.labels.key.tonic
    if known is None or filled is None or sample.key_label.confidence < MIN_CONFIDENCE:
        return None
    moved = transposed(sample.labels, filled - known)
    return scores(estimated_controls(moved), estimated_controls(made.labels)).get(Metric.CMOT)


THINGS = (
    Thing("beat count right", METER, meter_right),
    Thing("interval error, ms", TEMPO, interval_error_ms, is_error=True),
    Thing("tempo within 4 %", TEMPO, tempo_right),
    Thing("mode right", KEY | CHORDS, mode_right),
    Thing("chords CMOT", CHORDS, chord_score(Metric.CMOT)),
    Thing("chords CMOT from the tonic", CHORDS, chords_from_the_tonic),
    Thing("chords CPT", CHORDS, chord_score(Metric.CPT)),
)


def without(caption: Caption, facts: frozenset[FactKind]) -> str:
    """A caption without the sentences that state any of these facts."""
    gone = {fact.sentence for fact in caption.facts if fact.kind in facts}
    return " ".join(
        sentence for index, sentence in enumerate(caption.sentences) if index not in gone
    )


def as_they_are(sample: Sample, _: Thing) -> list[Asking]:
    found = [one for one in sample.captions if one.kind is CaptionKind.CONTROL] or [
        one for one in sample.captions if one.kind is CaptionKind.SOURCE
    ]
    return [Asking(one.text) for one in found[:1]]


def masked(sample: Sample, thing: Thing) -> list[Asking]:
    kinds = (CaptionKind.CONTROL, CaptionKind.PARAPHRASE)
    return [Asking(without(one, thing.facts)) for one in sample.captions if one.kind in kinds]


def masked_with_chords(sample: Sample, thing: Thing) -> list[Asking]:
    stating = [one for one in sample.captions if {fact.kind for fact in one.facts} & CHORDS]
    return [] if thing.facts & CHORDS else masked(sample.replaced(captions=tuple(stating)), thing)


def source(sample: Sample, _: Thing) -> list[Asking]:
    return [Asking(one.text) for one in sample.captions if one.kind is CaptionKind.SOURCE]


def source_in_key(sample: Sample, thing: Thing) -> list[Asking]:
    label = sample.key_label
    if thing.facts != CHORDS or label.tonic is None or label.mode is None:
        return []
    return [
        one._replace(key=Key(tonic=label.tonic, mode=label.mode).name)
        for one in source(sample, thing)
    ]


CONDITIONS: Mapping[str, Callable[[Sample, Thing], list[Asking]]] = {
    "as they are": as_they_are,
    "masked": masked,
    "masked, of those that state chords": masked_with_chords,
    "source": source,
    "source, in its key": source_in_key,
}


def samples_of(shards: str, split: Split, limit: int | None = None) -> Iterator[Sample]:
    """Samples of a split, evenly spread where there are more than the limit."""
    corpus = index_corpus(shards, split)
    count = min(len(corpus), limit or len(corpus))
    for number in range(count):
        [content] = read_ranges([corpus.range_of(number * len(corpus) // count)])
        if isinstance(content, Exception):
            raise content
        yield parsed(members_of(content))


class Filler:
    """Captions filled either way; the same one is filled once."""

    def __init__(
        self, statistics: CorpusStatistics, predictors: Predictors | None, *, drawn: bool
    ) -> None:
        self._statistics, self._predictors, self._sampled = statistics, predictors, drawn
        self._made: dict[tuple[Asking, float, int], ResolvedControls] = {}

    def __call__(self, asking: Asking, duration_s: float, seed: int) -> ResolvedControls:
        found = self._made.get((asking, duration_s, seed))
        if found is None:
            found = self._made[asking, duration_s, seed] = resolve_controls(
                asking.text,
                key=asking.key,
                duration_s=duration_s,
                statistics=self._statistics,
                seed=seed,
                varied=self._sampled,
                predictors=self._predictors,
            )
        return found


def by_song(
    samples: Sequence[Sample],
    thing: Thing,
    askings: Callable[[Sample, Thing], list[Asking]],
    fill: Filler,
    seeds: int,
) -> dict[str, float]:
    """The mean figure of each song."""
    rows: defaultdict[str, list[float]] = defaultdict(list)
    for sample in samples:
        for asking in askings(sample, thing):
            for seed in range(seeds):
                value = thing.figure(sample, fill(asking, sample.duration_s, seed))
                if value is not None:
                    rows[sample.song_id].append(value)
    return {song: fmean(values) for song, values in rows.items()}


def print_row(
    condition: str, thing: Thing, default: Mapping[str, float], learned: Mapping[str, float]
) -> None:
    songs = sorted(default)
    gains = [(learned[song] - default[song]) * (-1 if thing.is_error else 1) for song in songs]
    gain, low, high = mean_interval(gains, 0, f"{condition} {thing.name}", within_unit=False)
    said = "better" if low > 0 else "worse" if high < 0 else "no difference"
    means = (fmean(default.values()), fmean(learned.values()))
    digits = 1 if thing.is_error else 3
    cells = [f"{value:.{digits}f}" for value in means] + [
        f"{gain:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"
    ]
    print(
        f"| {condition} | {thing.name} | {len(songs)} | " + " | ".join(cells) + f" | {said} |",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shards")
    parser.add_argument("predictors")
    parser.add_argument("--held-out", help="other shards to take the songs from")
    parser.add_argument("--split", type=Split, nargs="+", default=[Split.TEST])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument(
        "--drawn",
        action="store_true",
        help="draw what is predicted, and tempo and meter from the corpus, too",
    )
    arguments = parser.parse_args()
    statistics = corpus_statistics(samples_of(arguments.shards, Split.TRAIN, SURVEY))
    samples = [
        sample
        for split in arguments.split
        for sample in samples_of(arguments.held_out or arguments.shards, split)
        if sample.change.variant == "orig"
    ]
    default = Filler(statistics, None, drawn=arguments.drawn)
    learned = Filler(statistics, Predictors.of(arguments.predictors), drawn=arguments.drawn)
    print(
        f"{len(samples)} clips of {' and '.join(arguments.split)}, {arguments.seeds} "
        f"seeds{', drawn' if arguments.drawn else ''}\n"
    )
    print(
        "| captions | figure | songs | corpus | predicted | gain [95 %] | predictors are "
        "|\n|---|---|---:|---:|---:|---:|---|"
    )
    for condition, askings in CONDITIONS.items():
        for thing in THINGS:
            usual = by_song(samples, thing, askings, default, arguments.seeds)
            if usual:
                print_row(
                    condition,
                    thing,
                    usual,
                    by_song(samples, thing, askings, learned, arguments.seeds),
                )


if __name__ == "__main__":
    main()
