"""A trained model that generates: prompts and controls to sound.

The command line, evaluation and the flows share it.

Shapes: B sounds.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol, Self

import torch

from pipelines.audio.decode import Wave
from pipelines.codecs import Codec, open_codec
from pipelines.codecs.layout import for_files
from pipelines.codecs.vocoder import Vocoder, with_vocoder
from pipelines.trust.trusted import check_trust
from schemas.labels import Labels
from training.conditions import Condition
from training.conditions.beats import batched_beats
from training.conditions.chords import batched_chords
from training.conditions.clip_controls import ClipControls
from training.conditions.limits import most_within
from training.conditions.rows import FrameGrid, batched_rows
from training.data.recipe import DataRecipe
from training.diffusion.model import Conditions, LatentDiffusion
from training.diffusion.text_encoder import TextEncoder, open_text_encoder
from training.errors import TrainingError
from training.generation.refiners import Refiners
from training.metrics.length import heard_length_s
from training.nets import NetConfig
from training.run.checkpoints import Checkpoint
from training.run.corpus_survey import CorpusSurvey
from training.run.model_weights import check_shapes, fill_weights
from training.run.parallel import autocast, device_of
from training.run.recipe import Precision, TrainRecipe, check_sampling, foreign_names
from training.run.warm_start import played_model, played_weights
from training.samplers.config import SamplingConfig
from training.steering.steer import SteerPlan, steered_latents
from training.upsampler.play import Upsampler


class GenerationRequest(NamedTuple):
    """What is to be generated: a prompt, and the controls that the sound shall have.

    The noise it begins as depends on its key and a seed.
    """

    key: str
    prompt: str
    controls: ClipControls
    # where it begins in a piece of so many seconds, if it is a part of one
    start_s: float = 0.0
    piece_s: float | None = None

    @property
    def length_s(self) -> float:
        """How long the piece is that it is, or is a part of."""
        return self.controls.labels.duration_s if self.piece_s is None else self.piece_s


def unconditioned_notes(labels: Labels, config: NetConfig, data: DataRecipe) -> tuple[str, ...]:
    """Notes on labels that a model is not conditioned on, because it takes them as tokens alone
    and there are too many of them in as much as it plays at once.

    >>> from training.munet.config import preset
    >>> from training.prompt_controls.resolve import resolve_controls
    >>> march = resolve_controls("A march at 120 BPM", duration_s=30)
    >>> unconditioned_notes(march.labels, preset("base"), DataRecipe(seconds=30, beats=50))
    ('of 60 beats in 30 s the model takes the first 50: what comes after them is its own',)
    >>> unconditioned_notes(march.labels, preset("base"), DataRecipe(seconds=30))
    ()
    """
    window_s = min(labels.duration_s, data.seconds)
    starts_s = tuple(one.start_s for one in labels.chords.segments)
    counts = (
        (Condition.BEATS, most_within(labels.beats.times_s, window_s), data.limits.beats),
        (Condition.CHORDS, most_within(starts_s, window_s), data.limits.chords),
    )
    return tuple(
        f"of {count} {what} in {window_s:g} s the model takes the first {limit}: what comes after "
        "them is its own"
        for what, count, limit in counts
        if count > limit and what in config.controls and what not in config.rows
    )


def model_of(recipe: TrainRecipe, checkpoint: Checkpoint) -> LatentDiffusion:
    """The model that plays, with a checkpoint's averaged weights; no more memory is taken than
    these have numbers, whatever a recipe says.

    Raises `TrainingError` where recipe and weights do not fit.
    """
    weights = played_weights(checkpoint)
    with torch.device("meta"):  # shapes alone
        check_shapes(LatentDiffusion(recipe.model, recipe.objective), weights, checkpoint.name)
    model = LatentDiffusion(recipe.model, recipe.objective)
    fill_weights(model, weights, checkpoint.name)
    return model


_NONE: Final = Refiners()


class PiecePlayer(Protocol):
    """What plays pieces: a model of latents, or of codes."""

    @property
    def name(self) -> str:
        """Its checkpoint."""

    @property
    def survey(self) -> CorpusSurvey:
        """What it learned from."""

    @property
    def codec(self) -> Codec:
        """What its pieces are decoded by."""

    @property
    def rate_hz(self) -> int:
        """The rate of what it plays."""

    @property
    def refined_by(self) -> tuple[str, ...]:
        """What plays beside it."""

    @property
    def seconds(self) -> float:
        """How long a piece is where nobody says."""


class Generator(NamedTuple):
    """A checkpoint, ready to generate."""

    name: str
    recipe: TrainRecipe
    survey: CorpusSurvey
    model: LatentDiffusion
    codec: Codec
    encoder: TextEncoder
    device: torch.device
    vocoder: Vocoder | None = None  # what plays the codec's levels in place of Griffin-Lim
    upsampler: Upsampler | None = None  # what brings waves to a higher rate

    @classmethod
    def of(cls, target: str, device: str = "auto", refiners: Refiners = _NONE) -> Self:
        """The averaged weights of a checkpoint, or of the last one of a run's folder.

        Raises `TrainingError`, also for an upsampler with nothing to add to the codec's rate,
        `PipelineError` for a vocoder that does not fit, and `NotTrusted` where its recipe names
        what nobody has named by hand for the run.
        """
        checkpoint, recipe, survey = played_model(target)
        check_trust(checkpoint.run, foreign_names(recipe.text, recipe.codec))
        chosen = device_of(device)
        codec = open_codec(recipe.codec.name, recipe.codec.source, str(chosen))
        if not codec.facts.has_latents_of(survey.codec):
            raise TrainingError(
                f"{checkpoint.name} plays through {survey.codec}, "
                f"but the codec found here is {codec.facts}"
            )
        model = model_of(recipe, checkpoint)
        encoder = open_text_encoder(
            recipe.text.source, str(chosen), recipe.text.max_tokens, recipe.text.encoder
        )
        vocoder = refiners.open_vocoder(recipe.codec.vocoder, chosen)
        if vocoder:
            codec = with_vocoder(codec, vocoder)
        upsampler = refiners.open_upsampler(codec.facts.rate_hz, chosen)
        return cls(
            checkpoint.name,
            recipe,
            survey,
            model.to(chosen).eval(),
            codec,
            encoder,
            chosen,
            vocoder,
            upsampler,
        )

    @property
    def rate_hz(self) -> int:
        """Of what is written."""
        return self.upsampler.rate_hz if self.upsampler else self.codec.facts.rate_hz

    @property
    def refined_by(self) -> tuple[str, ...]:
        """Names of what plays beside the model."""
        return tuple(one.name for one in (self.vocoder, self.upsampler) if one)

    @property
    def notes(self) -> tuple[str, ...]:
        """What an upsampler does not leave as the model plays it, in words."""
        return self.upsampler.notes(self.codec.facts.rate_hz) if self.upsampler else ()

    def play_refined(
        self,
        requests: Sequence[GenerationRequest],
        *,
        seed: int = 0,
        sampling: SamplingConfig | None = None,
    ) -> list[Wave]:
        """What `play` plays, at the rate that is written."""
        waves = self.play(requests, seed=seed, sampling=sampling)
        return self.upsampled(waves, [request.key for request in requests], seed)

    def upsampled(self, waves: Sequence[Wave], keys: Sequence[str], seed: int) -> list[Wave]:
        """Waves of the codec's rate at the rate that is written; noise depends on keys and seed."""
        if self.upsampler is None:
            return list(waves)
        rate_hz = self.codec.facts.rate_hz
        return [
            self.upsampler.played(wave, rate_hz, seed=seed, key=key)
            for wave, key in zip(waves, keys, strict=True)
        ]

    @property
    def seconds(self) -> float:
        """How long a piece is where nobody says: what was learned at a time, without the padding
        that followed where all samples were shorter.
        """
        learned_s, longest_s = self.recipe.data.seconds, self.survey.longest_s
        return min(learned_s, longest_s) if longest_s else learned_s

    @property
    def window_s(self) -> float:
        """How much is played at once at most; silence behind a piece where that was learned."""
        return self.recipe.data.seconds if self.recipe.data.silence else self.seconds

    def play(
        self,
        requests: Sequence[GenerationRequest],
        *,
        seed: int = 0,
        sampling: SamplingConfig | None = None,
        plan: SteerPlan | None = None,
    ) -> list[Wave]:
        """Sounds of requests of one length, together, within [-1, 1], with the codec's rate and
        channels.

        Where silence behind a piece was learned, a whole window is played, and one that is the end
        of its piece is as long as it is heard. `plan` leads their latents to what it asks for. Same
        requests, seed and settings, same sounds. Raises `TrainingError` for lengths that differ.
        """
        lengths_s = {request.controls.labels.duration_s for request in requests}
        if len(lengths_s) != 1:
            raise TrainingError(
                f"sounds of one call must be of one length, not {sorted(lengths_s)} s"
            )
        check_sampling(self.recipe, sampling or self.recipe.sampling)
        facts, length_s = self.codec.facts, lengths_s.pop()
        samples = round(length_s * facts.rate_hz)
        frames = facts.frames(samples)
        if self.recipe.data.silence:
            frames = max(frames, facts.frames(round(self.window_s * facts.rate_hz)))
            requests = [one._replace(controls=one.controls.until(length_s)) for one in requests]
        latents_BCTF = self.latents(requests, frames, seed=seed, sampling=sampling, plan=plan)
        return [
            self._ended(wave, one, samples)
            for wave, one in zip(self.decoded(latents_BCTF), requests, strict=True)
        ]

    def _ended(self, wave: Wave, request: GenerationRequest, samples: int) -> Wave:
        """A played window up to where it is to end; to where it is heard, if silence was learned
        behind it and its piece ends with it.
        """
        end_s = request.start_s + request.controls.labels.duration_s
        rate_hz = self.codec.facts.rate_hz
        is_longer = len(wave) - samples >= self.codec.facts.samples_per_frame
        if not (self.recipe.data.silence and is_longer and end_s >= request.length_s):
            return wave[:samples]
        return wave[: round(heard_length_s(wave, rate_hz) * rate_hz) or samples]

    def latents(
        self,
        requests: Sequence[GenerationRequest],
        frames: int,
        *,
        seed: int = 0,
        sampling: SamplingConfig | None = None,
        plan: SteerPlan | None = None,
    ) -> torch.Tensor:
        """Latents of requests, (B, C, T, F) in float32, led by a plan where there is one."""
        precision = self.recipe.run.precision if self.device.type == "cuda" else Precision.FP32
        with torch.no_grad(), autocast(self.device, precision):
            found = steered_latents(
                self.model,
                self._conditions(requests, frames),
                self.encoder.encode([""]).to(self.device),
                plan or SteerPlan(),
                keys=[request.key for request in requests],
                seed=seed,
                frames=frames,
                bands=self.codec.facts.bands,
                sampling=sampling or self.recipe.sampling,
                latent_range=self.survey.latent_range,
            )
        return found.latents_BCTF.float()

    def decoded(self, latents_BCTF: torch.Tensor) -> list[Wave]:
        """The sounds of latents."""
        with torch.no_grad():
            return for_files(self.codec.decode(latents_BCTF.float()))

    def _conditions(self, requests: Sequence[GenerationRequest], frames: int) -> Conditions:
        """Texts and controls of requests; those that are empty are not known."""
        config = self.recipe.model
        controls = [request.controls for request in requests]
        text = self.encoder.encode([request.prompt for request in requests])
        limits = self.recipe.data.limits
        beats = batched_beats([one.known_beats for one in controls], limits.beats)
        chords = batched_chords([one.known_chords for one in controls], limits.chords)
        seconds_B2 = None
        if config.seconds:
            seconds_B2 = torch.tensor([[one.start_s, one.length_s] for one in requests])
        grid = FrameGrid(frames, self.codec.facts.frames_per_s)
        rows_BTR = batched_rows(controls, grid, config.rows, sure=True)
        return Conditions(text, beats, chords, seconds_B2, rows_BTR).to(self.device)
