"""What a source's metadata name, and the prompts made of it."""

import json
from collections import Counter

import numpy as np
import pytest

from pipelines.captioning.facts import parse_facts
from pipelines.captioning.metadata import (
    MAX_ITEMS,
    Metadata,
    metadata_prompts,
    metadata_sentences,
    read_metadata,
)
from pipelines.captioning.splitting import split_sentences
from pipelines.labels.transform import sped_up, transposed
from schemas.caption import Caption, CaptionKind
from schemas.corpus import Source
from schemas.counts import CaptionCount, CaptionEvent
from schemas.fact import FactKind
from schemas.labels import Beats, Chords, KeyLabel, Labels, Meter, Tempo
from schemas.pitch import Mode
from schemas.recipe import CaptionRecipe

GIVEN = (FactKind.INSTRUMENT, FactKind.MOOD)
FULL = Metadata(instruments=("piano", "drums", "bass"), moods=("calm", "tender"), genres=("jazz",))


def labels(confidence: float = 0.9) -> Labels:
    how = {"confidence": confidence, "tool": "test", "version": "1", "licence": "CC0"}
    key = KeyLabel(tonic=9, mode=Mode.MINOR, **how)
    return Labels(
        duration_s=10,
        beats=Beats(**how),
        meter=Meter(**how),
        tempo=Tempo(bpm=92, **how),
        chords=Chords(**how),
        key=key,
    )


def read(value: object, **columns: str) -> Metadata:
    return read_metadata(
        Source(uri="a.wav", metadata=json.dumps({"moods": value})), CaptionRecipe(**columns)
    )


def prompts(found: Labels, count: int = 400) -> list[Caption]:
    rng, counts = np.random.default_rng(0), Counter[CaptionCount]()
    made = [
        prompt
        for _ in range(count)
        for prompt in metadata_prompts(FULL, found, CaptionRecipe(), rng, counts)
    ]
    assert not counts
    return made


@pytest.mark.parametrize(
    "value",
    [
        ["Calm", "warm  pads"],
        '["Calm", "warm pads"]',
        "['Calm', 'warm pads']",
        "Calm, warm pads",
        "calm; warm\u0000 pads.",
        ("calm", "warm pads"),
    ],
)
def test_names_come_as_a_list_or_as_a_text_of_a_list_or_with_separators(value: object) -> None:
    assert read(value).moods == ("calm", "warm pads")


@pytest.mark.parametrize(
    "value", [None, 7, {"a": 1}, "", "[", "[[[", [["calm"]], [1, 2], "[" * 5000, "x" * 20_000]
)
def test_anything_else_names_nothing_or_little(value: object) -> None:
    assert len(read(value).moods) == 0


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        ("120 bpm", "bpm"),
        ("slow tempo", "tempo_word"),
        ("fast", "tempo_word"),
        ("Largo", "tempo_word"),
        ("3/4 time", "meter"),
        ("waltz", "meter"),
        ("in A minor", "key"),
        ("minor key", "key"),
        ("Am - F - C", "chords"),
        ("E minor chords", "chords"),
        ("fade out", "dynamics"),
        ("x" * 41, "too_long"),
    ],
)
def test_items_that_state_something_about_the_labels_are_dropped_and_counted(
    item: str, kind: str
) -> None:
    found = read([item, "calm"])
    assert found.moods == ("calm",)
    assert found.counts == ((CaptionCount(CaptionEvent.METADATA_DROPPED, kind), 1),)


def test_no_more_than_twelve_items_are_kept_each_once() -> None:
    found = read([f"mood {chr(97 + index)}" for index in range(20)] + ["Mood A"])
    assert len(found.moods) == MAX_ITEMS
    assert found.counts == ((CaptionCount(CaptionEvent.METADATA_DROPPED, "too_many"), 8),)


def test_columns_are_those_that_the_recipe_names_and_genres_also_the_sources_own() -> None:
    source = Source(
        uri="a.wav",
        genre="Jazz",
        metadata=json.dumps({"aspect_list": "['calm']", "genres": "Bebop, jazz", "moods": "sad"}),
    )
    found = read_metadata(
        source, CaptionRecipe(metadata_columns={"instruments": "aspect_list", "genre": "genres"})
    )
    assert found == Metadata(instruments=("calm",), genres=("jazz", "bebop"))


@pytest.mark.parametrize("metadata", ["", "[]", "nonsense", "{}"])
def test_no_metadata_is_nothing(metadata: str) -> None:
    assert not read_metadata(Source(uri="a.wav", metadata=metadata), CaptionRecipe())


def test_a_prompt_states_exactly_the_facts_that_it_carries() -> None:
    for prompt in prompts(labels()):
        assert prompt.kind is CaptionKind.METADATA
        assert prompt.sentences == (prompt.text,) == split_sentences(prompt.text)
        assert tuple(fact for fact in prompt.facts if fact.kind not in GIVEN) == parse_facts(
            prompt.text
        )
        named = {item for item in (*FULL.instruments, *FULL.moods) if item in prompt.text.lower()}
        assert named == {fact.text for fact in prompt.facts if fact.kind in GIVEN}
        assert named or "jazz" in prompt.text.lower()


def test_prompts_vary_in_form_order_fields_and_case() -> None:
    made = [prompt.text for prompt in prompts(labels())]
    assert (
        0.4
        < sum(
            " | " in text or text.startswith(("Instruments:", "Moods:", "Genre:")) for text in made
        )
        / len(made)
        < 0.6
    )
    assert len(set(made)) > 250
    assert any("PIANO" in text for text in made)
    assert {text.partition(":")[0] for text in made if " | " in text} == {
        "Instruments",
        "Moods",
        "Genre",
        "BPM",
        "Key",
    }


def test_a_variants_prompts_name_its_own_tempo_and_key() -> None:
    values = {
        (fact.kind, fact.text)
        for prompt in prompts(transposed(sped_up(labels(), 1.25), 2))
        for fact in prompt.facts
    }
    assert {value for kind, value in values if kind is FactKind.BPM} == {"115"}
    assert {value for kind, value in values if kind is FactKind.KEY} == {"B minor"}


def test_labels_below_the_gate_are_not_named() -> None:
    assert {
        fact.kind for prompt in prompts(labels(confidence=0.3)) for fact in prompt.facts
    } == set(GIVEN)


def test_items_that_together_claim_something_are_left_out_and_counted() -> None:
    odd = Metadata(moods=("calm", "dr"))
    counts: Counter[CaptionCount] = Counter()
    made = [
        metadata_sentences(
            odd, CaptionRecipe(metadata_share=1), np.random.default_rng(seed), counts
        )
        for seed in range(40)
    ]
    assert all(
        split_sentences(f"{sentence.text} It is odd.")[1:] == ("It is odd.",)
        for sentences in made
        for sentence in sentences
    )
    assert (
        counts[CaptionCount(CaptionEvent.CONTROL_LEFT_OUT, "moods")]
        == sum(not sentences for sentences in made)
        > 0
    )
