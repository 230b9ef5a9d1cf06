"""Pseudo-labels measured: does the bridge find a clip's own caption, are chosen texts spread more
evenly, do held-out ones leak.

    python -m tests.benchmarks.labels bridge FOLDER
        renders with truth (.wav or .flac beside .json with a caption)
    python -m tests.benchmarks.labels spread BUILD
        a build with labels
    python -m tests.benchmarks.labels leak BUILD CAPTIONS.csv
        a build whose vocabulary was cleaned of these captions
    python -m tests.benchmarks.labels near [--clips 200000]
        made-up vectors, of which 1 % are copies of others

Prints Markdown tables. The leak is looked for without the code that prevents it: by word sets, and
by MiniLM.
"""

import argparse
import csv
import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from pipelines.annotators import RATE_HZ
from pipelines.annotators.windows import annotate_waves
from pipelines.audio.decode import read_window, resampled
from pipelines.audio.spectra import EAR_HZ
from pipelines.embedders import ClipSound, bridge, minilm, unit
from pipelines.search.draw import sampled
from pipelines.search.lsh import Hashing, near_pairs, signatures
from pipelines.shards.label_statistics import entropy_bits, gini
from pipelines.storage.store import Store
from schemas.identity import keyed_rng
from schemas.label_recipe import LabelRecipe, NearRecipe
from schemas.pseudo_label import CandidateText, Frequency, Labelled, Matched
from schemas.recipe import AnnotateRecipe
from schemas.vocabulary import Form

CLIP_S = 10.0
RANKS = (1, 5, 10)
NEAR_WORDS, NEAR_MEANING = 0.8, 0.95
BLOCK = 2000
DIMENSION = 512
# of a common direction: strangers' vectors have a cosine of about 0.4, as music's have in CLAP's
# space
CROWDING = 0.8


def bridge_finds_captions(folder: Path) -> None:
    """Text to audio: where a clip stands among all by its own caption; and the other way round."""
    files = sorted(
        path
        for path in folder.iterdir()
        if path.suffix in (".wav", ".flac") and path.with_suffix(".json").exists()
    )
    heard = [read_window(str(path), 0, CLIP_S) for path in files]
    labels = annotate_waves(
        [resampled(one.wave, one.rate_hz, RATE_HZ) for one in heard], AnnotateRecipe(batch=64)
    )
    sounds = [
        ClipSound(resampled(one.wave, one.rate_hz, EAR_HZ), found)
        for one, found in zip(heard, labels, strict=True)
    ]
    embedder = bridge.load(LabelRecipe())
    audio = np.concatenate(
        [embedder.embed_audio(sounds[start : start + 16]) for start in range(0, len(sounds), 16)]
    )
    text = embedder.embed_text(
        [json.loads(path.with_suffix(".json").read_text())["caption"] for path in files]
    )
    print(
        f"| {len(files)} clips | "
        + " | ".join(f"recall@{rank}" for rank in RANKS)
        + " | median rank |\n|---|"
        + "---:|" * (len(RANKS) + 1)
    )
    for name, similarity in (
        ("caption to clip", text @ audio.T),
        ("clip to caption", audio @ text.T),
    ):
        own = np.diag(similarity)[:, None]
        # ties count half
        above = (similarity > own).sum(axis=1) + ((similarity == own).sum(axis=1) - 1) / 2
        print(
            f"| {name} | "
            + " | ".join(f"{np.mean(above < rank):.3f}" for rank in RANKS)
            + f" | {np.median(above) + 1:.1f} |"
        )
    print(
        "| chance | "
        + " | ".join(f"{rank / len(files):.3f}" for rank in RANKS)
        + f" | {(len(files) + 1) / 2:.1f} |"
    )


def spread_of(build: Path) -> None:
    """How evenly texts are used: the nearest, some of the nearest, or some with preference for the
    rare.
    """
    store = Store(str(build))
    buckets = store.read_sealed("clips/plan.json")["buckets"]
    rows = [
        row for name in buckets for row in store.read_records(f"matches/{name}.parquet", Matched)
    ]
    clips = {
        row.entry: row.clips
        for name in buckets
        for row in store.read_records(f"frequencies/{name}.parquet", Frequency)
    }
    for form, number in ((Form.LONG, 3), (Form.SHORT, 6)):
        print(
            f"\n| {form}, {number} of 10, {len(rows)} clips | different | entropy, bits | Gini | "
            "most used |\n|---|---:|---:|---:|---:|"
        )
        for name, choose in _choices(clips, number).items():
            counts: Counter[int] = Counter()
            for row in rows:
                candidates = [one for one in row.candidates if one.form is form]
                counts.update(one.entry for one in choose(row.clip_key, candidates))
            used = list(counts.values())
            print(
                f"| {name} | {len(used)} | {entropy_bits(used):.3f} "
                f"| {gini(used):.3f} | {max(used)} |"
            )


def _choices(
    clips: dict[int, int], number: int
) -> dict[str, Callable[[str, list[CandidateText]], Sequence[CandidateText]]]:
    even = dict.fromkeys(clips, 1)
    return {
        "the nearest": lambda _, found: found[:number],
        "drawn evenly": lambda key, found: sampled(found, even, number, keyed_rng(0, key, "even")),
        "drawn by 1 / frequency": lambda key, found: sampled(
            found, clips, number, keyed_rng(0, key, "label")
        ),
    }


def leaks_of(build: Path, captions: Path) -> None:
    """The nearest that any label comes to any held-out sentence."""
    store = Store(str(build))
    labels = sorted(
        {
            one.text
            for name in store.read_sealed("clips/plan.json")["buckets"]
            for row in store.read_records(f"labels/{name}.parquet", Labelled)
            for one in row.pseudo_labels
            if one.form is Form.LONG
        }
    )
    with captions.open(newline="") as opened:
        held_out = sorted(
            {
                sentence
                for row in csv.DictReader(opened)
                for sentence in re.split(r"(?<=[.!?])\s+", row["caption"])
                if sentence
            }
        )
    shared = list(_shared_words(labels, held_out))
    meanings = _nearest_meaning(labels, held_out)
    print(
        "| labels | held-out sentences | equal | words shared, most | of meaning, most | nearly "
        "equal |\n|---:|---:|---:|---:|---:|---:|"
    )
    equal = len({_plain(text) for text in labels} & {_plain(text) for text in held_out})
    near = sum(
        words >= NEAR_WORDS or meaning >= NEAR_MEANING
        for words, meaning in zip(shared, meanings, strict=True)
    )
    print(
        f"| {len(labels)} | {len(held_out)} | {equal} | "
        f"{max(shared):.3f} | {max(meanings):.3f} | {near} |"
    )


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _shared_words(labels: Sequence[str], held_out: Sequence[str]) -> Iterator[float]:
    """For each label the largest Jaccard index of its words with a held-out sentence's."""
    sets = [set(_plain(text).split()) for text in held_out]
    holding: dict[str, list[int]] = defaultdict(list)
    for index, words in enumerate(sets):
        for word in words:
            holding[word].append(index)
    for text in labels:
        words = set(_plain(text).split())
        counts = Counter(index for word in words for index in holding.get(word, ()))
        yield max(
            (count / (len(words) + len(sets[index]) - count) for index, count in counts.items()),
            default=0.0,
        )


def _nearest_meaning(labels: Sequence[str], held_out: Sequence[str]) -> list[float]:
    ours, best = minilm.embedded(labels), np.full(len(labels), -1.0)
    for start in range(0, len(held_out), BLOCK):
        best = np.maximum(
            best, (ours @ minilm.embedded(held_out[start : start + BLOCK]).T).max(axis=1)
        )
    return [float(value) for value in best]


def near_among(clips: int) -> None:
    """Copies among many vectors, by hash tables alone: those found, strangers that got through,
    seconds.
    """
    rng = np.random.default_rng(0)
    vectors = unit(
        rng.standard_normal((clips, DIMENSION)).astype(np.float32)
        + CROWDING * rng.standard_normal(DIMENSION).astype(np.float32)
    )
    copies = np.arange(0, clips, 100)
    vectors[copies + 1] = unit(
        vectors[copies]
        + 0.2 / DIMENSION**0.5 * rng.standard_normal((len(copies), DIMENSION)).astype(np.float32)
    )
    hashing = Hashing.for_corpus(clips, NearRecipe())
    began = time.perf_counter()
    signed = signatures(vectors, hashing, np.random.default_rng(1))
    hashed_s = time.perf_counter() - began
    found: set[tuple[int, int]] = set()
    for hashes in signed.hashes_TN:
        found.update(near_pairs(hashes, signed.signatures_NW, NearRecipe().min_similarity))
    met_s = time.perf_counter() - began - hashed_s
    hits = sum((at, at + 1) in found for at in copies.tolist())
    print(
        "| clips | tables | bits | copies found | strangers to compare | hashing, s | meeting, s |"
    )
    print("|---:|---:|---:|---:|---:|---:|---:|")
    strangers = len(found) - hits
    print(
        f"| {clips:,} | {hashing.tables} | {hashing.bits} | {hits} of {len(copies)} | "
        f"{strangers:,} | {hashed_s:.1f} | {met_s:.1f} |"
    )


def main() -> None:
    """Take a command."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("bridge").add_argument("folder", type=Path)
    commands.add_parser("spread").add_argument("build", type=Path)
    commands.add_parser("near").add_argument("--clips", type=int, default=200_000)
    leak = commands.add_parser("leak")
    leak.add_argument("build", type=Path)
    leak.add_argument("captions", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "bridge":
        bridge_finds_captions(arguments.folder)
    elif arguments.command == "spread":
        spread_of(arguments.build)
    elif arguments.command == "near":
        near_among(arguments.clips)
    else:
        leaks_of(arguments.build, arguments.captions)


if __name__ == "__main__":
    main()
