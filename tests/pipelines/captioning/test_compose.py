"""All captions of a sample: sources, control sentences, paraphrases."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from pipelines.captioning.compose import Captioned, compose_captions
from pipelines.captioning.facts import parse_facts
from pipelines.captioning.paraphrase import PARAPHRASERS, captioned
from pipelines.captioning.sentences import Attribute, available, draw_sentences
from pipelines.errors import PipelineError
from schemas.caption import Caption, CaptionKind
from schemas.corpus import Change
from schemas.labels import Beats, Chords, ChordSegment, KeyLabel, Labels, Meter, Tempo
from schemas.pitch import Mode
from schemas.recipe import CaptionRecipe

KEY = "00112233445566aa-0-10000-orig"
ONE_OF_EACH = CaptionRecipe(sentences=(0, 0, 0, 0, 1))
NEVER = CaptionRecipe(sentences=(1,))


def labels(confidence: float = 0.9, beats_per_bar: int | None = 4, bpm: float | None = 120.0, chords: int = 3) -> Labels:
    how = {"confidence": confidence, "tool": "test", "version": "1", "licence": "CC0"}
    names = ["Ab:maj", "Ab:maj", "F:min7", "N", "C#:maj/3", "Eb:7"]
    segments = tuple(ChordSegment(start_s=at, end_s=at + 1, label=names[at % 6]) for at in range(chords))
    return Labels(
        duration_s=10,
        beats=Beats(**how),
        meter=Meter(beats_per_bar=beats_per_bar, **how),
        tempo=Tempo(bpm=bpm, **how),
        chords=Chords(segments=segments, **how),
        key=KeyLabel(tonic=8, mode=Mode.MAJOR, **how),
    )


def of_kind(made: Captioned, kind: CaptionKind) -> list[Caption]:
    return [caption for caption in made.captions if caption.kind is kind]


def stated_by(caption: Caption) -> set[tuple[str, str]]:
    return {(fact.kind.value, fact.value) for fact in caption.facts}


def test_a_control_caption_is_the_source_and_what_the_labels_say() -> None:
    made = compose_captions(("A flute plays softly",), labels(chords=6), Change(), ONE_OF_EACH, 0, KEY)
    [source], [control], [paraphrase] = (of_kind(made, kind) for kind in CaptionKind)
    assert source.text == "A flute plays softly"
    assert control.text.startswith("A flute plays softly. ")
    assert {("meter", "4"), ("key", "Ab major"), ("chords", "Ab:maj F:min7 Db:maj/3 Eb:7")} <= stated_by(control)
    assert "G♯" not in control.text
    assert stated_by(paraphrase) == stated_by(control)
    assert paraphrase.text != control.text


@pytest.mark.parametrize(
    "change", [Change(), Change(variant="pu2", semitones=2), Change(variant="s1", speed=0.9), Change(variant="v1", gain_end=0.3)]
)
def test_sentences_and_facts_of_every_caption_are_exact(change: Change) -> None:
    sources = ("A slow song in A minor. A bell rings at 3 seconds.", "Voices, feat. a choir")
    for seed in range(60):
        made = compose_captions(sources if seed % 3 else (), labels(chords=seed % 7), change, CaptionRecipe(paraphrases=2), seed, KEY)
        assert made.captions
        for caption in made.captions:
            assert " ".join(caption.sentences) == caption.text
            assert caption.facts == parse_facts(caption.text)


def test_the_same_seed_and_key_give_the_same_captions_and_other_keys_others() -> None:
    first = compose_captions(("A flute.",), labels(), Change(), ONE_OF_EACH, 7, KEY)
    assert first == compose_captions(("A flute.",), labels(), Change(), ONE_OF_EACH, 7, KEY)
    assert first != compose_captions(("A flute.",), labels(), Change(), ONE_OF_EACH, 7, KEY.replace("aa", "ab"))


def test_without_a_source_there_is_always_a_control_sentence() -> None:
    [control, _] = compose_captions((), labels(), Change(), NEVER, 0, KEY).captions
    assert control.kind is CaptionKind.CONTROL
    assert control.facts


def test_without_a_source_or_a_confident_label_there_is_no_caption() -> None:
    assert compose_captions((), labels(confidence=0.1), Change(), ONE_OF_EACH, 0, KEY).captions == ()
    assert compose_captions((" \n\x00",), labels(confidence=0.1), Change(), ONE_OF_EACH, 0, KEY).captions == ()


def test_no_control_sentence_means_no_second_copy_of_the_source() -> None:
    [only] = compose_captions(("A flute plays.",), labels(), Change(), NEVER, 0, KEY).captions
    assert only.kind is CaptionKind.SOURCE


def test_a_control_sentence_that_the_source_contradicts_is_left_out_and_counted() -> None:
    made = compose_captions(("A slow waltz in a minor key.",), labels(), Change(), ONE_OF_EACH, 0, KEY)
    [control] = of_kind(made, CaptionKind.CONTROL)
    assert control.text.startswith("A slow waltz in a minor key. ")
    assert {kind for kind, _ in stated_by(control)} == {"tempo_word", "meter", "key", "chords"}
    assert made.counts == {
        **{f"source_contradicts_{what}": 1 for what in ("tempo", "meter", "key")},
        **{f"control_left_out_{what}": 1 for what in ("tempo", "meter", "key")},
    }


def test_a_volume_variant_says_so_beside_the_drawn_sentences() -> None:
    made = compose_captions(("It fades out. A flute plays.",), labels(), Change(variant="v1", gain_start=0.2), NEVER, 0, KEY)
    [control] = of_kind(made, CaptionKind.CONTROL)
    assert stated_by(control) == {("dynamics", "crescendo")}
    assert made.counts == {"dropped_dynamics": 1}


def test_a_volume_that_falls_is_a_decrescendo() -> None:
    [control, _] = compose_captions((), labels(confidence=0), Change(variant="v1", gain_end=0.2), NEVER, 0, KEY).captions
    assert stated_by(control) == {("dynamics", "decrescendo")}


def test_all_sources_are_listed_once_and_one_is_drawn_for_the_control_caption() -> None:
    sources = ("A flute plays.", "A flute  plays.", "Birds sing.")
    drawn: Counter[str] = Counter()
    for seed in range(40):
        made = compose_captions(sources, labels(), Change(), ONE_OF_EACH, seed, KEY)
        assert [caption.text for caption in of_kind(made, CaptionKind.SOURCE)] == ["A flute plays.", "Birds sing."]
        drawn[of_kind(made, CaptionKind.CONTROL)[0].sentences[0]] += 1
    assert set(drawn) == {"A flute plays.", "Birds sing."}


def test_a_source_that_speed_leaves_empty_is_absent() -> None:
    made = compose_captions(("A slow song.",), labels(), Change(variant="s1", speed=1.2), NEVER, 0, KEY)
    assert not of_kind(made, CaptionKind.SOURCE)
    assert of_kind(made, CaptionKind.CONTROL)
    assert made.counts == {"dropped_tempo_word": 1, "source_dropped": 1}


def test_a_paraphrase_with_other_facts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Liar:
        def paraphrase(self, caption: Caption, count: int, rng: np.random.Generator) -> list[Caption]:
            return [captioned("It is in 7/4 at 33 BPM.", CaptionKind.PARAPHRASE).replaced(facts=caption.facts)]

    monkeypatch.setitem(PARAPHRASERS, "rules", Liar())
    made = compose_captions((), labels(), Change(), ONE_OF_EACH, 0, KEY)
    assert not of_kind(made, CaptionKind.PARAPHRASE)
    assert made.counts == {"paraphrase_refused": 1}


def test_an_unknown_paraphraser_is_named_with_what_there_is() -> None:
    with pytest.raises(PipelineError, match="'poet': expected one of rules"):
        compose_captions((), labels(), Change(), CaptionRecipe(paraphraser="poet"), 0, KEY)


def test_the_source_is_never_reworded_only_moved_as_a_whole() -> None:
    source = "The tempo is slow. Birds sing. It is odd."
    for seed in range(40):
        made = compose_captions((source,), labels(bpm=70), Change(), CaptionRecipe(sentences=(0, 0, 1), paraphrases=3), seed, KEY)
        assert all(source in caption.text for caption in made.captions)


def test_counts_of_sentences_follow_the_recipe_and_attributes_are_drawn_evenly() -> None:
    rng, recipe = np.random.default_rng(0), CaptionRecipe()
    lengths: Counter[int] = Counter()
    about: Counter[Attribute] = Counter()
    orders: Counter[tuple[Attribute, Attribute]] = Counter()
    for _ in range(4000):
        drawn = draw_sentences(labels(), recipe, rng)
        lengths[len(drawn)] += 1
        about.update(sentence.attribute for sentence in drawn)
        orders.update((one.attribute, other.attribute) for one, other in pairwise(drawn))
    for number, share in enumerate(recipe.sentences):
        assert lengths[number] / 4000 == pytest.approx(share, abs=0.03)
    assert max(about.values()) / min(about.values()) < 1.1
    assert orders[Attribute.KEY, Attribute.TEMPO] / orders[Attribute.TEMPO, Attribute.KEY] == pytest.approx(1, abs=0.3)


def test_only_confident_labels_and_short_progressions_may_be_stated() -> None:
    assert set(available(labels(), CaptionRecipe())) == {Attribute.TEMPO, Attribute.METER, Attribute.KEY, Attribute.CHORDS}
    gates = CaptionRecipe(min_tempo_confidence=0.3, min_meter_confidence=0.4, min_chords_confidence=0.4, min_key_confidence=0.5)
    assert available(labels(confidence=0.4), gates) == (Attribute.TEMPO, Attribute.METER, Attribute.CHORDS)
    assert available(labels(confidence=0.3), gates) == (Attribute.TEMPO,)
    assert Attribute.CHORDS not in available(labels(chords=6), CaptionRecipe(max_chords=3))
    assert available(labels(beats_per_bar=None, bpm=None, chords=0), CaptionRecipe()) == (Attribute.KEY,)
