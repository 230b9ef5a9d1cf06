"""A visit made louder and softer: its level follows a drawn curve, and its dynamics too.

In music, beats and chords all but say how loud it is at each moment, so a net has no reason to
listen to a curve of dynamics beside them. Where levels change by themselves, it has to.

Shapes: C latent channels, T latent frames, F latent bands, S audio samples.
"""

from typing import Final, NamedTuple

import numpy as np
import torch

from schemas.codec import CodecFacts
from training.conditions.clip_controls import ClipControls, ControlCurves
from training.errors import TrainingError

_LOWEST_DB, _HIGHEST_DB = -18.0, 6.0
# between two drawn gains: dynamics are smoothed over one second, so nothing turns faster
_PIECE_S: Final = 2.5


class LevelCurve(NamedTuple):
    """Gains at times from the start of what is learned; between them in a line, in dB."""

    times_s: np.ndarray
    gains_db: np.ndarray

    def at(self, times_s: np.ndarray) -> np.ndarray:
        """The gain at each time, in dB."""
        gains_db: np.ndarray = np.interp(times_s, self.times_s, self.gains_db)
        return gains_db


def drawn_level_curve(rng: np.random.Generator, duration_s: float) -> LevelCurve:
    """A gain every two or three seconds, from -18 to 6 dB."""
    pieces = max(1, round(duration_s / _PIECE_S))
    gains_db = rng.uniform(_LOWEST_DB, _HIGHEST_DB, pieces + 1)
    return LevelCurve(np.linspace(0.0, duration_s, pieces + 1), gains_db)


def check_level_curves(chance: float, facts: CodecFacts, *, reads_latents: bool) -> None:
    """Raise `TrainingError` where levels are to change, but a codec's latents do not hold them."""
    if chance and reads_latents and facts.levels is None:
        raise TrainingError(
            f"data.level_curves={chance:g} changes levels, and latents of {facts.name} are not "
            "levels: set it to 0, or learn from shards without latents"
        )


def louder(
    sound: torch.Tensor, controls: ClipControls, curve: LevelCurve, facts: CodecFacts
) -> tuple[torch.Tensor, ClipControls]:
    """A latent (C, T, F) or wave (S,) whose level follows a curve, with its dynamics."""
    moved = controls._replace(curves=louder_dynamics(controls.curves, curve))
    if sound.dim() == 1:
        return louder_wave(sound, curve, facts.rate_hz), moved
    return louder_latent(sound, curve, facts), moved


def louder_latent(latent_CTF: torch.Tensor, curve: LevelCurve, facts: CodecFacts) -> torch.Tensor:
    """The latent of a sound whose level follows a curve. Silence stays what it is.

    Raises `TrainingError` where latents are not levels.
    """
    if (levels := facts.levels) is None:
        raise TrainingError(f"latents of {facts.name} are not levels")
    middles_s = (np.arange(latent_CTF.shape[1]) + 0.5) / facts.frames_per_s
    gains_T = torch.from_numpy(curve.at(middles_s) / levels.unit_db).float()
    moved_CTF = (latent_CTF + gains_T[:, None]).clamp(min=levels.floor)
    return torch.where(latent_CTF > levels.floor, moved_CTF, latent_CTF)


def louder_wave(wave: torch.Tensor, curve: LevelCurve, rate_hz: int) -> torch.Tensor:
    """A wave, (S,) or (2, S), whose level follows a curve, kept within full scale."""
    gains_db = curve.at(np.arange(wave.shape[-1]) / rate_hz)
    return (wave * torch.from_numpy(10 ** (gains_db / 20)).float()).clamp(-1.0, 1.0)


def louder_dynamics(curves: ControlCurves, curve: LevelCurve) -> ControlCurves:
    """Curves whose dynamics follow a change of level."""
    times_s = curves.start_s + (np.arange(len(curves.dynamics_db)) + 0.5) / curves.rate_hz
    moved_db = (
        None if level is None else min(0.0, level + float(gain))
        for level, gain in zip(curves.dynamics_db, curve.at(times_s), strict=True)
    )
    return curves._replace(dynamics_db=tuple(moved_db))
