"""The key from two witnesses: the harmony network, and Essentia's profile on its chromagram.

E. Gómez, "Tonal description of music audio signals", 2006, for the method; C. L. Krumhansl,
"Cognitive foundations of musical pitch", 1990, for the profile.
"""

import importlib.metadata
from typing import Final

import essentia
import essentia.standard
import numpy as np

from pipelines.annotators import RATE_HZ
from pipelines.annotators.confidence import fitted
from pipelines.annotators.harmony import Floats, HarmonyActivations, key_class
from pipelines.audio.decode import Wave
from schemas.pitch import Key, parse_note

essentia.log.infoActive = essentia.log.warningActive = False
VERSION: Final = importlib.metadata.version("essentia")
LICENCE: Final = "AGPL-3.0"
PROFILE: Final = "krumhansl"  # temperley and edma add nothing to it


def vote(wave: Wave) -> int:
    """The class of the key that Essentia's profile names."""
    tonic, mode, _ = essentia.standard.KeyExtractor(profileType=PROFILE, sampleRate=RATE_HZ)(
        np.ascontiguousarray(wave)
    )
    return key_class(Key(tonic=parse_note(tonic), mode=mode))


def key_chances(harmony: HarmonyActivations, voted: int) -> Floats:
    """Probability of each class of keys, (24,)."""
    logs = harmony.key.copy()
    logs[voted] += fitted("key")["vote"]
    odds = np.exp(logs - logs.max())
    chances: Floats = odds / odds.sum()
    return chances
