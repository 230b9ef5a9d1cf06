"""Control metrics: cases computed by hand, values that follow from the definitions, and where the
published code departs from them.
"""

from collections import Counter
from statistics import fmean

import numpy as np
import pytest

from schemas.chord import Chord, ChordQuality
from schemas.pitch import Key, Mode
from training.metrics.controls import PromptControls
from training.metrics.matching import TEMPO_EDGES_BPM, tempo_bin
from training.metrics.outcomes import Metric, Variant, scores
from training.metrics.summary import Pair, control_figures

KEYS = [Key(tonic=tonic, mode=mode) for tonic in range(12) for mode in Mode]
C_MAJOR = Key.parse("C major")


def chords(symbols: str) -> tuple[str, ...]:
    return tuple(Chord.parse_symbol(symbol).harte for symbol in symbols.split())


def asking(symbols: str = "", **controls: object) -> PromptControls:
    return PromptControls(chords=chords(symbols), **controls)


def drawn(count: int, seed: int = 0) -> list[PromptControls]:
    """Random controls without chords that need a class of their own."""
    rng = np.random.default_rng(seed)
    qualities = [ChordQuality.MAJ, ChordQuality.MIN, ChordQuality.DOM7]
    return [
        PromptControls(
            bpm=float(rng.uniform(30, 230)),
            key=KEYS[rng.integers(24)],
            meter=int(rng.integers(3, 5)),
            chords=tuple(
                Chord(root=int(rng.integers(12)), quality=qualities[rng.integers(3)]).harte
                for _ in range(4)
            ),
        )
        for _ in range(count)
    ]


def test_each_edge_closes_the_bin_below_it() -> None:
    assert [tempo_bin(edge) for edge in TEMPO_EDGES_BPM] == list(range(8))
    assert [tempo_bin(edge + 0.1) for edge in TEMPO_EDGES_BPM] == list(range(1, 9))


@pytest.mark.parametrize(
    ("requested", "estimated", "same", "beside"),
    [
        (100, 91, 1, 1),
        (100, 90, 0, 1),
        (100, 110.5, 0, 1),
        (100, 141, 0, 0),
        (100, 70, 0, 0),
        (100, None, 0, 0),
        (215, 300, 1, 1),
    ],
)
def test_tempo_counts_by_its_bin_and_a_missing_one_is_a_miss(
    requested: float, estimated: float | None, same: int, beside: int
) -> None:
    assert scores(asking(bpm=requested), PromptControls(bpm=estimated)) == {
        Metric.TB: same,
        Metric.TBT: beside,
    }


def test_a_tempo_word_is_scored_by_its_range_and_by_no_bin() -> None:
    # 66 to 76, and a tenth more
    assert scores(PromptControls(tempo_words=("adagio",)), PromptControls(bpm=80)) == {Metric.TW: 1}
    assert scores(PromptControls(tempo_words=("adagio",)), PromptControls(bpm=90)) == {Metric.TW: 0}
    assert scores(PromptControls(tempo_words=("adagio",)), PromptControls()) == {Metric.TW: 0}


@pytest.mark.parametrize(
    ("requested", "estimated", "ck", "ckd", "published_ckd"),
    [
        ("C# major", "Db major", 1, 1, 1),
        ("C major", "A minor", 0, 1, 0),
        ("A minor", "C major", 0, 1, 0),
        ("C major", "Eb minor", 0, 0, 1),
        ("A minor", "F# major", 0, 0, 1),
        ("C major", "C minor", 0, 0, 0),
    ],
)
def test_the_relative_key_is_right_in_both_directions_and_the_published_code_takes_the_wrong_one(
    requested: str, estimated: str, ck: int, ckd: int, published_ckd: int
) -> None:
    pair = PromptControls(key=Key.parse(requested)), PromptControls(key=Key.parse(estimated))
    assert scores(*pair) == {Metric.CK: ck, Metric.CKD: ckd}
    assert scores(*pair, Variant.PUBLISHED) == {Metric.CK: ck, Metric.CKD: published_ckd}


@pytest.mark.parametrize(
    ("estimated", "pcm", "ecm", "cmo", "cmot", "cp"),
    [
        ("Am F C G", 1, 1, 1, 1, 1),
        ("Am F C G Am F C G", 1, 1, 1, 1, 1),  # a second round was called for
        ("Am Dm F C E G", 1, 1, 1, 1, 4 / 6),  # two were not
        ("F C G", 0, 3 / 4, 3 / 4, 3 / 4, 1),
        ("G C F Am", 0, 1 / 4, 1, 1, 1 / 4),
        ("Am7 F C7 G", 0, 2 / 4, 2 / 4, 1, 2 / 4),
        ("D E", 0, 0, 0, 0, 0),
        ("", 0, 0, 0, 0, 0),
    ],
)
def test_chords_by_hand(
    estimated: str, pcm: float, ecm: float, cmo: float, cmot: float, cp: float
) -> None:
    found = scores(asking("Am F C G"), asking(estimated))
    assert {
        name: found[name] for name in (Metric.PCM, Metric.ECM, Metric.CMO, Metric.CMOT, Metric.CP)
    } == pytest.approx(
        {Metric.PCM: pcm, Metric.ECM: ecm, Metric.CMO: cmo, Metric.CMOT: cmot, Metric.CP: cp}
    )


def test_a_chord_serves_once_and_an_inversion_is_another_chord() -> None:
    found = scores(asking("C G C G"), asking("C/E G"))
    assert found[Metric.CMO] == 1 / 4
    assert found[Metric.CMOT] == 2 / 4


def test_what_a_prompt_does_not_state_is_not_scored() -> None:
    everything = drawn(1)[0]
    assert (
        scores(PromptControls(), everything)
        == scores(PromptControls(), everything, Variant.PUBLISHED)
        == {}
    )


@pytest.mark.parametrize("variant", Variant)
def test_labels_that_are_all_right_give_a_hundred_per_cent(variant: Variant) -> None:
    found = control_figures([Pair(one, one) for one in drawn(40)], variant)
    assert len(found) >= 9
    assert {one.value for one in found} == {1.0}
    assert {one.high for one in found} == {1.0}


def test_shuffled_labels_give_chance() -> None:
    rows, count = drawn(60), 60
    # all ways of shifting the ones against the others
    every = [scores(requested, estimated) for requested in rows for estimated in rows]
    bins, keys, meters = (
        Counter(tempo_bin(row.bpm or 0) for row in rows),
        Counter(row.key for row in rows),
        Counter(row.meter for row in rows),
    )
    beside = sum(bins[one] * bins[other] for one in bins for other in bins if abs(one - other) <= 1)
    related = sum(keys[one] * (keys[one] + keys[one.relative()]) for one in keys if one)
    exact = {  # the share of pairs that agree
        "TB": sum(size**2 for size in bins.values()) / count**2,
        "TBT": beside / count**2,
        "CK": sum(size**2 for size in keys.values()) / count**2,
        "CKD": related / count**2,
        "BM": sum(size**2 for size in meters.values()) / count**2,
    }
    assert {name: fmean(row[Metric(name)] for row in every) for name in exact} == pytest.approx(
        exact
    )


def test_the_chance_column_is_what_other_prompts_get() -> None:
    requested, estimated = drawn(300, seed=1), drawn(300, seed=2)
    found = {
        one.name: one
        for one in control_figures([Pair(*pair) for pair in zip(requested, estimated, strict=True)])
    }
    for name, expected in (("CK", 1 / 24), ("CKD", 2 / 24), ("BM", 1 / 2)):
        assert found[name].chance == pytest.approx(expected, abs=0.012)  # of 6,000 pairs
        assert found[name].low <= expected <= found[name].high
    right = {one.name: one for one in control_figures([Pair(one, one) for one in requested])}
    assert right["CK"].chance == pytest.approx(1 / 24, abs=0.012)


def test_published_and_corrected_agree_where_no_quirk_is_at_work() -> None:
    rows = drawn(200, seed=3)
    for index, requested in enumerate(rows):
        other = rows[(index + 1) % len(rows)]
        # what is there begins with the first chord
        estimated = other.replaced(chords=requested.chords[: index % 4])
        corrected, published = (
            scores(requested, estimated),
            scores(requested, estimated, Variant.PUBLISHED),
        )
        apart = {name for name in published if published[name] != corrected[name]}
        assert apart <= {Metric.CKD}
        assert set(corrected) - set(published) == {Metric.CP, Metric.CPT}


def test_published_leaves_out_chords_and_meter_of_a_clip_without_a_key() -> None:
    requested = asking("C G", bpm=120, key=C_MAJOR, meter=4)
    estimated = asking("C G", bpm=120, meter=4)
    assert scores(requested, estimated, Variant.PUBLISHED) == {Metric.TB: 1, Metric.TBT: 1}
    corrected = scores(requested, estimated)
    assert (
        corrected[Metric.CK],
        corrected[Metric.CKD],
        corrected[Metric.PCM],
        corrected[Metric.BM],
    ) == (0, 0, 1, 1)


def test_published_leaves_out_missing_tempo_and_meter_but_counts_missing_chords() -> None:
    requested = asking("C G", bpm=120, meter=4)
    estimated = PromptControls(key=C_MAJOR)
    published = scores(requested, estimated, Variant.PUBLISHED)
    assert published == {Metric.PCM: 0, Metric.ECM: 0, Metric.CMO: 0, Metric.CMOT: 0}
    corrected = scores(requested, estimated)
    assert set(corrected) == {
        Metric.TB,
        Metric.TBT,
        Metric.PCM,
        Metric.ECM,
        Metric.CMO,
        Metric.CMOT,
        Metric.CP,
        Metric.CPT,
        Metric.BM,
    }
    assert set(corrected.values()) == {0}


def test_published_ecm_ends_at_the_first_missing_chord() -> None:
    pair = asking("Am F C G"), asking("F C G", key=C_MAJOR)
    assert scores(*pair)[Metric.ECM] == 3 / 4
    assert scores(*pair, Variant.PUBLISHED)[Metric.ECM] == 0


def test_published_cmot_keeps_diminished_and_augmented_chords_apart() -> None:
    pair = asking("Bdim C"), asking("Bm Caug", key=C_MAJOR)
    assert scores(*pair)[Metric.CMOT] == 1
    assert scores(*pair, Variant.PUBLISHED)[Metric.CMOT] == 0
    assert scores(asking("Bdim"), asking("Baug", key=C_MAJOR), Variant.PUBLISHED)[Metric.CMOT] == 1
