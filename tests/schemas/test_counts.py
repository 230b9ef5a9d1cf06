"""Counts of stages that write text: one JSON form, sums leaf by leaf, words for readers."""

import pytest
from pydantic import TypeAdapter, ValidationError

from schemas.counts import (
    CaptionCount,
    CaptionCounts,
    CaptionEvent,
    Counts,
    ParaphraseCounts,
    PseudoLabelCounts,
    Reason,
    Refusal,
    Refusals,
    added,
    in_words,
)
from schemas.fact import FactKind

REFUSED = Refusals.of(
    {
        Refusal(Reason.LOST, FactKind.BPM): 2,
        Refusal(Reason.LOST, FactKind.TIMED_CHORDS): 5,
        Refusal(Reason.TOO_FEW): 3,
    }
)


def test_counts_of_two_buckets_add_up_and_are_read_as_one_record() -> None:
    one = ParaphraseCounts(controls=4, landed=3, refused=REFUSED).plain()
    other = ParaphraseCounts(
        controls=2, unanswered=1, refused=Refusals.of({Refusal(Reason.LOST, FactKind.BPM): 1})
    ).plain()
    assert one["refused"] == {
        "facts": {"lost": {"bpm": 2, "timed_chords": 5}},
        "texts": {"too_few": 3},
    }
    whole = ParaphraseCounts.model_validate(added([one, other]))
    assert (whole.controls, whole.landed, whole.unanswered) == (6, 3, 1)
    assert whole.refused.facts == {Reason.LOST: {FactKind.BPM: 3, FactKind.TIMED_CHORDS: 5}}
    assert whole.refused.ranked() == [("lost timed chords", 5), ("lost bpm", 3), ("too few", 3)]


def test_what_did_not_happen_is_not_written() -> None:
    assert ParaphraseCounts().plain() == PseudoLabelCounts().plain() == {}
    assert CaptionCounts.of({}, samples=2, uncaptioned=0).plain() == {"samples": 2}


@pytest.mark.parametrize("event", CaptionEvent)
def test_every_event_of_a_caption_has_its_field(event: CaptionEvent) -> None:
    about = "" if isinstance(CaptionCounts.model_fields[event].default, int) else "key"
    assert CaptionCounts.of({CaptionCount(event, about): 7}, samples=0, uncaptioned=0).plain() == {
        event: {"key": 7} if about else 7
    }


def test_counts_in_words_name_every_level() -> None:
    assert list(in_words({"landed": 3, "refused": {"texts": {"too_few": 1}}})) == [
        ("landed", 3),
        ("refused texts too_few", 1),
    ]


@pytest.mark.parametrize(
    "counts", [{"landed": "many"}, {"refused": {"lost": [1]}}, {"landed": None}]
)
def test_what_is_not_a_count_is_refused(counts: object) -> None:
    with pytest.raises(ValidationError, match="neither a number nor counts"):
        TypeAdapter(Counts).validate_python(counts)


def test_a_kind_of_fact_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValidationError, match="unconfirmed"):
        PseudoLabelCounts.model_validate({"unconfirmed": {"volume": 1}})
