"""Visits: the published chances, exact masking, and the same draw whoever asks."""

from collections import Counter

import numpy as np
import pytest

from pipelines.captioning.facts import facts_of
from pipelines.captioning.paraphrase import captioned
from schemas.caption import Caption, CaptionKind
from tests.pipelines.shards.shard_samples import CLIP, our_sample
from training.conditions import CONTROLS, CURVES, Condition
from training.conditions.clip_controls import Span
from training.data.prompts import (
    FULL_CONDITIONING,
    PromptConfig,
    Visit,
    dropped_conditions,
    known_spans,
    masked,
    mean_sentences,
    sampled_caption,
    visit,
)

PUBLISHED = PromptConfig()
NEVER = FULL_CONDITIONING
SAMPLE = our_sample()
DRAWS = 20_000


def caption(kind: CaptionKind, *sentences: str) -> Caption:
    return Caption(
        text=" ".join(sentences), kind=kind, sentences=sentences, facts=facts_of(sentences)
    )


def generators(count: int) -> list[np.random.Generator]:
    return [np.random.default_rng([7, number]) for number in range(count)]


def assert_share(hits: int, rng: int, chance: float) -> None:
    """Within four standard deviations of a binomial: one test in 16,000 would fail by chance, and
    seeds are fixed.
    """
    assert abs(hits - rng * chance) < 4 * (rng * chance * (1 - chance)) ** 0.5, hits / rng


def keyed_visits(config: PromptConfig, count: int = 4000) -> list[Visit]:
    """Visits of many samples that differ in their keys alone."""
    song = CLIP[:16]
    samples = (
        SAMPLE.model_copy(update={"key": f"{song}-{number}-2000-orig"}) for number in range(count)
    )
    return [visit(sample, seed=0, epoch=0, mean_sentences=2.5, config=config) for sample in samples]


def test_85_of_100_prompts_are_paraphrases_and_the_rest_as_composed() -> None:
    prompts = Counter(seen.prompt for seen in keyed_visits(NEVER))
    control, paraphrase = SAMPLE.captions[1:]
    assert set(prompts) == {control.text, paraphrase.text}
    assert_share(prompts[paraphrase.text], 4000, 0.85)


def test_of_several_captions_of_a_sort_each_is_as_likely() -> None:
    captions = [
        caption(CaptionKind.SOURCE, "Source."),
        caption(CaptionKind.CONTROL, "Control."),
        caption(CaptionKind.METADATA, "Moods: calm"),
        *(caption(CaptionKind.PARAPHRASE, f"Paraphrase {number}.") for number in range(3)),
    ]
    drawn = [sampled_caption(captions, rng, PUBLISHED) for rng in generators(4000)]
    counts = Counter(one.text for one in drawn if one)
    assert "Source." not in counts  # the control caption holds its words
    for text, chance in (
        ("Control.", 0.075),
        ("Moods: calm", 0.075),
        ("Paraphrase 0.", 0.85 / 3),
        ("Paraphrase 2.", 0.85 / 3),
    ):
        assert_share(counts[text], 4000, chance)


def test_each_pseudo_label_is_a_candidate_of_its_own_beside_the_other_captions_or_alone() -> None:
    labels = [caption(CaptionKind.LABEL, f"Label {number}.") for number in range(3)] + [
        caption(CaptionKind.TAGS, "calm, airy")
    ]
    control = caption(CaptionKind.CONTROL, "Control.")
    for given, chances in (
        ([control, *labels], {"Control.": 0.5, "Label 0.": 0.125, "calm, airy": 0.125}),
        (labels, {"Label 1.": 0.25, "calm, airy": 0.25}),
    ):
        drawn = Counter(
            one.text for rng in generators(4000) if (one := sampled_caption(given, rng, PUBLISHED))
        )
        for text, chance in chances.items():
            assert_share(drawn[text], 4000, chance)


def test_where_only_one_sort_of_caption_is_there_it_is_always_drawn() -> None:
    alone = caption(CaptionKind.PARAPHRASE, "Paraphrase.")
    own = caption(CaptionKind.SOURCE, "Source.")
    for rng in generators(50):
        assert sampled_caption([alone], rng, PUBLISHED) == alone
        assert sampled_caption([own], rng, PUBLISHED) == own
        assert sampled_caption([], rng, PUBLISHED) is None


def test_a_sample_without_captions_has_an_empty_prompt() -> None:
    assert visit(our_sample(captions=()), seed=0, epoch=0, mean_sentences=1.0).prompt == ""


@pytest.mark.parametrize(
    ("sentences", "mean", "chance"), [(5, 5.0, 0.1), (10, 5.0, 0.2), (2, 5.0, 0.04), (60, 5.0, 1.0)]
)
def test_longer_prompts_are_masked_more_often_as_published(
    sentences: int, mean: float, chance: float
) -> None:
    whole = tuple(f"Sentence {number}." for number in range(sentences))
    hits = sum(masked(whole, mean, rng, PUBLISHED) != whole for rng in generators(3000))
    if chance == 1.0:
        assert hits == 3000
    else:
        assert_share(hits, 3000, chance)


@pytest.mark.parametrize(
    ("sentences", "left"),
    [(1, {1}), (2, {1}), (3, {2}), (4, {2, 3}), (5, {3, 4}), (10, {5, 6, 7, 8})],
)
def test_masking_takes_20_to_50_percent_of_the_sentences_and_never_the_only_one(
    sentences: int, left: set[int]
) -> None:
    whole = tuple(f"Sentence {number}." for number in range(sentences))
    always = PromptConfig(masking=100)
    remaining = [masked(whole, 1.0, rng, always) for rng in generators(300)]
    assert {len(one) for one in remaining} == left
    assert all(list(one) == sorted(one, key=whole.index) for one in remaining)
    assert {sentence for one in remaining for sentence in one} == set(
        whole
    )  # none is always left out


def test_conditions_are_dropped_all_together_and_each_alone_as_published() -> None:
    published = {Condition.TEXT, Condition.BEATS, Condition.CHORDS}
    dropped = [dropped_conditions(rng, PUBLISHED) & published for rng in generators(DRAWS)]
    assert_share(sum(len(one) == 3 for one in dropped), DRAWS, 0.05 + 0.95 * 0.05**3)
    for condition in published:
        assert_share(sum(one == {condition} for one in dropped), DRAWS, 0.95 * 0.05 * 0.95**2)
        assert_share(sum(condition in one for one in dropped), DRAWS, 0.05 + 0.95 * 0.05)
    assert_share(sum(not one for one in dropped), DRAWS, 0.95**4)


def test_controls_are_dropped_without_the_text_and_curves_without_the_rest() -> None:
    rules = PromptConfig(
        drop_all=0.0, drop_each=0.0, drop_controls=0.2, drop_curves=0.5, drop_curve=0.3
    )
    dropped = [dropped_conditions(rng, rules) for rng in generators(DRAWS)]
    assert not any(Condition.TEXT in one for one in dropped)
    assert_share(sum(one == set(CONTROLS) for one in dropped), DRAWS, 0.2)
    assert_share(sum(Condition.CHORDS in one for one in dropped), DRAWS, 0.2)
    together = 0.5 + 0.5 * 0.3**3
    assert_share(sum(one == set(CURVES) for one in dropped), DRAWS, 0.8 * together)
    only_melody = 0.5 * 0.3 * 0.7**2
    assert_share(sum(one == {Condition.MELODY} for one in dropped), DRAWS, 0.8 * only_melody)


def test_a_control_is_known_all_of_the_time_or_within_or_around_a_span() -> None:
    rules = PromptConfig(spans=0.4)
    found = [known_spans(rng, 10.0, {Condition.KEY}, rules) for rng in generators(5000)]
    assert all(one[Condition.KEY] == () for one in found)
    spans = [one.get(Condition.CHORDS) for one in found]
    assert_share(sum(one is None for one in spans), 5000, 0.6)
    assert_share(sum(one is not None and len(one) == 1 for one in spans), 5000, 0.2)
    inside = [one[0].end_s - one[0].start_s for one in spans if one and len(one) == 1]
    assert np.mean(inside) == pytest.approx(10 / 3, abs=0.3)  # of two uniform draws
    around = [one for one in spans if one and len(one) == 2]
    assert all((first.start_s, last.end_s) == (0, 10) for first, last in around)
    assert all(first.end_s <= last.start_s for first, last in around)


def test_spans_are_drawn_within_the_window_that_is_learned() -> None:
    rules = NEVER.replaced(spans=1.0)
    seen = [
        visit(SAMPLE, seed=0, epoch=epoch, mean_sentences=2, config=rules, window=Span(1.0, 1.5))
        for epoch in range(50)
    ]
    spans = [span for one in seen for known in one.known.values() for span in known]
    assert {condition for one in seen for condition in one.known} == set(CONTROLS)
    assert max(span.end_s for span in spans) == 0.5
    assert len({span.start_s for span in spans}) > 100


def test_what_is_dropped_is_left_out_of_the_words_too_where_the_recipe_says_so() -> None:
    sentences = (
        "A flute plays.",
        "The tempo is 90 BPM.",
        "The chords are Am, F.",
        "It is in C major.",
    )
    sample = SAMPLE.model_copy(update={"captions": (caption(CaptionKind.SOURCE, *sentences),)})
    rules = NEVER.replaced(drop_controls=1.0)
    kept = visit(sample, seed=0, epoch=0, mean_sentences=4, config=rules)
    assert kept.prompt == " ".join(sentences)
    told = visit(sample, seed=0, epoch=0, mean_sentences=4, config=rules.replaced(silent_drops=1.0))
    assert told.prompt == "A flute plays."


def test_a_window_that_begins_later_is_told_no_chord_times() -> None:
    sentences = ("A flute plays.", "The chords are Am at 0 s, F at 2.5 s.")
    sample = SAMPLE.model_copy(update={"captions": (caption(CaptionKind.SOURCE, *sentences),)})
    told = [
        visit(sample, seed=0, epoch=0, mean_sentences=2, config=NEVER, window=window).prompt
        for window in (None, Span(0.5, 2.0))
    ]
    assert told == [" ".join(sentences), "A flute plays."]


def test_dropped_text_is_an_empty_prompt() -> None:
    assert {seen.prompt for seen in keyed_visits(PromptConfig(drop_all=1), 20)} == {""}
    assert all(
        seen.dropped == set(Condition) for seen in keyed_visits(PromptConfig(drop_all=1), 20)
    )
    for seen in keyed_visits(PUBLISHED, 500):
        assert (seen.prompt == "") == (Condition.TEXT in seen.dropped)


def test_a_visit_depends_on_seed_sample_and_epoch_alone() -> None:
    wild = PromptConfig(paraphrased=0.5, masking=100, drop_each=0.5)

    def seen(seed: int = 0, epoch: int = 0, variant: str = "orig") -> Visit:
        return visit(our_sample(variant), seed=seed, epoch=epoch, mean_sentences=2.0, config=wild)

    assert seen() == seen()
    assert len({repr(seen(epoch=epoch)) for epoch in range(30)}) > 8
    assert len({repr(seen(seed=seed)) for seed in range(30)}) > 8
    assert (
        len({repr(seen(variant=variant)) for variant in ("orig", "pd1", "pu1", "s1", "s2", "v1")})
        > 2
    )


def test_what_is_dropped_does_not_hang_on_what_is_masked() -> None:
    calm, wild = (
        keyed_visits(PUBLISHED, 200),
        keyed_visits(PromptConfig(masking=100, paraphrased=0.1), 200),
    )
    assert [seen.dropped for seen in calm] == [seen.dropped for seen in wild]


def test_the_average_counts_sentences_of_all_captions() -> None:
    assert mean_sentences([SAMPLE, SAMPLE]) == pytest.approx((1 + 5 + 1) / 3)
    assert mean_sentences([]) == 1.0


def test_shares_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(ValueError, match=r"masked_min 0\.5 exceeds masked_max 0\.2"):
        PromptConfig(masked_min=0.5, masked_max=0.2)


def test_what_does_not_hold_this_time_is_not_said() -> None:
    swelling = captioned("A flute. It grows louder.", CaptionKind.CONTROL)
    [fact] = swelling.facts
    sample = our_sample(captions=(swelling,))
    prompts = {
        visit(
            sample, seed=0, epoch=0, mean_sentences=2.0, config=FULL_CONDITIONING, unsaid=unsaid
        ).prompt
        for unsaid in ((), {fact.kind})
    }
    assert prompts == {"A flute. It grows louder.", "A flute."}
