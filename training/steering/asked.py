"""What is asked of a window of a piece, as one loss of its latents.

Shapes: B samples, C latent channels, T latent frames, F latent bands, N frames at 10 Hz.
"""

from collections.abc import Collection, Iterator
from enum import StrEnum
from typing import Final, NamedTuple

import torch

from pipelines.codecs import CodecFacts
from schemas.controls import CONTROL_RATE_HZ, NO_PITCH
from training.conditions.clip_controls import ClipControls
from training.steering.harmony import beat_grid_loss, chord_tones, harmony
from training.steering.listening import Ear
from training.steering.losses import (
    SteerLoss,
    Weighted,
    block_form,
    given,
    intensity,
    loop,
    melody,
    smoothed_matrix,
    together,
)


class SteerAim(StrEnum):
    """What a loss can ask for, by the names of the options."""

    INTENSITY = "intensity"
    MELODY = "melody"
    CHORDS = "chords"
    BEATS = "beats"
    FORM = "form"


# DITTO's for intensity: it is in dB squared, the others about 1
_BESIDE_PITCHES: Final = 1 / 4
_BESIDE_OTHERS: Final = 1 / 40
_PITCHES: Final = frozenset((SteerAim.MELODY, SteerAim.CHORDS))


class AskedForm(NamedTuple):
    """A form by letters, or the self-similarity of a recording at 10 Hz."""

    letters: str = ""
    similarity_NN: torch.Tensor | None = None

    @property
    def is_smooth(self) -> bool:
        """Whether it is blocks, which nothing keeps to from one moment to the next."""
        return self.similarity_NN is None

    def wanted(self, frames: int) -> torch.Tensor:
        """The self-similarity of a piece of so many frames at 10 Hz: (N, N); a recording's is
        brought to that length.
        """
        if self.similarity_NN is None:
            return block_form(self.letters, frames)
        size = (frames, frames)
        whole = self.similarity_NN[None, None]
        return torch.nn.functional.interpolate(whole, size, mode="bilinear")[0, 0]


class FormSoFar(NamedTuple):
    """A form that is asked of a strip, and the strip's latents before the window."""

    wanted_NN: torch.Tensor  # of the strip
    asked_N: torch.Tensor  # frames of the strip that have a form
    is_smooth: bool
    before_BCTF: torch.Tensor


class WindowAsk(NamedTuple):
    """What is asked of a window: the controls in it, and which of them by a loss."""

    controls: ClipControls
    aims: Collection[SteerAim]
    facts: CodecFacts
    known_T: torch.Tensor  # frames that are there: nothing is asked of them
    form: FormSoFar | None = None
    known_BCTF: torch.Tensor | None = None  # where a loss asks for what is there
    loop: int = 0  # frames of a return that a loss asks for

    @property
    def duration_s(self) -> float:
        """How long it is."""
        return len(self.known_T) / self.facts.frames_per_s

    @property
    def new_frames(self) -> torch.Tensor:
        """Frames at 10 Hz of what is not there yet: (N,)."""
        samples = len(self.known_T) * self.facts.samples_per_frame
        count = -(-samples * CONTROL_RATE_HZ // self.facts.rate_hz)
        at_N = (torch.arange(count) + 0.5) / CONTROL_RATE_HZ
        return ~self.known_T[
            (at_N * self.facts.frames_per_s).long().clamp(max=len(self.known_T) - 1)
        ]


def asked_loss(ear: Ear, ask: WindowAsk) -> SteerLoss | None:
    """One loss for all that is asked of a window by losses; none where that is nothing."""
    parts = dict(_losses(ear, ask))
    if not parts:
        return None
    others = {name for name in parts if name != SteerAim.INTENSITY}
    beside = _BESIDE_PITCHES if others <= _PITCHES else _BESIDE_OTHERS
    weighs: dict[str, float] = {SteerAim.INTENSITY: beside if others else 1.0}
    return together([Weighted(loss, weighs.get(name, 1.0)) for name, loss in parts.items()])


def _losses(ear: Ear, ask: WindowAsk) -> Iterator[tuple[str, SteerLoss]]:
    """Each loss by what it asks for."""
    new_N, curves = ask.new_frames, ask.controls.curves
    if SteerAim.INTENSITY in ask.aims:
        wanted = _curve(curves.dynamics_db, curves.start_s, len(new_N))
        counts_N = torch.tensor([one is not None for one in wanted]) & new_N
        if counts_N.any():
            yield (
                SteerAim.INTENSITY,
                intensity(ear, torch.tensor([one or 0.0 for one in wanted]), counts_N),
            )
    if SteerAim.MELODY in ask.aims:
        classes = [
            NO_PITCH if one is None else int(one)
            for one in _curve(curves.melody, curves.start_s, len(new_N))
        ]
        classes_N = torch.where(new_N, torch.tensor(classes), NO_PITCH)
        if (classes_N != NO_PITCH).any():
            yield SteerAim.MELODY, melody(ear, classes_N)
    if SteerAim.CHORDS in ask.aims:
        tones_NP = chord_tones(ask.controls.labels.chords.segments, len(new_N)) * new_N[:, None]
        if tones_NP.any():
            yield SteerAim.CHORDS, harmony(ear, tones_NP)
    beats = ask.controls.labels.beats
    if SteerAim.BEATS in ask.aims and len(beats.times_s) > 1:
        yield SteerAim.BEATS, beat_grid_loss(ear, beats.times_s, beats.downbeats_s, ask.duration_s)
    if ask.form is not None and SteerAim.FORM in ask.aims:
        yield SteerAim.FORM, form_so_far(ear, ask.form)
    if ask.known_BCTF is not None and ask.known_T.any():
        yield "known", given(ask.known_BCTF, ask.known_T)
    if ask.loop:
        yield "loop", loop(ask.loop)


def _curve(
    values: tuple[float | None, ...] | tuple[int | None, ...], start_s: float, frames: int
) -> list[float | None]:
    """A curve's values in the middle of each frame of a window; none where it has none."""
    places = [
        int(((at + 0.5) / CONTROL_RATE_HZ - start_s) * CONTROL_RATE_HZ + 1e-6)
        for at in range(frames)
    ]
    return [values[one] if 0 <= one < len(values) else None for one in places]


def form_so_far(ear: Ear, form: FormSoFar) -> SteerLoss:
    """Mean squared error of the self-similarity of a strip up to a window's end, over what has a
    form.
    """

    def loss(latents_BCTF: torch.Tensor) -> torch.Tensor:
        heard_BNN = ear.similarity(torch.cat([form.before_BCTF.to(latents_BCTF), latents_BCTF], 2))
        if form.is_smooth:
            heard_BNN = smoothed_matrix(heard_BNN)
        frames = min(heard_BNN.shape[1], len(form.wanted_NN))
        asked_N = form.asked_N[:frames].to(heard_BNN)
        counts_NN = asked_N[:, None] * asked_N
        wanted_NN = form.wanted_NN[:frames, :frames].to(heard_BNN)
        error_BNN = (heard_BNN[:, :frames, :frames] - wanted_NN).square() * counts_NN
        return error_BNN.sum((1, 2)) / counts_NN.sum().clamp(min=1)

    return loss
