"""Reading chords out of prose: sequences, rounds of them, and the times at which they begin."""

import pytest

from pipelines.captioning.facts import mentions, stated


def read(sentence: str) -> list[str]:
    return [f"{fact.kind}={fact.text}" for fact in stated(sentence)]


@pytest.mark.parametrize(
    ("sentence", "chords"),
    [
        ("The chord progression is Am, F, C, G.", "A:min F:maj C:maj G:maj"),
        ("Am - F - C - G", "A:min F:maj C:maj G:maj"),
        ("The chord sequence is Amaj7, C♯, B♭/D and A.", "A:maj7 Db:maj Bb:maj/3 A:maj"),
        ("The chords are A minor, F sharp major and B diminished seventh.", "A:min F#:maj B:dim7"),
        ("Chords: Cmaj7 | Am7 | Dm7 | G7", "C:maj7 A:min7 D:min7 G:7"),
        ("The chords go from E to A and back.", "E:maj A:maj"),
        ("The chord progression in this song is C, C, N, C, Fm7b5.", "C:maj F:hdim7"),
        ("A guitar strums an E minor chord.", "E:min"),
        ("The chords are C9, F/A, G13 and C6.", "C:7 F:maj/3 G:7 C:maj6"),
    ],
)
def test_chord_sequences_are_read_as_harte_labels_without_repeats(
    sentence: str, chords: str
) -> None:
    assert read(sentence) == [f"chords={chords}"]


@pytest.mark.parametrize(
    ("sentence", "chords"),
    [
        ("The chord progression is a C7.", "C:7"),
        ("The song follows an F7 sequence.", "F:7"),
        ("The chord progression is in Bm.", "B:min"),
        ("The chord sequence is centered around F#.", "F#:maj"),
        ("The chords are G minor, E flat, and F.", "G:min Eb:maj F:maj"),
        (
            (
                "The chord progression starts on C minor, "
                "moving gently to G minor before resolving to Ab."
            ),
            "C:min G:min Ab:maj",
        ),
    ],
)
def test_chords_that_prose_names_in_passing_are_read(sentence: str, chords: str) -> None:
    assert read(sentence) == [f"chords={chords}"]


def test_a_key_beside_a_progression_is_no_chord_of_it() -> None:
    assert read("The chord progression is in B minor.") == ["key=B minor"]
    assert read("An Am, F, C, G chord progression in C.") == ["chords=A:min F:maj C:maj G:maj"]
    assert read("An Am, F, C, G chord progression in CM.") == [
        "key=C major",
        "chords=A:min F:maj C:maj G:maj",
    ]


@pytest.mark.parametrize(
    "sentence",
    [
        "The chords Am and F are played twice.",
        "The harmony goes Am – F, twice over.",
        "The chords are Am, F ×2.",
        "The chords are Am and F, repeated twice.",
        "The chord sequence repeats two rounds of Am – F.",
        "Twice through: the chords Am and F.",
        "A tune with Am and F chords played twice.",
        "The progression (Am, F) x2",
    ],
)
def test_chords_played_twice_are_two_rounds(sentence: str) -> None:
    assert read(sentence) == ["chords=A:min F:maj A:min F:maj"]


def test_rounds_are_counted_and_joined_where_one_ends_as_the_next_begins() -> None:
    assert read("The chords are Am, F and Am, three times over.") == [
        "chords=A:min F:maj A:min F:maj A:min F:maj A:min"
    ]
    assert read("Four times through: Am – F – C – G.") == [
        "chords=" + " ".join(["A:min F:maj C:maj G:maj"] * 4)
    ]


@pytest.mark.parametrize(
    "words", ["repeated", "over and over", "in a loop", "and the chorus is sung twice"]
)
def test_chords_repeated_without_a_number_are_one_round(words: str) -> None:
    assert read(f"The chords are Am and F, {words}.") == ["chords=A:min F:maj"]


@pytest.mark.parametrize(
    "sentence",
    [
        "The chords are Am at 0 s, F at 2.5 s and C at 5 s.",
        "Am from 0 s, F from 2.5 s, C from 5 s",
        "At 0 s: Am, at 2.5 s: F, at 5 s: C.",
        (
            "At 0 seconds the harmony is Am, at 2.5 seconds "
            "it moves to F, and at 5 seconds it goes to C."
        ),
        (
            "It begins with A minor at 0 sec, moves to F "
            "major at 2.5 sec, and lands on C major at 5 sec."
        ),
        "The chords are Am (0 s), F (2.5 s) and C (5.0 s).",
        "The chords are Am at 0, F at 2.5 and C at 5 seconds.",
    ],
)
def test_chords_with_their_times_are_one_fact(sentence: str) -> None:
    assert read(sentence) == ["timed_chords=A:min@0 F:maj@2.5 C:maj@5"]
    assert [mention.parts for mention in mentions(sentence)] == [()]


def test_a_time_beside_untimed_chords_stays_a_time() -> None:
    assert read("The chords are Am and F, and the drums enter at 5 seconds.") == [
        "chords=A:min F:maj",
        "time=5",
    ]
    assert read("A choir enters at 5 seconds.") == ["time=5"]
