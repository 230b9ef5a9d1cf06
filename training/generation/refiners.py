"""What plays beside a model: a vocoder in place of Griffin-Lim, an upsampler behind it."""

from typing import Final, NamedTuple

import torch

from pipelines.codecs.vocoder import Vocoder, open_vocoder
from pipelines.errors import PipelineError
from training.upsampler.play import Upsampler, open_upsampler

GRIFFIN_LIM: Final = "none"  # in place of a vocoder's folder


class Refiners(NamedTuple):
    """What plays beside a model, by the folders that their trainings wrote; empty: none but what
    the recipe names. The vocoder `none` is Griffin-Lim, whatever the recipe names.
    """

    vocoder: str = ""
    upsampler: str = ""

    def open_vocoder(self, of_recipe: str, device: torch.device) -> Vocoder | None:
        """The vocoder that is named, or else that of the recipe, if it names one.

        Raises `PipelineError` where it is not there, and says how to play without.
        """
        player = self.vocoder or of_recipe
        if player in ("", GRIFFIN_LIM):
            return None
        try:
            return open_vocoder(player, str(device))
        except PipelineError as error:
            raise PipelineError(
                f"{error}; `--vocoder {GRIFFIN_LIM}` plays by Griffin-Lim in its place (in Python "
                f'vocoder="{GRIFFIN_LIM}")'
            ) from error

    def open_upsampler(self, rate_hz: int, device: torch.device) -> Upsampler | None:
        """The upsampler that is named, of sound of a rate.

        Raises `TrainingError` where it is not there, or has nothing to add to such sound.
        """
        if not self.upsampler:
            return None
        upsampler = open_upsampler(self.upsampler, device)
        upsampler.check_rate(rate_hz)
        return upsampler
