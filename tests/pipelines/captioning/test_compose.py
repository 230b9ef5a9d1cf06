"""The captions of a sample: sources, prompts of metadata, control sentences."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from pipelines.captioning.check import chord_labels
from pipelines.captioning.compose import ComposedCaptions, compose_captions
from pipelines.captioning.facts import parse_facts
from pipelines.captioning.metadata import Metadata
from pipelines.captioning.sentences import (
    Attribute,
    available,
    chords_in_order,
    control_sentence,
    draw_sentences,
    rounds_of,
)
from pipelines.captioning.splitting import split_sentences
from schemas.caption import Caption, CaptionKind
from schemas.corpus import Change
from schemas.counts import CaptionCount, CaptionEvent
from schemas.fact import Fact, FactKind
from schemas.labels import Beats, Chords, ChordSegment, KeyLabel, Labels, Meter, Tempo
from schemas.pitch import Mode
from schemas.recipe import CaptionRecipe
from tests.support.fact_forms import fact_of

KEY = "00112233445566aa-0-10000-orig"
ONE_OF_EACH = CaptionRecipe(sentences=(0, 0, 0, 0, 1), chord_times_share=0)
NEVER = CaptionRecipe(sentences=(1,))
GIVEN = (FactKind.INSTRUMENT, FactKind.MOOD)  # no parser reads these


def labels(
    confidence: float = 0.9,
    beats_per_bar: int | None = 4,
    bpm: float | None = 120.0,
    chords: int = 3,
) -> Labels:
    how = {"confidence": confidence, "tool": "test", "version": "1", "licence": "CC0"}
    names = ["Ab:maj", "Ab:maj", "F:min7", "N", "C#:maj/3", "Eb:7"]
    segments = tuple(
        ChordSegment(start_s=at, end_s=at + 1, label=names[at % 6]) for at in range(chords)
    )
    return Labels(
        duration_s=10,
        beats=Beats(**how),
        meter=Meter(beats_per_bar=beats_per_bar, **how),
        tempo=Tempo(bpm=bpm, **how),
        chords=Chords(segments=segments, **how),
        key=KeyLabel(tonic=8, mode=Mode.MAJOR, **how),
    )


def of_kind(made: ComposedCaptions, kind: CaptionKind) -> list[Caption]:
    return [caption for caption in made.captions if caption.kind is kind]


def stated_by(caption: Caption) -> set[tuple[str, str]]:
    return {(fact.kind.value, fact.text) for fact in caption.facts}


def test_a_control_caption_is_the_source_and_what_the_labels_say() -> None:
    made = compose_captions(
        ("A flute plays softly",), labels(chords=6), Change(), ONE_OF_EACH, 0, KEY
    )
    [source, control] = made.captions
    assert source.text == "A flute plays softly"
    assert control.text.startswith("A flute plays softly. ")
    assert {
        ("meter", "4"),
        ("key", "Ab major"),
        ("chords", "Ab:maj F:min7 Db:maj/3 Eb:7"),
    } <= stated_by(control)
    assert "G♯" not in control.text


@pytest.mark.parametrize(
    "change",
    [
        Change(),
        Change(variant="pu2", semitones=2),
        Change(variant="s1", speed=0.9),
        Change(variant="v1", gain_end=0.3),
    ],
)
def test_sentences_and_facts_of_every_caption_are_exact(change: Change) -> None:
    sources = (
        "A slow song in A minor. A bell rings at 3 seconds.",
        "Voices, feat. a choir",
        "A sonata by J. S",
        "It ends on B.",
    )
    metadata = Metadata(instruments=("piano", "warm pads"), moods=("calm",), genres=("jazz",))
    for seed in range(150):
        given = metadata if seed % 2 else Metadata()
        made = compose_captions(
            sources if seed % 3 else (),
            labels(chords=seed % 9),
            change,
            CaptionRecipe(),
            seed,
            KEY,
            given,
        )
        assert made.captions
        for caption in made.captions:
            assert " ".join(caption.sentences) == caption.text
            assert caption.sentences == split_sentences(caption.text)
            assert tuple(fact for fact in caption.facts if fact.kind not in GIVEN) == parse_facts(
                caption.text
            )
            for fact in caption.facts:
                assert (
                    fact.kind not in GIVEN or fact.text in caption.sentences[fact.sentence].lower()
                )


def test_half_of_the_control_captions_name_instruments_and_half_moods_before_the_labels() -> None:
    metadata = Metadata(instruments=("piano", "drums"), moods=("calm",))
    named: Counter[FactKind] = Counter()
    for seed in range(300):
        made = compose_captions(("A flute.",), labels(), Change(), ONE_OF_EACH, seed, KEY, metadata)
        [control] = of_kind(made, CaptionKind.CONTROL)
        sentence_of = {fact.kind: fact.sentence for fact in control.facts}
        named.update(kind for kind in GIVEN if kind in sentence_of)
        own = [sentence_index for kind, sentence_index in sentence_of.items() if kind not in GIVEN]
        assert all(0 < sentence_of[kind] < min(own) for kind in GIVEN if kind in sentence_of)
        assert {fact.text for fact in control.facts if fact.kind is FactKind.INSTRUMENT} in (
            set(),
            {"piano", "drums"},
        )
    assert all(named[kind] / 300 == pytest.approx(0.5, abs=0.1) for kind in GIVEN)


def test_some_control_sentences_are_joined() -> None:
    made = [
        of_kind(
            compose_captions((), labels(), Change(), ONE_OF_EACH, seed, KEY), CaptionKind.CONTROL
        )[0]
        for seed in range(200)
    ]
    assert 20 < sum(len(caption.sentences) == 3 for caption in made) < 80
    assert all(
        {"meter", "key", "chords"} <= {kind for kind, _ in stated_by(caption)} for caption in made
    )


def sequence(*names: str, length_s: float = 1.0) -> Labels:
    segments = tuple(
        ChordSegment(start_s=at * length_s, end_s=(at + 1) * length_s, label=name)
        for at, name in enumerate(names)
    )
    return labels().replaced(chords=labels().chords.replaced(segments=segments))


def chord_sentences(found: Labels, recipe: CaptionRecipe) -> list[tuple[str, tuple[Fact, ...]]]:
    rng = np.random.default_rng(0)
    return [control_sentence(Attribute.CHORDS, found, recipe, rng)[1:] for _ in range(300)]


def test_two_of_three_repeated_progressions_are_named_as_repeats_of_the_whole_as_fact() -> None:
    made = chord_sentences(
        sequence("A:min", "F:maj", "C:maj", "A:min", "F:maj", "C:maj"),
        CaptionRecipe(chord_times_share=0),
    )
    assert {facts for _, facts in made} == {
        (fact_of("chords", "A:min F:maj C:maj A:min F:maj C:maj"),)
    }
    assert sum(text.count("Am") == 1 for text, _ in made) / 300 == pytest.approx(2 / 3, abs=0.1)


@pytest.mark.parametrize(
    ("names", "rounds"),
    [
        ("A F A F", 2),
        ("A F A F A F", 3),
        ("A F A F A", 1),  # two rounds and a half
        ("A F A A F A", 1),  # A F A twice, heard with one A in the middle
        ("A A F F A F", 2),  # what counts is the changes
        ("A F C A F", 1),
        ("A A A A", 1),
    ],
)
def test_only_whole_rounds_count(names: str, rounds: int) -> None:
    assert (
        rounds_of([chord.harte for chord in chords_in_order(sequence(*names.split()).chords)])
        == rounds
    )


def test_a_long_sequence_may_be_stated_where_its_round_is_short() -> None:
    recipe = CaptionRecipe(max_chords=3, chord_times_share=0)
    assert Attribute.CHORDS in available(sequence(*["A:min", "F:maj"] * 4), recipe)
    assert all(
        text.count("Am") == 1
        for text, _ in chord_sentences(sequence(*["A:min", "F:maj"] * 4), recipe)
    )
    assert Attribute.CHORDS not in available(sequence(*"ABCDEFG"), recipe)


def test_starts_are_given_by_the_recipes_share_to_a_tenth_of_a_second() -> None:
    made = chord_sentences(
        sequence("A:min", "A:min", "N", "F:maj", length_s=1.26),
        CaptionRecipe(chord_times_share=0.25),
    )
    timed = [facts for _, facts in made if facts[0].kind is FactKind.TIMED_CHORDS]
    assert set(timed) == {(fact_of("timed_chords", "A:min@0 F:maj@3.8"),)}
    assert len(timed) / 300 == pytest.approx(0.25, abs=0.08)


@pytest.mark.parametrize(
    "found", [sequence("A", "F", length_s=0.19), sequence(*"ABCDEFGAB"), sequence("A", "A")]
)
def test_no_starts_of_many_or_very_short_chords_or_of_one(found: Labels) -> None:
    kinds = {
        facts[0].kind for _, facts in chord_sentences(found, CaptionRecipe(chord_times_share=1))
    }
    assert kinds == {FactKind.CHORDS}


def test_the_chords_heard_are_those_that_the_check_compares_with() -> None:
    found = sequence("N", "C#:maj/3", "Db:maj/3", "N", "Db:maj/3", "G:7", "N").chords
    assert (
        tuple(chord.harte for chord in chords_in_order(found))
        == chord_labels(found)
        == ("Db:maj/3", "G:7")
    )
    assert [chord.start_s for chord in chords_in_order(found)] == [1, 5]


def test_the_same_seed_and_key_give_the_same_captions_and_other_keys_others() -> None:
    first = compose_captions(("A flute.",), labels(), Change(), ONE_OF_EACH, 7, KEY)
    assert first == compose_captions(("A flute.",), labels(), Change(), ONE_OF_EACH, 7, KEY)
    assert first != compose_captions(
        ("A flute.",), labels(), Change(), ONE_OF_EACH, 7, KEY.replace("aa", "ab")
    )


def test_without_a_source_there_is_always_a_control_sentence() -> None:
    [control] = compose_captions((), labels(), Change(), NEVER, 0, KEY).captions
    assert control.kind is CaptionKind.CONTROL
    assert control.facts


def test_without_a_source_or_a_confident_label_there_is_no_caption() -> None:
    assert (
        compose_captions((), labels(confidence=0.1), Change(), ONE_OF_EACH, 0, KEY).captions == ()
    )
    assert (
        compose_captions(
            (" \n\x00",), labels(confidence=0.1), Change(), ONE_OF_EACH, 0, KEY
        ).captions
        == ()
    )


def test_no_control_sentence_means_no_second_copy_of_the_source() -> None:
    [only] = compose_captions(("A flute plays.",), labels(), Change(), NEVER, 0, KEY).captions
    assert only.kind is CaptionKind.SOURCE


def test_a_control_sentence_that_the_source_contradicts_is_left_out_and_counted() -> None:
    made = compose_captions(
        ("A slow waltz in a minor key.",), labels(), Change(), ONE_OF_EACH, 0, KEY
    )
    [control] = of_kind(made, CaptionKind.CONTROL)
    assert control.text.startswith("A slow waltz in a minor key. ")
    assert {kind for kind, _ in stated_by(control)} == {"tempo_word", "meter", "key", "chords"}
    assert made.counts == {
        **{
            CaptionCount(CaptionEvent.SOURCE_CONTRADICTS, what): 1
            for what in ("tempo", "meter", "key")
        },
        **{
            CaptionCount(CaptionEvent.CONTROL_LEFT_OUT, what): 1
            for what in ("tempo", "meter", "key")
        },
    }


def test_a_volume_variant_says_so_beside_the_drawn_sentences() -> None:
    made = compose_captions(
        ("It fades out. A flute plays.",),
        labels(),
        Change(variant="v1", gain_start=0.2),
        NEVER,
        0,
        KEY,
    )
    [control] = of_kind(made, CaptionKind.CONTROL)
    assert stated_by(control) == {("dynamics", "crescendo")}
    assert made.counts == {CaptionCount(CaptionEvent.DROPPED, "dynamics"): 1}


def test_a_volume_that_falls_is_a_decrescendo() -> None:
    [control] = compose_captions(
        (), labels(confidence=0), Change(variant="v1", gain_end=0.2), NEVER, 0, KEY
    ).captions
    assert stated_by(control) == {("dynamics", "decrescendo")}


def test_all_sources_are_listed_once_and_one_is_drawn_for_the_control_caption() -> None:
    sources = ("A flute plays.", "A flute  plays.", "Birds sing.")
    chosen: Counter[str] = Counter()
    for seed in range(40):
        made = compose_captions(sources, labels(), Change(), ONE_OF_EACH, seed, KEY)
        assert [caption.text for caption in of_kind(made, CaptionKind.SOURCE)] == [
            "A flute plays.",
            "Birds sing.",
        ]
        chosen[of_kind(made, CaptionKind.CONTROL)[0].sentences[0]] += 1
    assert set(chosen) == {"A flute plays.", "Birds sing."}


def test_a_source_that_speed_leaves_empty_is_absent() -> None:
    made = compose_captions(
        ("A slow song.",), labels(), Change(variant="s1", speed=1.2), NEVER, 0, KEY
    )
    assert not of_kind(made, CaptionKind.SOURCE)
    assert of_kind(made, CaptionKind.CONTROL)
    assert made.counts == {
        CaptionCount(CaptionEvent.DROPPED, "tempo_word"): 1,
        CaptionCount(CaptionEvent.SOURCE_DROPPED): 1,
    }


def test_the_source_is_never_reworded_only_moved_as_a_whole() -> None:
    source = "The tempo is slow. Birds sing. It is odd."
    for seed in range(40):
        made = compose_captions(
            (source,), labels(bpm=70), Change(), CaptionRecipe(sentences=(0, 0, 1)), seed, KEY
        )
        assert all(source in caption.text for caption in made.captions)


def test_counts_of_sentences_follow_the_recipe_and_attributes_are_drawn_evenly() -> None:
    rng, recipe = np.random.default_rng(0), CaptionRecipe()
    lengths: Counter[int] = Counter()
    about: Counter[Attribute] = Counter()
    orders: Counter[tuple[Attribute, Attribute]] = Counter()
    for _ in range(4000):
        sampled = draw_sentences(labels(), recipe, rng)
        lengths[len(sampled)] += 1
        about.update(sentence.attribute for sentence in sampled)
        orders.update((one.attribute, other.attribute) for one, other in pairwise(sampled))
    for number, share in enumerate(recipe.sentences):
        assert lengths[number] / 4000 == pytest.approx(share, abs=0.03)
    assert max(about.values()) / min(about.values()) < 1.1
    assert orders[Attribute.KEY, Attribute.TEMPO] / orders[
        Attribute.TEMPO, Attribute.KEY
    ] == pytest.approx(1, abs=0.3)


def test_only_confident_labels_and_short_progressions_may_be_stated() -> None:
    assert set(available(labels(), CaptionRecipe())) == {
        Attribute.TEMPO,
        Attribute.METER,
        Attribute.KEY,
        Attribute.CHORDS,
    }
    gates = CaptionRecipe(
        min_tempo_confidence=0.3,
        min_meter_confidence=0.4,
        min_chords_confidence=0.4,
        min_key_confidence=0.5,
    )
    assert available(labels(confidence=0.4), gates) == (
        Attribute.TEMPO,
        Attribute.METER,
        Attribute.CHORDS,
    )
    assert available(labels(confidence=0.3), gates) == (Attribute.TEMPO,)
    assert Attribute.CHORDS not in available(labels(chords=6), CaptionRecipe(max_chords=3))
    assert available(labels(beats_per_bar=None, bpm=None, chords=0), CaptionRecipe()) == (
        Attribute.KEY,
    )
