"""Are our sentences right? Captions of MusicCaps' texts beside drawn labels: every fact that we
state against the truth it was drawn from.

    python -m tests.benchmarks.captions PATH_TO_musiccaps-public.csv [--rows 5521] [--varied 200]

Each text gets labels of its own (tempo, meter, key, two to eight chords, some in rounds) and, every
other one, its aspect list as instruments or moods; the first VARIED of them also get all twelve
variants. What our sentences say, in control captions, rule paraphrases and prompts, is read back
and compared with the drawn truth by the arithmetic of `captions_truth` alone. Prints Markdown.
"""

import argparse
import csv
import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from pipelines.captioning.compose import ComposedCaptions, compose_captions
from pipelines.captioning.facts import parse_facts
from pipelines.captioning.metadata import Metadata, read_metadata
from pipelines.captioning.paraphrase import captioned, paraphrased
from pipelines.labels.transform import sped_up, transposed
from schemas.caption import Caption, CaptionKind
from schemas.corpus import Change, Source
from schemas.counts import CaptionEvent
from schemas.fact import Fact, FactKind
from schemas.identity import keyed_rng
from schemas.labels import Labels
from schemas.recipe import CaptionRecipe
from tests.benchmarks.captions_truth import (
    HALF,
    MARKS,
    SampledTruth,
    chord_of,
    is_right,
    pitch,
    sampled_truth,
)

PITCHES = [Change(variant=f"p{steps}", semitones=steps) for steps in (-3, -2, -1, 1, 2, 3)]
SPEEDS = [Change(variant=f"s{rate}", speed=rate) for rate in (0.8, 0.9, 1.12, 1.25)]
CHANGES = [Change(), *PITCHES, *SPEEDS, Change(variant="v1", gain_start=0.3)]
AGAINST = (
    CaptionEvent.SOURCE_DROPPED,
    CaptionEvent.SOURCE_CONTRADICTS,
    CaptionEvent.CONTROL_LEFT_OUT,
)
RECIPE = CaptionRecipe(metadata_columns={"instruments": "instruments", "moods": "moods"})


def broken(source: str, moved: Caption, change: Change) -> Iterator[str]:
    """Kinds of claims in a moved source that the change should have moved or dropped."""
    before = defaultdict(set)
    for fact in parse_facts(source):
        before[fact.kind].add(fact.text)
    for fact in parse_facts(moved.text):
        if not as_moved(fact, before[fact.kind], change):
            yield fact.kind.value


def as_moved(fact: Fact, sentences: set[str], change: Change) -> bool:
    """Whether a claim of a moved text is one of those that the source stated, as the change leaves
    it.
    """
    kind, steps = fact.kind, change.semitones
    gone = {
        FactKind.TEMPO_WORD: change.speed != 1,
        FactKind.DYNAMICS: change.gain_start != change.gain_end,
    }
    gone[FactKind.TIMED_CHORDS] = change.speed != 1 or steps != 0
    if gone.get(kind):
        return False
    if kind in (FactKind.BPM, FactKind.TIME):
        rate = change.speed if kind is FactKind.BPM else 1 / change.speed
        return any(
            abs(float(value) * rate - float(fact.text)) <= (HALF if change.speed != 1 else 0)
            for value in sentences
        )
    if kind is FactKind.KEY:
        return keys([fact.text], 0) <= keys(sentences, steps)
    if kind is FactKind.CHORDS:
        return roots(fact.text, 0) in [roots(value, steps) for value in sentences]
    return fact.text in sentences


def keys(names: Iterable[str], steps: int) -> set[tuple[int, str]]:
    """Keys as tonic and mode, some steps higher; a mode alone has no tonic."""
    split = [name.rpartition(" ") for name in names]
    return {((pitch(tonic) + steps) % 12 if tonic else -1, mode) for tonic, _, mode in split}


def roots(labels: str, steps: int) -> list[int]:
    """Roots of chords, some steps higher."""
    return [(chord_of(label)[0] + steps) % 12 for label in labels.split()]


def of_ours(caption: Caption, sources: list[Caption]) -> list[Fact]:
    """Facts of the sentences that the source did not write, read afresh from the text, and the
    given ones.
    """
    theirs = {sentence.rstrip(".,;:–—- ") for source in sources for sentence in source.sentences}
    given = [fact for fact in caption.facts if fact.kind in (FactKind.INSTRUMENT, FactKind.MOOD)]
    whole = captioned(caption.text, caption.kind, given)
    return [
        fact
        for fact in whole.facts
        if whole.sentences[fact.sentence].rstrip(".,;:–—- ") not in theirs
    ]


def timed(title: str, count: int, work: Callable[[int], object]) -> str:
    """A row of the speed table; each item is worked once."""
    start = time.process_time()
    for index in range(count):
        work(index)
    return f"| {title} | {count / (time.process_time() - start):,.0f} |"


def changed(truth: SampledTruth, change: Change) -> Labels:
    """The truth's labels as the pipeline moves them."""
    return transposed(sped_up(truth.labels(), change.speed), change.semitones)


def checked(
    rows: list[dict[str, str]], truths: list[SampledTruth], given: list[Metadata], varied: int
) -> list[str]:
    """The tables of facts: ours right and wrong, the sources' that disagree, those that a change
    broke.
    """
    ours: dict[str, Counter[str]] = defaultdict(Counter)
    against, repeated, violated = Counter[str](), Counter[str](), Counter[str]()
    moved_claims = paraphrases = strayed = 0
    for index, (row, truth, metadata) in enumerate(zip(rows, truths, given, strict=True)):
        for change in CHANGES if index < varied else CHANGES[:1]:
            key = f"{row['ytid']}-{change.variant}"
            made: ComposedCaptions = compose_captions(
                (row["caption"],), changed(truth, change), change, RECIPE, 0, key, metadata
            )
            sources = [caption for caption in made.captions if caption.kind is CaptionKind.SOURCE]
            texts = [caption for caption in made.captions if caption.kind is not CaptionKind.SOURCE]
            if texts and texts[-1].kind is CaptionKind.CONTROL:
                offered = paraphrased(texts[-1], 1, keyed_rng(0, key, "paraphrase"))
                texts += [
                    captioned(text, CaptionKind.PARAPHRASE, texts[-1].facts) for text in offered
                ]
                paraphrases += len(offered)
                strayed += (
                    len(
                        {
                            frozenset((fact.kind, fact.text) for fact in text.facts)
                            for text in texts[-1 - len(offered) :]
                        }
                    )
                    - 1
                )
            wrong = [
                fact
                for source in sources
                for fact in source.facts
                if _is_labelled(fact) and not is_right(fact, truth, change)
            ]
            for caption in texts:
                for fact in of_ours(caption, sources):
                    right = is_right(fact, truth, change)
                    ours[fact.kind.value]["right" if right else "wrong"] += 1
                    repeated.update(
                        fact.kind.value
                        for claim in wrong
                        if (claim.kind, claim.text) == (fact.kind, fact.text)
                    )
            if change.variant == "orig":
                shown = [
                    (counted, count)
                    for counted, count in made.counts.items()
                    if counted.event in AGAINST
                ]
                against.update(
                    {" ".join(counted).strip().replace("_", " "): count for counted, count in shown}
                )
            for source in sources if change.variant != "orig" else ():
                moved_claims += len(source.facts)
                violated.update(broken(row["caption"], source, change))
    lines = ["| our facts | right | wrong |", "|---|---:|---:|"]
    lines += [
        f"| {kind} | {found['right']:,} | {found['wrong']:,} |"
        for kind, found in sorted(ours.items())
    ]
    lines += [
        "",
        "| sources beside the labels | texts |",
        "|---|---:|",
        *(f"| {name} | {count:,} |" for name, count in sorted(against.items())),
    ]
    lines += [
        "",
        (
            "Wrong claims of a source that our sentences repeat: "
            f"{sum(repeated.values())} {dict(repeated) or ''}"
        ),
    ]
    lines += [
        (
            f"Rule paraphrases: {paraphrases:,}; those that do not "
            f"state the facts of their control caption: {strayed}"
        )
    ]
    lines += [
        (
            f"Claims in moved sources: {moved_claims:,}; not as the change left them: "
            f"{sum(violated.values())} {dict(violated) or ''}"
        )
    ]
    return lines


def _is_labelled(fact: Fact) -> bool:
    """Whether the truth speaks of it, with a value that a plain word does not blur."""
    return (
        fact.kind
        in (FactKind.BPM, FactKind.METER, FactKind.KEY, FactKind.CHORDS, FactKind.TIMED_CHORDS)
        or fact.text in MARKS
    )


def speeds(
    rows: list[dict[str, str]], truths: list[SampledTruth], given: list[Metadata]
) -> list[str]:
    """Texts a second on one core, each of its own clip."""
    labels = [truth.labels() for truth in truths]
    four = RECIPE.replaced(sentences=(0, 0, 0, 0, 1))
    parsed = [
        compose_captions((), found, Change(), four, 0, str(index)).captions[-1]
        for index, found in enumerate(labels)
    ]
    count = len(rows)
    return [
        "| on one core | a second |",
        "|---|---:|",
        timed(
            "control captions from labels",
            count,
            lambda at: compose_captions((), labels[at], Change(), RECIPE, 1, str(at)),
        ),
        timed(
            "control captions from labels, four sentences",
            count,
            lambda at: compose_captions((), labels[at], Change(), four, 1, str(at)),
        ),
        timed(
            "with a source text of their own",
            count,
            lambda at: compose_captions(
                (rows[at]["caption"],), labels[at], Change(), RECIPE, 2, str(at)
            ),
        ),
        timed(
            "with a source text read before (a variant)",
            count,
            lambda at: compose_captions(
                (rows[at % 50]["caption"],), labels[at], CHANGES[11], RECIPE, 3, str(at)
            ),
        ),
        timed(
            "with metadata",
            count,
            lambda at: compose_captions((), labels[at], Change(), RECIPE, 4, str(at), given[at]),
        ),
        timed(
            "rule paraphrases of four sentences",
            count,
            lambda at: paraphrased(parsed[at], 1, np.random.default_rng(at)),
        ),
    ]


def main() -> None:
    """Draw, compose, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    parser.add_argument("--rows", type=int, default=10**9)
    parser.add_argument("--varied", type=int, default=200)
    arguments = parser.parse_args()
    with arguments.table.open(newline="") as file:
        rows = list(csv.DictReader(file))[: arguments.rows]
    metadata_of: list[Metadata] = []
    for index, row in enumerate(rows):
        column = ("instruments", "moods")[index // 2 % 2]
        source = Source(
            uri=row["ytid"],
            metadata=json.dumps({column: row["aspect_list"]}) if index % 2 else "{}",
        )
        metadata_of.append(read_metadata(source, RECIPE))
    truths = [
        sampled_truth(row["ytid"], metadata)
        for row, metadata in zip(rows, metadata_of, strict=True)
    ]
    print(
        "\n".join(
            [
                *speeds(rows, truths, metadata_of),
                "",
                *checked(rows, truths, metadata_of, arguments.varied),
            ]
        )
    )


if __name__ == "__main__":
    main()
