"""Near copies among many texts: time, memory and exactness of the search by groups of facts, and
MiniLM's own pace.

    python -m tests.benchmarks.near_copies [--texts 100000 1000000] [--musiccaps FILE]
                                           [--no-embedding] [--threads 1]

Unit vectors are drawn, each group's around its own centre (cosine 0.6, as texts with the same facts
lie). Of a million texts four groups hold 75,000 each, 24 hold 10,000 each, the others are small;
other sizes in proportion. 1 % of the texts are planted copies of an earlier one (cosine 0.995) with
the same facts, which must go, and 1 % copies with other facts, which must stay. Beside it one
matrix product without groups. Prints Markdown tables; the exit status is 1 and the last line begins
with FAILED where a claim does not hold.
"""

import argparse
import csv
import multiprocessing
import os
import resource
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.embedders import Vectors, minilm
from pipelines.embedders.minilm import DIMENSION
from pipelines.stages.texts.dedup_paraphrases import FactSet, Index
from schemas.fact import BpmFact, KeyFact
from schemas.recipe import CaptionRecipe

LIMIT = CaptionRecipe().max_similarity
BUCKET = 400  # texts
LARGE = ((4, 0.075), (24, 0.010))  # groups, and the share of the texts that each holds
SMALL_MEAN = 8  # texts in a small group
PLANTED = 0.01
NONE = -1


class Corpus(NamedTuple):
    """Texts in order: the group of each, the text that it copies, and whether with the same
    facts.
    """

    group: np.ndarray
    copied: np.ndarray  # NONE: of its own
    same: np.ndarray


def corpus(texts: int) -> Corpus:
    """Groups shuffled over the order; copies of earlier texts that are not copies."""
    rng = np.random.default_rng(0)
    sizes = [round(share * texts) for groups, share in LARGE for _ in range(groups)]
    while (left := texts - sum(sizes)) > 0:
        normal = np.minimum(rng.geometric(1 / SMALL_MEAN, max(1, left // SMALL_MEAN)), left)
        sizes += list(normal[np.cumsum(normal) <= left]) or [left]
    group = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    copied, same = np.full(texts, NONE), np.zeros(texts, bool)
    kind = rng.random(texts)
    earlier: dict[int, list[int]] = defaultdict(list)
    own: list[int] = []
    # two copies of one text among the same other facts would be copies of each other
    used: set[int] = set()
    for index in range(texts):
        held = earlier[group[index]]
        if kind[index] < PLANTED and held:
            copied[index], same[index] = held[int(rng.random() * len(held))], True
        elif (
            PLANTED <= kind[index] < 2 * PLANTED
            and own
            and group[other := own[int(rng.random() * len(own))]] != group[index]
        ):
            copied[index] = other if other not in used else NONE
            used.add(other)
        else:
            held.append(index)
            own.append(index)
    return Corpus(group, copied, same)


def vector(index: int, made: Corpus) -> Vectors:
    """A text's vector, drawn anew whenever it is asked for: nothing but the index holds memory."""
    origin = made.copied[index]
    if origin != NONE:
        # 1 / sqrt(1 + 0.1²): cosine 0.995
        return _unit(vector(int(origin), made) + 0.1 * _normal(1, index))
    return _unit(
        np.sqrt(0.6) * _normal(2, int(made.group[index])) + np.sqrt(0.4) * _normal(3, index)
    )


def _normal(kind: int, number: int) -> Vectors:
    normal = np.random.Generator(np.random.SFC64([kind, number])).standard_normal(
        DIMENSION, np.float32
    )
    return _unit(normal)


def _unit(normal: Vectors) -> Vectors:
    # as they are stored
    found: Vectors = (normal / np.linalg.norm(normal)).astype(np.float16).astype(np.float32)
    return found


class Searched(NamedTuple):
    """What a search came to.

    Seconds and CPU seconds are of the search alone; memory is the peak, and that above what it
    began with.
    """

    groups: int
    seconds: float
    cpu_s: float
    last_s: float
    grown_mb: float
    peak_mb: float
    planted: int
    missed: int
    wrongly_dropped: int
    others_planted: int


def searched(texts: int) -> Searched:
    """Feed an index bucket by bucket in order, as the stage does."""
    made = corpus(texts)
    key = KeyFact(tonic=9, mode="minor")
    facts: list[FactSet] = [
        frozenset({BpmFact(bpm=number + 1), key}) for number in range(int(made.group.max()) + 1)
    ]
    dropped = np.zeros(texts, bool)
    index, seconds, cpu_s, last_s, before_mb = Index(LIMIT), 0.0, 0.0, 0.0, _peak_mb()
    for start in range(0, texts, BUCKET):
        places = range(start, min(start + BUCKET, texts))
        vectors = {place: vector(place, made) for place in places}
        began, busy_s = time.perf_counter(), time.process_time()
        groups: dict[FactSet, list[int]] = defaultdict(list)
        for place in places:
            groups[facts[made.group[place]]].append(place)
        for fact, members in groups.items():
            flags = index.let_in(fact, np.stack([vectors[place] for place in members]))
            dropped[members] = ~np.array(flags)
        last_s = time.perf_counter() - began
        seconds, cpu_s = seconds + last_s, cpu_s + time.process_time() - busy_s
        if places.stop % 100_000 == 0:
            print(
                (
                    f"{places.stop:,} of {texts:,}: {seconds:.1f} s, "
                    f"CPU {cpu_s:.1f} s, {_peak_mb():.0f} MiB"
                ),
                file=sys.stderr,
                flush=True,
            )
    peak_mb = _peak_mb()
    return Searched(
        len(facts),
        seconds,
        cpu_s,
        last_s,
        peak_mb - before_mb,
        peak_mb,
        int(made.same.sum()),
        int((made.same & ~dropped).sum()),
        int((dropped & ~made.same).sum()),
        int(((made.copied != NONE) & ~made.same).sum()),
    )


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Plain(NamedTuple):
    """Brute force and the index on the same texts: seconds, what each drops, and whether the facts
    alone make the difference.
    """

    plain_s: float
    index_s: float
    plain_dropped: int
    index_dropped: int
    agree: bool


def brute_force(texts: int) -> Plain:
    """One product of all with all, in blocks, without groups; and with the facts compared
    afterwards, as a check of the index.
    """
    made = corpus(texts)
    vectors = np.stack([vector(place, made) for place in range(texts)])
    began = time.perf_counter()
    close: list[tuple[int, int]] = []
    for start in range(0, texts, 2000):
        rows, columns = np.nonzero(
            vectors[start : start + 2000] @ vectors[: start + 2000].T >= LIMIT
        )
        close += [
            (start + row, column)
            for row, column in zip(rows.tolist(), columns.tolist(), strict=True)
            if column < start + row
        ]
    without, within = (
        _kept_out(texts, pairs)
        for pairs in (close, [pair for pair in close if len(set(made.group[list(pair)])) == 1])
    )
    plain_s, began = time.perf_counter() - began, time.perf_counter()
    index, dropped = Index(LIMIT), set[int]()
    for start in range(0, texts, BUCKET):
        groups: dict[int, list[int]] = defaultdict(list)
        for place in range(start, min(start + BUCKET, texts)):
            groups[int(made.group[place])].append(place)
        for group, members in groups.items():
            flags = index.let_in(frozenset({BpmFact(bpm=group + 1)}), vectors[members])
            dropped |= {place for place, flag in zip(members, flags, strict=True) if not flag}
    return Plain(
        plain_s, time.perf_counter() - began, len(without), len(dropped), dropped == within
    )


def _kept_out(texts: int, pairs: list[tuple[int, int]]) -> set[int]:
    """Texts that are near one before them that was let in."""
    earlier: dict[int, list[int]] = defaultdict(list)
    for later, first in pairs:
        earlier[later].append(first)
    out: set[int] = set()
    for index in range(texts):
        if any(first not in out for first in earlier.get(index, [])):
            out.add(index)
    return out


class Pace(NamedTuple):
    """Texts a second on one thread: as the stage embeds, and the network alone."""

    ours: float
    bare: float
    apart: float  # the largest difference between their vectors


def embedding(texts: list[str]) -> Pace:
    """MiniLM over the texts, and its forward pass over batches that are tokens already, of like
    length side by side as ours are.
    """
    import torch

    torch.set_num_threads(1)
    minilm.embedded(texts[:32])  # loads
    network = minilm._model()
    order = sorted(range(len(texts)), key=lambda index: -len(texts[index]))
    tokens = [
        network.preprocess([texts[index] for index in order[start : start + 16]])
        for start in range(0, len(texts), 16)
    ]
    ours, bare = [], []
    for _round in range(3):
        began = time.perf_counter()
        found = minilm.embedded(texts)
        ours.append(time.perf_counter() - began)
        began = time.perf_counter()
        with torch.inference_mode():
            passed = [network.forward(dict(batch))["sentence_embedding"] for batch in tokens]
        bare.append(time.perf_counter() - began)
    rows = torch.nn.functional.normalize(torch.cat(passed)).numpy()
    return Pace(
        len(texts) / min(ours), len(texts) / min(bare), float(np.abs(rows - found[order]).max())
    )


def sources(file: Path | None, count: int) -> list[str]:
    """Texts to embed: MusicCaps' where its file is given, else about as long."""
    if file:
        with file.open(newline="") as rows:
            return [row["caption"] for row in csv.DictReader(rows)][:count]
    words = (
        "slow",
        "low",
        "recording",
        "features",
        "flute",
        "guitar",
        "and",
        "soft",
        "drums",
        "over",
        "a",
        "steady",
        "bass",
        "line",
    )
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(words, int(rng.integers(20, 80)))) for _ in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--musiccaps", type=Path)
    parser.add_argument("--no-embedding", action="store_true")
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        help="of the matrix products; the container's stages have one",
    )
    arguments = parser.parse_args()
    os.environ["OPENBLAS_NUM_THREADS"] = str(
        arguments.threads
    )  # for the processes that are started
    fresh = multiprocessing.get_context("spawn")  # so that peaks are each run's own
    failed: list[str] = []
    with fresh.Pool(1, maxtasksperchild=1) as pool:
        plain = pool.apply(brute_force, (20_000,))
    print(
        (
            "| texts | plain product s | index s | plain drops | "
            "index drops | index = plain with facts compared |\n"
        )
        + "|---:" * 6
        + "|"
    )
    print(
        f"| 20,000 | {plain.plain_s:.2f} | {plain.index_s:.2f} | {plain.plain_dropped} | "
        f"{plain.index_dropped} | {plain.agree} |\n"
    )
    failed += [] if plain.agree else ["the index drops what brute force drops"]
    print(
        "| texts | fact sets | s | CPU s | last bucket ms | texts/s | MiB more | peak MiB | "
        "planted | missed | wrongly gone | others |"
    )
    print("|---:" * 12 + "|")
    for texts in arguments.texts:
        with fresh.Pool(1, maxtasksperchild=1) as pool:
            found = pool.apply(searched, (texts,))
        cells = (
            f"{found.seconds:.1f}",
            f"{found.cpu_s:.1f}",
            f"{1000 * found.last_s:.0f}",
            f"{texts / found.seconds:.0f}",
            f"{found.grown_mb:.0f}",
            f"{found.peak_mb:.0f}",
        )
        counts = (found.planted, found.missed, found.wrongly_dropped, found.others_planted)
        print(
            f"| {texts:,} | {found.groups:,} | " + " | ".join([*cells, *map(str, counts)]) + " |",
            flush=True,
        )
        failed += (
            []
            if not found.missed and not found.wrongly_dropped
            else [f"{texts}: exactly the planted copies go"]
        )
    if not arguments.no_embedding:
        with fresh.Pool(1) as pool:
            pace = pool.apply(embedding, (sources(arguments.musiccaps, 300),))
        print("\n| MiniLM, one thread | texts/s |\n|---|---:|")
        print(
            f"| as the stage embeds | {pace.ours:.1f} |\n| forward pass alone | {pace.bare:.1f} "
            f"|\n| ratio | {pace.ours / pace.bare:.2f} |"
        )
        print(f"\nlargest difference between their vectors: {pace.apart:.1e}")
    if failed:
        raise SystemExit("FAILED: " + "; ".join(failed))


if __name__ == "__main__":
    main()
