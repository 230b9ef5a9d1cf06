"""The key by Essentia's KeyExtractor (E. Gómez, "Tonal description of music audio signals", 2006)."""

import importlib.metadata
from collections.abc import Sequence
from typing import Final

import essentia
import essentia.standard
import numpy as np

from pipelines.annotators import RATE_HZ
from pipelines.audio import Wave
from schemas.labels import KeyLabel
from schemas.pitch import parse_note
from schemas.recipe import AnnotateRecipe

VERSION: Final = importlib.metadata.version("essentia")
LICENCE: Final = "AGPL-3.0"
essentia.log.infoActive = essentia.log.warningActive = False


def annotate_key(waves: Sequence[Wave], recipe: AnnotateRecipe) -> list[KeyLabel]:
    """Tonic and mode; the confidence is the correlation with the key profile."""
    extract = essentia.standard.KeyExtractor(profileType=recipe.key_profile, sampleRate=RATE_HZ)
    return [_key(extract(np.ascontiguousarray(wave))) for wave in waves]


def _key(found: tuple[str, str, float]) -> KeyLabel:
    tonic, mode, strength = found
    confidence = round(min(1.0, max(0.0, float(strength))), 3)
    return KeyLabel(
        tonic=parse_note(tonic), mode=mode, confidence=confidence, tool="essentia KeyExtractor", version=VERSION, licence=LICENCE
    )
