"""Clips to annotate, and what several annotators need of them, computed once."""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from pipelines.audio.decode import Wave
from schemas.recipe import AnnotateRecipe

if TYPE_CHECKING:
    from pipelines.annotators.bar_net import Accents
    from pipelines.annotators.harmony import HarmonyActivations


class WaveBatch:
    """Mono float32 waves at 44.1 kHz and the recipe's annotate section.

    A network's activations are computed when it is first asked for.
    """

    def __init__(self, waves: Sequence[Wave], recipe: AnnotateRecipe) -> None:
        self.waves = waves
        self.recipe = recipe

    @cached_property
    def accents(self) -> "list[Accents]":
        """Beat and downbeat activations of each wave."""
        from pipelines.annotators.accents import accent_ear

        return accent_ear(self.recipe.device)(self.waves)

    @cached_property
    def harmony(self) -> "list[HarmonyActivations]":
        """Chord, bass and key probabilities of each wave."""
        from pipelines.annotators.harmony import harmony_ear

        return harmony_ear(self.recipe.device)(self.waves)
