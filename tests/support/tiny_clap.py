"""A small CLAP model with random weights, saved as the hub would have it: what loads it is the real
code, without a download.
"""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    ClapProcessor,
    RobertaTokenizerFast,
)

WINDOW_S = 10
DIMENSION = 32


def save_clap(folder: Path, *, fusion: bool = False, published: bool = False) -> Path:
    """Save one, and return its folder; `published` for one of the size of LAION's (its
    configuration is transformers' default).
    """
    torch.manual_seed(0)
    config = ClapConfig() if published else _tiny(fusion)
    ClapModel(config).save_pretrained(folder)
    extractor = ClapFeatureExtractor(
        truncation="fusion" if fusion else "rand_trunc", max_length_s=WINDOW_S, frequency_min=50
    )
    processor = ClapProcessor(  # type: ignore[no-untyped-call]
        feature_extractor=extractor, tokenizer=_tokenizer()
    )
    processor.save_pretrained(folder)
    extractor.save_pretrained(folder)
    (folder / "README.md").write_text(
        "---\nlicense: apache-2.0\n---\n# A model with random weights\n"
    )
    return folder


def _tiny(fusion: bool) -> ClapConfig:
    return ClapConfig(
        text_config={
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "vocab_size": 300,
            "max_position_embeddings": 130,
            "pad_token_id": 1,
        },
        audio_config={
            "patch_embeds_hidden_size": 16,
            "depths": [1, 1, 1, 1],
            "num_attention_heads": [1, 1, 2, 2],
            "hidden_size": 128,
            "enable_fusion": fusion,
        },
        projection_dim=DIMENSION,
    )


def _tokenizer() -> RobertaTokenizerFast:
    """One token a byte."""
    vocabulary = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 4}
    vocabulary |= {
        sign: index
        for index, sign in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()), start=5)
    }
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return RobertaTokenizerFast(tokenizer_object=tokenizer)
