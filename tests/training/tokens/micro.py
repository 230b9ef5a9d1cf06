"""A masked model of codes that takes seconds, on shards of a few kilobytes, for tests."""

from pathlib import Path

from tests.pipelines.codecs.coded_waves import BOOKS, ENTRIES, coded_codec
from tests.training.data.shards import codes, write_shard
from training.conditions import Condition
from training.data.recipe import SampleRecipe
from training.dit.config import DitConfig
from training.run.recipe import CodecRecipe, OptimRecipe, StepsRecipe, TextRecipe
from training.samplers.rounds_config import RoundsConfig
from training.tokens.recipe import CodesRecipe, TokensRecipe

FRAMES = 80  # of two seconds
ALWAYS = (3, 7, 11)  # the code of each book


def coded_corpus(folder: Path) -> Path:
    """Shards whose samples all have the same codes at all times: what can be learned by heart."""
    same = codes(ALWAYS, FRAMES)
    write_shard(folder / "train-00000.tar", range(8), codes_of=lambda _: same)
    write_shard(
        folder / "validation-00000.tar", range(8, 12), split="validation", codes_of=lambda _: same
    )
    return folder


def micro(shards: Path, codec: Path) -> TokensRecipe:
    """Six steps of four samples."""
    return TokensRecipe(
        codec=CodecRecipe(name="wave", source=str(coded_codec(codec))),
        codes=CodesRecipe(books=BOOKS, entries=ENTRIES, coarse=1, coarse_visits=0.5),
        text=TextRecipe(cache_mb=8),
        model=DitConfig(
            latent_channels=16,
            latent_bands=1,
            width=32,
            depth=1,
            head_width=8,
            text_width=384,
            control_width=16,
            controls=(),
            rows=(Condition.BEATS, Condition.CHORDS),
            row_width=8,
        ),
        data=SampleRecipe(
            shards=(str(shards),), seconds=1.0, batch=4, micro_batch=2, workers=0, validation=4
        ),
        optim=OptimRecipe(lr=1e-2, warmup_steps=2, ema=0.5),
        run=StepsRecipe(steps=6, log_every=1, checkpoint_every=3, validate_every=3),
        sampling=RoundsConfig(coarse_rounds=3, fine_rounds=2),
    )
