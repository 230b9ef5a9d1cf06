"""Pieces of several sections: each resolved like a piece of its own, then joined in time."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from schemas.labels import Claim, Labels
from training.conditions import Condition
from training.conditions.clip_controls import ClipControls, ControlCurves, KeySpan, Known, Span
from training.errors import TrainingError
from training.prompt_controls.controls import GUESSED_CONFIDENCE
from training.prompt_controls.grid import Grid
from training.prompt_controls.requested import read_requested
from training.prompt_controls.resolve import resolve_controls
from training.timed_controls.asked import (
    AskedPiece,
    Filling,
    OptionReader,
    asked_piece,
    curve_lines,
    grid_of,
    known_lines,
    with_chords,
)
from training.timed_controls.beats import joined_grids
from training.timed_controls.chords import laid_out
from training.timed_controls.files import HERE, AllowedFiles
from training.timed_controls.melody import frame_count, frames_between
from training.timed_controls.options import ControlOptions
from training.timed_controls.parts import joined, read_parts
from training.timed_controls.sections import PieceSection, read_sections

V = TypeVar("V")
C = TypeVar("C", bound=Claim)
_CURVES: Final = ("dynamics_db", "melody", "onsets_per_s")


def piece_of(
    caption: str,
    options: ControlOptions,
    *,
    duration_s: float,
    filling: Filling | None = None,
    files: AllowedFiles = HERE,
) -> AskedPiece:
    """The piece that a caption and options ask for, in sections or whole.

    What a section leaves open is the piece's: its tempo and meter, and the key that the first
    section with a key or chords has. Curves of the whole piece win over those of sections; its
    chords, beats and changing keys cannot stand beside sections. Between sections, beats, chords
    and key are the model's own. Raises `TrainingError` for what cannot be read.

    >>> sections = ("0-4: A calm flute; chords=Am F", "4-8: Loud drums; bpm=120; key=C major")
    >>> piece = piece_of("", ControlOptions(bpm=60, sections=sections), duration_s=8)
    >>> piece.prompt
    'A calm flute. Loud drums.'
    >>> [(one.key.name, one.start_s) for one in piece.controls.keys]
    [('A minor', 0.0), ('C major', 4.0)]
    """
    if not options.sections:
        return asked_piece(caption, options, duration_s=duration_s, filling=filling, files=files)
    _refuse_beside_sections(options)
    sections = read_sections(options.sections, duration_s, files)
    prompt = " ".join(filter(None, map(_sentence, (caption, *(one.caption for one in sections)))))
    common = _CommonControls.of(
        caption or prompt, options, sections, duration_s, filling or Filling()
    )
    pieces = [common.piece(one) for one in sections]
    controls = _joined(pieces, sections, common.labels)
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


def _joined(
    pieces: Sequence[AskedPiece], sections: Sequence[PieceSection], common: Labels
) -> ClipControls:
    """The controls of sections, each in its time."""
    spans = [one.span for one in sections]
    controls = [one.controls for one in pieces]
    duration_s = common.duration_s
    grids = [_moved(grid_of(one.labels), span) for one, span in zip(controls, spans, strict=True)]
    grid = joined_grids(grids, duration_s)
    keys = _keys(controls, spans)
    chords = laid_out(
        [found for one in zip(controls, spans, strict=True) for found in _chords(*one)],
        duration_s,
        "the sections",
    )
    every = [one.labels for one in controls]
    labels = common.replaced(
        beats=_surest([one.beats for one in every], same=True).replaced(
            times_s=grid.times_s,
            numbers=grid.numbers,
            downbeat_confidence=min(one.beats.downbeat_confidence for one in every),
        ),
        tempo=_surest(
            [one.tempo for one in every], same=len({one.tempo.bpm for one in every}) == 1
        ).replaced(bpm=grid.bpm),
        meter=_surest(
            [one.meter for one in every], same=len({one.meter.beats_per_bar for one in every}) == 1
        ).replaced(beats_per_bar=grid.beats_per_bar),
        key=_surest([one.key for one in every], same=len(keys) == 1),
    )
    sure = min(one.chords.confidence for one in every)
    return ClipControls(
        with_chords(labels, chords.segments, sure),
        _joined_curves([one.curves for one in controls], spans, duration_s),
        _known(controls, spans, keys, chords.spans, duration_s),
        keys if len(keys) > 1 else (),
    )


def _moved(grid: Grid, span: Span) -> Grid:
    times_s = tuple(round(span.start_s + time_s, 3) for time_s in grid.times_s)
    return grid._replace(times_s=times_s)


def _surest(claims: Sequence[C], *, same: bool) -> C:
    """The first claim, as sure as the least sure one; no piece states a value that changes."""
    least = min(one.confidence for one in claims)
    return claims[0].replaced(confidence=least if same else min(least, GUESSED_CONFIDENCE))


def _chords(controls: ClipControls, span: Span) -> Iterator[tuple[Span, str]]:
    """Chords of a section that are asked for, in the time of the piece."""
    known = controls.known.get(Condition.CHORDS, (Span(0.0, controls.labels.duration_s),))
    for one in controls.labels.chords.segments:
        middle_s = (one.start_s + one.end_s) / 2
        if any(part.start_s <= middle_s < part.end_s for part in known):
            yield Span(span.start_s + one.start_s, span.start_s + one.end_s), one.label


def _keys(controls: Sequence[ClipControls], spans: Sequence[Span]) -> tuple[KeySpan, ...]:
    """The keys of all sections, equal neighbours as one."""
    out: list[KeySpan] = []
    for one, span in zip(controls, spans, strict=True):
        alone = one.labels.key.key
        own = one.keys or ((KeySpan(0.0, one.labels.duration_s, alone),) if alone else ())
        for key in own:
            moved = KeySpan(span.start_s + key.start_s, span.start_s + key.end_s, key.key)
            if out and out[-1].key == moved.key and moved.start_s - out[-1].end_s < 2e-3:
                out[-1] = out[-1]._replace(end_s=moved.end_s)
            else:
                out.append(moved)
    return tuple(out)


def _known(
    controls: Sequence[ClipControls],
    spans: Sequence[Span],
    keys: Sequence[KeySpan],
    chord_spans: tuple[Span, ...] | None,
    duration_s: float,
) -> Known:
    """When beats, chords and key are known; those that are for all of the time are left out."""
    beats: list[Span] = []
    for one, span in zip(controls, spans, strict=True):
        whole = (Span(0.0, one.labels.duration_s),)
        beats += [
            Span(span.start_s + part.start_s, span.start_s + part.end_s)
            for part in one.known.get(Condition.BEATS, whole)
        ]
    found = {
        Condition.BEATS: joined(beats, duration_s),
        Condition.CHORDS: chord_spans,
        Condition.KEY: joined([Span(one.start_s, one.end_s) for one in keys], duration_s),
    }
    return {condition: value for condition, value in found.items() if value is not None}


def _joined_curves(
    curves: Sequence[ControlCurves], spans: Sequence[Span], duration_s: float
) -> ControlCurves:
    return ControlCurves(
        dynamics_db=_joined_curve([one.dynamics_db for one in curves], spans, duration_s),
        melody=_joined_curve([one.melody for one in curves], spans, duration_s),
        onsets_per_s=_joined_curve([one.onsets_per_s for one in curves], spans, duration_s),
    )


def _joined_curve(
    curves: Sequence[tuple[V | None, ...]], spans: Sequence[Span], duration_s: float
) -> tuple[V | None, ...]:
    """Frames of sections in the frames of the piece; empty where no section has any."""
    if not any(curves):
        return ()
    out: list[V | None] = [None] * frame_count(duration_s)
    for curve, span in zip(curves, spans, strict=True):
        for place, frame in enumerate(frames_between(span, len(out))):
            out[frame] = curve[place] if place < len(curve) else None
    return tuple(out)


def _over(curves: ControlCurves, others: ControlCurves) -> ControlCurves:
    """Curves, and others' where there are none."""
    said = {name: getattr(curves, name) for name in _CURVES if getattr(curves, name)}
    return others._replace(**said)
