"""Clips of their samples, and the row of each in the list."""

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Final, NamedTuple

from flows.screens.plain import plain
from flows.screens.report.records import ClipRow, ShownChord, ShownClip, ShownSample
from pipelines.captioning.marking import Standing
from pipelines.labels.doubt import chance_of_all
from schemas.fact import InstrumentFact, MoodFact
from schemas.identity import VariantKind, variant_kind
from schemas.sample import Sample
from schemas.vocabulary import Form

_STRIP: Final = 32  # stretches of time that a row paints
_LONGEST_TEXT: Final = 1200  # characters that a row is searched by
_MOST_TAGS: Final = 24
_KINDS: Final = tuple(VariantKind)


class SampleOfClip(NamedTuple):
    """A sample as it is shown, and our record of it; none for a foreign one."""

    shown: ShownSample
    ours: Sample | None


def clip_of_samples(name: str, samples: Sequence[SampleOfClip]) -> ShownClip:
    """A clip of its samples: the original first, then by pitch, speed and volume."""
    ordered = in_order(samples)
    first = ordered[0].ours
    title, about = plain(name), ""
    if first:
        source = first.source
        file = PurePosixPath(source.member or source.uri).name
        title = plain(source.title or file)[:200]
        start = (
            f"{first.start_s:g}–{first.end_s:g} s" if first.start_s or not _is_whole(first) else ""
        )
        about = " · ".join(part for part in (plain(source.artist), start) if part)[:200]
    return ShownClip(
        name=plain(name),
        title=title,
        about=about,
        samples=tuple(one.shown for one in ordered),
    )


def _is_whole(sample: Sample) -> bool:
    return sample.song_s is not None and abs(sample.song_s - sample.end_s) < 0.5


def in_order(samples: Sequence[SampleOfClip]) -> list[SampleOfClip]:
    """Samples of one clip, the original first."""

    def rank(one: SampleOfClip) -> tuple[int, int, float, str]:
        if one.ours is None:
            return (0, 0, 0.0, one.shown.key)
        change = one.ours.change
        kind = _KINDS.index(variant_kind(change.variant))
        return (kind, change.semitones, change.speed, change.variant)

    return sorted(samples, key=rank)


def row_of(clip: ShownClip, samples: Sequence[SampleOfClip], page: int, place: int) -> ClipRow:
    """The row of a clip, whose first sample speaks for it; facts are counted over all."""
    first = clip.samples[0]
    ours = in_order(samples)[0].ours
    weakest = min(first.labels, key=lambda label: label.confidence, default=None)
    key, tempo, meter = (
        next((label.value for label in first.labels if label.about == about), "")
        for about in ("key", "tempo", "meter")
    )
    figures = " · ".join(value for value in (key, tempo, meter) if value)
    captions = " ".join("".join(run.text for run in caption.runs) for caption in first.captions)
    text = f"{clip.title} {clip.about} {clip.name} {figures} {captions}"
    again = [float(one.value) for sample in clip.samples for one in sample.heard_again]
    return ClipRow(
        name=clip.name,
        page=page,
        place=place,
        title=clip.title,
        about=figures or clip.about or _length(first),
        text=text[:_LONGEST_TEXT],
        split=ours.split if ours else None,
        tags=tuple(dict.fromkeys(_tags(ours)))[:_MOST_TAGS] if ours else (),
        samples=len(clip.samples),
        unsure=weakest.confidence if weakest else None,
        weakest=weakest.about if weakest else "",
        all_right=chance_of_all(one.confidence for one in first.labels) if weakest else None,
        differs=sum(_differing(sample) for sample in clip.samples),
        apart=round(1 - min(again), 2) if again else None,
        strip=strip(first.chords, first.duration_s),
    )


def _length(sample: ShownSample) -> str:
    if sample.duration_s:
        return f"{sample.duration_s:g} s"
    return "audio not decoded" if sample.audio else "no audio"


def _differing(sample: ShownSample) -> int:
    facts = (fact for caption in sample.captions for fact in caption.facts)
    return sum(fact.standing is Standing.DIFFERS for fact in facts)


def _tags(sample: Sample) -> Iterator[str]:
    """Genre, instruments, moods, short pseudo-labels, and the licence."""
    if sample.source.genre:
        yield plain(sample.source.genre.lower())[:60]
    for caption in sample.captions:
        for fact in caption.facts:
            if isinstance(fact, InstrumentFact | MoodFact):
                yield plain(fact.text)[:60]
    for one in sample.pseudo_labels:
        if one.form is Form.SHORT:
            yield plain(one.text.lower())[:60]
    for source in sample.sources:
        if source.licence:
            yield plain(source.licence)[:60]


def strip(chords: Sequence[ShownChord], duration_s: float) -> str:
    """What sounds in the middle of each of 32 stretches: ``a`` for C, ``b`` for G, ``-`` for
    none; empty without chords.

    >>> am = ShownChord(start_s=1, end_s=2, name="Am", fifth=3, notes=())
    >>> strip([am], 2.0)
    '----------------dddddddddddddddd'
    """
    if not chords:
        return ""
    painted = ""
    for stretch in range(_STRIP):
        middle_s = duration_s * (stretch + 0.5) / _STRIP
        sounding = next((one for one in chords if one.start_s <= middle_s < one.end_s), None)
        fifth = sounding.fifth if sounding else None
        painted += "-" if fifth is None else "abcdefghijkl"[fifth]
    return painted
