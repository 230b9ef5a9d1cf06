"""What was asked beside what is heard."""

import pytest

from pipelines.labels.asked_and_heard import asked_beside_heard, chord_agreement
from schemas.labels import Beats, Chords, ChordSegment, Claim, KeyLabel, Labels, Meter, Tempo
from schemas.pitch import Key

CLAIM = Claim(confidence=1, tool="t", version="1", licence="CC0-1.0").model_dump()


def labels(chords: str, *, bpm: float, key: str, beats: int = 4) -> Labels:
    """Chords of two seconds each in bars of as long."""
    names = chords.split()
    segments = tuple(
        ChordSegment(start_s=2 * n, end_s=2 * n + 2, label=name) for n, name in enumerate(names)
    )
    tonal = Key.parse(key)
    return Labels(
        duration_s=2 * len(names),
        beats=Beats(times_s=tuple(range(2 * len(names))), numbers=(1, 2) * len(names), **CLAIM),
        meter=Meter(beats_per_bar=beats, **CLAIM),
        tempo=Tempo(bpm=bpm, **CLAIM),
        chords=Chords(segments=segments, **CLAIM),
        key=KeyLabel(tonic=tonal.tonic, mode=tonal.mode, **CLAIM),
    )


ASKED = labels("A:min F:maj N C:maj G:7", bpm=90, key="A minor")
HEARD = labels("A:min7 F:maj C:maj C:min G:7/3", bpm=180, key="C major", beats=3)


def test_each_bar_says_what_was_asked_what_is_heard_and_whether_they_agree() -> None:
    assert [" ".join(line.split()) for line in asked_beside_heard(ASKED, HEARD)] == [
        "asked heard",
        "key A minor C major ~",
        "tempo 90 BPM 180 BPM ~",
        "meter 4 beats a bar 3 beats a bar ×",
        "1 0.00 s Am Am7 ~",
        "2 2.00 s F F =",
        "3 4.00 s C",
        "4 6.00 s C Cm ×",
        "5 8.00 s G7 G7/B =",
        "chords as asked for 75% of the time by root and third, 50% by quality too",
    ]


def test_only_what_was_asked_for_counts() -> None:
    part = chord_agreement(ASKED.chords, HEARD.chords, [(0, 3)])
    assert part.thirds == 1
    assert part.exact == pytest.approx(1 / 3)
    assert chord_agreement(ASKED.chords, HEARD.chords, [(4, 6)]) == (None, None)
    bars = [line.split() for line in asked_beside_heard(ASKED, HEARD, [(2, 3)])][4:9]
    assert [bar[3:] for bar in bars] == [["Am7"], ["F", "F", "="], ["C"], ["Cm"], ["G7/B"]]
    assert chord_agreement(ASKED.chords, ASKED.chords) == (1, 1)


def test_where_nothing_is_heard_nothing_agrees() -> None:
    silent = HEARD.replaced(
        chords=Chords(**CLAIM), beats=Beats(**CLAIM), key=KeyLabel(**CLAIM), tempo=Tempo(**CLAIM)
    )
    lines = list(asked_beside_heard(ASKED, silent))
    assert [line[-1] for line in lines[1:3]] == ["×", "×"]
    assert lines[-1].startswith("chords as asked for 0%")
