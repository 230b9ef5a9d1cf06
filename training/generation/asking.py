"""A caption, options of controls and of steering, to a piece and what leads it there.

What is asked beside a recording is asked of what is new: its times begin there. Beats go on from
the recording's own, its key and tempo hold where nobody says another.
"""

from pathlib import Path
from typing import NamedTuple

from pipelines.audio.decode import Wave
from pipelines.codecs.layout import with_channels
from pipelines.errors import readable
from pipelines.labels.transform import excerpt
from pipelines.reports.annotate_files import annotate_files
from schemas.labels import TIME_DECIMALS, Labels
from schemas.recipe import Recipe
from training.conditions import Condition
from training.errors import TrainingError
from training.generation.generate import PiecePlayer
from training.generation.nearness import heard_form
from training.generation.steered import SteerAsk, return_frames
from training.generation.strip import SoundAround
from training.prompt_controls.grid import Grid
from training.prompt_controls.requested import read_requested
from training.steering.asked import AskedForm
from training.timed_controls.asked import AskedPiece, Filling
from training.timed_controls.files import HERE, AllowedFiles, shown
from training.timed_controls.going_on import (
    HeardAround,
    as_of_recording,
    bridge_s,
    grid_going_on,
    looped_piece,
    options_going_on,
    with_around,
)
from training.timed_controls.options import ControlOptions
from training.timed_controls.piece import piece_of
from training.timed_controls.recordings import is_sound, read_recording
from training.timed_controls.steer_options import SteerOptions, gap_of, letters_of


class PieceAsk(NamedTuple):
    """What is to be played, and what is asked of it beside its controls."""

    piece: AskedPiece
    ask: SteerAsk


class _Parted(NamedTuple):
    """A recording around something new, as sound and as labels."""

    sound: SoundAround
    heard: HeardAround
    new_s: float


class PieceReader(NamedTuple):
    """What somebody writes, and what it is read with."""

    generator: PiecePlayer
    caption: str
    options: ControlOptions
    steer: SteerOptions
    seconds: float | None  # that somebody says: of what is new
    duration_s: float  # the same, or the model's own
    filling: Filling | None = None
    files: AllowedFiles = HERE
    recipe: Recipe = Recipe()  # who hears a recording

    def read(self) -> PieceAsk:
        """The piece that is asked for.

        Raises `TrainingError` for what cannot be read, or does not go together.
        """
        steer = self.steer.checked()
        if steer.keep is not None:
            raise TrainingError(
                "--keep is of codes, which this model has none of: `obbligato train --preset "
                "tokens-tiny` makes one that has"
            )
        ask = SteerAsk(by=steer.by, iterations=steer.iterations, form=self._form())
        if steer.recording is not None:
            return self._beside_recording(ask)
        if steer.loop:
            return self._loop(ask)
        piece = self._piece(self.options, self.duration_s)
        return PieceAsk(piece, ask._replace(stated=piece.stated))

    def _piece(
        self, options: ControlOptions, duration_s: float, going_on: Grid | None = None
    ) -> AskedPiece:
        return piece_of(
            self.caption,
            options,
            duration_s=duration_s,
            filling=self.filling,
            files=self.files,
            going_on=going_on,
        )

    def _form(self) -> AskedForm | None:
        """A form by letters, or that of a recording."""
        written = self.steer.form
        if written is None:
            return None
        if is_sound(written):
            heard = read_recording(self.files.named(written, "--form"), "--form")
            return AskedForm(similarity_NN=heard_form(heard.wave, heard.rate_hz, smooth=False))
        letters = letters_of(written)
        if letters is None:
            raise TrainingError(
                f"--form {shown(written)} is not a form: expected a letter for each part, such as "
                "ABA, or a recording"
            )
        return AskedForm(letters)

    def _loop(self, ask: SteerAsk) -> PieceAsk:
        """A piece of whole bars and of whole latent frames, for which its tempo changes by a hair,
        with its own beginning behind it.
        """
        per_s = self.generator.codec.facts.frames_per_s
        return_s = return_frames(self.generator) / per_s
        wanted_s = self.seconds or self.generator.seconds - return_s
        piece = self._piece(self.options, wanted_s)
        bpm = piece.controls.labels.tempo.bpm
        per_bar = piece.controls.labels.meter.beats_per_bar
        lines = piece.lines
        if bpm and per_bar and not (self.options.beats or self.options.sections):
            bars = wanted_s * bpm / 60 / per_bar
            whole = max(1, int(bars + 1e-6) if self.seconds is None else round(bars))
            length_s = max(1, round(whole * per_bar * 60 / bpm * per_s)) / per_s
            exact_bpm = whole * per_bar * 60 / length_s
            exact = self.options._replace(bpm=exact_bpm, meter=per_bar)
            piece = self._piece(exact, length_s)
            lines = (
                *lines,
                f"note: {whole} bars at {exact_bpm:.1f} BPM go round in {length_s:g} s",
            )
        ask = ask._replace(loop=True, stated=piece.stated)
        return PieceAsk(looped_piece(piece, return_s)._replace(lines=lines), ask)

    def _beside_recording(self, ask: SteerAsk) -> PieceAsk:
        """What goes on from a recording, fills a part of it, or leads from its end to its
        beginning.
        """
        options = self.options
        if options.sections:
            raise TrainingError("--section beside a recording: ask for a piece of its own")
        path = self.files.named(self.steer.recording or "", self.steer.flag)
        facts = self.generator.codec.facts
        recording = read_recording(path, self.steer.flag, stereo=facts.is_stereo)
        wave = with_channels(recording.at(facts.rate_hz), facts)
        parted = self._parted(wave, _labels(path, self.recipe))
        given, inherited = options_going_on(self.caption, options, parted.heard)
        grid = None if options.beats else self._grid(parted)
        if grid is not None:
            given = given._replace(bpm=None, meter=None)
        new = self._piece(given, parted.new_s, grid)
        stated = new.stated | ({Condition.BEATS} if options.bpm or options.meter else frozenset())
        whole = with_around(new, parted.heard, bool(options.chords))._replace(
            lines=as_of_recording(new.lines, inherited, options.chords), stated=stated
        )
        return PieceAsk(whole, ask._replace(around=parted.sound, stated=stated))

    def _grid(self, parted: _Parted) -> Grid | None:
        """The recording's beats, going on in what is new."""
        said = read_requested(self.caption, bpm=self.options.bpm, meter=self.options.meter)
        return grid_going_on(
            parted.heard,
            parted.new_s,
            bpm=said.bpm.fact.bpm if said.bpm else None,
            per_bar=said.meter.fact.beats_per_bar if said.meter else None,
        )

    def _parted(self, wave: Wave, labels: Labels) -> _Parted:
        """The recording, cut so that what is new is whole latent frames."""
        facts = self.generator.codec.facts
        size, rate_hz = facts.samples_per_frame, facts.rate_hz
        # a third of a window is what it goes on from
        usual_s = self.generator.seconds * 2 / 3 if self.seconds is None else self.seconds
        behind = wave[:0]
        if self.steer.fill is not None:
            gap = gap_of(self.steer.fill, len(wave) / rate_hz)
            first, wanted_s = round(gap.start_s * rate_hz), gap.end_s - gap.start_s
            frames = facts.frames(round(wanted_s * rate_hz))
            behind = wave[first + frames * size :]
        elif self.steer.loop:
            most = facts.frames(round(self.generator.seconds * rate_hz)) * size
            behind = wave[:most]
            around = HeardAround(labels, excerpt(labels, 0.0, len(behind) / rate_hz))
            wanted = round(bridge_s(around, usual_s) * rate_hz)
            frames = facts.frames(wanted)
            first = len(wave) - (frames * size - wanted)  # by less than a latent frame
        else:
            first, frames = len(wave), max(1, round(usual_s * rate_hz / size))
        sound = SoundAround(wave[:first], behind, frames, is_loop=self.steer.loop)
        start_s = 0.0 if self.steer.loop else (first + frames * size) / rate_hz
        heard = HeardAround(
            _part(labels, 0.0, first / rate_hz),
            _part(labels, start_s, start_s + len(behind) / rate_hz),
        )
        return _Parted(sound, heard, round(frames * size / rate_hz, TIME_DECIMALS))


def _labels(path: Path, recipe: Recipe) -> Labels:
    [found] = annotate_files([str(path)], recipe)
    if found.labels is None:
        raise TrainingError(f"{readable(str(path))} cannot be heard: {found.problem}")
    return found.labels


def _part(labels: Labels, start_s: float, end_s: float) -> Labels | None:
    """The labels of a part, as long as it is; none of a part that has no length."""
    length_s = round(end_s - start_s, TIME_DECIMALS)
    if length_s <= 0:
        return None
    return excerpt(labels, start_s, end_s).replaced(duration_s=length_s)
