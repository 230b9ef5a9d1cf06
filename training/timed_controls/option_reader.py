"""Options that may have times, read as texts or files."""

from typing import Final, NamedTuple

from schemas.controls import AudioControls
from schemas.labels import Labels
from training.conditions import Condition
from training.conditions.clip_controls import ControlCurves, KeySpan
from training.errors import TrainingError
from training.prompt_controls.grid import Grid
from training.prompt_controls.requested import read_requested
from training.timed_controls.beats import TimedBeats, beats_of_file, beats_of_parts
from training.timed_controls.chords import TimedChords, chords_of_file, chords_of_parts
from training.timed_controls.curves import (
    densities_of_file,
    densities_of_parts,
    density_curve,
    level_curve,
    levels_of_file,
    levels_of_text,
)
from training.timed_controls.files import AllowedFiles
from training.timed_controls.keys import keys_of_parts
from training.timed_controls.melody import (
    frame_count,
    melody_curve,
    melody_of_file,
    melody_of_parts,
)
from training.timed_controls.options import ControlOptions
from training.timed_controls.parts import read_parts
from training.timed_controls.recordings import is_sound, read_recording

_USUAL_BAR: Final = 4  # beats, where nobody says


class OptionReader(NamedTuple):
    """The options that may have times, read."""

    caption: str
    options: ControlOptions
    duration_s: float
    files: AllowedFiles

    def beats(self) -> TimedBeats | None:
        """The grid that is asked for, if one is."""
        written = self.options.beats
        if written is None:
            return None
        if self.options.bpm is not None:
            raise TrainingError("--bpm and --beats both say how fast: give one of them")
        stated = read_requested(self.caption, meter=self.options.meter).meter
        per_bar = stated.fact.beats_per_bar if stated else _USUAL_BAR
        path = self.files.path(written, "--beats")
        if path:
            return beats_of_file(path, per_bar, self.duration_s)
        return beats_of_parts(
            read_parts(written, "--beats", self.duration_s), per_bar, self.duration_s
        )

    def keys(self) -> tuple[KeySpan, ...]:
        """Keys of parts; none where one key is asked for all of the time, or none is."""
        parts = read_parts(self.options.key or "", "--key", self.duration_s)
        return keys_of_parts(parts) if parts[0].span else ()

    def has_timed_chords(self) -> bool:
        """Whether chords have times, by a file or in parts."""
        written = self.options.chords or ""
        if self.files.path(written, "--chords"):
            return True
        return read_parts(written, "--chords", self.duration_s)[0].span is not None

    def has_melody_file(self) -> bool:
        """Whether a melody has times of its own."""
        written = self.options.melody or ""
        return is_sound(written) or self.files.path(written, "--melody") is not None

    def chords(self, grid: Grid) -> TimedChords | None:
        """Chords that have times."""
        if not self.has_timed_chords():
            return None
        written = self.options.chords or ""
        path = self.files.path(written, "--chords")
        if path:
            return chords_of_file(path, self.duration_s)
        return chords_of_parts(read_parts(written, "--chords", self.duration_s), grid)

    def curves(self, grid: Grid) -> ControlCurves:
        """Melody, dynamics and density, in frames."""
        return ControlCurves(
            dynamics_db=self._dynamics(), melody=self._melody(grid), onsets_per_s=self._onsets()
        )

    def _melody(self, grid: Grid) -> tuple[int | None, ...]:
        written = self.options.melody
        if written is None:
            return ()
        if is_sound(written):
            return self._recorded(written, "--melody").melody[: frame_count(self.duration_s)]
        path = self.files.path(written, "--melody")
        notes = (
            melody_of_file(path, self.duration_s)
            if path
            else melody_of_parts(read_parts(written, "--melody", self.duration_s), grid)
        )
        return melody_curve(notes, self.duration_s)

    def _dynamics(self) -> tuple[float | None, ...]:
        written = self.options.intensity
        if written is None:
            return ()
        if is_sound(written):
            heard = self._recorded(written, "--intensity").dynamics_db
            return heard[: frame_count(self.duration_s)]
        path = self.files.path(written, "--intensity")
        runs = (
            levels_of_file(path, self.duration_s)
            if path
            else levels_of_text(written, self.duration_s)
        )
        return level_curve(runs, self.duration_s)

    def _onsets(self) -> tuple[float | None, ...]:
        written = self.options.density
        if written is None:
            return ()
        path = self.files.path(written, "--density")
        densities = (
            densities_of_file(path, self.duration_s)
            if path
            else densities_of_parts(
                read_parts(written, "--density", self.duration_s), self.duration_s
            )
        )
        return density_curve(densities, self.duration_s)

    def _recorded(self, written: str, flag: str) -> AudioControls:
        """What is measured in a recording, as in the samples of a corpus."""
        return read_recording(self.files.named(written, flag), flag).controls

    def stated(self) -> frozenset[Condition]:
        """The controls that options ask for."""
        options = self.options
        asked = {
            Condition.BEATS: options.bpm or options.meter or options.beats,
            Condition.CHORDS: options.chords,
            Condition.KEY: options.key,
            Condition.DYNAMICS: options.intensity,
            Condition.MELODY: options.melody,
            Condition.ONSETS: options.density,
        }
        return frozenset(condition for condition, value in asked.items() if value)


def grid_of(labels: Labels) -> Grid:
    """The beats of resolved labels as a grid."""
    return Grid(
        labels.beats.times_s,
        labels.beats.numbers,
        labels.tempo.bpm or 120.0,
        labels.meter.beats_per_bar or 4,
        labels.duration_s,
    )
