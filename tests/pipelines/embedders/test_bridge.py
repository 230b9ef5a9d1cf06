"""The bridge says what labels and descriptors say, and nothing of what is not known."""

from typing import Any

import numpy as np
import pytest

from pipelines.audio.spectra import EAR_HZ
from pipelines.embedders import ClipSound, bridge, minilm
from pipelines.embedders.bridge_words import described, descriptors
from pipelines.errors import PipelineError
from schemas.label_recipe import LabelRecipe
from schemas.labels import Beats, Chords, ChordSegment, KeyLabel, Labels, Meter, Tempo

CLAIM: dict[str, Any] = {"confidence": 0.9, "tool": "t", "version": "1", "licence": "CC0-1.0"}
TIMES = np.arange(5 * EAR_HZ) / EAR_HZ
ORGAN = (0.1 * np.sin(2 * np.pi * np.outer((220, 277, 330, 440), TIMES)).sum(axis=0)).astype(
    np.float32
)


def labels(
    bpm: float | None = None,
    beats_per_bar: int | None = None,
    mode: str | None = None,
    chord: bool = True,
) -> Labels:
    segments = (ChordSegment(start_s=0, end_s=5, label="A:maj"),) if chord else ()
    return Labels(
        duration_s=5,
        beats=Beats(**CLAIM),
        meter=Meter(beats_per_bar=beats_per_bar, **CLAIM),
        tempo=Tempo(bpm=bpm, **CLAIM),
        chords=Chords(segments=segments, **CLAIM),
        key=KeyLabel(tonic=None if mode is None else 9, mode=mode, **CLAIM),
    )


def drums() -> np.ndarray:
    """Broad bursts of noise, eight a second, that die within 50 ms."""
    noise = np.random.default_rng(0).standard_normal(len(TIMES)).astype(np.float32)
    return 0.3 * noise * np.exp(-(TIMES % 0.125) / 0.015).astype(np.float32)


def test_bursts_of_noise_are_drums_and_held_tones_are_not() -> None:
    beaten, held = descriptors(drums()), descriptors(ORGAN)
    assert (beaten.percussive, held.percussive, held.steady) == (True, False, True)
    assert beaten.onsets_per_s == pytest.approx(8, abs=0.5)
    assert beaten.brightness > held.brightness


def test_what_is_labelled_is_said_in_words() -> None:
    text = described(ORGAN, labels(70, 3, "minor"))
    assert "waltz at a slow tempo, without drums" in text
    assert "sustained tones" in text
    assert "dark, melancholic" in text


def test_what_is_not_labelled_is_not_said() -> None:
    text = described(ORGAN, labels())
    assert not any(word in text for word in ("tempo", "waltz", "mood", "melancholic", "cheerful"))


def test_drums_without_chords_are_a_solo_of_drums() -> None:
    assert described(drums(), labels(120, 4, None, chord=False)) == (
        "A solo drum kit pattern at a lively tempo, a beat of drums and percussion without melody."
    )


def test_silence_and_nan_free_edges_are_described_too() -> None:
    for wave in (np.zeros(EAR_HZ, np.float32), np.zeros(1, np.float32)):
        assert described(wave, labels()).startswith("A gentle piece of music, without drums.")


def test_text_meets_text_in_minilms_space() -> None:
    embedder = bridge.load(LabelRecipe())
    found = embedder.embed_audio(
        [
            ClipSound(ORGAN, labels(70, 3, "minor")),
            ClipSound(drums(), labels(120, 4, None, chord=False)),
        ]
    )
    waltz, beat = embedder.embed_text(["A sad, slow waltz played on the organ", "A loud drum solo"])
    assert found[0] @ waltz > found[1] @ waltz
    assert found[1] @ beat > found[0] @ beat
    np.testing.assert_allclose(
        found[0], minilm.embedded([described(ORGAN, labels(70, 3, "minor"))])[0], atol=1e-6
    )


def test_a_sound_without_labels_is_refused() -> None:
    with pytest.raises(PipelineError, match="reads labels"):
        bridge.load(LabelRecipe()).embed_audio([ClipSound(ORGAN)])
