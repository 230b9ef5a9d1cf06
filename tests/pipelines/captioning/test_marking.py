"""Each fact of a caption is held against the labels; its words are found in the text."""

import pytest

from pipelines.captioning.marking import Standing, marked, standing
from schemas.caption import Caption, CaptionKind
from schemas.corpus import Change
from schemas.fact import FactKind
from tests.pipelines.shards.shard_samples import our_sample
from tests.support.fact_forms import fact_of

LABELS = our_sample().labels  # A minor, 3/4, 120 BPM, Am – G♯dim7, two seconds
AGREES, DIFFERS, OPEN = Standing.AGREES, Standing.DIFFERS, Standing.OPEN
FADES = Change(variant="v1", gain_end=0.2)


def caption(*sentences: str, facts: tuple[tuple[FactKind, str, int], ...]) -> Caption:
    return Caption(
        text=" ".join(sentences),
        kind=CaptionKind.CONTROL,
        sentences=sentences,
        facts=tuple(fact_of(*fact) for fact in facts),
    )


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (FactKind.BPM, "120", AGREES),
        (FactKind.BPM, "124", AGREES),  # within 4 %
        (FactKind.BPM, "60", DIFFERS),
        (FactKind.TEMPO_WORD, "allegro", AGREES),
        (FactKind.TEMPO_WORD, "largo", DIFFERS),
        (FactKind.METER, "3", AGREES),
        (FactKind.METER, "4", DIFFERS),
        (FactKind.KEY, "A minor", AGREES),
        (FactKind.KEY, "minor", AGREES),
        (FactKind.KEY, "C major", DIFFERS),
        (FactKind.CHORDS, "A:min G#:dim7", AGREES),
        (FactKind.CHORDS, "A:min F:maj", DIFFERS),
        (FactKind.TIMED_CHORDS, "A:min@0.5 Ab:dim7@1.75", AGREES),
        (FactKind.TIMED_CHORDS, "A:min@0.9 Ab:dim7@1.75", DIFFERS),
        (FactKind.TIME, "1", OPEN),
        (FactKind.TIME, "5", DIFFERS),  # past the end
        (FactKind.INSTRUMENT, "flute", OPEN),
        (FactKind.DYNAMICS, "crescendo", OPEN),
    ],
)
def test_a_fact_agrees_with_its_label_differs_from_it_or_is_open(
    kind: FactKind, value: str, expected: Standing
) -> None:
    assert standing(fact_of(kind, value, 0), LABELS, Change()) is expected


def test_without_a_label_nothing_is_decided() -> None:
    empty = our_sample(
        tempo=LABELS.tempo.replaced(bpm=None),
        meter=LABELS.meter.replaced(beats_per_bar=None),
        key_label=LABELS.key.replaced(tonic=None, mode=None),
        chords=LABELS.chords.replaced(segments=()),
    ).labels
    for kind, value in (("bpm", "60"), ("meter", "4"), ("key", "C major"), ("chords", "F:maj")):
        assert standing(fact_of(FactKind(kind), value, 0), empty, Change()) is OPEN


def test_a_change_of_volume_decides_dynamics() -> None:
    louder, softer = (fact_of(FactKind.DYNAMICS, name, 0) for name in ("crescendo", "decrescendo"))
    assert [standing(fact, LABELS, FADES) for fact in (louder, softer)] == [DIFFERS, AGREES]


def test_words_are_marked_where_they_stand_in_the_whole_text() -> None:
    facts = ((FactKind.KEY, "A minor", 1), (FactKind.BPM, "120", 1), (FactKind.MOOD, "calm", 0))
    text, words = marked(caption("It is Calm.", "In A minor at 120 BPM.", facts=facts))
    assert text == "It is Calm. In A minor at 120 BPM."
    found = [(text[start:end], fact.kind) for start, end, fact in words]
    assert found == [
        ("Calm", FactKind.MOOD),
        ("A minor", FactKind.KEY),
        ("120 BPM", FactKind.BPM),
    ]


def test_only_what_the_caption_carries_is_marked_and_nothing_twice() -> None:
    assert marked(caption("In A minor at 120 BPM.", facts=())).words == ()
    flute = (FactKind.INSTRUMENT, "flute", 0)
    twice = marked(caption("A flute, a flute.", facts=(flute, flute))).words
    assert [(start, end) for start, end, _ in twice] == [(2, 7)]


def test_a_name_with_signs_of_a_pattern_is_looked_for_as_it_is() -> None:
    facts = ((FactKind.INSTRUMENT, "(.*", 0),)
    assert marked(caption("A flute.", facts=facts)).words == ()
