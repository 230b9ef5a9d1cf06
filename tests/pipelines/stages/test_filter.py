"""Each rule breaks at its figure and says it; the heaviest consequence wins."""

from typing import Any

import pytest

from pipelines.stages.labels.filter import JudgedClip, verdict
from schemas.corpus import Clip, Song, Source, Verdict
from schemas.labels import Annotation, Beats, Chords, KeyLabel, Labels, Measures, Meter, Tempo
from schemas.recipe import FilterRecipe

SONG = Song(song_id="0" * 16, rate_hz=44_100, channels=1, duration_s=60)


def clip(length_s: float = 10.0, *captions: str) -> Clip:
    return Clip(
        clip_key=f"{'0' * 16}-0-{round(length_s * 1000)}",
        song=SONG,
        source=Source(uri="a"),
        start_s=0,
        end_s=length_s,
        extended_end_s=length_s,
        split="train",
        group="g",
        captions=captions,
    )


def annotation(
    silent: float = 0.0,
    clipped: float = 0.0,
    beats: float = 0.9,
    chords: float = 0.9,
    key: float = 0.9,
) -> Annotation:
    def claim(confidence: float) -> dict[str, Any]:
        return {"confidence": confidence, "tool": "t", "version": "1", "licence": "CC0-1.0"}

    labels = Labels(
        duration_s=10,
        beats=Beats(**claim(beats)),
        meter=Meter(**claim(beats)),
        tempo=Tempo(**claim(beats)),
        chords=Chords(**claim(chords)),
        key=KeyLabel(**claim(key)),
    )
    return Annotation(
        clip_key="k",
        labels=labels,
        measures=Measures(
            peak=0.5, rms_db=-20, silent_share=silent, clipped_share=clipped, downmix="none"
        ),
    )


def judged(
    found: Clip | None = None, annotated: Annotation | None = None, **recipe: Any
) -> tuple[bool, bool, str, str]:
    made: Verdict = verdict(
        JudgedClip(found or clip(), annotated or annotation()), FilterRecipe(**recipe)
    )
    return made.keep, made.vary, made.rule, made.figure


def test_a_good_clip_is_kept_and_varied_without_a_rule() -> None:
    assert judged(clip(10, "A lively tune.")) == (True, True, "", "")


@pytest.mark.parametrize(("share", "broken"), [(0.9, False), (0.9001, True), (1.0, True)])
def test_silence_is_rejected_above_its_share(share: float, broken: bool) -> None:
    expected = (
        (False, False, "silence", f"{share:.3f} silent, limit 0.9")
        if broken
        else (True, True, "", "")
    )
    assert judged(annotated=annotation(silent=share)) == expected


@pytest.mark.parametrize(("share", "broken"), [(0.02, False), (0.0201, True)])
def test_clipped_audio_keeps_its_original_only(share: float, broken: bool) -> None:
    expected = (
        (True, False, "clipping", "0.0201 clipped, limit 0.02") if broken else (True, True, "", "")
    )
    assert judged(annotated=annotation(clipped=share)) == expected


@pytest.mark.parametrize(("length_s", "broken"), [(3.0, False), (2.99, True)])
def test_short_clips_keep_their_original_only(length_s: float, broken: bool) -> None:
    assert judged(clip(length_s)) == (
        (True, False, "short", "2.99 s, limit 3 s") if broken else (True, True, "", "")
    )


@pytest.mark.parametrize(
    ("caption", "word"),
    [
        ("The Quality is poor.", "quality"),
        ("Low fidelity recording", "low fidelity"),
        ("high-quality sound", "quality"),
        ("qualities of silk", ""),
        ("low  fidelity", ""),
        ("inequality", ""),
    ],
)
def test_words_that_speak_of_the_recording_keep_the_original_only(caption: str, word: str) -> None:
    expected = (True, False, "caption_words", word) if word else (True, True, "", "")
    assert judged(clip(10, "A fine song.", caption)) == expected


def test_words_are_words_and_no_patterns() -> None:
    assert judged(clip(10, "abc"), words=("a.c",))[2] == ""
    assert judged(clip(10, "see a.c here"), words=("a.c",))[2:] == ("caption_words", "a.c")
    assert judged(clip(10, "quality"), words=())[2] == ""


@pytest.mark.parametrize(("best", "broken"), [(0.5, False), (0.49, True)])
def test_a_clip_is_unsure_where_all_three_confidences_are_low(best: float, broken: bool) -> None:
    expected = (
        (True, False, "low_confidence", "confidence 0.49, limit 0.5")
        if broken
        else (True, True, "", "")
    )
    for which in ("beats", "chords", "key"):
        annotated = annotation(**{"beats": 0.1, "chords": 0.1, "key": 0.1, which: best})
        assert judged(annotated=annotated, min_confidence=0.5) == expected


def test_a_rule_that_rejects_wins_over_one_that_keeps_the_original() -> None:
    assert judged(clip(2.0, "low fidelity"), annotation(silent=0.95, clipped=0.5))[2] == "silence"
    assert judged(clip(2.0, "low fidelity"), annotation(clipped=0.5), short_action="reject")[
        :3
    ] == (False, False, "short")
    assert judged(clip(2.0, "low fidelity"), annotation(clipped=0.5))[2] == "caption_words"


@pytest.mark.parametrize("action", ["off", "keep_original", "reject"])
def test_every_rule_does_what_its_action_says(action: str) -> None:
    expected = {"off": (True, True), "keep_original": (True, False), "reject": (False, False)}[
        action
    ]
    assert judged(annotated=annotation(silent=1), silent_action=action)[:2] == expected
    assert judged(clip(10, "quality"), words_action=action)[:2] == expected
    assert judged(annotated=annotation(clipped=1), clipped_action=action)[:2] == expected
    assert judged(clip(1.0), short_action=action)[:2] == expected
    assert (
        judged(
            annotated=annotation(beats=0, chords=0, key=0),
            min_confidence=0.1,
            confidence_action=action,
        )[:2]
        == expected
    )
