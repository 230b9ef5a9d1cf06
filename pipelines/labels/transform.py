"""Labels move with the audio: the one module where times, chords and keys of a variant come from
its original's.

Nothing is changed in place; every function returns new labels.
"""

from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median
from typing import Final, TypeVar

from schemas.chord import NO_CHORD, Chord
from schemas.corpus import Change
from schemas.labels import (
    TIME_DECIMALS,
    Beats,
    Chords,
    ChordSegment,
    Claim,
    KeyLabel,
    Labels,
    Origin,
)
from schemas.pitch import Key

_LEAST_S: Final = 0.001  # one stored millisecond: a shorter piece of a chord is not kept
_BPM_DECIMALS: Final = 2
L = TypeVar("L", bound=Claim)


def tempo_bpm(times_s: Sequence[float]) -> float | None:
    """Mean of 60 / interval after a 3-point median of the intervals; none under three beats.

    >>> tempo_bpm([0.0, 0.5, 1.0, 1.5, 2.9, 3.4, 3.9])
    120.0
    """
    if len(times_s) < 3:
        return None
    gaps = [later - earlier for earlier, later in pairwise(times_s)]
    padded = [gaps[0], *gaps, gaps[-1]]
    smooth = [median(padded[index : index + 3]) for index in range(len(gaps))]
    return round(fmean(60 / gap for gap in smooth), _BPM_DECIMALS)


def cut(labels: Labels, end_s: float) -> Labels:
    """Labels of the first `end_s` seconds: later beats go, the last chord closes at the cut."""
    end_s = round(min(end_s, labels.duration_s), TIME_DECIMALS)
    kept = [
        (time, number)
        for time, number in zip(labels.beats.times_s, labels.beats.numbers, strict=True)
        if time < end_s
    ]
    return labels.replaced(
        duration_s=end_s,
        beats=_with_beats(labels.beats, kept),
        chords=_cut_chords(labels.chords, end_s),
    )


def _with_beats(beats: Beats, pairs: Sequence[tuple[float, int]]) -> Beats:
    """The label with other times and numbers, its confidence and source as they are."""
    times_s = tuple(time for time, _ in pairs)
    return beats.replaced(times_s=times_s, numbers=tuple(number for _, number in pairs))


def excerpt(labels: Labels, start_s: float, end_s: float) -> Labels:
    """Labels of the window from `start_s` to `end_s`, with times from the window's start."""
    upto = cut(labels, end_s)
    beats = [
        (_ms(time - start_s), number)
        for time, number in zip(upto.beats.times_s, upto.beats.numbers, strict=True)
        if time >= start_s
    ]
    segments = tuple(
        segment.replaced(
            start_s=_ms(max(0.0, segment.start_s - start_s)), end_s=_ms(segment.end_s - start_s)
        )
        for segment in upto.chords.segments
        if segment.end_s > start_s + _LEAST_S
    )
    return upto.replaced(
        duration_s=_ms(upto.duration_s - start_s),
        beats=_with_beats(upto.beats, beats),
        chords=upto.chords.replaced(segments=segments),
    )


def _cut_chords(chords: Chords, end_s: float) -> Chords:
    inside = [segment for segment in chords.segments if segment.start_s < end_s - _LEAST_S]
    if not inside:
        return chords.replaced(segments=())
    # The last chord closes at the cut; one that ended earlier stays, but for a millisecond of
    # rounding.
    last = (
        inside[-1] if inside[-1].end_s < end_s - 2 * _LEAST_S else inside[-1].replaced(end_s=end_s)
    )
    return chords.replaced(segments=(*inside[:-1], last))


def sped_up(labels: Labels, rate: float) -> Labels:
    """Labels of the audio at `rate` × speed: at 1.25 the beat at 2 s falls at 1.6 s, and 100 BPM
    become 125.
    """
    times = tuple(_ms(time / rate) for time in labels.beats.times_s)
    spans = [
        (segment, _ms(segment.start_s / rate), _ms(segment.end_s / rate))
        for segment in labels.chords.segments
    ]
    segments = [
        segment.replaced(start_s=start_s, end_s=end_s)
        for segment, start_s, end_s in spans
        if end_s > start_s
    ]
    bpm = None if labels.tempo.bpm is None else round(labels.tempo.bpm * rate, _BPM_DECIMALS)
    return labels.replaced(
        duration_s=_ms(labels.duration_s / rate),
        beats=labels.beats.replaced(times_s=times),
        tempo=labels.tempo.replaced(bpm=bpm),
        chords=labels.chords.replaced(segments=tuple(segments)),
    )


def transposed(labels: Labels, semitones: int) -> Labels:
    """Labels of the audio `semitones` higher: key, chord roots and basses move; times stay."""
    segments = tuple(
        segment.replaced(label=_transposed_chord(segment, semitones))
        for segment in labels.chords.segments
    )
    return labels.replaced(
        chords=labels.chords.replaced(segments=segments), key=_transposed_key(labels.key, semitones)
    )


def _transposed_chord(segment: ChordSegment, semitones: int) -> str:
    return (
        NO_CHORD
        if segment.label == NO_CHORD
        else Chord.parse(segment.label).transposed(semitones).harte
    )


def _transposed_key(label: KeyLabel, semitones: int) -> KeyLabel:
    if label.tonic is None or label.mode is None:
        return label
    return label.replaced(tonic=Key(tonic=label.tonic, mode=label.mode).transposed(semitones).tonic)


def clip_labels(extended: Labels, length_s: float) -> Labels:
    """The clip's own labels: the cut of the extended ones, with the tempo of its own beats."""
    own = cut(extended, length_s)
    return own.replaced(tempo=own.tempo.replaced(bpm=tempo_bpm(own.beats.times_s)))


def variant_labels(extended: Labels, length_s: float, change: Change, duration_s: float) -> Labels:
    """Labels of a variant of `duration_s`: a sped-up one also needs those past the clip's end.

    The tempo is the clip's own, times the speed; beats and chords are the extended ones, moved,
    then cut.
    """
    own = clip_labels(extended, length_s)
    if change.variant == "orig":
        return own
    moved = transposed(
        cut(sped_up(extended.replaced(tempo=own.tempo), change.speed), duration_s), change.semitones
    )
    return Labels(
        duration_s=moved.duration_s,
        beats=_as_moved(moved.beats),
        meter=_as_moved(moved.meter),
        tempo=_as_moved(moved.tempo),
        chords=_as_moved(moved.chords),
        key=_as_moved(moved.key),
    )


def mixed_labels(host: Labels, guest: Labels) -> Labels:
    """Labels of a mix: the host's beats, meter, tempo and key, which its guest was made to fit,
    each no surer than the less sure of the two.

    There is no key where the guest is in the host's relative: either may be heard. There are no
    chords: four fifths of the time two different ones sound at once.
    """
    names = ("beats", "meter", "tempo", "key")
    both = {name: _as_sure(getattr(host, name), getattr(guest, name)) for name in names}
    downbeats = min(host.beats.downbeat_confidence, guest.beats.downbeat_confidence)
    both["beats"] = both["beats"].replaced(downbeat_confidence=downbeats)
    if host.key.mode is not guest.key.mode:
        both["key"] = _left_out(host.key).replaced(tonic=None, mode=None)
    return host.replaced(**both, chords=_left_out(host.chords).replaced(segments=()))


def _left_out(label: L) -> L:
    return label.replaced(confidence=0, origin=Origin.MOVED)


def _as_sure(label: L, other: L) -> L:
    return _as_moved(label).replaced(confidence=min(label.confidence, other.confidence))


def _as_moved(label: L) -> L:
    """A label that no longer says that it was extracted from this audio.

    What a person set right says so on each copy.
    """
    return label if label.origin is Origin.CORRECTED else label.replaced(origin=Origin.MOVED)


def _ms(time_s: float) -> float:
    return round(time_s, TIME_DECIMALS)
