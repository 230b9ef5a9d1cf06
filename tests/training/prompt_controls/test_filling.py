"""Gaps filled from statistics made by hand."""

from collections import Counter

import numpy as np
import pytest

from pipelines.captioning.tempo_words import TEMPO_RANGES, BpmRange
from schemas.pitch import Key, Mode
from tests.training.prompt_controls.corpora import WALTZES
from training.prompt_controls.corpus import NEUTRAL, CorpusStatistics, ModeChords
from training.prompt_controls.filling import (
    FirstBeat,
    filled_meter,
    filled_tempo,
    sampled_chords,
    sampled_key,
    usual_beats_per_chord,
    usual_first_beat,
)
from training.prompt_controls.requested import ANY_TEMPO, Provenance


def tempo(
    meter: int,
    span: BpmRange = ANY_TEMPO,
    *,
    least_bpm: float = 0,
    statistics: CorpusStatistics = WALTZES,
) -> tuple[float, Provenance]:
    return filled_tempo(statistics, meter, span=span, least_bpm=least_bpm, rng=None)


def test_the_median_tempo_of_the_meter_is_taken() -> None:
    assert tempo(3) == (80, Provenance.CORPUS)  # the 33rd of 66
    assert tempo(4) == (140, Provenance.CORPUS)
    assert tempo(5) == (90, Provenance.CORPUS)  # no such meter: the 50th of all 100
    assert tempo(4, statistics=NEUTRAL) == (120, Provenance.DEFAULT)


def test_words_narrow_the_corpus_and_a_range_without_tempos_gives_its_middle() -> None:
    assert tempo(3, TEMPO_RANGES["andante"]) == (90, Provenance.CORPUS)
    assert tempo(3, TEMPO_RANGES["fast"]) == (150, Provenance.CORPUS)
    # √(40 × 60): the corpus has none
    assert tempo(4, TEMPO_RANGES["largo"]) == (49, Provenance.DEFAULT)
    # √(120 × 168)
    assert tempo(4, TEMPO_RANGES["allegro"], statistics=NEUTRAL) == (142, Provenance.DEFAULT)
    # √(108 × 208)
    assert tempo(4, TEMPO_RANGES["fast"], statistics=NEUTRAL) == (150, Provenance.DEFAULT)


@pytest.mark.parametrize("word", TEMPO_RANGES)
def test_a_word_gives_a_tempo_that_it_may_stand_for(word: str) -> None:
    span = TEMPO_RANGES[word]
    for statistics in (WALTZES, NEUTRAL):
        assert span.low <= tempo(3, span, statistics=statistics)[0] < span.high
        for seed in range(5):
            rng = np.random.default_rng(seed)
            assert (
                span.low
                <= filled_tempo(statistics, 4, span=span, least_bpm=0, rng=rng).value
                < span.high
            )


def test_many_chords_ask_for_a_tempo_that_holds_them() -> None:
    assert tempo(3, least_bpm=84) == (90, Provenance.CORPUS)
    assert tempo(3, least_bpm=170.2) == (171, Provenance.DEFAULT)
    # the word stands; what is laid out says what is wrong
    assert tempo(3, TEMPO_RANGES["slow"], least_bpm=120) == (63, Provenance.DEFAULT)


def test_the_most_usual_meter_is_taken_or_one_is_drawn_as_often_as_it_occurs() -> None:
    assert filled_meter(WALTZES, None) == (3, Provenance.CORPUS)
    assert filled_meter(NEUTRAL, None) == (4, Provenance.DEFAULT)
    counts = Counter(
        filled_meter(WALTZES, np.random.default_rng(seed)).value for seed in range(600)
    )
    assert set(counts) == {3, 4}
    assert 0.6 < counts[3] / 600 < 0.73  # 66 of 99


def test_keys_are_drawn_as_often_as_they_occur_and_within_a_mode() -> None:
    counts = Counter(
        sampled_key(WALTZES, None, np.random.default_rng(seed)).value.name for seed in range(600)
    )
    assert set(counts) == {"D minor", "F major"}
    assert 0.69 < counts["D minor"] / 600 < 0.81  # 60 of 80
    assert {sampled_key(WALTZES, Mode.MAJOR, np.random.default_rng(seed)) for seed in range(9)} == {
        (Key.parse("F major"), Provenance.CORPUS)
    }
    minor_only = WALTZES.replaced(keys={"D minor": 3})
    assert sampled_key(minor_only, Mode.MAJOR, np.random.default_rng(0)) == (
        Key.parse("C major"),
        Provenance.DEFAULT,
    )


def test_chords_follow_each_other_as_in_the_corpus_and_the_last_leads_back() -> None:
    found = {
        sampled_chords(WALTZES, Key.parse("E minor"), np.random.default_rng(seed))
        for seed in range(30)
    }
    # i iv V7 must end on VI: V7 goes to i ninety times, but i is where the phrase begins again, and
    # III leads nowhere.
    assert [([chord.symbol() for chord in one.value], one.source) for one in found] == [
        (["Em", "Am", "B7", "C"], Provenance.CORPUS)
    ]


def test_where_nothing_leads_back_the_last_chord_is_at_least_another_one() -> None:
    follows = {"0:min": {"5:min": 1}, "5:min": {"7:7": 1}, "7:7": {"0:min": 99, "3:maj": 1}}
    open_end = WALTZES.replaced(
        harmony={Mode.MINOR: ModeChords(first={"0:min": 1}, follows=follows, progressions={})}
    )
    for seed in range(5):
        found = sampled_chords(open_end, Key.parse("A minor"), np.random.default_rng(seed)).value
        assert [chord.symbol() for chord in found] == ["Am", "Dm", "E7", "C"]


def test_a_phrase_is_shorter_where_nothing_follows_and_common_where_nothing_is_known() -> None:
    alone = sampled_chords(WALTZES, Key.parse("F major"), np.random.default_rng(0))
    assert [chord.harte for chord in alone.value] == ["F:maj"]
    common = sampled_chords(NEUTRAL, Key.parse("G major"), np.random.default_rng(0))
    assert ([chord.harte for chord in common.value], common.source) == (
        ["G:maj", "D:maj", "E:min", "C:maj"],
        Provenance.DEFAULT,
    )
    no_minor = WALTZES.replaced(harmony={})
    assert [
        chord.harte
        for chord in sampled_chords(no_minor, Key.parse("E minor"), np.random.default_rng(0)).value
    ] == [
        "E:min",
        "C:maj",
        "G:maj",
        "D:maj",
    ]


def test_chords_last_as_long_as_is_usual_among_lengths_that_fit_the_bar() -> None:
    # 2 beats are more frequent, but no part of a bar of three
    assert usual_beats_per_chord(WALTZES, 3) == 6
    assert usual_beats_per_chord(WALTZES, 4) == 2
    assert usual_beats_per_chord(WALTZES, 5) == 5


def test_the_first_beat_is_the_corpus_s_only_where_half_of_it_begins_so() -> None:
    assert usual_first_beat(WALTZES, 3) == FirstBeat(0.1, 1)
    assert usual_first_beat(
        WALTZES.replaced(first_beats={1: {0: 30, 100: 40}, 2: {100: 30}}), 3
    ) == FirstBeat(0, 1)
    assert usual_first_beat(WALTZES.replaced(first_beats={4: {0: 9}}), 3) == FirstBeat(0, 1)
    assert usual_first_beat(WALTZES.replaced(first_beats={}), 3) == FirstBeat(0, 1)
