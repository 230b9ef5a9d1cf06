"""Names of the files of a checkpoint; `checkpoints.py` says what each holds."""

from typing import Final

MODEL: Final = "model.safetensors"
EMA: Final = "ema.safetensors"
OPTIMIZER: Final = "optimizer.pt"
RECIPE: Final = "recipe.json"
CORPUS: Final = "corpus.json"
STATE: Final = "state.json"
