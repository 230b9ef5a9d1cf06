"""Pieces of several sections: each resolved like a piece of its own, then joined in time."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from schemas.labels import Claim, Labels
from training.conditions import Condition
from training.conditions.clip_controls import ControlCurves
from training.errors import TrainingError
from training.prompt_controls.controls import GUESSED_CONFIDENCE
from training.prompt_controls.grid import Grid
from training.prompt_controls.requested import read_requested
from training.prompt_controls.resolve import resolve_controls
from training.timed_controls.asked import (
    AskedPiece,
    Filling,
    asked_piece,
    curve_lines,
    known_lines,
)
from training.timed_controls.files import HERE, AllowedFiles
from training.timed_controls.joining import joined_controls
from training.timed_controls.option_reader import OptionReader, grid_of
from training.timed_controls.options import ControlOptions
from training.timed_controls.parts import read_parts
from training.timed_controls.sections import PieceSection, read_sections

C = TypeVar("C", bound=Claim)
_CURVES: Final = ("dynamics_db", "melody", "onsets_per_s")


def piece_of(
    caption: str,
    options: ControlOptions,
    *,
    duration_s: float,
    filling: Filling | None = None,
    files: AllowedFiles = HERE,
    going_on: Grid | None = None,
) -> AskedPiece:
    """The piece that a caption and options ask for, in sections or whole.

    What a section leaves open is the piece's: its tempo and meter, and the key that the first
    section with a key or chords has. Curves of the whole piece win over those of sections; its
    chords, beats and changing keys cannot stand beside sections. Between sections, beats, chords
    and key are the model's own. `going_on` are the beats of a piece without sections, where options
    ask for none. Raises `TrainingError` for what cannot be read.

    >>> sections = ("0-4: A calm flute; chords=Am F", "4-8: Loud drums; bpm=120; key=C major")
    >>> piece = piece_of("", ControlOptions(bpm=60, sections=sections), duration_s=8)
    >>> piece.prompt
    'A calm flute. Loud drums.'
    >>> [(one.key.name, one.start_s) for one in piece.controls.keys]
    [('A minor', 0.0), ('C major', 4.0)]
    """
    if not options.sections:
        return asked_piece(
            caption,
            options,
            duration_s=duration_s,
            filling=filling,
            files=files,
            going_on=going_on,
        )
    _refuse_beside_sections(options)
    sections = read_sections(options.sections, duration_s, files)
    prompt = " ".join(filter(None, map(_sentence, (caption, *(one.caption for one in sections)))))
    common = _CommonControls.of(
        caption or prompt, options, sections, duration_s, filling or Filling()
    )
    pieces = [common.piece(one) for one in sections]
    controls = joined_controls(
        [one.controls for one in pieces], [one.span for one in sections], common.labels
    )
    curve_options = ControlOptions(
        melody=options.melody, intensity=options.intensity, density=options.density
    )
    over = OptionReader("", curve_options, duration_s, files)
    curves = over.curves(grid_of(controls.labels))
    controls = controls._replace(curves=_over(curves, controls.curves))
    lines = [line for one in zip(sections, pieces, strict=True) for line in _section_lines(*one)]
    stated = over.stated().union(*(one.stated for one in pieces), _conditions_of(options))
    return AskedPiece(
        prompt, controls, stated, (*lines, *curve_lines(curves), *known_lines(controls.known))
    )


def _refuse_beside_sections(options: ControlOptions) -> None:
    named = {"--chords": options.chords, "--beats": options.beats}
    if read_parts(options.key or "", "--key", 1e6)[0].span:
        named["--key with times"] = options.key
    for flag, value in named.items():
        if value:
            raise TrainingError(f"{flag} stands beside sections: write it into each section")


def _conditions_of(options: ControlOptions) -> set[Condition]:
    """What options for all of the piece ask for, curves left out."""
    asked = {Condition.BEATS: options.bpm or options.meter, Condition.KEY: options.key}
    return {condition for condition, value in asked.items() if value}


def _sentence(words: str) -> str:
    """Words with a full stop.

    >>> _sentence(" A calm flute "), _sentence("Loud!"), _sentence("")
    ('A calm flute.', 'Loud!', '')
    """
    words = words.strip()
    return words if not words or words[-1] in ".!?" else f"{words}."


class _CommonControls(NamedTuple):
    """What all sections have where they say nothing of their own."""

    labels: Labels  # of a piece without sections
    filling: Filling

    @classmethod
    def of(
        cls,
        words: str,
        options: ControlOptions,
        sections: Sequence[PieceSection],
        duration_s: float,
        filling: Filling,
    ) -> "_CommonControls":
        """Tempo, meter and key of the piece, the key of the first section that has one."""
        resolved = resolve_controls(
            words,
            bpm=options.bpm,
            meter=options.meter,
            key=options.key,
            duration_s=duration_s,
            statistics=filling.statistics,
            seed=filling.seed,
            predictors=filling.predictors,
        )
        common = cls(resolved.labels, filling)
        keyed = [one for one in sections if _says_key(one)]
        if not keyed or read_requested(words, key=options.key).key:
            return common
        key = common.piece(keyed[0]).controls.labels.key.replaced(confidence=GUESSED_CONFIDENCE)
        return common._replace(labels=common.labels.replaced(key=key))

    def piece(self, section: PieceSection) -> AskedPiece:
        """A section as a piece of its own, with what it leaves open from the whole."""
        said, given = read_requested(section.caption), section.options
        common, key = self.labels, self.labels.key.key
        has_tempo = bool(given.bpm or given.beats or said.bpm or said.words)
        has_meter = bool(given.meter or said.meter)
        options = ControlOptions(
            bpm=None if has_tempo else common.tempo.bpm,
            meter=None if has_meter else common.meter.beats_per_bar,
            key=None if _says_key(section) or key is None else key.name,
        )
        made = asked_piece(
            section.caption,
            given.over(options),
            duration_s=round(section.span.end_s - section.span.start_s, 3),
            filling=self.filling,
            files=section.files,
        )
        labels = made.controls.labels
        if not has_tempo:
            labels = labels.replaced(
                tempo=_as_sure(labels.tempo, common.tempo),
                beats=_as_sure(labels.beats, common.beats),
            )
        if not has_meter:
            labels = labels.replaced(meter=_as_sure(labels.meter, common.meter))
        if not _says_key(section):
            labels = labels.replaced(key=_as_sure(labels.key, common.key))
        stated = OptionReader("", given, labels.duration_s, section.files).stated()
        inherited = {"tempo": not has_tempo, "meter": not has_meter, "key": not _says_key(section)}
        return made._replace(
            controls=made.controls._replace(labels=labels),
            stated=stated,
            lines=tuple(_as_of_piece(line, inherited) for line in made.lines),
        )


def _as_of_piece(line: str, inherited: Mapping[str, bool]) -> str:
    """A line on a control that a section has from the piece.

    >>> _as_of_piece("tempo 90 BPM (flag)", {"tempo": True})
    'tempo 90 BPM (the piece)'
    """
    value, _, _ = line.rpartition(" (")
    return f"{value} (the piece)" if inherited.get(line.partition(" ")[0]) else line


def _says_key(section: PieceSection) -> bool:
    """Whether a section states a key, or chords that have one."""
    said = read_requested(section.caption)
    return bool(
        section.options.key or section.options.chords or said.key or said.mode or said.chords_source
    )


def _as_sure(claim: C, other: Claim) -> C:
    """A claim with another one's confidence."""
    return claim.replaced(confidence=other.confidence)


def _section_lines(section: PieceSection, piece: AskedPiece) -> Iterator[str]:
    """What a section is asked for, in lines under its time."""
    yield f"{section.span.start_s:g}–{section.span.end_s:g} s  {section.caption}".rstrip()
    for line in piece.lines:
        yield f"  {line}"


def _over(curves: ControlCurves, others: ControlCurves) -> ControlCurves:
    """Curves, and others' where there are none."""
    said = {name: getattr(curves, name) for name in _CURVES if getattr(curves, name)}
    return others._replace(**said)
