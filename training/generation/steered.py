"""Pieces that go on from a recording, fill it, loop, follow curves and forms that a net is not
told, or are longer than it plays at once: window after window, each led by what is asked and by
what is there. `play_steered` is the place to start reading.

Shapes: B pieces, C latent channels, T latent frames, F latent bands, N frames at 10 Hz.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

import torch

from pipelines.audio.decode import Wave
from schemas.controls import CONTROL_RATE_HZ, NO_PITCH
from training.conditions import CURVES, Condition
from training.conditions.clip_controls import ClipControls
from training.errors import TrainingError
from training.generation.generate import GenerationRequest, Generator, PiecePlayer
from training.generation.nearness import JudgedSound, Nearness, nearness
from training.generation.strip import SoundAround, Strip, looped_sound
from training.generation.windows import Window, windows
from training.nets import NetConfig
from training.samplers.config import SamplingConfig
from training.steering.asked import AskedForm, FormSoFar, SteerAim, WindowAsk, asked_loss
from training.steering.listening import Ear
from training.steering.optimise import OptimiseConfig, Steering
from training.steering.steer import KnownLatents, KnownWay, SteerPlan
from training.timed_controls.joining import controls_within
from training.timed_controls.steer_options import SteerWay

_RETURN_S: Final = 1.0  # of a loop's beginning is played once more behind its end
_RETURN: Final = 1 / 8  # of a window, at most
_OVERLAP: Final = 1 / 3  # of a window, that it has in common with the one before
_STEPS: Final = 20  # of the sampler, where noise is optimised through all of them (DITTO)
_ENOUGH_DB2: Final = 2.0  # of intensity alone (DITTO)
_MOST, _MOST_LONG = 70, 150  # tries; of melody and form (DITTO)
_NO_HOOK: Final = (KnownWay.LOSS, KnownWay.IGNORED)
_OF_CURVES: Final = frozenset((SteerAim.INTENSITY, SteerAim.MELODY))
_LONG: Final = frozenset((SteerAim.MELODY, SteerAim.FORM, SteerAim.CHORDS))
CONDITION_OF: Final = {
    SteerAim.INTENSITY: Condition.DYNAMICS,
    SteerAim.MELODY: Condition.MELODY,
    SteerAim.CHORDS: Condition.CHORDS,
    SteerAim.BEATS: Condition.BEATS,
}
Ways = Mapping[SteerAim, SteerWay]
ALL_TOLD: Final[Ways] = MappingProxyType({})  # nothing is asked for but by the caption
# how many tries of how many are done
Watch = Callable[[int, int], None]


class SteerAsk(NamedTuple):
    """What is asked of a piece beside text and controls."""

    stated: frozenset[Condition] = frozenset()  # what somebody asked for
    by: SteerWay | None = None
    form: AskedForm | None = None
    around: SoundAround | None = None
    loop: bool = False  # without a recording
    iterations: int | None = None
    lr: float | None = None
    known_by: KnownWay | None = None  # what is there, and a loop's return; none: as is usual

    def ways(self, controls: ClipControls, config: NetConfig) -> dict[SteerAim, SteerWay]:
        """How each thing that is asked for is followed: by condition where the net takes it, else,
        of curves and a form, by optimised noise; or as `by` says. What a net takes it is told all
        the same.

        Raises `TrainingError` for a form by condition.
        """
        taken, out = {*config.rows, *config.controls}, dict[SteerAim, SteerWay]()
        for aim, condition in CONDITION_OF.items():
            if not self._is_asked(aim, controls):
                continue
            if self.by in (SteerWay.GUIDE, SteerWay.OPTIMISE):
                out[aim] = self.by
            elif condition in taken:
                out[aim] = SteerWay.CONDITION
            elif self.by is None and condition in CURVES:
                out[aim] = SteerWay.OPTIMISE
        if self.form is not None:
            if self.by is SteerWay.CONDITION:
                raise TrainingError("--form: no net is told a form: give --by guide or optimise")
            out[SteerAim.FORM] = self.by or SteerWay.OPTIMISE
        return out

    def _is_asked(self, aim: SteerAim, controls: ClipControls) -> bool:
        match aim:
            case SteerAim.INTENSITY:
                return any(one is not None for one in controls.curves.dynamics_db)
            case SteerAim.MELODY:
                return any(one not in (None, NO_PITCH) for one in controls.curves.melody)
            case _:
                return CONDITION_OF[aim] in self.stated

    @property
    def keeps(self) -> KnownWay:
        """How what is there is kept: put back at each step, unless noise shall be optimised."""
        if self.known_by is not None:
            return self.known_by
        return KnownWay.LOSS if self.by is SteerWay.OPTIMISE else KnownWay.MASKED


def sampling_of(sampling: SamplingConfig, ways: Ways, ask: SteerAsk) -> SamplingConfig:
    """How a piece is sampled where nobody says how many steps: fewer where each is gone back
    through.
    """
    by_loss = ask.keeps is KnownWay.LOSS and (ask.loop or ask.around is not None)
    optimises = ask.by is not SteerWay.GUIDE and (SteerWay.OPTIMISE in ways.values() or by_loss)
    return sampling.replaced(steps=min(sampling.steps, _STEPS)) if optimises else sampling


def way_lines(ways: Ways) -> tuple[str, ...]:
    """A line on each way that is taken, but where chords and beats are told, as they always are.

    >>> way_lines({SteerAim.FORM: SteerWay.OPTIMISE, SteerAim.CHORDS: SteerWay.CONDITION})
    ('form by optimise',)
    """
    return tuple(
        f"{aim} by {way}"
        for aim, way in ways.items()
        if way is not SteerWay.CONDITION or aim in _OF_CURVES
    )


class SteeredPiece(NamedTuple):
    """A piece's sound, how it came about, and how near it is."""

    wave: Wave
    controls: ClipControls  # as long as the sound is
    ways: Ways
    tries: int  # of optimised noise at most, for each window; 0: none
    new_s: tuple[float, float]  # the part that is not a recording's
    joins_s: tuple[float, ...]
    form: AskedForm | None
    is_loop: bool
    near: Nearness


def needs_steering(ask: SteerAsk, ways: Ways, duration_s: float, generator: Generator) -> bool:
    """Whether a piece takes more than one question for all of it."""
    frames = generator.codec.facts.frames(round(duration_s * generator.codec.facts.rate_hz))
    by_loss = any(way is not SteerWay.CONDITION for way in ways.values())
    return by_loss or ask.loop or ask.around is not None or frames > _most(generator)


def _most(generator: Generator) -> int:
    """Frames that the model plays at once."""
    facts = generator.codec.facts
    return facts.frames(round(generator.window_s * facts.rate_hz))


def return_frames(generator: PiecePlayer) -> int:
    """How many latent frames of a loop's beginning are played once more behind its end."""
    length_s = min(_RETURN_S, generator.seconds * _RETURN)
    return max(1, round(length_s * generator.codec.facts.frames_per_s))


def play_steered(
    generator: Generator,
    requests: Sequence[GenerationRequest],
    ask: SteerAsk,
    *,
    seed: int = 0,
    sampling: SamplingConfig | None = None,
    watch: Watch = lambda _done, _all: None,
) -> list[SteeredPiece]:
    """Pieces that differ in their keys alone, together. Same arguments, same sounds.

    Raises `TrainingError` for what cannot be asked of this model.
    """
    player = _Player.of(generator, requests, ask, seed, sampling, watch)
    for number, window in enumerate(player.plan):
        player.play(number, window)
    return player.pieces()


class _Player(NamedTuple):
    """Pieces while they are played: their strip fills window by window."""

    generator: Generator
    requests: Sequence[GenerationRequest]
    ask: SteerAsk
    seed: int
    sampling: SamplingConfig
    watch: Watch
    ways: Ways
    strip: Strip
    plan: tuple[Window, ...]
    done: list[int]

    @classmethod
    def of(
        cls,
        generator: Generator,
        requests: Sequence[GenerationRequest],
        ask: SteerAsk,
        seed: int,
        sampling: SamplingConfig | None,
        watch: Watch,
    ) -> "_Player":
        """Everything up to the first window."""
        facts, controls = generator.codec.facts, requests[0].controls
        ways, most = ask.ways(controls, generator.recipe.model), _most(generator)
        rules = sampling or sampling_of(generator.recipe.sampling, ways, ask)
        frames = facts.frames(round(controls.labels.duration_s * facts.rate_hz))
        if ask.loop and frames > most:
            raise TrainingError(
                f"a loop of {controls.labels.duration_s:g} s with its return is more than the "
                f"{generator.window_s:g} s that this model plays at once: ask for fewer --seconds"
            )
        around = ask.around or SoundAround.nothing(frames)
        strip = Strip.of(generator.codec, around, most, len(requests), generator.device)
        plan = windows(strip.known_T, most, round(most * _OVERLAP))
        return cls(generator, requests, ask, seed, rules, watch, ways, strip, plan, [0])

    def play(self, number: int, window: Window) -> None:
        """One window, into the strip."""
        latents_BCTF = self.strip.latents_BCTF
        here_BCTF = latents_BCTF[:, :, window.start : window.end].clone().to(self.generator.device)
        start_s, end_s = (self.strip.at_s(one) for one in (window.start, window.end))
        requests = [
            one._replace(
                key=f"{one.key}/{number}" if number else one.key,
                controls=controls_within(one.controls, start_s, end_s),
                start_s=one.start_s + start_s,
                piece_s=one.length_s,
            )
            for one in self.requests
        ]
        played_BCTF = self.generator.latents(
            requests,
            len(window.known_T),
            seed=self.seed,
            sampling=self.sampling,
            plan=self._plan(window, requests[0].controls, here_BCTF),
        ).cpu()
        new_T = ~window.known_T
        latents_BCTF[:, :, window.start : window.end][:, :, new_T] = played_BCTF[:, :, new_T]

    def _plan(self, window: Window, controls: ClipControls, here_BCTF: torch.Tensor) -> SteerPlan:
        """What leads a window."""
        mask_T, knows = window.known_T.to(here_BCTF.device), bool(window.known_T.any())
        by_loss, by_hook = self.ask.keeps is KnownWay.LOSS, self.ask.keeps not in _NO_HOOK
        returned = return_frames(self.generator) if self.ask.loop else 0
        asked = WindowAsk(
            controls,
            self.by_loss,
            self.generator.codec.facts,
            window.known_T,
            self._form(window),
            here_BCTF if by_loss else None,
            returned if by_loss else 0,
        )
        loss = asked_loss(Ear(self.generator.codec), asked)
        return SteerPlan(
            Steering(loss, self.config) if loss else None,
            by=SteerWay.GUIDE if self.ask.by is SteerWay.GUIDE else SteerWay.OPTIMISE,
            known=KnownLatents(here_BCTF, mask_T, self.ask.keeps) if knows and by_hook else None,
            loop=returned if by_hook else 0,
            watch=self._watched,
        )

    @property
    def by_loss(self) -> tuple[SteerAim, ...]:
        """What is asked for by losses."""
        return tuple(aim for aim, way in self.ways.items() if way is not SteerWay.CONDITION)

    @property
    def config(self) -> OptimiseConfig:
        """How hard it is tried."""
        ask = self.ask
        most = ask.iterations or (_MOST_LONG if _LONG & set(self.by_loss) else _MOST)
        alone = self.by_loss == (SteerAim.INTENSITY,) and not self.knows_by_loss
        config = OptimiseConfig(most_steps=most, enough=_ENOUGH_DB2 if alone else None)
        return config if ask.lr is None else config.replaced(lr=ask.lr)

    @property
    def optimises(self) -> bool:
        """Whether noise is optimised."""
        led = bool(self.by_loss) or self.knows_by_loss
        return led and self.ask.by is not SteerWay.GUIDE

    @property
    def knows_by_loss(self) -> bool:
        """Whether a loss asks for what is there, in any window."""
        there = self.ask.loop or len(self.plan) > 1 or bool(self.strip.known_T.any())
        return there and self.ask.keeps is KnownWay.LOSS

    def _watched(self) -> None:
        each = self.config.most_steps + 1 if self.optimises else self.sampling.steps
        self.done[0] += 1
        self.watch(min(self.done[0], each * len(self.plan)), each * len(self.plan))

    def _form(self, window: Window) -> FormSoFar | None:
        form = self.ask.form
        if form is None:
            return None
        facts, strip = self.generator.codec.facts, self.strip
        known_T = strip.known_T
        edges = [strip.before, len(known_T) - strip.after]
        first, last = (round(one / facts.frames_per_s * CONTROL_RATE_HZ) for one in edges)
        frames = -(-len(known_T) * facts.samples_per_frame * CONTROL_RATE_HZ // facts.rate_hz)
        last = min(last, frames)
        wanted_NN, asked_N = torch.zeros(frames, frames), torch.zeros(frames, dtype=torch.bool)
        wanted_NN[first:last, first:last] = form.wanted(last - first)
        asked_N[first:last] = True
        before_BCTF = strip.latents_BCTF[:, :, : window.start].clone()
        return FormSoFar(wanted_NN, asked_N, form.is_smooth, before_BCTF)

    def pieces(self) -> list[SteeredPiece]:
        """The pieces, once all windows are played."""
        decoded = self.generator.decoded(self.strip.latents_BCTF.to(self.generator.device))
        return [self._piece(wave) for wave in decoded]

    def _piece(self, decoded: Wave) -> SteeredPiece:
        strip, rate_hz = self.strip, self.generator.codec.facts.rate_hz
        controls = self.requests[0].controls
        if self.ask.loop:
            size = self.generator.codec.facts.samples_per_frame
            wave = looped_sound(
                decoded, len(decoded) - return_frames(self.generator) * size, rate_hz
            )
        else:
            wave = strip.sound(decoded)[: round(controls.labels.duration_s * rate_hz)]
        length_s = len(wave) / rate_hz
        controls = controls_within(controls, 0.0, length_s)
        frames = {frame for window in self.plan for frame in window.joins}
        joins_s = tuple(round(strip.at_s(one), 3) for one in sorted(frames))
        start_s = round(strip.around.head_s(rate_hz), 3)
        end_s = length_s if strip.around.is_loop else length_s - len(strip.around.after) / rate_hz
        form = self.ask.form
        near = nearness(
            JudgedSound(
                wave,
                rate_hz,
                controls.curves,
                form.wanted(max(1, round((end_s - start_s) * CONTROL_RATE_HZ))) if form else None,
                form.is_smooth if form else True,
                start_s,
                end_s,
                tuple(one for one in joins_s if 0 < one < length_s),
                self.ask.loop or strip.around.is_loop,
            )
        )
        return SteeredPiece(
            wave,
            controls,
            self.ways,
            self.config.most_steps if self.optimises else 0,
            (start_s, end_s),
            joins_s,
            form,
            self.ask.loop or strip.around.is_loop,
            near,
        )
