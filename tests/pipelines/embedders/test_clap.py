"""CLAP hears what its own extractor and model give, for any number of clips at once.

Its folder says what it is.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel

from pipelines.embedders import EMBEDDERS, ClipSound, clap
from pipelines.embedders.clap_sound import ClapSound, windows
from pipelines.errors import PipelineError
from schemas.label_recipe import LabelRecipe
from tests.support.tiny_clap import DIMENSION, save_clap

RATE_HZ = 48_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clap(tmp_path_factory.mktemp("clap"))


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE_HZ))).astype(
        np.float32
    )


def loaded(folder: Path) -> ClapModel:
    model = ClapModel.from_pretrained(folder)
    model.eval()  # type: ignore[no-untyped-call]
    return model


def published(folder: Path, wave: np.ndarray) -> np.ndarray:
    """The vector of a clip of one window, by transformers alone."""
    given = ClapFeatureExtractor.from_pretrained(folder)(
        wave, sampling_rate=RATE_HZ, return_tensors="pt"
    )
    with torch.inference_mode():
        found = loaded(folder).get_audio_features(
            input_features=given["input_features"],
            is_longer=torch.zeros(1, 1, dtype=torch.bool),
        )
    vector: np.ndarray = found.pooler_output[0].numpy()
    return vector


@pytest.mark.parametrize("fusion", [False, True])
@pytest.mark.parametrize("seconds", [10.0, 4.2])
def test_a_clip_of_one_window_has_the_vector_that_transformers_gives(
    tmp_path: Path, fusion: bool, seconds: float
) -> None:
    model = save_clap(tmp_path, fusion=fusion)
    found = clap.load(LabelRecipe(model=str(model))).embed_audio([ClipSound(noise(seconds))])
    np.testing.assert_allclose(found[0], published(model, noise(seconds)), atol=1e-4)


def test_spectrograms_are_the_extractors_to_a_thousandth_of_a_decibel(folder: Path) -> None:
    given = ClapFeatureExtractor.from_pretrained(folder)(
        noise(10.0), sampling_rate=RATE_HZ, return_tensors="pt"
    )["input_features"]
    ours = ClapSound.of(folder, torch.device("cpu")).features(torch.from_numpy(noise(10.0))[None])
    np.testing.assert_allclose(ours.numpy(), given.numpy(), atol=1e-3)


def test_a_long_clip_is_the_mean_of_its_windows_at_length_one(folder: Path) -> None:
    embedder = clap.load(LabelRecipe(model=str(folder)))
    long = noise(25.0)
    parts = embedder.embed_audio(
        [ClipSound(long[:480_000]), ClipSound(long[480_000:960_000]), ClipSound(long[-480_000:])]
    )
    mean = parts.mean(axis=0)
    np.testing.assert_allclose(
        embedder.embed_audio([ClipSound(long)])[0], mean / np.linalg.norm(mean), atol=1e-5
    )


def test_batches_of_any_size_give_the_same_vectors(folder: Path) -> None:
    sounds = [ClipSound(noise(seconds, seed)) for seed, seconds in enumerate((10, 3, 25, 10, 12))]
    one, all_at_once = (
        clap.load(LabelRecipe(model=str(folder), batch=batch)).embed_audio(sounds)
        for batch in (1, 16)
    )
    np.testing.assert_allclose(one, all_at_once, atol=1e-5)


def test_texts_in_any_batch_have_the_vectors_that_transformers_gives(folder: Path) -> None:
    texts = ["A sad flute.", "x", "Loud drums and an electric guitar play a riff", "y" * 200]
    given = AutoTokenizer.from_pretrained(folder)(
        texts, padding=True, truncation=True, max_length=77, return_tensors="pt"
    )
    with torch.inference_mode():
        expected = loaded(folder).get_text_features(**given).pooler_output.numpy()
    for batch in (1, 2, 16):
        np.testing.assert_allclose(
            clap.load(LabelRecipe(model=str(folder), batch=batch)).embed_text(texts),
            expected,
            atol=1e-5,
        )


def test_a_window_begins_where_the_last_ended_and_the_last_stands_against_the_end() -> None:
    cut = windows(np.arange(25, dtype=np.float32), 10)
    assert [(window[0], window[-1]) for window in cut] == [(0, 9), (10, 19), (15, 24)]
    assert len(windows(np.zeros(203, np.float32), 100)) == 2  # three samples more add nothing


def test_its_folder_says_what_it_is(folder: Path) -> None:
    found = EMBEDDERS.offer("clap").describe(LabelRecipe(model=str(folder)))
    assert (found.licence, found.dimension, found.rate_hz, found.window_s, found.reads_labels) == (
        "apache-2.0",
        DIMENSION,
        RATE_HZ,
        10,
        False,
    )


def test_other_weights_have_another_version(folder: Path, tmp_path: Path) -> None:
    before = clap.describe(LabelRecipe(model=str(folder))).version
    other = save_clap(tmp_path)
    assert clap.describe(LabelRecipe(model=str(other))).version == before
    weights = other / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    changed = tmp_path / "changed"
    changed.mkdir()
    for file in other.glob("*.json"):
        (changed / file.name).write_bytes(file.read_bytes())
    (changed / weights.name).write_bytes(content)
    assert clap.describe(LabelRecipe(model=str(changed))).version != before


def test_a_model_that_is_nowhere_is_named() -> None:
    with pytest.raises(PipelineError, match=r"model no/such model is not a folder"):
        clap.describe(LabelRecipe(model="no/such model"))


def test_an_embedder_that_is_not_installed_is_named_with_those_that_are() -> None:
    with pytest.raises(
        PipelineError,
        match=r"no embedder called 'muq': expected bridge, clap, .* an entry point of obbligato",
    ):
        EMBEDDERS.offer("muq")
