"""The recipe refuses what it does not know, and figures that contradict each other."""

import tomllib

import pytest
from pydantic import ValidationError

from schemas.recipe import CaptionRecipe, FilterAction, IngestRecipe, Recipe, VaryRecipe


def test_defaults_are_those_of_the_published_recipe() -> None:
    recipe = Recipe()
    assert recipe.vary.semitones == (-3, -2, -1, 1, 2, 3)
    assert (recipe.vary.speeds, recipe.vary.speed_min, recipe.vary.speed_max) == (4, 0.05, 0.25)
    assert (recipe.vary.volumes, recipe.vary.volume_min, recipe.vary.volume_max) == (1, 0.1, 0.5)
    assert recipe.caption.sentences == (0.25, 0.30, 0.20, 0.15, 0.10)
    assert (recipe.ingest.clip_s, recipe.vary.rate_hz, recipe.filter.words) == (
        10.0,
        16_000,
        ("quality", "low fidelity"),
    )


def test_the_annotated_reach_is_enough_for_the_largest_speed_up() -> None:
    assert IngestRecipe().extend >= 1 + VaryRecipe().speed_max


@pytest.mark.parametrize(
    "text",
    ["[ingest]\nclip_sec = 10", "[ingset]\nclip_s = 10", "clip_s = 10", "[vary]\nsemitone = [1]"],
)
def test_an_unknown_key_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValidationError, match="Extra inputs") as refused:
        Recipe.model_validate(tomllib.loads(text))
    assert str(refused.value.errors()[0]["loc"][-1]) in text


def test_an_unknown_choice_says_what_is_allowed() -> None:
    with pytest.raises(ValidationError, match="'all', 'first' or 'spaced'"):
        Recipe.model_validate({"ingest": {"clips": "some"}})
    with pytest.raises(ValidationError, match="'keep_original', 'reject' or 'off'"):
        Recipe.model_validate({"filter": {"silent_action": "drop"}})


def test_held_out_shares_above_one_are_refused_with_both_figures() -> None:
    with pytest.raises(
        ValidationError, match=r"ingest\.validation 0\.6 and ingest\.test 0\.5 together exceed 1"
    ):
        IngestRecipe(validation=0.6, test=0.5)
    assert IngestRecipe(validation=0.5, test=0.5).test == 0.5


@pytest.mark.parametrize("sentences", [(0.5, 0.4), (0.2,) * 6, (), (1.0, 0.1)])
def test_chances_of_sentences_add_up_to_one_over_at_most_five(sentences: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError, match="at most five chances that add up to 1"):
        CaptionRecipe(sentences=sentences)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("ingest", "clip_s", 0),
        ("ingest", "clip_s", float("nan")),
        ("ingest", "extend", 0.9),
        ("ingest", "max_channels", 0),
        ("ingest", "max_buckets", 100_001),
        ("vary", "speed_max", 1.0),
        ("vary", "rate_hz", 100),
        ("vary", "channels", 3),
        ("vary", "volume_min", 0),
        ("filter", "silent_share", 1.5),
        ("limits", "cpu_s", 0),
        ("corpus", "seed", -1),
        ("annotate", "silence_db", 3),
    ],
)
def test_a_figure_out_of_range_is_refused_at_its_key(section: str, key: str, value: float) -> None:
    with pytest.raises(ValidationError) as refused:
        Recipe.model_validate({section: {key: value}})
    assert refused.value.errors()[0]["loc"] == (section, key)


def test_a_recipe_reads_back_from_its_own_json() -> None:
    recipe = Recipe.model_validate(
        {
            "ingest": {"column_map": {"uri": "ytid"}},
            "filter": {"short_action": "off"},
            "vary": {"semitones": [-1]},
        }
    )
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    assert recipe.filter.short_action is FilterAction.OFF


@pytest.mark.parametrize(
    ("section", "settings"),
    [
        ("vary", {"speed_min": 0.3, "speed_max": 0.25}),
        ("vary", {"volume_min": 0.9, "volume_max": 0.5}),
        ("ingest", {"min_rate_hz": 48_000, "max_rate_hz": 16_000}),
        ("annotate", {"min_bpm": 200, "max_bpm": 100}),
    ],
)
def test_a_range_that_ends_before_it_starts_is_refused(
    section: str, settings: dict[str, float]
) -> None:
    with pytest.raises(ValidationError) as refused:
        Recipe.model_validate({section: settings})
    assert all(str(figure) in str(refused.value) for figure in settings.values())


def test_a_semitone_named_twice_is_refused_because_two_samples_would_share_a_key() -> None:
    with pytest.raises(ValidationError, match="semitones"):
        VaryRecipe(semitones=(1, 2, 1))


@pytest.mark.parametrize("section", list(Recipe.model_fields))
def test_every_knob_says_what_it_is(section: str) -> None:
    knobs = type(getattr(Recipe(), section)).model_fields
    assert knobs
    for name, field in knobs.items():
        assert field.description, f"{section}.{name}"
