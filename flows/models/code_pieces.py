"""What a caption, options and a recording ask a model of codes to play, and the playing of it.

Shapes: L codebooks, T latent frames.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from flows.build.recipe_files import validated_as
from flows.models.playing import PlayedFile, PlayedPiece
from flows.models.sampling import LONGEST_S, SamplerOptions, piece_length_s, untaken_notes
from pipelines.codecs.layout import for_codec, with_channels
from pipelines.engine.bucket import batches
from pipelines.labels.transform import cut
from pipelines.reports.annotate_files import annotate_files
from schemas.labels import Labels
from schemas.recipe import Recipe
from training.conditions import Condition
from training.conditions.clip_controls import ClipControls
from training.conditions.rows import FrameGrid
from training.control_predictors.predictors import Predictors
from training.errors import TrainingError
from training.generation.asking import PieceReader
from training.generation.generate import GenerationRequest
from training.generation.refiners import Refiners
from training.generation.strip import Strip
from training.generation.write import write_piece
from training.samplers.rounds_config import RoundsConfig
from training.timed_controls.asked import AskedPiece, Filling
from training.timed_controls.files import HERE
from training.timed_controls.joining import controls_within
from training.timed_controls.options import ControlOptions
from training.timed_controls.place import ANYWHERE, PiecePlace
from training.timed_controls.recordings import read_recording
from training.timed_controls.steer_options import SteerOptions
from training.tokens.keeping import Keeping
from training.tokens.player import KeptCodes, TokenPlayer


def codes_player(target: str, device: str, steer: SteerOptions) -> TokenPlayer:
    """The model of codes of a run; what is kept is read before it is.

    Raises `TrainingError` as `Keeping.of` and `TokenPlayer.of` do.
    """
    if steer.keep is not None:
        Keeping.of(steer.keep)
    return TokenPlayer.of(target, device)


class CodesRequest(NamedTuple):
    """A piece to be made by a model of codes, and what to tell a reader."""

    piece: AskedPiece
    sampling: RoundsConfig
    lines: tuple[str, ...]
    labels: Labels
    kept: KeptCodes | None = None  # of a recording; none where all is new
    strip: Strip | None = None  # a recording around something new

    def numbered(self, key: str) -> GenerationRequest:
        """The piece under a key, on which its draws depend."""
        return GenerationRequest(key, self.piece.prompt, self.piece.controls)


class CodesAsking(NamedTuple):
    """A model of codes, and what is asked of it."""

    generator: TokenPlayer
    options: ControlOptions
    seconds: float | None
    seed: int
    sampler: SamplerOptions
    predictors: Predictors | None
    steer: SteerOptions = SteerOptions()
    recipe: Recipe = Recipe()  # who hears recordings
    place: PiecePlace = ANYWHERE  # refused, as what plays beside models of latents is
    refiners: Refiners = Refiners()

    @property
    def refined_by(self) -> tuple[str, ...]:
        """What plays beside the model."""
        return self.generator.refined_by

    def request(self, caption: str) -> CodesRequest:
        """What is asked for with a caption.

        Raises `TrainingError` where something cannot be read, or such a model does not take it.
        """
        self._check_taken()
        if self.steer.keep is not None:
            return self._of_recording(caption, self.steer.keep)
        reader = PieceReader(
            self.generator,
            caption,
            self.options,
            self.steer,
            self.seconds,
            piece_length_s(self.generator, self.options, self.seconds),
            Filling(self.generator.survey.statistics, self.seed, self.predictors),
            HERE,
            self.recipe,
        )
        piece, ask = reader.read()
        made = self._request(piece)
        if ask.around is None:
            return made
        facts = self.generator.codec.facts
        most = facts.frames(round(self.generator.seconds * facts.rate_hz))
        strip = Strip.of(self.generator.codec, ask.around, most, 1, self.generator.device)
        latents_BCTF = strip.latents_BCTF.to(self.generator.device)
        codes_LT = self.generator.codec.codes_of(latents_BCTF)[0].cpu()
        kept = KeptCodes(codes_LT, strip.known_T.expand_as(codes_LT))
        return made._replace(kept=kept, strip=strip)

    def _check_taken(self) -> None:
        """Raise `TrainingError` for options that no model of codes takes."""
        named = {
            "--loop": self.steer.loop,
            "--form": self.steer.form,
            "--by": self.steer.by,
            "--iterations": self.steer.iterations,
            "--sampler": self.sampler.sampler,
            "--gamma": self.sampler.gamma is not None,
            "--start": self.place.start_s is not None,
            "--total": self.place.total_s is not None,
            "--vocoder": self.refiners.vocoder,
            "--upsample": self.refiners.upsampler,
        }
        refused = [flag for flag, value in named.items() if value]
        if refused:
            raise TrainingError(
                f"{', '.join(refused)}: a model of codes fills them in, in rounds, and plays by "
                "its codec alone: leave it out, or take a model of latents"
            )

    def _request(self, piece: AskedPiece) -> CodesRequest:
        rules, said = self.generator.recipe.sampling, self.sampler
        values = rules.model_dump()
        if said.guidance is not None:
            values["guidance"] = said.guidance
        if said.steps is not None:
            values["coarse_rounds"] = said.steps
        sampling = validated_as(RoundsConfig, values, "see `obbligato sample --help`")
        lines = (*piece.lines, *untaken_notes(piece, self.generator.recipe.model))
        return CodesRequest(piece, sampling, lines, piece.controls.labels)

    def _of_recording(self, caption: str, keep: str) -> CodesRequest:
        """A recording played anew but for what is kept: told what is heard in it."""
        if self.options != ControlOptions() or self.seconds is not None:
            raise TrainingError(
                "--keep goes by what is heard in the recording: leave tempo, key, chords, other "
                "controls and --seconds out"
            )
        keeping, facts = Keeping.of(keep), self.generator.codec.facts
        path = HERE.named(self.steer.of or "", "--of")
        recording = read_recording(path, "--of", stereo=facts.is_stereo)
        lasts_s = len(recording.wave) / recording.rate_hz
        if lasts_s > LONGEST_S:
            raise TrainingError(
                f"--of {path.name} lasts {lasts_s:g} s, more than the {LONGEST_S:g} s of a piece: "
                "name a part of it"
            )
        wave = with_channels(recording.at(facts.rate_hz), facts)
        [found] = annotate_files([str(path)], self.recipe)
        if found.labels is None:
            raise TrainingError(f"--of {path.name} cannot be heard: {found.problem}")
        labels = cut(found.labels, len(wave) / facts.rate_hz)
        waves = for_codec([wave]).to(self.generator.device)
        codes_LT = self.generator.codec.codes(waves)[0].cpu()
        grid = FrameGrid(codes_LT.shape[1], facts.frames_per_s)
        kept_LT = keeping.mask(grid, len(codes_LT), labels.beats.times_s)
        stated = frozenset((Condition.BEATS, Condition.CHORDS, Condition.KEY))
        lines = (f"kept: {keep.strip()}, {float(kept_LT.float().mean()):.0%} of the codes",)
        piece = AskedPiece(caption, ClipControls(labels), stated, lines)
        return self._request(piece)._replace(kept=KeptCodes(codes_LT, kept_LT))


def play_codes(
    player: TokenPlayer, request: CodesRequest, keys: Sequence[str], seed: int
) -> list[PlayedPiece]:
    """Pieces of a request under several keys, without files."""
    requests = [request.numbered(key) for key in keys]
    strip, facts = request.strip, player.codec.facts
    samples = round(request.labels.duration_s * facts.rate_hz)
    begun = request.kept or KeptCodes.nothing(player.recipe.codes.books, facts.frames(samples))
    if strip is not None:
        end_s = strip.at_s(begun.codes_LT.shape[1])
        around = controls_within(request.piece.controls, strip.start_s, end_s)
        requests = [one._replace(controls=around) for one in requests]
    codes_BLT = player.codes(requests, begun, seed=seed, sampling=request.sampling)
    waves = player.decoded(codes_BLT)
    sounds = [wave[:samples] if strip is None else strip.sound(wave) for wave in waves]
    return [PlayedPiece(sound, request.labels) for sound in sounds]


def play_codes_files(
    player: TokenPlayer,
    request: CodesRequest,
    keys: Sequence[str],
    seed: int,
    folder: Path,
    *,
    batch: int,
    audio_format: str,
) -> Iterator[PlayedFile]:
    """Play a request under several keys, `batch` at once, and write each as sound and JSON."""
    for part in batches(list(keys), batch):
        for key, one in zip(part, play_codes(player, request, part, seed), strict=True):
            file = write_piece(
                folder,
                request.numbered(key),
                one.wave,
                player,
                seed=seed,
                sampling=request.sampling,
                audio_format=audio_format,
            )
            yield PlayedFile(request.piece, file)
