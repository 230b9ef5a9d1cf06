"""Prompts of metadata that are composed anew at each visit."""

import json
from collections import Counter

from pipelines.captioning.metadata import metadata_prompts, read_metadata
from schemas.caption import CaptionKind
from schemas.corpus import Source
from schemas.fact import FactKind
from schemas.identity import keyed_rng
from schemas.recipe import CaptionRecipe
from tests.training.data.shards import sample_of
from training.data.metadata_prompts import metadata_prompt
from training.data.prompts import PromptConfig, visit

COLUMNS = tuple(sorted(CaptionRecipe().metadata_columns.items()))
NAMED = {"instruments": "piano, drums, bass", "moods": "calm, warm"}
SAMPLE = sample_of(0, source=Source(uri="a.wav", genre="Jazz", metadata=json.dumps(NAMED)))
SURE = SAMPLE.replaced(
    tempo=SAMPLE.tempo.replaced(bpm=120.0, confidence=1.0),
    key_label=SAMPLE.key_label.replaced(tonic=9, mode="minor", confidence=1.0),
)


def prompts(**knobs: float) -> list[str]:
    rules = PromptConfig(drop_all=0, drop_each=0, masking=0, **knobs)
    return [
        visit(SURE, seed=0, epoch=epoch, mean_sentences=3.0, config=rules).prompt
        for epoch in range(200)
    ]


def test_each_visit_composes_another_of_the_same_names() -> None:
    found = prompts(metadata=1.0)
    assert len(set(found)) > 100
    words = {"piano", "drums", "bass", "calm", "warm", "jazz"}
    for text in found:
        lower = text.lower()
        assert any(word in lower for word in words)
    assert {word for word in words if any(word in text.lower() for text in found)} == words
    assert found == prompts(metadata=1.0)
    assert "Instruments: " in " ".join(found)


def test_a_share_of_visits_has_one_and_without_it_nothing_changes() -> None:
    captions = {" ".join(one.sentences) for one in SURE.captions}
    shared = [text for text in prompts(metadata=0.25) if text not in captions]
    assert 30 < len(shared) < 70
    assert set(prompts()) <= captions
    plain = sample_of(0)
    rules = PromptConfig(metadata=1.0)
    assert metadata_prompt(plain, COLUMNS, keyed_rng(0, "", "")) is None
    kept = visit(plain, seed=0, epoch=0, mean_sentences=3.0, config=rules)
    assert kept == visit(plain, seed=0, epoch=0, mean_sentences=3.0, config=PromptConfig())


def test_a_build_composes_the_same_of_the_same_draws() -> None:
    recipe = CaptionRecipe()
    [built] = metadata_prompts(
        read_metadata(SURE.source, recipe), SURE.labels, recipe, keyed_rng(3, "k", "m"), Counter()
    )
    assert metadata_prompt(SURE, COLUMNS, keyed_rng(3, "k", "m")) == built
    assert built.kind is CaptionKind.METADATA


def test_what_is_not_to_be_said_is_left_out_of_it() -> None:
    said = Counter[FactKind]()
    unsaid = Counter[FactKind]()
    for number in range(60):
        for kinds, counted in (((), said), ((FactKind.BPM, FactKind.KEY), unsaid)):
            made = metadata_prompt(SURE, COLUMNS, keyed_rng(number, "", ""), kinds)
            assert made is not None
            counted.update(fact.kind for fact in made.facts)
    assert min(said[FactKind.BPM], said[FactKind.KEY]) > 15
    assert not unsaid[FactKind.BPM] + unsaid[FactKind.KEY]


def test_columns_of_other_names_are_read() -> None:
    other = SURE.replaced(source=Source(uri="a.wav", metadata='{"played": "oboe"}'))
    made = metadata_prompt(other, (("instruments", "played"),), keyed_rng(0, "", ""))
    assert made is not None
    assert "oboe" in made.text.lower()
