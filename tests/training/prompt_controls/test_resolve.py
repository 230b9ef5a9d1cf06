"""From a caption and flags to controls."""

from typing import Any

import pytest

from pipelines.labels.transform import transposed
from schemas.labels import Labels, Origin
from schemas.pitch import Key, Mode
from tests.training.prompt_controls.corpora import SAMPLES_IN_THREE, WALTZES
from training.errors import TrainingError
from training.prompt_controls.controls import ResolvedControls
from training.prompt_controls.corpus import NEUTRAL, CorpusStatistics
from training.prompt_controls.counting import corpus_statistics
from training.prompt_controls.requested import Provenance
from training.prompt_controls.resolve import resolve_controls


def chords(labels: Labels) -> list[tuple[float, float, str]]:
    return [(one.start_s, one.end_s, one.label) for one in labels.chords.segments]


def test_flags_alone_make_all_controls() -> None:
    found = resolve_controls("", bpm=90, meter="3/4", key="A minor", chords="Am F", duration_s=5)
    labels = found.labels
    assert labels.beats.times_s == (0.0, 0.667, 1.333, 2.0, 2.667, 3.333, 4.0, 4.667)
    assert labels.beats.numbers == (1, 2, 3, 1, 2, 3, 1, 2)
    assert chords(labels) == [(0, 2, "A:min"), (2, 4, "F:maj"), (4, 5, "A:min")]
    assert (labels.tempo.bpm, labels.meter.beats_per_bar, labels.key.tonic, labels.key.mode) == (
        90,
        3,
        9,
        Mode.MINOR,
    )
    assert found.lines() == (
        "tempo 90 BPM (flag)",
        "meter 3/4 (flag)",
        "key A minor (flag)",
        "chords Am F Am (flag)",
    )
    for label in (labels.beats, labels.meter, labels.tempo, labels.chords, labels.key):
        assert (label.origin, label.tool, label.confidence) == (
            Origin.STATED,
            "obbligato asking",
            1,
        )


def test_a_caption_alone_does_too() -> None:
    found = resolve_controls(
        "A waltz at 90 BPM in D minor. The chords are Dm, Gm and A7.",
        duration_s=6,
        statistics=WALTZES.replaced(first_beats={}),
    )
    assert found.lines() == (
        "tempo 90 BPM (caption)",
        "meter 3/4 (caption)",
        "key D minor (caption)",
        "chords Dm Gm A7 (caption)",
    )
    assert chords(found.labels) == [(0, 2, "D:min"), (2, 4, "G:min"), (4, 6, "A:7")]


def test_gaps_are_filled_from_the_corpus() -> None:
    found = resolve_controls("A flute plays.", key="E minor", duration_s=12, statistics=WALTZES)
    assert found.lines() == (
        "tempo 80 BPM (corpus)",
        "meter 3/4 (corpus)",
        "key E minor (flag)",
        "chords Em Am B7 (corpus)",
    )
    # most clips begin 0.1 s before their first downbeat
    assert found.labels.beats.times_s[:4] == (0.1, 0.85, 1.6, 2.35)
    # two bars each
    assert chords(found.labels) == [(0, 4.6, "E:min"), (4.6, 9.1, "A:min"), (9.1, 12, "B:7")]
    assert (
        found.labels.tempo.confidence,
        found.labels.key.confidence,
        found.labels.chords.confidence,
    ) == (0.5, 1, 0.5)


def test_statistics_of_samples_fill_gaps_as_they_were_heard() -> None:
    found = resolve_controls(
        "A piano.", key="C minor", duration_s=6, statistics=corpus_statistics(SAMPLES_IN_THREE)
    )
    assert found.lines() == (
        "tempo 90 BPM (corpus)",
        "meter 3/4 (corpus)",
        "key C minor (flag)",
        "chords Cm Ab Fm (corpus)",
    )
    assert chords(found.labels) == [(0, 2, "C:min"), (2, 4, "Ab:maj"), (4, 6, "F:min")]


def test_without_statistics_common_knowledge_fills_them() -> None:
    found = resolve_controls("A flute plays.", duration_s=4, key="C major")
    assert found.lines() == (
        "tempo 120 BPM (default)",
        "meter 4/4 (default)",
        "key C major (flag)",
        "chords C G (default)",
    )


def test_tempo_words_and_modes_narrow_and_are_told() -> None:
    found = resolve_controls("A slow ballad in a major key.", duration_s=8, statistics=WALTZES)
    assert found.lines()[0] == "tempo 80 BPM (caption: slow)"  # the median of those under 100
    assert found.lines()[2] == "key F major (caption: major)"
    assert found.labels.tempo.confidence == 0.5
    # √(168 × 200): the corpus has none
    assert resolve_controls("Presto.", duration_s=8, statistics=WALTZES).labels.tempo.bpm == 183


def test_a_missing_key_is_that_of_the_chords() -> None:
    assert (
        resolve_controls("x", chords="Am F C G", duration_s=8).lines()[2] == "key A minor (chords)"
    )
    assert (
        resolve_controls("in a major key", chords="Am F C G", duration_s=8).lines()[2]
        == "key C major (caption: major)"
    )
    assert (
        resolve_controls("x", key="major", chords="Am F C G", duration_s=8).lines()[2]
        == "key C major (flag: major)"
    )
    assert (
        resolve_controls("x", chords="N.C.", duration_s=8, statistics=WALTZES).origins.key.source
        is Provenance.CORPUS
    )


@pytest.mark.parametrize(
    ("caption", "flags", "notes"),
    [
        (
            "at 120 BPM",
            {"bpm": 90.0},
            ("--bpm 90 stands against '120 BPM' in the caption: the flag is taken",),
        ),
        ("at 120 BPM", {"bpm": 118}, ()),  # within the 4 % that count as the same tempo
        (
            "a slow ballad",
            {"bpm": 160},
            ("--bpm 160 stands against 'slow' in the caption: the flag is taken",),
        ),
        (
            "a waltz",
            {"meter": "4/4"},
            ("--meter 4/4 stands against '3/4' in the caption: the flag is taken",),
        ),
        ("a waltz", {"meter": 3}, ()),
        (
            "in C major",
            {"key": "Am"},
            ("--key Am stands against 'C major' in the caption: the flag is taken",),
        ),
        (
            "in a major key",
            {"key": "Am"},
            ("--key Am stands against 'major' in the caption: the flag is taken",),
        ),
        (
            "in C major",
            {"key": "minor"},
            ("--key minor stands against 'C major' in the caption: the flag is taken",),
        ),
        (
            "the chords Dm, G7",
            {"chords": "Am F"},
            ("--chords 'Am F' stands against 'Dm G7' in the caption: the flag is taken",),
        ),
        ("the chords Am, F, played twice", {"chords": "Am F"}, ()),
        (
            "the chords are Am at 0 s and F at 2 s",
            {"chords": "F Am"},
            (
                (
                    "--chords 'F Am' stands against 'Am at 0 s, "
                    "F at 2 s' in the caption: the flag is taken"
                ),
            ),
        ),
        (
            "a slow ballad at 160 BPM",
            {},
            ("the caption says both '160 BPM' and 'slow': '160 BPM' is taken",),
        ),
        ("80 to 95 BPM", {}, ("the caption says both '80 BPM' and '95 BPM': '80 BPM' is taken",)),
        (
            "A slow song. It gets a fast tempo. Presto!",
            {},
            (
                "the caption says both 'slow' and 'fast': 'slow' is taken",
                "the caption says both 'slow' and 'presto': 'slow' is taken",
            ),
        ),
        (
            "in C major or in A minor",
            {},
            ("the caption says both 'C major' and 'A minor': 'C major' is taken",),
        ),
        (
            "in A major with the chords Am F C G",
            {},
            (
                (
                    "A major is at odds with the chords: "
                    "its scale holds 50% of their notes, that of A minor 100%"
                ),
            ),
        ),
        ("in G major with the chords C, G, D", {}, ()),
        (
            "The chords are Am at 0 s and F at 12 s.",
            {},
            ("F at 12 s comes after the end, 10 s: left out",),
        ),
    ],
)
def test_contradictions_are_told_and_the_flag_wins(
    caption: str, flags: dict[str, str | float], notes: tuple[str, ...]
) -> None:
    found = resolve_controls(caption, duration_s=10, **flags)  # type: ignore[arg-type]
    assert found.notes == notes
    assert found.lines()[4:] == tuple(f"note: {note}" for note in notes)
    for name in flags:
        control = {"bpm": "tempo"}.get(name, name)
        assert getattr(found.origins, control).source is Provenance.FLAG


def test_the_flag_s_values_are_what_is_played() -> None:
    found = resolve_controls(
        "A waltz at 120 BPM in C major, the chords are C, G.",
        bpm=60,
        meter="2/4",
        key="Em",
        chords="Em D",
        duration_s=4,
    )
    assert found.labels.beats.numbers == (1, 2, 1, 2)
    assert chords(found.labels) == [(0, 2, "E:min"), (2, 4, "D:maj")]
    assert found.labels.key.tonic == 4


def test_chords_with_times_begin_then_and_the_beat_goes_with_them() -> None:
    found = resolve_controls(
        "The chords are Am at 0.3 s, F at 2.3 s and G at 6.3 s.", bpm=120, duration_s=8
    )
    assert chords(found.labels) == [
        (0, 0.3, "N"),
        (0.3, 2.3, "A:min"),
        (2.3, 6.3, "F:maj"),
        (6.3, 8, "G:maj"),
    ]
    assert found.labels.beats.downbeats_s == (0.3, 2.3, 4.3, 6.3)
    assert found.origins.chords.source is Provenance.CAPTION


def test_of_chords_told_twice_those_with_times_are_laid() -> None:
    found = resolve_controls(
        "The chords are Am, F and C. You hear the chords Am at 0 s, F at 1 s and C at 3 s.",
        bpm=120,
        duration_s=4,
    )
    assert chords(found.labels) == [(0, 1, "A:min"), (1, 3, "F:maj"), (3, 4, "C:maj")]
    assert found.notes == ()


def test_chords_that_all_begin_after_the_end_leave_the_choice_to_the_corpus() -> None:
    found = resolve_controls("The chords are Am at 12 s and F at 14 s.", duration_s=10)
    assert found.origins.chords.source is Provenance.DEFAULT
    assert found.notes == tuple(
        f"{name} at {at} s comes after the end, 10 s: left out"
        for name, at in (("Am", 12), ("F", 14))
    )


def test_a_tempo_that_nobody_states_holds_the_chords_that_somebody_does() -> None:
    names = "C G Am F C G Am F C G Am F C G Am"
    assert (
        len(
            resolve_controls(
                "x", chords=names, duration_s=10, statistics=WALTZES
            ).labels.chords.segments
        )
        == 15
    )
    assert (
        resolve_controls("x", chords=names, duration_s=10, statistics=WALTZES).labels.tempo.bpm
        == 150
    )
    with pytest.raises(
        TrainingError, match="15 chords are requested, but 10 s at 60 BPM have 10 beats"
    ):
        resolve_controls("x", chords=names, bpm=60, duration_s=10)


def test_the_same_arguments_give_the_same_controls_and_seeds_others() -> None:
    def ask(seed: int, **flags: Any) -> ResolvedControls:
        return resolve_controls(
            "A flute plays.", duration_s=10, statistics=WALTZES, seed=seed, varied=True, **flags
        )

    assert ask(3).model_dump_json() == ask(3).model_dump_json()
    assert len({ask(seed).labels.tempo.bpm for seed in range(40)}) > 4
    assert {ask(seed).labels.meter.beats_per_bar for seed in range(40)} == {3, 4}
    assert {ask(seed).labels.key.tonic for seed in range(40)} == {2, 5}
    steady = {
        resolve_controls(
            "A flute plays.", duration_s=10, statistics=WALTZES, seed=seed
        ).labels.tempo.bpm
        for seed in range(9)
    }
    assert steady == {80}


@pytest.mark.parametrize("seed", range(8))
def test_a_flag_more_leaves_the_draws_of_what_it_does_not_bear_on(seed: int) -> None:
    plain = resolve_controls("A flute plays.", duration_s=10, statistics=WALTZES, seed=seed)
    faster = resolve_controls(
        "A flute plays.", duration_s=10, statistics=WALTZES, seed=seed, bpm=200
    )
    assert faster.labels.key == plain.labels.key
    names = [[segment.label for segment in one.labels.chords.segments] for one in (plain, faster)]
    assert names[1][: len(names[0])] == names[0]


@pytest.mark.parametrize("semitones", range(1, 12))
def test_a_transposed_request_gives_transposed_chords(semitones: int) -> None:
    key = Key.parse("D minor")
    here = resolve_controls("A flute plays.", duration_s=10, statistics=WALTZES, key=key.name)
    there = resolve_controls(
        "A flute plays.", duration_s=10, statistics=WALTZES, key=key.transposed(semitones).name
    )
    assert there.labels == transposed(here.labels, semitones)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            {"key": "H minor"},
            "--key 'H minor' is not a key: expected such as 'A minor', 'F# major'",
        ),
        (
            {"key": "A dorian"},
            "--key 'A dorian' is not a key: expected such as 'A minor', 'F# major'",
        ),
        ({"key": ""}, "--key '' is not a key: expected such as 'A minor', 'F# major'"),
        ({"bpm": 1000}, "--bpm 1000 is not a tempo: expected 15 to 400 beats per minute"),
        ({"bpm": float("nan")}, "--bpm nan is not a tempo: expected 15 to 400 beats per minute"),
        (
            {"meter": "4/5"},
            "--meter '4/5' is not a meter: expected such as '4/4', '3/4', '6/8', or 2 to 15 beats",
        ),
        (
            {"meter": 1},
            "--meter '1' is not a meter: expected such as '4/4', '3/4', '6/8', or 2 to 15 beats",
        ),
        (
            {"meter": "waltz"},
            "--meter 'waltz' is not a meter: "
            "expected such as '4/4', '3/4', '6/8', or 2 to 15 beats",
        ),
        ({"duration_s": 0}, "a duration of 0 s holds no music: expected seconds above 0"),
        (
            {"duration_s": float("inf")},
            "a duration of inf s holds no music: expected seconds above 0",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(flags: dict[str, object], message: str) -> None:
    with pytest.raises(TrainingError) as error:
        resolve_controls("A flute plays.", **{"duration_s": 10, **flags})  # type: ignore[arg-type]
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("meter", "beats"),
    [("4/4", 4), ("3 / 4", 3), ("6/8", 6), ("12/8", 12), ("2", 2), (7, 7), ("2/2", 2)],
)
def test_a_meter_counts_the_beats_of_its_upper_figure(meter: str | int, beats: int) -> None:
    assert resolve_controls("x", meter=meter, duration_s=10).labels.meter.beats_per_bar == beats


def test_the_shortest_clip_has_a_beat_and_a_chord() -> None:
    found = resolve_controls("x", duration_s=0.05, statistics=WALTZES).labels
    assert found.beats.times_s == (0.0,)  # the corpus's habit of 0.1 s would leave none
    assert [(one.start_s, one.end_s) for one in found.chords.segments] == [(0, 0.05)]


def test_the_record_survives_json() -> None:
    found = resolve_controls("A slow waltz in a minor key", duration_s=10, bpm=90)
    assert ResolvedControls.model_validate_json(found.model_dump_json()) == found


# a bar stays one, half of one becomes one
@pytest.mark.parametrize(("statistics", "beats_each"), [(NEUTRAL, (4, 3)), (WALTZES, (2, 3))])
def test_a_changed_meter_changes_nothing_that_nobody_states(
    statistics: CorpusStatistics, beats_each: tuple[int, int]
) -> None:
    four = resolve_controls("A rock song in 4/4.", duration_s=12, statistics=statistics)
    three = resolve_controls(
        "A rock song in 3/4.",
        duration_s=12,
        statistics=statistics,
        changed_from="A rock song in 4/4.",
    )
    alone = resolve_controls("A rock song in 3/4.", duration_s=12, statistics=statistics)
    assert (three.labels.key, three.labels.tempo, three.labels.beats.times_s) == (
        four.labels.key, four.labels.tempo, four.labels.beats.times_s,
    )  # fmt: skip
    # which is what a model was told before
    assert (alone.labels.key, alone.labels.tempo) != (four.labels.key, four.labels.tempo)
    assert three.labels.beats.numbers[:4] == (1, 2, 3, 1)
    rounds = [[label for _, _, label in chords(one.labels)] for one in (four, three)]
    assert all(one == other for one, other in zip(*rounds, strict=False))
    beat_s = 60 / (four.labels.tempo.bpm or 0)
    lengths = [
        round((end_s - start_s) / beat_s)
        for start_s, end_s, _ in (chords(four.labels)[1], chords(three.labels)[1])
    ]
    assert tuple(lengths) == beats_each


def test_a_changed_tempo_keeps_key_chords_and_the_first_beat() -> None:
    slow, fast = "A song at 80 BPM.", "A song at 120 BPM."
    first = resolve_controls(slow, duration_s=12, statistics=WALTZES)
    then = resolve_controls(fast, duration_s=12, statistics=WALTZES, changed_from=slow)
    assert (then.labels.key, then.labels.meter) == (first.labels.key, first.labels.meter)
    assert then.labels.beats.times_s[0] == first.labels.beats.times_s[0]
    assert then.labels.tempo.bpm == 120
    rounds = [[label for _, _, label in chords(one.labels)] for one in (first, then)]
    assert rounds[0] == rounds[1][: len(rounds[0])]
    assert len(rounds[0]) >= 3


def test_a_changed_key_takes_the_chords_that_nobody_states_with_it() -> None:
    major, minor = "A song in C major.", "A song in F# minor."
    first, then = (
        resolve_controls(major, duration_s=12),
        resolve_controls(minor, duration_s=12, changed_from=major),
    )
    assert then.labels.key.key == Key.parse("F# minor")
    assert (then.labels.tempo, then.labels.beats) == (first.labels.tempo, first.labels.beats)
    assert {label for _, _, label in chords(first.labels)} != {
        label for _, _, label in chords(then.labels)
    }


def test_changed_chords_begin_when_the_ones_before_do_and_leave_the_key() -> None:
    before, after = (
        "A song. Am begins at 0 s, F at 2.5 s, C at 4.5 s, and G at 7.5 s.",
        "A song. The chords are G, C, F, Am.",
    )
    first = resolve_controls(before, duration_s=10)
    then = resolve_controls(after, duration_s=10, changed_from=before)
    assert [label for _, _, label in chords(first.labels)] == ["A:min", "F:maj", "C:maj", "G:maj"]
    assert [label for _, _, label in chords(then.labels)] == ["G:maj", "C:maj", "F:maj", "A:min"]
    assert [start_s for start_s, _, _ in chords(then.labels)] == [
        start_s for start_s, _, _ in chords(first.labels)
    ]
    assert (then.labels.key, then.labels.beats) == (first.labels.key, first.labels.beats)
    assert resolve_controls(after, duration_s=10).labels.beats != first.labels.beats
