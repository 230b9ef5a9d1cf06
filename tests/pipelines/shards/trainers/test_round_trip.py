"""Labels → export → parse: every fact that a trainer reads is true of the segment, what is not sure
is absent, and a field by another name is caught.
"""

import itertools
import json
from typing import Any

import pytest

from pipelines.captioning.facts import parse_facts
from pipelines.shards.trainers.export import describe
from pipelines.shards.trainers.formats import (
    LIMITS,
    ExportForm,
    Segment,
    acestep_sample,
    audio_meta,
    sidecar,
)
from pipelines.shards.trainers.segments import SegmentSpan, segment_labels, spans
from pipelines.shards.trainers.texts import tokens_at_most
from schemas.chord import Chord
from schemas.fact import (
    BpmFact,
    ChordsFact,
    Fact,
    KeyFact,
    MeterFact,
    TempoWordFact,
    TimedChordsFact,
    TimeFact,
)
from schemas.recipe import Recipe
from schemas.sample import Sample
from tests.pipelines.shards.trainers import trainer_readers
from tests.pipelines.shards.trainers.exported_samples import random_sample
from tests.pipelines.shards.trainers.trainer_readers import ReadBack, WrongForm

RECIPE = Recipe()
# the metronome's words and plain ones, and a tenth more
WORDS = {"slow": (0, 111), "brisk": (94, 1000)}


def as_read(trainer: ExportForm, segment: Segment) -> ReadBack:
    """What the trainer's reader finds in the JSON of one segment."""

    def json_of(value: Any) -> Any:
        return json.loads(json.dumps(value))

    if trainer is ExportForm.ACESTEP:
        return trainer_readers.acestep_sample(json_of(acestep_sample(segment, "/out")))
    beside = json_of(sidecar(trainer, segment))
    if trainer is ExportForm.MUSICGEN:
        return trainer_readers.music_info(json_of(audio_meta(segment, "/out")), beside)
    return trainer_readers.stable_audio(segment.file, segment.duration_s, beside)


def sounding(sample: Sample, span: SegmentSpan) -> list[tuple[str, float]]:
    """Chords of the sample between two times, each with its start there, repeats once."""
    inside = [
        (Chord.parse(one.label).harte, max(0.0, one.start_s - span.start_s))
        for one in sample.chords.segments
        if one.end_s > span.start_s + 0.001 and one.start_s < span.end_s - 0.001
    ]
    return [next(run) for _, run in itertools.groupby(inside, key=lambda one: one[0])]


def is_true(fact: Fact, sample: Sample, span: SegmentSpan) -> bool:
    bpm, key, meter = sample.tempo.bpm, sample.key_label, sample.meter.beats_per_bar
    right = True
    match fact:
        case BpmFact():
            right = bpm is None or abs(fact.bpm - bpm) <= 0.0405 * bpm  # the source's words too
        case TempoWordFact():
            low, high = WORDS.get(fact.word, (0, 1000))
            right = bpm is None or low <= bpm < high
        case MeterFact():
            right = fact.beats_per_bar == (meter or fact.beats_per_bar)
        case KeyFact():
            right = (fact.tonic, fact.mode) == (key.tonic, key.mode)
        case ChordsFact():
            right = list(fact.chords) == [name for name, _ in sounding(sample, span)]
        case TimedChordsFact():
            right = starts_agree(fact, sounding(sample, span))
        case TimeFact():
            right = fact.time_s <= span.end_s - span.start_s
    return right


def starts_agree(fact: TimedChordsFact, wanted: list[tuple[str, float]]) -> bool:
    found = [(one.label, one.start_s) for one in fact.timed_chords]
    return [name for name, _ in found] == [name for name, _ in wanted] and all(
        abs(at - start) < 0.06 for (_, at), (_, start) in zip(found, wanted, strict=True)
    )


def check_segment(trainer: ExportForm, sample: Sample, span: SegmentSpan, number: int) -> int:
    """Compare all that is read of a segment with the sample; gives how many facts were."""
    duration_s = round(span.end_s - span.start_s, 3)
    labels = segment_labels(sample.labels, span)
    name = f"{sample.key}-{number}"
    segment = describe(trainer, sample, span, labels, RECIPE, name, 8000, duration_s)
    read = as_read(trainer, segment)
    bpm, key = sample.tempo.bpm, sample.key_label
    fits = trainer is not ExportForm.ACESTEP
    assert (read.bpm is not None) == (sample.tempo.confidence >= 0.8 and bpm is not None)
    assert read.bpm is None or abs(read.bpm - (bpm or 0)) <= max(0.51, 0.005 * (bpm or 0))
    assert read.key == ((key.tonic, key.mode) if key.confidence >= 0.7 else None)
    meter = sample.meter.beats_per_bar if sample.meter.confidence >= 0.8 else None
    if trainer is not ExportForm.MUSICGEN:
        assert read.beats_per_bar == (meter if fits or meter in (2, 3, 4, 6) else None)
    assert duration_s - (0 if fits else 1) < read.duration_s + 1e-6 <= duration_s + 2e-6
    assert duration_s <= LIMITS[trainer].most_s
    facts = 0
    for text in read.texts:
        assert tokens_at_most(text) <= LIMITS[trainer].most_tokens
        assert not {"♭", "♯"} & set(text)
        stated = parse_facts(text)
        wrong = [fact for fact in stated if not is_true(fact, sample, span)]
        assert not wrong, (text, wrong)
        facts += len(stated)
    return facts + sum(value is not None for value in (read.bpm, read.key, read.beats_per_bar))


def check_samples(numbers: range) -> dict[ExportForm, int]:
    """Facts that were read back, all of them true."""
    facts = dict.fromkeys(ExportForm, 0)
    for sample in map(random_sample, numbers):
        for trainer in ExportForm:
            for number, span in enumerate(spans(sample.labels, LIMITS[trainer].most_s)):
                facts[trainer] += check_segment(trainer, sample, span, number)
    return facts


def test_no_fact_of_three_hundred_samples_is_wrong() -> None:
    facts = check_samples(range(300))
    assert all(count > 400 for count in facts.values()), facts


@pytest.mark.slow
def test_no_fact_of_ten_thousand_samples_is_wrong() -> None:
    facts = check_samples(range(1000, 11_000))
    assert all(count > 13_000 for count in facts.values()), facts


@pytest.mark.parametrize(
    ("trainer", "field", "other"),
    [
        (ExportForm.ACESTEP, "keyscale", "key"),
        (ExportForm.ACESTEP, "timesignature", "time_signature"),
        (ExportForm.ACESTEP, "bpm", "tempo"),
        (ExportForm.MUSICGEN, "key", "keyscale"),
        (ExportForm.MUSICGEN, "description", "caption"),
        (ExportForm.STABLE_AUDIO_TOOLS, "prompts", "prompt"),
    ],
)
def test_a_renamed_field_is_caught(
    trainer: ExportForm, field: str, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ostris/ai-toolkit#874: a loader that asks for another name trains on its default."""
    sample = random_sample(0)
    span = spans(sample.labels, LIMITS[trainer].most_s)[0]
    labels = segment_labels(sample.labels, span)
    segment = describe(trainer, sample, span, labels, RECIPE, "a", 8000, 10.0)
    as_read(trainer, segment)

    def renamed(made: dict[str, Any] | None) -> dict[str, Any]:
        pairs = (made or {}).items()
        return {other if name == field else name: value for name, value in pairs}

    real = acestep_sample if trainer is ExportForm.ACESTEP else sidecar
    monkeypatch.setitem(globals(), real.__name__, lambda *given: renamed(real(*given)))
    with pytest.raises(WrongForm, match=field):
        as_read(trainer, segment)


def test_a_wrong_unit_or_type_is_caught() -> None:
    row = {
        "id": "a", "audio_path": "/a.flac", "filename": "a.flac", "caption": "A flute.",
        "genre": "", "lyrics": "", "raw_lyrics": "", "formatted_lyrics": "", "bpm": 120,
        "keyscale": "A minor", "timesignature": "3", "duration": 30, "language": "unknown",
        "is_instrumental": False, "custom_tag": "", "labeled": True, "prompt_override": None,
    }  # fmt: skip
    read = trainer_readers.acestep_sample(row)
    assert read[1:] == (30, 120, (9, "minor"), 3, ("A flute.", ""))
    for field, value in (
        ("bpm", "120"),
        ("bpm", 2.0),
        ("bpm", 2),
        ("timesignature", "3/4"),
        ("keyscale", "Am"),
        ("caption", "A flute in A minor."),
        ("duration", 30.5),
    ):
        with pytest.raises(WrongForm):
            trainer_readers.acestep_sample({**row, field: value})
