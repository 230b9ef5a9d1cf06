"""What words hint at is learned, and fills only what nobody states."""

from pathlib import Path

import pytest

from pipelines.storage.store import Store
from schemas.pitch import Key, Mode
from tests.training.control_predictors.words import MARCHING, SWAYING, corpus, recipe
from tests.training.prompt_controls.corpora import WALTZES
from training.control_predictors.learning import learn
from training.control_predictors.predictors import Predictors
from training.errors import BadData, TrainingError
from training.prompt_controls.controls import ResolvedControls
from training.prompt_controls.requested import Provenance
from training.prompt_controls.resolve import resolve_controls
from training.run import checkpoints
from training.run.checkpoints import RECIPE, STATE, find_checkpoint
from training.run.presets import ready_recipe

LUTE, BRASS = SWAYING[0], MARCHING[0]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("predictors")
    learn(recipe(corpus(folder / "shards")), str(folder / "out"), _quiet)
    return str(folder / "out")


@pytest.fixture(scope="module")
def predictors(trained: str) -> Predictors:
    return Predictors.of(trained)


def _quiet(_: str) -> None:
    pass


def relative_to_tonic(made: ResolvedControls) -> list[tuple[int, str]]:
    tonic = made.labels.key.tonic
    return [
        ((one.chord.root - (tonic or 0)) % 12, str(one.chord.quality))
        for one in made.labels.chords.segments
        if one.chord and tonic is not None
    ]


def test_what_words_hint_at_is_learned(predictors: Predictors) -> None:
    for (words, bpm, meter, key, _), harmony in (
        (SWAYING, [(0, "min"), (5, "min"), (7, "7")]),
        (MARCHING, [(0, "maj"), (5, "maj"), (7, "maj"), (5, "maj")]),
    ):
        made = resolve_controls(words, duration_s=12, statistics=WALTZES, predictors=predictors)
        assert made.labels.meter.beats_per_bar == meter
        assert made.labels.tempo.bpm == pytest.approx(bpm, rel=0.03)
        assert made.labels.key.mode == Key.parse(key).mode
        assert relative_to_tonic(made)[: len(harmony)] == harmony
        assert {
            origin.source
            for origin in (
                made.origins.tempo,
                made.origins.meter,
                made.origins.key,
                made.origins.chords,
            )
        } == {Provenance.PREDICTED}


def test_chords_change_where_bars_begin_as_they_were_heard_to(predictors: Predictors) -> None:
    made = resolve_controls(LUTE, bpm=90, duration_s=10, predictors=predictors)
    assert [one.start_s for one in made.labels.chords.segments] == [0, 2, 4, 6, 8]


def test_a_caption_means_the_same_in_any_key(predictors: Predictors) -> None:
    in_a, in_d = (
        resolve_controls(LUTE, key=key, duration_s=12, predictors=predictors)
        for key in ("A minor", "D minor")
    )
    assert [one.chord and one.chord.transposed(5) for one in in_a.labels.chords.segments] == [
        one.chord for one in in_d.labels.chords.segments
    ]


def test_what_is_stated_stands(predictors: Predictors) -> None:
    said = f"{LUTE} It is in 4/4 at 140 BPM in G major. The chords are G, C, D."
    made = resolve_controls(said, duration_s=8, statistics=WALTZES, predictors=predictors)
    assert made == resolve_controls(said, duration_s=8, statistics=WALTZES)
    flagged = resolve_controls(
        BRASS,
        bpm=70,
        meter="3/4",
        key="F minor",
        chords="Fm Bbm",
        duration_s=8,
        statistics=WALTZES,
        predictors=predictors,
    )
    assert flagged == resolve_controls(
        BRASS, bpm=70, meter="3/4", key="F minor", chords="Fm Bbm", duration_s=8, statistics=WALTZES
    )


def test_tempo_words_and_modes_bound_what_is_predicted(predictors: Predictors) -> None:
    made = resolve_controls(
        f"{BRASS} A slow ballad in a minor key.",
        duration_s=8,
        statistics=WALTZES,
        predictors=predictors,
    )
    assert (made.labels.tempo.bpm or 0) < 100
    assert made.labels.key.mode is Mode.MINOR
    assert made.lines()[0].endswith("(caption: slow)")
    assert made.origins.chords.source is Provenance.PREDICTED


def test_the_same_question_has_the_same_answer_and_variety_is_drawn(predictors: Predictors) -> None:
    def ask(seed: int, *, varied: bool) -> ResolvedControls:
        return resolve_controls(
            "Something.", duration_s=12, seed=seed, varied=varied, predictors=predictors
        )

    assert ask(3, varied=True) == ask(3, varied=True)
    assert ask(3, varied=False).labels.beats == ask(4, varied=False).labels.beats
    assert len({ask(seed, varied=True).labels.tempo.bpm for seed in range(8)}) > 1


def test_the_same_training_gives_the_same_weights(tmp_path: Path, trained: str) -> None:
    shards = corpus(tmp_path / "shards")
    first, second = (
        learn(recipe(shards, steps=4, validate_every=2), str(tmp_path / name), _quiet)
        for name in ("a", "b")
    )
    assert first.losses == second.losses
    files = [
        (tmp_path / name / "checkpoints/step-00000004/model.safetensors").read_bytes()
        for name in ("a", "b")
    ]
    assert files[0] == files[1]


def test_learning_lowers_every_loss_on_validation(trained: str) -> None:
    told = find_checkpoint(trained).json(STATE)["validation"]
    assert all(
        one["after"] < 0.2 * one["before"]
        for part, one in told.items()
        if part in ("meter", "mode")
    )
    assert all(one["after"] < one["before"] for one in told.values())


def test_predictors_that_learn_nothing_answer_what_is_usual(tmp_path: Path) -> None:
    learn(recipe(corpus(tmp_path / "shards"), steps=1), str(tmp_path / "out"), _quiet)
    made = resolve_controls(
        "Something.", duration_s=8, predictors=Predictors.of(str(tmp_path / "out"))
    )
    assert made.labels.meter.beats_per_bar in (3, 4)
    assert 90 <= (made.labels.tempo.bpm or 0) <= 130


def test_shards_without_validation_are_learned_from_with_a_warning(tmp_path: Path) -> None:
    told: list[str] = []
    learn(
        recipe(corpus(tmp_path / "shards", validation=False), steps=2),
        str(tmp_path / "out"),
        told.append,
    )
    assert any("no validation split" in line for line in told)
    assert (
        find_checkpoint(str(tmp_path / "out")).json(STATE)["validation"]["meter"]["after"] is None
    )


def test_errors_say_what_is_wrong(tmp_path: Path, trained: str) -> None:
    shards = corpus(tmp_path / "shards", broken=24)
    with pytest.raises(BadData, match="5 of 5 samples were unusable"):
        learn(
            recipe(shards).replaced(data=recipe(shards).data.replaced(batch=4)),
            str(tmp_path / "out"),
            _quiet,
        )
    with pytest.raises(TrainingError, match="holds a training already"):
        learn(recipe(tmp_path / "shards"), trained, _quiet)
    with pytest.raises(TrainingError, match="no shards"):
        learn(
            recipe(shards).replaced(data=recipe(shards).data.replaced(shards=())),
            str(tmp_path / "out"),
            _quiet,
        )
    with pytest.raises(TrainingError, match="holds no checkpoint"):
        Predictors.of(str(shards))
    plays = {RECIPE: ready_recipe("tiny").model_dump(mode="json"), STATE: {"step": 1}}
    checkpoints.write(Store(str(tmp_path / "plays")), 1, weights={}, optimizer={}, documents=plays)
    with pytest.raises(TrainingError, match="perhaps a model that plays"):
        Predictors.of(str(tmp_path / "plays"))
