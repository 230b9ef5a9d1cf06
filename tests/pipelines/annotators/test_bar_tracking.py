"""The batched downbeat tracker hears what madmom hears and finds the beats that madmom finds,
whatever else is in the batch.
"""

import importlib
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from pipelines.annotators import RATE_HZ
from pipelines.annotators.bar_tracker import BarTracker, Tracked
from pipelines.annotators.blstm import StackedBlstm
from pipelines.annotators.spectrogram import DownbeatSpectrogram
from pipelines.errors import PipelineError
from pipelines.synthesis.compose import compose
from pipelines.synthesis.render import render

Floats = npt.NDArray[np.float32]
METERS = (3, 4)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """As in a worker: threads that wait for each other make the small steps of these networks
    several times slower.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def madmom() -> Any:
    # it answers madmom's look-up of its own version
    importlib.import_module("pipelines.annotators.madmom")
    for part in ("features.downbeats", "ml.nn", "models"):
        importlib.import_module(f"madmom.{part}")
    return importlib.import_module("madmom")


@pytest.fixture(scope="module")
def theirs(madmom: Any) -> Any:
    return madmom.features.downbeats.RNNDownBeatProcessor()


@pytest.fixture(scope="module")
def spectrogram(madmom: Any) -> DownbeatSpectrogram:
    return DownbeatSpectrogram(madmom.features.downbeats.RNNDownBeatProcessor().processors[0])


@pytest.fixture(scope="module")
def networks(madmom: Any) -> StackedBlstm:
    return StackedBlstm(
        [madmom.ml.nn.NeuralNetwork.load(path) for path in madmom.models.DOWNBEATS_BLSTM]
    )


@pytest.fixture(scope="module")
def waves() -> list[Floats]:
    music = render(compose(0))[: 2 * RATE_HZ]
    noise = (0.1 * np.random.default_rng(0).standard_normal(RATE_HZ)).astype(np.float32)
    return [
        music,
        music[40_000 : 40_000 + 4_411],
        noise,
        noise[:442],
        np.zeros(RATE_HZ // 2, np.float32),
    ]


def regular(bpm: float, meter: int, seed: int, length_s: float = 4.0) -> Floats:
    """Activations of a steady pulse whose beats are now clear, now faint, over a little noise."""
    rng = np.random.default_rng(seed)
    out = rng.uniform(0.001, 0.03, (round(100 * length_s), 2))
    for beat, at_s in enumerate(np.arange(0.3, length_s - 0.1, 60 / bpm)):
        out[round(100 * at_s + rng.normal(0, 1)), int(beat % meter == 0)] = rng.uniform(0.05, 0.9)
    return out.astype(np.float32)


def random(seed: int, frames: int) -> Floats:
    return np.random.default_rng(seed).dirichlet([4, 0.4, 0.4], frames)[:, 1:].astype(np.float32)


def madmoms_beats(
    madmom: Any, clips: Sequence[Floats], meters: Sequence[int], min_bpm: float, max_bpm: float
) -> list[Any]:
    tracker = madmom.features.downbeats.DBNDownBeatTrackingProcessor(
        beats_per_bar=list(meters), min_bpm=min_bpm, max_bpm=max_bpm, fps=100
    )
    with warnings.catch_warnings():
        # of logarithms of zero, and of clips that no path explains
        warnings.simplefilter("ignore", RuntimeWarning)
        return [tracker(clip) for clip in clips]


def assert_same(found: Tracked, beats: Any) -> None:
    np.testing.assert_array_equal(found.beats, beats.reshape(-1, 2))


def test_activations_equal_madmoms_own(
    theirs: Any, spectrogram: DownbeatSpectrogram, networks: StackedBlstm, waves: list[Floats]
) -> None:
    for wave, ours in zip(waves, networks(spectrogram(waves)), strict=True):
        np.testing.assert_allclose(ours[:, 1:], theirs(wave), atol=1e-5)


@pytest.mark.parametrize("samples", [1, 2, 440, 441, 443, 883, 5_000])
def test_features_of_the_shortest_clips_equal_madmoms_own(
    theirs: Any, spectrogram: DownbeatSpectrogram, samples: int
) -> None:
    wave = np.linspace(-0.5, 1, samples, dtype=np.float32)
    [ours] = spectrogram([wave])
    np.testing.assert_allclose(ours.numpy(), theirs.processors[0](wave), atol=1e-5)


def test_a_clip_without_samples_has_no_frames(spectrogram: DownbeatSpectrogram) -> None:
    assert [tuple(features.shape) for features in spectrogram([np.zeros(0, np.float32)])] == [
        (0, 314)
    ]


def test_features_do_not_depend_on_the_batch(
    spectrogram: DownbeatSpectrogram, waves: list[Floats]
) -> None:
    for wave, together in zip(waves, spectrogram(waves), strict=True):
        np.testing.assert_array_equal(spectrogram([wave])[0].numpy(), together.numpy())


@pytest.mark.parametrize(
    ("meters", "min_bpm", "max_bpm"),
    [((3, 4), 55.0, 215.0), ((2, 3, 4), 55.0, 215.0), ((3, 4), 40.0, 110.0), ((4,), 100.0, 120.0)],
)
def test_paths_equal_madmoms_own(
    madmom: Any, meters: tuple[int, ...], min_bpm: float, max_bpm: float
) -> None:
    clips = [
        regular(bpm, meter, seed) for seed, (bpm, meter) in enumerate([(71, 4), (104, 3), (190, 4)])
    ]
    clips += [random(0, 301), random(1, 150), random(2, 40)]
    for found, beats in zip(
        BarTracker(meters, min_bpm, max_bpm)(clips),
        madmoms_beats(madmom, clips, meters, min_bpm, max_bpm),
        strict=True,
    ):
        assert_same(found, beats)


def test_a_steady_waltz_is_counted_in_three() -> None:
    [found] = BarTracker((2, 3, 4), 55, 215)([regular(120, 3, seed=5, length_s=8.0)])
    assert set(np.diff(found.beats[:, 1])) == {1, -2}
    assert np.median(np.diff(found.beats[:, 0])) == pytest.approx(0.5, abs=0.02)
    assert (
        max(found.log_probability_per_meter, key=found.log_probability_per_meter.__getitem__) == 3
    )


def test_log_probabilities_are_those_of_madmoms_models(madmom: Any) -> None:
    clip = random(3, 300)
    models = madmom.features.downbeats.DBNDownBeatTrackingProcessor(
        beats_per_bar=list(METERS), min_bpm=55, max_bpm=215, fps=100
    ).hmms
    [found] = BarTracker(METERS, 55, 215)([clip])
    loud = np.flatnonzero((clip >= 0.05).any(axis=1))
    expected = [model.viterbi(clip[loud[0] : loud[-1] + 1])[1] for model in models]
    assert list(found.log_probability_per_meter.values()) == pytest.approx(expected, abs=1e-6)


def test_beats_do_not_depend_on_the_batch() -> None:
    tracker = BarTracker(METERS, 55, 215)
    clips = [
        regular(80 + 7 * seed, 3 + seed % 2, seed, length_s=1.5 + seed / 8) for seed in range(10)
    ]
    for clip, together in zip(clips, tracker(clips), strict=True):
        [alone] = tracker([clip])
        assert_same(alone, together.beats)
        assert alone.log_probability_per_meter == together.log_probability_per_meter


def lone(frames: int, *frame_indices: int) -> Floats:
    clip = np.full((frames, 2), 0.01, np.float32)
    clip[list(frame_indices), 1] = 0.8
    return clip


EDGES = {
    "all zero": np.zeros((300, 2), np.float32),
    "one frame": lone(1, 0),
    "only the first frame": lone(200, 0),
    "only the second frame": lone(200, 1),
    "two frames": lone(2, 0, 1),
    "at both ends": lone(200, 0, 199),
    "zeros between beats": np.where(lone(300, 0, 50, 100, 150, 200, 250, 299) > 0.5, 0.8, 0).astype(
        np.float32
    ),
    "certain beats": np.where(lone(300, 0, 50, 100, 150, 200, 250, 299) > 0.5, 1, 0.001).astype(
        np.float32
    ),
    "certain beats too close": np.where(lone(300, 0, 9, 100, 299) > 0.5, 1, 0.001).astype(
        np.float32
    ),
}


@pytest.mark.parametrize("edge", EDGES)
def test_edges_are_as_madmoms(madmom: Any, edge: str) -> None:
    [found] = BarTracker(METERS, 55, 215)([EDGES[edge]])
    assert_same(found, madmoms_beats(madmom, [EDGES[edge]], METERS, 55, 215)[0])


def test_nothing_heard_has_no_beats() -> None:
    tracker = BarTracker(METERS, 55, 215)
    assert tracker([]) == []
    for found in tracker([np.empty((0, 2), np.float32), EDGES["all zero"], EDGES["one frame"]]):
        assert found.beats.shape == (0, 2)
        assert found.log_probability_per_meter == {}


def test_beats_shorter_than_two_frames_are_refused() -> None:
    with pytest.raises(PipelineError, match="at most 3000 BPM"):
        BarTracker(METERS, 55, 5_000)
