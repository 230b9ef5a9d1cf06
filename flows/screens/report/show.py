"""Samples of ours as the listening page shows them."""

import base64
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

from flows.screens.plain import plain
from flows.screens.report.records import (
    ShownCaption,
    ShownChord,
    ShownCurves,
    ShownFact,
    ShownFigure,
    ShownLabel,
    ShownRun,
    ShownSample,
)
from flows.screens.sample_picture import ABOUT
from flows.screens.shards import change_text, fact_text, guest_text
from pipelines.captioning.marking import marked, standing
from pipelines.labels.lead_sheet import symbol
from pipelines.shards.chosen import ChosenSample
from pipelines.shards.outline import Outline
from schemas.agreement import LabelAgreement
from schemas.caption import Caption
from schemas.chord import INTERVALS, Chord
from schemas.corpus import Change
from schemas.fact import Fact
from schemas.labels import Claim, Labels
from schemas.pitch import pretty
from schemas.sample import Sample

_BASS: Final = 48  # MIDI: C3, which small loudspeakers still play
_CLOSE: Final = 60  # and C4, from which the other notes stand within an octave
_MOST_NAMED: Final = 12  # chords of a label beside a fact
# beats, chords and frames that are shown, of each: what an hour of music has, and a file can claim
# millions
_MOST_SHOWN: Final = 36_000


def show_sample(
    chosen: ChosenSample, sample: Sample, audio: str, again: LabelAgreement | None
) -> ShownSample:
    """A sample of ours; `audio` is the name of its audio in the report, `again` how far labels
    agree that were extracted once more, where that was done.
    """
    controls = sample.controls
    return ShownSample(
        key=sample.key,
        change=change_text(sample.change),
        speed=sample.change.speed,
        duration_s=sample.duration_s,
        audio=audio,
        format=chosen.extension,
        **outlined(chosen.outline),
        **show_labels(sample.labels),
        curves=ShownCurves(
            frame_rate_hz=controls.frame_rate_hz,
            dynamics_db=tuple(round(level, 1) for level in controls.dynamics_db[:_MOST_SHOWN]),
            melody=controls.melody[:_MOST_SHOWN],
        ),
        captions=tuple(show_caption(one, sample.labels, sample.change) for one in sample.captions),
        heard_again=tuple(_agreement(again)) if again else (),
        figures=tuple(_figures(sample, chosen.shard)),
    )


def show_labels(labels: Labels) -> dict[str, Any]:
    """The fields of a sample that its labels alone make."""
    return {
        "beats_s": labels.beats.times_s[:_MOST_SHOWN],
        "numbers": labels.beats.numbers[:_MOST_SHOWN],
        "chords": tuple(_chords(labels)),
        "labels": tuple(_labels(labels)),
    }


def outlined(found: Outline | None) -> dict[str, str]:
    """The fields of an outline; none where nothing could be drawn."""
    if found is None:
        return {}
    return {
        name: base64.b64encode(columns.tobytes()).decode()
        for name, columns in (("peaks", found.peaks), ("levels", found.levels))
    }


def notes_of(chord: Chord) -> tuple[int, ...]:
    """A chord as MIDI notes to play: its bass from C3 on, the others close together from C4 on.

    >>> notes_of(Chord.parse("A:min/b3")), notes_of(Chord.parse("C:maj7"))
    ((48, 60, 64, 69), (48, 60, 64, 67, 71))
    """
    bass = chord.root if chord.bass is None else chord.bass
    inner = {(chord.root + step) % 12 for step in INTERVALS[chord.quality]}
    return (_BASS + bass, *sorted(_CLOSE + pitch for pitch in inner))


def _chords(labels: Labels) -> Iterator[ShownChord]:
    for segment in labels.chords.segments[:_MOST_SHOWN]:
        chord = segment.chord
        yield ShownChord(
            start_s=segment.start_s,
            end_s=segment.end_s,
            name=symbol(segment, labels.key.key),
            fifth=None if chord is None else chord.root * 7 % 12,
            notes=() if chord is None else notes_of(chord),
        )


def _labels(labels: Labels) -> Iterator[ShownLabel]:
    key, bpm, meter = labels.key.key, labels.tempo.bpm, labels.meter.beats_per_bar
    beats, chords = labels.beats, labels.chords
    named = sum(segment.chord is not None for segment in chords.segments)
    rows: tuple[tuple[str, str, float, Claim], ...] = (
        ("key", pretty(key.name) if key else "", labels.key.confidence, labels.key),
        ("tempo", f"{bpm:.4g} BPM" if bpm else "", labels.tempo.confidence, labels.tempo),
        ("meter", f"{meter}/4" if meter else "", labels.meter.confidence, labels.meter),
        ("chords", _counted(named, "chord"), chords.confidence, chords),
        ("beats", _counted(len(beats.times_s), "beat"), beats.confidence, beats),
        ("bars", _counted(len(beats.downbeats_s), "bar"), beats.downbeat_confidence, beats),
    )
    for about, value, confidence, claim in rows:
        tool = " ".join(word for word in (claim.tool, claim.version) if word) or "unknown tool"
        origin = plain(f"{claim.origin.value} by {tool}, {claim.licence or 'unknown licence'}")
        yield ShownLabel(about=about, value=value, confidence=round(confidence, 3), origin=origin)


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}" if number else ""


def show_caption(caption: Caption, labels: Labels, change: Change) -> ShownCaption:
    """A caption in runs, each of its facts held against the labels of the same audio."""
    text, words = marked(caption)
    facts = list(caption.facts)
    runs: list[ShownRun] = []
    end = 0
    for start, stop, fact in words:
        if start > end:
            runs.append(ShownRun(text=plain(text[end:start])))
        runs.append(ShownRun(text=plain(text[start:stop]), fact=facts.index(fact)))
        end = stop
    if text[end:]:
        runs.append(ShownRun(text=plain(text[end:])))
    return ShownCaption(
        kind=caption.kind.value,
        writer=plain(caption.writer),
        runs=tuple(runs),
        facts=tuple(_fact(fact, labels, change) for fact in facts),
    )


def _fact(fact: Fact, labels: Labels, change: Change) -> ShownFact:
    about = ABOUT[fact.kind]
    return ShownFact(
        about=about,
        text=plain(fact_text(fact, labels.key.key)),
        standing=standing(fact, labels, change),
        label=_label_beside(about, fact, labels, change),
    )


def _label_beside(about: str, fact: Fact, labels: Labels, change: Change) -> str:
    """What the label says that decides on a fact; empty where there is none."""
    values = {label.about: label.value for label in _labels(labels)}
    if about in ("key", "tempo", "meter"):
        return values[about]
    if about == "chord" and fact.kind != "time":
        named = (one for one in labels.chords.segments if one.chord)
        names = [symbol(one, labels.key.key) for one in islice(named, _MOST_NAMED + 1)]
        more = " …" if len(names) > _MOST_NAMED else ""
        return " ".join(names[:_MOST_NAMED]) + more
    if fact.kind == "dynamics" and change.gain_start != change.gain_end:
        return change_text(change)
    return ""


def _agreement(found: LabelAgreement) -> Iterator[ShownFigure]:
    for name in LabelAgreement.model_fields:
        value = getattr(found, name)
        if value is not None:
            yield ShownFigure(name=name, value=f"{value:.2f}")


def _figures(sample: Sample, shard: str) -> Iterator[ShownFigure]:
    """What else is known: controls as a whole, the form of the audio, where it comes from."""
    controls, source = sample.controls, sample.source
    shares = {
        "music": controls.music_share,
        "speech": controls.speech_share,
        "noise": controls.noise_share,
        "silence": controls.silence_share,
    }
    heard = " · ".join(f"{name} {share:.0%}" for name, share in shares.items() if share > 0.005)
    channels = {1: "mono", 2: "stereo"}.get(sample.channels, f"{sample.channels} channels")
    member = f" in {source.member}" if source.member else ""
    pairs: Sequence[tuple[str, str]] = (
        ("loudness", f"{controls.loudness_lufs:.1f} LUFS"),
        ("onsets", f"{controls.onsets_per_s:.1f} a second"),
        ("sounds like", heard),
        ("audio", f"{sample.duration_s:g} s, {sample.rate_hz / 1000:g} kHz {channels}"),
        ("cut from", f"{source.uri}{member}, {sample.start_s:g}–{sample.end_s:g} s"),
        ("licence", source.licence or "unknown"),
        ("mixed with", guest_text(sample.guest) if sample.guest else ""),
        ("its licence", (sample.guest.source.licence or "unknown") if sample.guest else ""),
        *((name, getattr(source, name)) for name in ("artist", "album", "genre")),
        ("metadata", "" if source.metadata == "{}" else source.metadata),
        *(_pseudo_labels(sample)),
        ("key", sample.key),
        ("shard", shard),
    )
    for name, value in pairs:
        if value:
            yield ShownFigure(name=name, value=plain(value[:2000]))


def _pseudo_labels(sample: Sample) -> Iterator[tuple[str, str]]:
    for one in sample.pseudo_labels:
        yield "label", f"{one.text} ({one.similarity:.2f}, {one.vocabulary})"
