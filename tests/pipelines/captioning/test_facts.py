"""Reading facts out of prose: what is a claim, and what only looks like one."""

import pytest

from pipelines.captioning.facts import parse_facts, stated
from pipelines.captioning.splitting import clean_text, split_sentences
from tests.support.limits import cpu_limit


def read(sentence: str) -> list[str]:
    return [f"{fact.kind}={fact.text}" for fact in stated(sentence)]


@pytest.mark.parametrize(
    ("sentence", "bpm"),
    [
        ("A groove at 120 bpm.", "120"),
        ("It rolls along at 92 beats per minute.", "92"),
        ("With a tempo of 120.0 it drives.", "120"),
        ("The bpm is 118.0.", "118"),
        ("Tempo: 86.5", "86.5"),
        ("It sits at one hundred and twenty-two BPM.", "122"),
        ("♩ = 96", "96"),
        ("A 174BPM jungle break.", "174"),
        ("The tempo clocks in at 158.0 beats per minute.", "158"),
        ("Its pulse beats 92 times a minute.", "92"),
        ("The tempo is a gentle 84.", "84"),
    ],
)
def test_a_number_of_beats_per_minute_is_read_in_any_writing(sentence: str, bpm: str) -> None:
    assert read(sentence) == [f"bpm={bpm}"]


@pytest.mark.parametrize(
    ("sentence", "word"),
    [
        ("The tempo of this song is Vivace.", "vivace"),
        ("Allegro moderato, for strings.", "allegro moderato"),
        ("It unfolds at a brisk pace.", "brisk"),
        ("The tempo is medium fast with congas.", "medium fast"),
        ("The song is medium tempo with horns.", "medium"),
        ("A slow blues for one guitar.", "slow"),
        ("A fast-paced ska tune.", "fast"),
        ("Uptempo drums push it on.", "up-tempo"),
        ("This track is slow and sleepy.", "slow"),
        ("The tempo is moderately slow.", "medium slow"),
        ("A grave tempo suits the hymn.", "grave"),
    ],
)
def test_tempo_words_are_read_italian_and_plain(sentence: str, word: str) -> None:
    assert read(sentence) == [f"tempo_word={word}"]


@pytest.mark.parametrize(
    ("sentence", "beats"),
    [
        ("A march in 2/4.", "2"),
        ("It is in 3/4 time.", "3"),
        ("The song is felt in three.", "3"),
        ("You count three beats to the bar.", "3"),
        ("Each measure holds five beats.", "5"),
        ("The beat is 4.", "4"),
        ("The time signature counts 3.", "3"),
        ("An old waltz for accordion.", "3"),
        ("A jig in six-eight time.", "6"),
        ("Drums in common time.", "4"),
        ("The piece uses four over four.", "4"),
        ("A triple meter lilt.", "3"),
        ("A groove with a beat of 4.", "4"),
        ("It has a four-count beat.", "4"),
        ("It keeps a beat count of three.", "3"),
        ("A steady 3-beat rhythm drives it.", "3"),
        ("The song has a 2 beat.", "2"),
        ("The beat of the song is a steady 4.", "4"),
        ("The beat follows a simple count to 4.", "4"),
        ("With a beat counting to three, it sways.", "3"),
        ("The beat is set at four.", "4"),
        ("It has a count of 2 beats.", "2"),
        ("The meter is a lilting six-eight.", "6"),
    ],
)
def test_meters_count_the_beats_of_a_bar(sentence: str, beats: str) -> None:
    assert read(sentence) == [f"meter={beats}"]


@pytest.mark.parametrize(
    ("sentence", "key"),
    [
        ("A ballad in the key of A minor.", "A minor"),
        ("A hymn in A♭ major.", "Ab major"),
        ("Key: F#m", "F# minor"),
        ("The key is EM.", "E major"),
        ("The key is G#min.", "G# minor"),
        ("A lament in E flat minor.", "Eb minor"),
        ("It was tuned to the key of d sharp.", "Eb major"),
        ("The song is in D.", "D major"),
        ("The song is in a minor.", "A minor"),
        ("In A minor the choir enters.", "A minor"),
        ("A minor is the home of this tune.", "A minor"),
        ("The song is in a minor key.", "minor"),
        ("A minor key darkens the tune.", "minor"),
        ("IT IS IN A MINOR KEY.", "minor"),
        ("The choir sings in minor.", "minor"),
        ("A tune on the major scale.", "major"),
        ("A piece in CM begins.", "C major"),
        ("It is in the A#M key.", "Bb major"),
        ("A tune set in C#maj, played softly.", "Db major"),
        ("The pipers play in D.", "D major"),
    ],
)
def test_a_minor_is_a_key_and_a_minor_key_is_a_mode(sentence: str, key: str) -> None:
    assert read(sentence) == [f"key={key}"]


def test_alternative_and_successive_keys_are_both_read() -> None:
    assert read("It is in the key of C major or Gm.") == ["key=C major", "key=G minor"]
    assert read("The key changes from C major to D major.") == ["key=C major", "key=D major"]


@pytest.mark.parametrize(
    ("sentence", "fact"),
    [
        ("The strings make a crescendo.", "dynamics=crescendo"),
        ("The choir gets louder.", "dynamics=crescendo"),
        ("The song fades in.", "dynamics=crescendo"),
        ("The last chord fades away.", "dynamics=decrescendo"),
        ("Everything grows quieter.", "dynamics=decrescendo"),
        ("Decrease the volume bit by bit!", "dynamics=decrescendo"),
        ("The drums enter at 5 seconds.", "time=5"),
        ("The drums enter at 0:05.", "time=5"),
        ("At the 3 second mark the drums enter.", "time=3"),
        ("After ten seconds the drums enter.", "time=10"),
        ("The drums enter at 1 minute and 20 seconds.", "time=80"),
    ],
)
def test_dynamics_and_times_are_read(sentence: str, fact: str) -> None:
    assert read(sentence) == [fact]


@pytest.mark.parametrize(
    "sentence",
    [
        "A four on the floor kick with claps.",
        "The teacher grades A, B and C.",
        "He got an A and she got a C.",
        "The form is A - B - A - C.",
        "A band on a major label.",
        "A major hit of the 80s.",
        "The guitar plays minor chords.",
        "The guitar is tuned to E A D G B E.",
        "A slow guitar riff opens it.",
        "Slow motion pictures come to mind.",
        "The voice sings in a higher key.",
        "The song is not fast.",
        "It is not in A minor.",
        "The song isn't in the key of A minor.",
        "It runs at half of 118 BPM.",
        "The music does not get louder.",
        "The drums are louder than the voice.",
        "The strings are soft and the volume is low.",
        "A 10-second clip.",
        "Music for 24/7 shops, 3/4 of it quiet.",
        "Pop from the 80s and 90s.",
        "Two songs play in four parts.",
        "A grave voice speaks.",
        "A chord melody opens the piece.",
        "A flat male voice and a sharp snare.",
        "The music swells with pride.",
        "A 4-beat break opens it.",
        "Two beats later the choir enters.",
        "It sounds like voices in AM radio.",
    ],
)
def test_what_only_looks_like_a_claim_is_none(sentence: str) -> None:
    assert read(sentence) == []


def test_one_sentence_may_state_several_facts_and_each_has_its_sentence() -> None:
    facts = parse_facts(
        "A flute plays. A slow waltz in B♭ major at 84 BPM with the chords B♭, E♭ and F7."
    )
    assert [(fact.kind.value, fact.text, fact.sentence) for fact in facts] == [
        ("bpm", "84", 1),
        ("tempo_word", "slow", 1),
        ("meter", "3", 1),
        ("key", "Bb major", 1),
        ("chords", "Bb:maj Eb:maj F:7", 1),
    ]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        (
            "Nos. 3 and 4 by B.B. King feat. Dr. John. It runs at 120.5 BPM.",
            ("Nos. 3 and 4 by B.B. King feat. Dr. John.", "It runs at 120.5 BPM."),
        ),
        (
            "The key is A. The chords are D and E. N.C. sounds last.",
            ("The key is A.", "The chords are D and E.", "N.C. sounds last."),
        ),
        ("A tune\nfor flute! Really?", ("A tune", "for flute!", "Really?")),
        ("Written by J. S. Bach. Then silence...", ("Written by J. S. Bach.", "Then silence...")),
        ("A loud band. the tempo is slow.", ("A loud band.", "the tempo is slow.")),
        ("The list ends with C, N. The beat is 4.", ("The list ends with C, N.", "The beat is 4.")),
    ],
)
def test_stops_end_sentences_but_not_after_abbreviations_initials_or_in_decimals(
    text: str, sentences: tuple[str, ...]
) -> None:
    assert split_sentences(text) == sentences


def test_cleaning_drops_control_characters_and_cuts_at_a_sentence_end() -> None:
    assert clean_text("\ufeffA\tslow\u200b\r\nsong\x00 \ud800here. ") == "A slow song here."
    long = clean_text("A flute plays here. " * 300)
    assert len(long) <= 2000
    assert long.endswith("here.")
    assert len(clean_text("word " * 1000)) <= 2000


@pytest.mark.parametrize(
    "text",
    [
        "A " * 1000,
        "C - " * 500,
        "the tempo is " * 150,
        "volume and " * 180,
        "1 2 3 " * 330,
        "slow and " * 220,
        "in in key of " * 150,
        "Am at 1 s, " * 180,
        "at 1 s A " * 220,
        "Am, F, twice and " * 110,
        "a steady steady 4 " * 110,
        "beat is set at " * 130,
    ],
)
def test_hostile_text_hides_no_fact_beside_it_and_ends(text: str) -> None:
    with cpu_limit(10):  # they take milliseconds; what grows as 2ⁿ never ends
        found = parse_facts(clean_text(f"The key is C major. {text}"))
    assert [(fact.kind.value, fact.text, fact.sentence) for fact in found] == [
        ("key", "C major", 0)
    ]
