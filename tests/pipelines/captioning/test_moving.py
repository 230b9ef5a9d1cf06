"""Source captions under pitch, speed and volume changes."""

import pytest

from pipelines.captioning.facts import parse_facts
from pipelines.captioning.moving import moved_text
from schemas.corpus import Change
from schemas.counts import CaptionCount, CaptionEvent
from schemas.pitch import Key


def dropped(kind: str) -> CaptionCount:
    return CaptionCount(CaptionEvent.DROPPED, kind)


def pitched(semitones: int) -> Change:
    return Change(variant=f"{'pu' if semitones > 0 else 'pd'}{abs(semitones)}", semitones=semitones)


def sped(rate: float) -> Change:
    return Change(variant="s1", speed=rate)


@pytest.mark.parametrize(
    ("text", "change", "moved"),
    [
        ("A 100 BPM jam in A minor.", pitched(3), "A 100 BPM jam in C minor."),
        ("A 100 BPM jam in A minor.", sped(0.8), "An 80 BPM jam in A minor."),
        ("It runs at 120.0 beats per minute.", sped(1.1), "It runs at 132.0 beats per minute."),
        ("It runs at ninety beats per minute.", sped(1.1), "It runs at 99 beats per minute."),
        (
            "The key is F#m, the chords are F#m, D, A/C# and E.",
            pitched(1),
            "The key is Gm, the chords are Gm, Eb, Bb/D and F.",
        ),
        ("The chords are E♭, A♭ and B♭7.", pitched(2), "The chords are F, B♭ and C7."),
        ("The chords are C, G and Am.", pitched(1), "The chords are D♭, A♭ and B♭m."),
        ("An A major tune.", pitched(2), "A B major tune."),
        ("A tune in E flat major.", pitched(-2), "A tune in D flat major."),
        ("It is in the key of d sharp minor.", pitched(1), "It is in the key of e minor."),
        ("In C major or Am.", pitched(2), "In D major or Bm."),
        ("The drums enter at 5 seconds.", sped(1.25), "The drums enter at 4 seconds."),
        ("The drums enter at 5 seconds.", sped(0.8), "The drums enter at 6.2 seconds."),
        ("The drums enter at 0:06.", sped(1.2), "The drums enter at 0:05."),
        ("A waltz in a minor key.", pitched(2), "A waltz in a minor key."),
        ("A waltz in a minor key.", sped(1.2), "A waltz in a minor key."),
    ],
)
def test_claims_that_move_exactly_are_rewritten_in_their_own_style(
    text: str, change: Change, moved: str
) -> None:
    assert moved_text(text, change, 10.0, Key.parse("Db")).text == moved


def test_speed_drops_tempo_words_and_times_past_the_end_but_keeps_the_rest() -> None:
    text = "A flute plays. The tempo is slow. It is a waltz. A bell rings at 9 seconds."
    moved = moved_text(text, sped(0.8), 10.0)
    assert moved.text == "A flute plays. It is a waltz."
    assert moved.counts == {dropped("tempo_word"): 1, dropped("time"): 1}
    assert [(fact.text, fact.sentence) for fact in moved.facts] == [("3", 1)]


def test_volume_drops_claims_about_dynamics_only() -> None:
    change = Change(variant="v1", gain_start=0.2)
    moved = moved_text("A slow song at 60 BPM. It fades out at 8 seconds.", change, 10.0)
    assert (moved.text, moved.counts) == ("A slow song at 60 BPM.", {dropped("dynamics"): 1})


def test_the_original_stays_as_it_is() -> None:
    text = "A slow song in A minor at 60 BPM. It fades out at 80 seconds."
    assert moved_text(text, Change(), 10.0).text == text


def test_a_caption_may_lose_all_its_sentences() -> None:
    assert moved_text("A slow song.", sped(1.2), 10.0).sentences == ()


@pytest.mark.parametrize("semitones", [-3, -2, -1, 1, 2, 3])
@pytest.mark.parametrize("tonic", range(12))
@pytest.mark.parametrize("mode", ["major", "minor"])
def test_every_key_and_its_chords_move_up_and_back_to_the_same_facts(
    semitones: int, tonic: int, mode: str
) -> None:
    key = Key(tonic=tonic, mode=mode)
    text = (
        f"It is in {key.name}. The chords are {key.tonic_name}, {key.transposed(7).tonic_name}7 "
        f"and {key.transposed(2).tonic_name}m7b5."
    )
    up = moved_text(text, pitched(semitones), 10.0)
    assert up.facts[0].text == key.transposed(semitones).name
    assert moved_text(up.text, pitched(-semitones), 10.0).facts == parse_facts(text)


@pytest.mark.parametrize("change", [pitched(2), sped(0.9)])
def test_chords_with_their_starts_are_dropped_where_either_moves(change: Change) -> None:
    moved = moved_text("A flute plays. The chords are Am at 0 s and F at 2.5 s.", change, 10.0)
    assert (moved.text, moved.counts) == ("A flute plays.", {dropped("timed_chords"): 1})


def test_chords_with_their_starts_stay_where_only_the_volume_changes() -> None:
    text = "The chords are Am at 0 s and F at 2.5 s."
    assert moved_text(text, Change(variant="v1", gain_start=0.2), 10.0).text == text
    assert moved_text(text, Change(), 10.0).text == text


def test_rounds_move_with_their_chords() -> None:
    moved = moved_text("The chords Am, F, C, G are played twice.", pitched(2), 10.0)
    assert moved.text == "The chords Bm, G, D, A are played twice."
    assert [fact.text for fact in moved.facts] == [
        "B:min G:maj D:maj A:maj B:min G:maj D:maj A:maj"
    ]
