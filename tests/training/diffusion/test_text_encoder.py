"""Text encoders: what a prompt means does not hang on its company, nothing learns, and kept states
come back.
"""

from pathlib import Path

import pytest
import torch
from transformers import T5Config, T5EncoderModel, T5Tokenizer

from training.diffusion.text_encoder import (
    TextEncoder,
    batched_states,
    compact_states,
    open_text_encoder,
)
from training.errors import TrainingError

PROMPTS = ["a flute plays.", "", "loud drums in a minor."]
WORDS = ("a", "flute", "plays", "loud", "drums", "in", "minor", "slow")


@pytest.fixture(scope="module")
def t5_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A T5 of two layers with random weights, laid out as on the hub."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("t5")
    letters = [(letter, -5.0) for letter in "abcdefghijklmnopqrstuvwxyz▁."]
    vocabulary = [
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", 0.0),
        *((f"▁{word}", -2.0) for word in WORDS),
        *letters,
    ]
    T5Tokenizer(vocab=vocabulary).save_pretrained(folder)
    config = T5Config(vocab_size=256, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
    T5EncoderModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(params=["t5", "minilm"])
def encoder(request: pytest.FixtureRequest, t5_folder: Path) -> TextEncoder:
    return open_text_encoder(str(t5_folder) if request.param == "t5" else "minilm")


def test_every_prompt_has_a_token_and_the_width_is_the_encoder_s(encoder: TextEncoder) -> None:
    tokens = encoder.encode(PROMPTS)
    assert tokens.mask_BL.any(1).all()
    assert tokens.mask_BL.sum(1)[2] > tokens.mask_BL.sum(1)[0] > tokens.mask_BL.sum(1)[1]
    assert tokens.states_BLD.shape[2] == encoder.width in (32, 384)


def test_a_prompt_means_the_same_in_any_company(encoder: TextEncoder) -> None:
    together, alone = encoder.encode(PROMPTS), encoder.encode(PROMPTS[:1])
    length = int(alone.mask_BL.sum())
    assert torch.allclose(together.states_BLD[0, :length], alone.states_BLD[0, :length], atol=1e-5)
    assert (together.states_BLD[0, :length] - together.states_BLD[2, :length]).abs().max() > 0.1


def test_an_over_long_prompt_is_read_to_the_limit(t5_folder: Path) -> None:
    short = open_text_encoder(str(t5_folder), max_tokens=8)
    tokens = short.encode(["slow drums " * 40])
    assert tokens.mask_BL.sum().item() == 8


def test_nothing_of_it_learns(encoder: TextEncoder) -> None:
    assert not encoder.encode(PROMPTS).states_BLD.requires_grad
    # no dropout either
    assert torch.equal(encoder.encode(PROMPTS).states_BLD, encoder.encode(PROMPTS).states_BLD)


def test_kept_states_come_back(encoder: TextEncoder) -> None:
    tokens = encoder.encode(PROMPTS)
    again = batched_states(compact_states(tokens))
    assert torch.equal(again.mask_BL, tokens.mask_BL)
    assert torch.allclose(
        again.states_BLD[again.mask_BL], tokens.states_BLD[tokens.mask_BL], atol=2e-3, rtol=2e-3
    )
    swapped = batched_states(compact_states(tokens)[::-1])
    assert torch.equal(swapped.states_BLD, again.states_BLD.flip(0))


def test_the_identity_tells_weights_and_limits_apart(t5_folder: Path, tmp_path: Path) -> None:
    model = T5EncoderModel.from_pretrained(t5_folder)
    with torch.no_grad():
        model.encoder.final_layer_norm.weight[0] += 0.1
    model.save_pretrained(tmp_path)
    T5Tokenizer.from_pretrained(t5_folder).save_pretrained(tmp_path)
    ours, again = open_text_encoder(str(t5_folder)), open_text_encoder(str(t5_folder))
    assert ours.identity == again.identity
    weights = {
        open_text_encoder(str(folder)).identity.split()[1] for folder in (t5_folder, tmp_path)
    }
    assert len(weights) == 2
    assert open_text_encoder(str(t5_folder), max_tokens=64).identity != ours.identity


def test_a_folder_without_a_t5_is_refused_with_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="the id or folder of a T5"):
        open_text_encoder(str(tmp_path))
