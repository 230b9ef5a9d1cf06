"""A small Audio Spectrogram Transformer with random weights, saved as the hub would have it: what
loads it is the real code, without a download.
"""

from pathlib import Path

import torch
from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

CLASSES = 5
HEAD = "classifier.dense.weight"
FRAMES = 64  # 0.64 s of sound


def save_ast(folder: Path) -> Path:
    """Save one, and return its folder."""
    torch.manual_seed(0)
    config = ASTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_length=FRAMES,
        num_mel_bins=32,
        id2label={number: f"class {number}" for number in range(CLASSES)},
    )
    model = ASTForAudioClassification(config)
    with torch.no_grad():  # logits of the published model's size, so that classes are told apart
        [weight] = [one for name, one in model.named_parameters() if name == HEAD]
        weight.normal_()
    model.save_pretrained(folder)
    features = ASTFeatureExtractor(max_length=FRAMES, num_mel_bins=32)  # type: ignore[no-untyped-call]
    features.save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: bsd-3-clause\n---\n# Random weights\n")
    return folder
