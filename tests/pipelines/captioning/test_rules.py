"""Rewording by rules: the same facts in other words, the source's own words untouched."""

import numpy as np
import pytest

from pipelines.captioning.compose import compose_captions
from pipelines.captioning.metadata import Metadata
from pipelines.captioning.paraphrase import captioned, paraphrased
from schemas.caption import Caption, CaptionKind
from schemas.corpus import Change
from schemas.labels import Beats, Chords, ChordSegment, KeyLabel, Labels, Meter, Tempo
from schemas.pitch import Mode
from schemas.recipe import CaptionRecipe

KEY = "00112233445566aa-0-10000-orig"
HOW = {"confidence": 0.9, "tool": "test", "version": "1", "licence": "CC0"}
METADATA = Metadata(instruments=("piano", "warm pads"), moods=("calm", "hopeful"))


def labels(bpm: float = 120.0) -> Labels:
    names = ["Ab:maj", "F:min7", "Ab:maj", "F:min7"]
    segments = tuple(
        ChordSegment(start_s=2 * at, end_s=2 * at + 2, label=name) for at, name in enumerate(names)
    )
    return Labels(
        duration_s=8,
        beats=Beats(**HOW),
        meter=Meter(beats_per_bar=3, **HOW),
        tempo=Tempo(bpm=bpm, **HOW),
        chords=Chords(segments=segments, **HOW),
        key=KeyLabel(tonic=8, mode=Mode.MAJOR, **HOW),
    )


def control(seed: int, *sources: str, change: Change = Change(), bpm: float = 120.0) -> Caption:  # noqa: B008
    recipe = CaptionRecipe(sentences=(0, 0, 0, 0, 1), chord_times_share=0.4)
    made = compose_captions(sources, labels(bpm), change, recipe, seed, KEY, METADATA)
    return next(caption for caption in made.captions if caption.kind is CaptionKind.CONTROL)


def stated_by(caption: Caption) -> set[tuple[str, str]]:
    return {(fact.kind.value, fact.text) for fact in caption.facts}


@pytest.mark.parametrize(
    "sources", [(), ("A flute plays softly",), ("A man sings. Birds answer.",)]
)
@pytest.mark.parametrize(
    "change", [Change(), Change(variant="v1", gain_end=0.3)], ids=["orig", "v1"]
)
def test_a_paraphrase_states_the_same_facts_in_other_words(
    sources: tuple[str, ...], change: Change
) -> None:
    for seed in range(100):
        caption = control(seed, *sources, change=change)
        offered = paraphrased(caption, 2, np.random.default_rng(seed))
        assert len(set(offered)) == 2
        for text in offered:
            assert text != caption.text
            assert stated_by(captioned(text, CaptionKind.PARAPHRASE, caption.facts)) == stated_by(
                caption
            ), (caption.text, text)


def test_the_facts_that_no_parser_reads_stay_with_the_sentence_that_names_them() -> None:
    for seed in range(60):
        caption = control(seed, "A piano in a calm hall.")
        for text in paraphrased(caption, 2, np.random.default_rng(seed)):
            for fact in captioned(text, CaptionKind.PARAPHRASE, caption.facts).facts:
                assert fact.kind not in ("instrument", "mood") or not split(text)[
                    fact.sentence
                ].startswith("A piano")


def split(text: str) -> tuple[str, ...]:
    return captioned(text, CaptionKind.PARAPHRASE).sentences


@pytest.mark.parametrize(
    "source",
    [
        "The tempo is slow. Birds sing. It is odd.",
        "The key is A♭ major. Birds sing.",  # in our very words, before others: not ours
        "A waltz for strings; the tempo is marked.",
    ],
)
def test_the_sources_own_words_are_never_changed(source: str) -> None:
    for seed in range(60):
        caption = control(seed, source, bpm=70)
        assert all(source in text for text in paraphrased(caption, 3, np.random.default_rng(seed)))


def test_there_are_no_rewordings_of_a_text_that_is_not_ours() -> None:
    text = captioned("A flute plays. The tempo is slow.", CaptionKind.CONTROL)
    assert paraphrased(text, 3, np.random.default_rng(0)) == []


def test_a_joined_sentence_is_taken_apart_and_both_halves_reworded() -> None:
    text = captioned("The tempo is 92 BPM; the key is A minor.", CaptionKind.CONTROL)
    offered = paraphrased(text, 8, np.random.default_rng(0))
    assert len(offered) == 8
    assert all(
        {("bpm", "92"), ("key", "A minor")} == stated_by(captioned(one, CaptionKind.PARAPHRASE))
        for one in offered
    )
    assert any("The tempo is" not in one and "key is" not in one for one in offered)
