"""Table D of the audit, texts: a caption or a prompt of any length and make is read in time."""

import time

import pytest

from pipelines.captioning.facts import parse_facts
from pipelines.captioning.splitting import clean_text, split_sentences

LONG = {
    "stops": ("." * 180_000, 1),
    "stops with a word between": ("." * 90_000 + "x" + "." * 90_000, 1),
    "stops with spaces": (". " * 90_000, 90_000),
    "Mr.": ("Mr. " * 40_000, 1),
    "e.g.": ("e.g. " * 40_000, 1),
    "initials": ("J. " * 60_000, 1),
    "closing marks": ("." + ")" * 180_000, 1),
    "stops with closing marks": (".)" * 90_000, 1),
    "one word": ("a" * 180_000 + ". B", 2),
    "one word of stops": ("a." * 90_000 + " B", 1),
    "white space": ("A." + " " * 180_000 + "b", 1),
    "questions": ("Why? " * 36_000, 36_000),
}


@pytest.mark.parametrize("kind", LONG)
def test_d_a_text_of_180_kilobytes_is_split_in_well_under_a_second(kind: str) -> None:
    text, sentences = LONG[kind]
    began = time.process_time()
    found = split_sentences(text)
    # 0.01 to 0.4 s alone; minutes, where each stop looks at the whole text
    assert time.process_time() - began < 2
    assert len(found) == sentences


def test_d_a_caption_of_a_megabyte_of_stops_is_cut() -> None:
    began = time.process_time()
    assert len(clean_text("..." * 330_000)) == 2000
    assert time.process_time() - began < 2


def test_d_what_ends_a_sentence_is_what_it_was() -> None:
    output = (
        'By J. S. Bach in B. Then "so"... and on. Nos. 3 by A.B. '
        "Smith feat. Mr. X (e.g. live). Fast.Now? no! Well…\n"
        "End"
    )
    assert split_sentences(output) == (
        "By J. S. Bach in B.",
        'Then "so"... and on.',
        "Nos. 3 by A.B. Smith feat. Mr. X (e.g. live).",
        "Fast.Now? no!",
        "Well…",
        "End",
    )


@pytest.mark.parametrize(("unit", "stated"), [("Am at 0 s, ", []), ("in A minor ", ["A minor"])])
def test_d_a_sentence_of_176_kb_of_chords_or_keys_is_read_in_seconds(
    unit: str, stated: list[str]
) -> None:
    began = time.process_time()
    assert [fact.text for fact in parse_facts(unit * 16_000)] == stated
    assert time.process_time() - began < 5  # a second, where it was minutes
