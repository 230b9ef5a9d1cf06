"""How well facts are read out of captions, and how well wrong rewordings are caught.

    python -m tests.benchmarks.fact_check ../shared/testdata/captions [--list]

The folder holds MusicCaps (`musiccaps-public.csv`) and Mustango's rows (`*.jsonl`: control
sentences beside what ChatGPT made of them). Prints Markdown: the parser against
`caption_facts.json` (facts written down by hand, without any text), the judge against the same
hand's verdicts, texts corrupted by `corrupted.py`, and speed. `--list` names every row that comes
out otherwise than it should.
"""

import argparse
import csv
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from pipelines.captioning.check import contradiction
from pipelines.captioning.facts import mentions, parse_facts
from pipelines.captioning.judging import CaptionFault, faults
from pipelines.captioning.paraphrase import captioned
from pipelines.captioning.splitting import clean_text, split_sentences
from schemas.caption import Caption, CaptionKind
from schemas.chord import NO_CHORD, Chord
from schemas.fact import FactKind
from schemas.labels import Beats, Chords, ChordSegment, KeyLabel, Labels, Meter, Tempo
from schemas.pitch import Key
from tests.benchmarks.corrupted import edits
from tests.benchmarks.corrupted_chords import Row

_LABELLED: Final = Path(__file__).with_name("caption_facts.json")
_EVAL, _TEST, _MUSICCAPS = (
    "mustango_eval_sample.jsonl",
    "mustango_100test_musiccaps_ep4.jsonl",
    "musiccaps-public.csv",
)
_HOW: Final[dict[str, Any]] = {
    "confidence": 1,
    "tool": "mustango",
    "version": "1",
    "licence": "CC-BY-SA-4.0",
}
_CLIP_S: Final = 10.0


class Folder(NamedTuple):
    """The rows of a captions folder."""

    mustango: dict[str, list[Row]]
    musiccaps: dict[str, str]  # caption by ytid


class Case(NamedTuple):
    """A text offered for a source, and whether it should land."""

    name: str
    kind: str
    text: str
    source: Caption
    labels: Labels
    right: bool


def load(folder: Path) -> Folder:
    """The rows of a folder."""
    mustango = {
        name: [
            json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()
        ]
        for name in (_EVAL, _TEST)
    }
    with (folder / _MUSICCAPS).open(encoding="utf-8", newline="") as file:
        return Folder(mustango, {row["ytid"]: row["caption"] for row in csv.DictReader(file)})


def source_of(row: Row) -> Caption:
    """The control caption that a row's text rewords."""
    parts = (row["old_captions"], row["music_feat_captions"], row["aug_captions"])
    return captioned(
        clean_text(" ".join(part.strip() for part in parts if part.strip())), CaptionKind.CONTROL
    )


def labels_of(row: Row) -> Labels:
    """What a row's fields say of its audio, but for what its own control sentences deny: there the
    row contradicts itself.
    """
    labels, denied = (
        fields_of(row),
        {fact.kind for fact in source_of(row).facts if contradiction(fact, fields_of(row))},
    )
    empty: dict[str, Any] = {}
    if denied & {FactKind.BPM, FactKind.TEMPO_WORD}:
        empty["tempo"] = Tempo(**_HOW)
    if FactKind.METER in denied:
        empty["meter"] = Meter(**_HOW)
    if FactKind.KEY in denied:
        empty["key"] = KeyLabel(**_HOW)
    if FactKind.CHORDS in denied:
        empty["chords"] = Chords(**_HOW)
    return labels.replaced(**empty)


def fields_of(row: Row) -> Labels:
    """A row's fields as labels; two candidate keys are not a label."""
    names = [name for name in row["key"] if name]
    key = Key.parse(names[0]) if len(names) == 1 else None
    starts = [*row["chords_time"], max(_CLIP_S, *row["chords_time"], 0) + 1]
    segments = tuple(
        ChordSegment(
            start_s=start,
            end_s=end,
            label=symbol if symbol == NO_CHORD else Chord.parse_symbol(symbol).harte,
        )
        for symbol, start, end in zip(row["chords"], starts, starts[1:], strict=False)
    )
    beats = max((int(number) for number in row["beats"][1]), default=0)
    return Labels(
        duration_s=_CLIP_S,
        beats=Beats(**_HOW),
        meter=Meter(beats_per_bar=beats or None, **_HOW),
        tempo=Tempo(bpm=row["bpm"] or None, **_HOW),
        chords=Chords(segments=segments, **_HOW),
        key=KeyLabel(tonic=key.tonic if key else None, mode=key.mode if key else None, **_HOW),
    )


def read_table(folder: Folder, listing: bool) -> str:
    """Precision and recall of the parser against the hand's facts, by kind and by where the texts
    are from.
    """
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for entry in json.loads(_LABELLED.read_text()):
        of = "paraphrases" if "row" in entry else "MusicCaps"
        text = (
            folder.mustango[entry["file"]][entry["row"]]["captions"]
            if "row" in entry
            else folder.musiccaps[entry["ytid"]]
        )
        wanted = {(str(kind), str(value)) for kind, value in entry["facts"]}
        read = {(fact.kind.value, fact.text) for fact in parse_facts(clean_text(text))}
        for word, facts in (
            ("both", wanted & read),
            ("missed", wanted - read),
            ("extra", read - wanted),
        ):
            for kind, value in facts:
                counts[of, kind][word] += 1
                if listing and word != "both":
                    print(word, entry.get("row", entry.get("ytid")), kind, value)
    lines = ["| texts | kind | facts | precision | recall |", "|---|---|---:|---:|---:|"]
    for (of, kind), count in sorted(counts.items()):
        right, told, found = (
            count["both"],
            count["both"] + count["missed"],
            count["both"] + count["extra"],
        )
        lines.append(
            f"| {of} | {kind} | {told} | {right / max(1, found):.3f} | {right / max(1, told):.3f} |"
        )
    return "\n".join(lines)


def hand_cases(folder: Folder) -> Iterator[Case]:
    """The paraphrases with the hand's verdicts: one lands where it states every fact of its
    source.
    """
    for entry in json.loads(_LABELLED.read_text()):
        if "row" in entry:
            row = folder.mustango[entry["file"]][entry["row"]]
            right = not entry["lost"] and not entry["changed"]
            yield Case(
                f"row {entry['row']}",
                "paraphrase",
                row["captions"],
                source_of(row),
                labels_of(row),
                right,
            )


def edited_cases(folder: Folder, seed: int = 0) -> Iterator[Case]:
    """Edits of the paraphrases that are right, and of every control caption."""
    draw = random.Random(seed)
    reworded = {case.name: case for case in hand_cases(folder)}
    for file, rows in folder.mustango.items():
        for index, row in enumerate(rows):
            case = reworded.get(f"row {index}") if file == _EVAL else None
            if case and not case.right:
                continue
            source = case.source if case else source_of(row)
            base = clean_text(row["captions"])
            for edited in edits(base, row, draw):
                name = f"{file} row {index}{' (paraphrase)' if case else ''}"
                yield Case(name, edited.kind, edited.text, source, labels_of(row), edited.right)


def judged(cases: list[Case], listing: bool) -> str:
    """How many of each kind come out as they should."""
    counts: dict[tuple[bool, str], Counter[str]] = defaultdict(Counter)
    for case in cases:
        found: tuple[CaptionFault, ...] = faults(case.text, case.source, case.labels)
        is_as_wanted = case.right is not bool(found)
        counts[not case.right, case.kind][str(is_as_wanted)] += 1
        if listing and not is_as_wanted:
            print(
                case.kind, "|", case.name, "|", "; ".join(fault.text for fault in found) or "let in"
            )
    lines = ["| texts | should be | number | as they should | share |", "|---|---|---:|---:|---:|"]
    for is_wrong in (True, False):
        kinds = {kind: count for (wrong, kind), count in counts.items() if wrong is is_wrong}
        rows = [*kinds.items(), ("**all**", sum(kinds.values(), Counter()))]
        for kind, count in rows:
            number, right = count.total(), count["True"]
            lines.append(
                f"| {kind} | {'refused' if is_wrong else 'let in'} | "
                f"{number} | {right} | {right / max(1, number):.4f} |"
            )
    return "\n".join(lines)


def sources_checked(folder: Folder, listing: bool) -> str:
    """How many sources' facts are those of their row's fields."""
    right: Counter[str] = Counter()
    number: Counter[str] = Counter()
    for file, rows in folder.mustango.items():
        for index, row in enumerate(rows):
            said = row["music_feat_captions"]
            read = defaultdict(set)
            for fact in source_of(row).facts:
                read[fact.kind.value].add(fact.text)
            wanted = {
                "chords": set(),
                "bpm": set(),
                "key": {Key.parse(key).name for key in row["key"] if key and "key" in said},
            }
            if row["chords"] and "chord" in said:
                harte = [
                    Chord.parse_symbol(symbol).harte
                    for symbol in row["chords"]
                    if symbol != NO_CHORD
                ]
                wanted["chords"] = {
                    " ".join(one for at, one in enumerate(harte) if at == 0 or one != harte[at - 1])
                }
            if row["bpm"] and ("bpm" in said or "beats per minute" in said):
                wanted["bpm"] = {f"{row['bpm']:g}"}
            for kind, values in wanted.items():
                number[kind] += 1
                right[kind] += read[kind] == values
                if listing and read[kind] != values:
                    print("source", file, index, kind, "read", read[kind], "field", values)
    return "\n".join(
        [
            "| sources | rows | as the fields say |",
            "|---|---:|---:|",
            *(f"| {kind} | {number[kind]} | {right[kind]} |" for kind in number),
        ]
    )


def speed(cases: list[Case], folder: Folder) -> str:
    """Calls a second on one core, each text seen once and no cache warm."""
    texts = list(dict.fromkeys(folder.musiccaps.values()))[:2000]
    fresh = [case for case in cases if case.right][:2000]
    offered = [f"{text} {case.text}"[:450] for text, case in zip(texts, fresh, strict=False)]
    for cache in (mentions, split_sentences, clean_text):
        cache.cache_clear()
    started = time.process_time()
    for text in texts:
        parse_facts(text)
    parsed_s = time.process_time() - started
    for cache in (mentions, split_sentences, clean_text):
        cache.cache_clear()
    started = time.process_time()
    for text, case in zip(offered, fresh, strict=False):
        faults(text, case.source, case.labels)
    judged_s = time.process_time() - started
    words = sum(len(text.split()) for text in offered) / max(1, len(offered))
    return "\n".join(
        [
            "| what | texts | words each | a second |",
            "|---|---:|---:|---:|",
            (
                f"| parse_facts | {len(texts)} | "
                f"{sum(len(text.split()) for text in texts) / len(texts):.0f} "
                f"| {len(texts) / parsed_s:.0f} |"
            ),
            f"| faults | {len(offered)} | {words:.0f} | {len(offered) / judged_s:.0f} |",
        ]
    )


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    folder = load(options.folder)
    cases = list(edited_cases(folder))
    by_hand = list(hand_cases(folder))
    for title, table in (
        ("The parser against facts labelled by hand", read_table(folder, options.list)),
        ("Sources against their rows' fields", sources_checked(folder, options.list)),
        ("The judge against verdicts by hand", judged(by_hand, options.list)),
        ("Texts corrupted, and right ones written differently", judged(cases, options.list)),
        ("Speed", speed(cases, folder)),
    ):
        print(f"\n### {title}\n\n{table}")


if __name__ == "__main__":
    main()
