"""Annotators say what the library says, the same in any batch, nothing of what is not music, and
the truth of what is.
"""

import numpy as np
import numpy.typing as npt
import pytest

from pipelines.annotators import BEATS, KEY, RATE_HZ, WEIGHTS_FOLDER, weights_version
from pipelines.annotators.batch import WaveBatch
from pipelines.annotators.windows import annotate_waves, level_db, measured
from pipelines.audio.decode import DecodedWindow
from pipelines.errors import PipelineError
from pipelines.labels.agreement import agreement
from pipelines.synthesis.compose import compose
from pipelines.synthesis.render import render
from pipelines.synthesis.score import truth
from schemas.labels import Downmix, Labels
from schemas.recipe import AnnotateRecipe

Wave = npt.NDArray[np.float32]
RECIPE = AnnotateRecipe()
PIECES = (0, 3)  # G major in 4/4, E minor in 3/4


@pytest.fixture(scope="module")
def music() -> Wave:
    return render(compose(0))


def noise(length_s: float = 5.0, gain: float = 0.1) -> Wave:
    return (gain * np.random.default_rng(0).standard_normal(round(length_s * RATE_HZ))).astype(
        np.float32
    )


def test_a_ragged_batch_hears_each_clip_as_it_is_heard_alone(music: Wave) -> None:
    clips = [
        music[: 3 * RATE_HZ],
        music[2 * RATE_HZ : 7 * RATE_HZ],
        noise(1.23),
        music[:4410],
        music[RATE_HZ : 6 * RATE_HZ],
    ]
    together = WaveBatch(clips, RECIPE)
    for place, clip in enumerate(clips):
        alone = WaveBatch([clip], RECIPE)
        assert np.array_equal(alone.accents[0].activations, together.accents[place].activations)
        assert all(
            np.array_equal(one, other)
            for one, other in zip(alone.harmony[0], together.harmony[place], strict=True)
        )
    assert together.accents[1].activations.max() > 0.5  # there is something to hear


def silence_then_click() -> Wave:
    wave = np.zeros(5 * RATE_HZ, np.float32)
    wave[2 * RATE_HZ] = 1.0
    return wave


NO_MUSIC = {
    "silence": np.zeros(5 * RATE_HZ, np.float32),
    "white noise": noise(),
    "quiet noise": noise(gain=1e-5),
    "direct current": np.full(5 * RATE_HZ, 0.5, np.float32),
    "one click": silence_then_click(),
    "half a second of noise": noise(0.5),
    "NaN and infinity": np.array([0.1, np.nan, np.inf, -0.1] * RATE_HZ, np.float32),
    "one sample": np.full(1, 0.5, np.float32),
    "a tenth of a second and a sample": np.full(RATE_HZ // 10 + 1, 0.5, np.float32),
    "full-scale square of 1 Hz": np.sign(
        np.sin(2 * np.pi * np.arange(5 * RATE_HZ) / RATE_HZ)
    ).astype(np.float32),
}


@pytest.fixture(scope="module")
def of_no_music() -> dict[str, Labels]:
    return dict(zip(NO_MUSIC, annotate_waves(list(NO_MUSIC.values()), RECIPE), strict=True))


@pytest.mark.parametrize("name", [name for name in NO_MUSIC if not name.startswith("full-scale")])
def test_what_is_no_music_has_empty_labels_and_little_confidence(
    of_no_music: dict[str, Labels], name: str
) -> None:
    labels = of_no_music[name]
    assert (
        labels.beats.times_s,
        labels.chords.segments,
        labels.key.tonic,
        labels.tempo.bpm,
        labels.meter.beats_per_bar,
    ) == (
        (),
        (),
        None,
        None,
        None,
    )
    claims = (labels.beats, labels.meter, labels.tempo, labels.chords, labels.key)
    assert max(claim.confidence for claim in claims) <= 0.2


def test_a_square_wave_slow_enough_to_be_clicks_has_no_key(of_no_music: dict[str, Labels]) -> None:
    labels = of_no_music["full-scale square of 1 Hz"]
    assert (labels.key.tonic, labels.chords.segments) == (None, ())


def test_every_label_names_its_tool_version_and_licence(of_no_music: dict[str, Labels]) -> None:
    for labels in of_no_music.values():
        for claim in (labels.beats, labels.meter, labels.tempo, labels.chords, labels.key):
            assert all((claim.tool, claim.version, claim.licence))


def test_a_label_is_under_the_strictest_licence_of_what_made_it(
    of_no_music: dict[str, Labels],
) -> None:
    for labels in of_no_music.values():
        assert labels.chords.licence == "CC-BY-4.0"  # our own network alone
        assert {labels.beats.licence, labels.meter.licence, labels.tempo.licence} == {
            "CC-BY-NC-SA-4.0"
        }  # madmom's too
        assert labels.key.licence == "AGPL-3.0"  # Essentia's profile votes


def test_the_text_of_a_licence_beside_the_weights_is_not_a_weight() -> None:
    assert weights_version() == weights_version("bars.npz", "confidence.json", "harmony.npz")
    notice = (WEIGHTS_FOLDER / "README.md").read_text()
    assert "https://creativecommons.org/licenses/by/4.0/legalcode" in notice
    assert all(file.name in notice for file in WEIGHTS_FOLDER.iterdir() if file.name != "README.md")


@pytest.fixture(scope="module")
def annotated() -> dict[int, Labels]:
    return dict(
        zip(
            PIECES,
            annotate_waves([render(compose(index)) for index in PIECES], RECIPE),
            strict=True,
        )
    )


def test_the_two_pieces_differ_in_meter_and_mode() -> None:
    scores = [compose(index) for index in PIECES]
    assert {score.beats_per_bar for score in scores} == {3, 4}
    assert len({score.key.mode for score in scores}) == 2


@pytest.mark.parametrize("index", PIECES)
def test_a_composed_piece_is_recovered(annotated: dict[int, Labels], index: int) -> None:
    written = truth(compose(index))
    found = agreement(written, annotated[index])
    assert found.beats is not None
    assert found.beats >= 0.95
    assert (found.meter, found.key, found.tempo) == (1.0, 1.0, 1.0)
    assert found.chords is not None
    assert found.chords >= 0.9


@pytest.mark.parametrize("index", PIECES)
def test_chords_cover_the_piece_and_beats_lie_inside(
    annotated: dict[int, Labels], index: int
) -> None:
    labels = annotated[index]
    assert (labels.chords.segments[0].start_s, labels.chords.segments[-1].end_s) == (
        0.0,
        labels.duration_s,
    )
    assert 0 <= labels.beats.times_s[0] < labels.beats.times_s[-1] <= labels.duration_s
    assert labels.beats.confidence > 0.8


def test_labels_of_a_wave_do_not_depend_on_its_batch(annotated: dict[int, Labels]) -> None:
    [alone] = annotate_waves([render(compose(PIECES[1]))], RECIPE)
    assert alone == annotated[PIECES[1]]


def test_no_waves_have_no_labels() -> None:
    assert annotate_waves([], RECIPE) == []


def test_an_annotator_that_is_not_there_is_named() -> None:
    with pytest.raises(PipelineError, match="'nobody'"):
        BEATS.offer("nobody")
    with pytest.raises(PipelineError, match="annotator of key"):
        KEY.offer("pipelines.annotators.madmom")


@pytest.mark.parametrize(
    ("amplitude", "expected_db"), [(1.0, -3.01), (0.1, -23.01), (0.0, -120.0), (1e-9, -120.0)]
)
def test_levels_are_relative_to_full_scale(amplitude: float, expected_db: float) -> None:
    wave = amplitude * np.sin(2 * np.pi * 441 * np.arange(RATE_HZ) / RATE_HZ)
    assert level_db(wave.astype(np.float32)) == pytest.approx(expected_db, abs=0.01)


def test_measures_of_half_silence_and_of_clipping() -> None:
    tone = (0.5 * np.sin(2 * np.pi * 441 * np.arange(2 * RATE_HZ) / RATE_HZ)).astype(np.float32)
    half = np.concatenate((tone[:RATE_HZ], np.zeros(RATE_HZ, np.float32)))
    assert measured(DecodedWindow(half, RATE_HZ, 0.5, Downmix.NONE)).silent_share == 0.5
    # a smooth crest is not clipping
    assert measured(DecodedWindow(tone, RATE_HZ, 0.5, Downmix.NONE)).clipped_share == 0
    hard = np.clip(2 * tone, -0.5, 0.5)
    # |sin| is over one half for two thirds of its time
    assert measured(DecodedWindow(hard, RATE_HZ, 0.5, Downmix.NONE)).clipped_share == pytest.approx(
        2 / 3, abs=0.02
    )
