"""What is counted of a corpus."""

import json

import pytest
from pydantic import ValidationError

from schemas.pitch import Mode
from tests.training.prompt_controls.corpora import WALTZES, sample
from training.prompt_controls import counting
from training.prompt_controls.corpus import MAX_PAIRS, NEUTRAL, CorpusStatistics, frequent_harmony
from training.prompt_controls.counting import CorpusCounts, corpus_statistics

SAMPLES = [
    sample(bpm=120.4, chords="A:min F:maj C:maj/3 G:maj A:min", beats_each=(3, 4, 4, 4, 1)),
    sample(bpm=119.6, chords="A:min F:maj N G:maj", beats_each=(4, 2, 2, 4), first=(0.26, 3)),
    sample(
        bpm=90,
        meter=3,
        key="C major",
        chords="C:maj C:maj/3 G:maj C:maj",
        beats_each=(3, 3, 6, 3),
        first=(0.02, 1),
    ),
]


def test_tempos_meters_keys_and_first_beats_are_counted() -> None:
    found = corpus_statistics(SAMPLES)
    assert found.samples == 3
    assert found.tempos == {3: {90: 1}, 4: {120: 2}}
    assert found.meters == {3: 1, 4: 2}
    assert found.keys == {"A minor": 2, "C major": 1}
    assert found.first_beats == {1: {0: 2}, 3: {250: 1}}


def test_chords_are_counted_relative_to_the_tonic_and_not_across_silence() -> None:
    minor, major = (corpus_statistics(SAMPLES).harmony[mode] for mode in (Mode.MINOR, Mode.MAJOR))
    assert minor.first == {"0:min": 2}
    assert minor.follows == {
        "0:min": {"8:maj": 2},
        "8:maj": {"3:maj": 1},
        "3:maj": {"10:maj": 1},
        "10:maj": {"0:min": 1},
    }
    assert minor.progressions == {"0:min 8:maj 3:maj 10:maj": 1, "8:maj 3:maj 10:maj 0:min": 1}
    # an inversion is not a change
    assert major.follows == {"0:maj": {"7:maj": 1}, "7:maj": {"0:maj": 1}}


def test_lengths_of_chords_are_counted_in_beats_but_for_those_that_the_window_cuts() -> None:
    assert corpus_statistics(SAMPLES).beats_per_chord == {3: {6: 1}, 4: {2: 1, 4: 3}}


def test_a_transposed_corpus_has_the_same_harmony() -> None:
    moved = [
        sample(key="A minor", chords="A:min F:maj C:maj G:maj"),
        sample(key="C minor", chords="C:min Ab:maj Eb:maj Bb:maj"),
    ]
    one, other = (corpus_statistics([each]).harmony for each in moved)
    assert one == other


def test_labels_that_are_unsure_or_empty_are_not_counted() -> None:
    unsure = corpus_statistics(
        [
            sample(chords="A:min F:maj C:maj", sure=0.49),
            sample(bpm=None, meter=None, key=None, first=None),
        ]
    )
    assert unsure == CorpusStatistics(
        samples=2, tempos={}, meters={}, keys={}, beats_per_chord={}, first_beats={}, harmony={}
    )


def test_a_tempo_without_a_sure_meter_counts_for_all_meters_and_chords_need_more_than_a_key() -> (
    None
):
    found = corpus_statistics(
        [sample(chords="A:min F:maj C:maj", sure=0.6), sample(bpm=100, meter=None)]
    )
    assert found.tempos == {0: {100: 1}, 4: {120: 1}}
    assert found.keys == {"A minor": 2}
    assert found.harmony == {}
    assert found.beats_per_chord == {}
    only_key = corpus_statistics([sample(chords="A:min F:maj C:maj", confidences={"key": 0.6})])
    assert (only_key.keys, only_key.harmony, only_key.beats_per_chord) == (
        {"A minor": 1},
        {},
        {4: {4: 1}},
    )


def test_statistics_survive_json_and_merging_equals_counting_together() -> None:
    found = corpus_statistics(SAMPLES)
    assert CorpusStatistics.model_validate_json(found.model_dump_json()) == found
    assert CorpusStatistics.model_validate(json.loads(WALTZES.model_dump_json())) == WALTZES
    parts = [corpus_statistics([one]) for one in SAMPLES]
    assert parts[0].joined(parts[1]).joined(parts[2]) == found
    assert parts[2].joined(parts[0].joined(parts[1])).model_dump_json() == found.model_dump_json()
    assert corpus_statistics([]).joined(found) == found


def test_the_order_of_samples_changes_nothing() -> None:
    assert (
        corpus_statistics(SAMPLES[::-1]).model_dump_json()
        == corpus_statistics(SAMPLES).model_dump_json()
    )


def test_only_the_most_frequent_pairs_are_kept() -> None:
    names = [f"{steps}:{quality}" for quality in ("maj", "min", "7", "maj7") for steps in range(12)]
    follows = {
        before: {after: 1 + (before == "0:maj") for after in names if after != before}
        for before in names
    }
    frequent = frequent_harmony({}, follows, {}).follows
    assert sum(len(row) for row in frequent.values()) == MAX_PAIRS < 48 * 47
    assert len(frequent["0:maj"]) == 47


def test_rare_progressions_are_let_go_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "_PROGRESSIONS_HELD", 4)
    counts = CorpusCounts()
    for chords in (
        "A:min F:maj C:maj G:maj",
        "A:min F:maj C:maj G:maj",
        "A:min D:min A:min F:maj C:maj G:maj A:min E:min",
    ):
        counts.add(sample(chords=chords))
    frequent = counts.statistics().harmony[Mode.MINOR].progressions
    assert frequent == {"0:min 8:maj 3:maj 10:maj": 3, "0:min 5:min 0:min 8:maj": 1}


@pytest.mark.parametrize(
    "broken",
    [
        {"keys": {"H minor": 1}},
        {"meters": {4: 0}},
        {"harmony": {"minor": {"first": {"12:maj": 1}, "follows": {}, "progressions": {}}}},
    ],
)
def test_a_spoilt_file_is_refused_at_the_door(broken: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        CorpusStatistics.model_validate({**NEUTRAL.model_dump(), **broken})
