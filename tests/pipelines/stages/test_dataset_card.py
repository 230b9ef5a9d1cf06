"""What tables say reaches the card as plain text, and neither the card nor dataset.json grows with
it.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.stages.output import close
from pipelines.stages.output.close import card
from pipelines.storage.store import Store
from schemas.corpus import Clip, Song, Source
from schemas.dataset import Dataset
from schemas.identity import Split, clip_key
from tests.support.small_dataset import small_dataset

BUCKETS = ["train-00000", "train-00001"]


def facts(sources: dict[str, int], distinct: int | None = None, **changes: Any) -> Dataset:
    licences = {
        "distinct": len(sources) if distinct is None else distinct,
        "sources": sources,
        "tools": {"essentia": "AGPL-3.0"},
    }
    return small_dataset(**{"licences": licences, **changes})


def licence_lines(sources: dict[str, int], distinct: int | None = None) -> list[str]:
    return card(facts(sources, distinct)).partition("## Licences\n\n")[2].splitlines()


def clips(store: Store, bucket: str, licences: list[str]) -> None:
    rows = []
    for number, licence in enumerate(licences):
        song = Song(song_id=f"{number:016x}", rate_hz=44_100, channels=1, duration_s=10)
        rows.append(
            Clip(
                clip_key=clip_key(song.song_id, 0, 10),
                song=song,
                source=Source(uri="a.wav", licence=licence),
                start_s=0,
                end_s=10,
                extended_end_s=10,
                split=Split.TRAIN,
                group=f"{bucket} {number}",
            )
        )
    store.write_records(f"clips/{bucket}.parquet", Clip, rows)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("CC-BY-4.0", "CC-BY-4.0"),
        (
            "https://creativecommons.org/licenses/by/4.0/",
            "https://creativecommons.org/licenses/by/4.0/",
        ),
        ("free\n\n# Heading\r\n| a |\t b\u2028c", r"free \# Heading \| a \| b c"),
        (
            "[click](http://x.org) ![p](http://x.org/p.png)",
            r"\[click\](http://x.org) \!\[p\](http://x.org/p.png)",
        ),
        ("<img src=x onerror=alert(1)> &lt;", r"\<img src=x onerror=alert(1)\> \&lt;"),
        ("*a* _b_ `c` ~~d~~ \\ $e$", r"\*a\* \_b\_ \`c\` \~\~d\~\~ \\ \$e\$"),
        ("x\u202egnp.exe\x1b[31m", r"x gnp.exe \[31m"),
        ("y" * 80, "y" * 80),
        ("y" * 81, "y" * 79 + "…"),
    ],
)
def test_a_licence_is_one_short_line_of_plain_text(said: str, shown: str) -> None:
    assert licence_lines({said: 3}) == [f"- sources, {shown}: 3 clips", "- essentia: AGPL-3.0"]


def test_names_of_the_corpus_and_of_tools_are_plain_text_too() -> None:
    licences = {"distinct": 0, "sources": {}, "tools": {"my_tool\n": "[x](y)"}}
    text = card(facts({}, name="a\n# b", licences=licences))
    assert text.startswith("# a \\# b\n\nBuilt by")
    assert text.endswith("## Licences\n\n- my\\_tool: \\[x\\](y)\n")


def test_the_fifty_most_frequent_licences_are_shown_and_the_rest_is_counted() -> None:
    lines = licence_lines({f"L{number:02d}": number + 1 for number in range(60)})
    assert lines[:2] == ["- sources, L59: 60 clips", "- sources, L58: 59 clips"]
    assert lines[49:] == [
        "- sources, L10: 11 clips",
        "- sources, and 10 more: 55 clips",
        "- essentia: AGPL-3.0",
    ]
    assert licence_lines({"MIT": 2, "others": 7000}, distinct=6001)[:2] == [
        "- sources, MIT: 2 clips",
        "- sources, and 6000 more: 7000 clips",
    ]


def test_dataset_json_keeps_the_most_frequent_licences_and_the_sum_of_the_rest(
    tmp_path: Path,
) -> None:
    store = Store(str(tmp_path))
    rare = [f"{number:04d}" + "x" * 1000 for number in range(1100)]
    clips(store, BUCKETS[0], ["MIT", "CC0-1.0", *rare])
    clips(store, BUCKETS[1], ["MIT", "", "unknown", "CC0-1.0", "MIT"])
    found = close._sources(store, BUCKETS)
    assert (found.distinct, found.groups) == (1103, {"train": 1107})
    licences = found.licences
    assert {name: licences[name] for name in ("MIT", "CC0-1.0", "unknown", "others")} == {
        "MIT": 3,
        "CC0-1.0": 2,
        "unknown": 2,
        "others": 103,
    }
    assert len(licences) == 1001
    assert {(rare[number][:200], 1) for number in range(997)} == licences.items() - {
        ("MIT", 3), ("CC0-1.0", 2), ("unknown", 2), ("others", 103),
    }  # fmt: skip
    assert list(licences) == sorted(licences)
    assert len(json.dumps(licences)) < 300_000


def test_few_licences_have_no_others(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    clips(store, BUCKETS[0], ["MIT", "", "MIT"])
    found = close._sources(store, BUCKETS[:1])
    assert (found.licences, found.distinct) == ({"MIT": 2, "unknown": 1}, 2)


def test_the_card_says_what_was_reworded_refused_and_contradicted() -> None:
    stages = {
        "caption": {"samples": 9, "source_contradicts": {"tempo": 2}},
        "paraphrase": {
            "controls": 8,
            "landed": 7,
            "refused": {"facts": {"lost": {"key": 1}, "changed": {"timed_chords": 3}}},
        },
        "dedup_paraphrases": {"kept": 6, "dropped_near_duplicate": 1},
    }
    found = (
        card(facts({}, stages=stages))
        .partition("## Captions\n\n")[2]
        .partition("\n\n## Licences")[0]
        .splitlines()
    )
    assert found[2:] == [
        "| control captions | 8 |",
        "| rewordings kept | 6 |",
        "| rewordings refused: changed timed chords | 3 |",
        "| rewordings refused: lost key | 1 |",
        "| rewordings dropped: near duplicate | 1 |",
        "| sources that contradict their tempo label | 2 |",
    ]
    assert "## Captions" not in card(facts({}))
