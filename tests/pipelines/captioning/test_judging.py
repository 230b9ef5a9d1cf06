"""What lands as a rewording, and why the rest does not."""

import pytest

from pipelines.captioning.judging import faults
from pipelines.captioning.paraphrase import captioned
from schemas.caption import Caption, CaptionKind
from schemas.counts import Reason
from schemas.fact import FactKind
from schemas.labels import Beats, Chords, ChordSegment, KeyLabel, Labels, Meter, Tempo
from schemas.pitch import Mode
from tests.support.fact_forms import fact_of

HOW = {"confidence": 0.9, "tool": "test", "version": "1", "licence": "CC0"}
ESTIMATED = (("A:min", 0.0), ("F:maj", 2.5), ("C:maj", 5.0), ("G:maj", 7.5))
FULL = Labels(
    duration_s=10,
    beats=Beats(**HOW),
    meter=Meter(beats_per_bar=4, **HOW),
    tempo=Tempo(bpm=118, **HOW),
    chords=Chords(
        segments=tuple(
            ChordSegment(start_s=at, end_s=at + 2.5, label=label) for label, at in ESTIMATED
        ),
        **HOW,
    ),
    key=KeyLabel(tonic=9, mode=Mode.MINOR, **HOW),
)
EMPTY = Labels(
    duration_s=10,
    beats=Beats(**HOW),
    meter=Meter(**HOW),
    tempo=Tempo(**HOW),
    chords=Chords(**HOW),
    key=KeyLabel(**HOW),
)
SOURCE = (
    "A flute plays over strings. The tempo is 118 BPM. "
    "It is in 4/4. The key is A minor. The chords are Am, F, C and G."
)


def source(text: str, *more: tuple[FactKind, str]) -> Caption:
    plain = captioned(text, CaptionKind.CONTROL)
    given = tuple(fact_of(kind, value) for kind, value in more)
    return plain.model_copy(update={"facts": plain.facts + given})


def judged(text: str, of: Caption | str = SOURCE, labels: Labels = FULL) -> list[str]:
    of = source(of) if isinstance(of, str) else of
    return [fault.text for fault in faults(text, of, labels)]


@pytest.mark.parametrize(
    "text",
    [
        (
            "Over strings, a flute plays at 118.0 beats per minute in A minor, four beats to the "
            "bar, with the chords Am – F – C – G."
        ),
        (
            "At one hundred and eighteen BPM in common time, "
            "a flute and strings go through Am, F, C and G in the key of Amin."
        ),
        (
            "With a beat of 4 and a bpm of 118.0, this Am, "
            "F, C, G progression is in the key of A minor."
        ),
        "A fast flute tune in A minor: 118 BPM, 4/4, chords Am | F | C | G.",
    ],
)
def test_the_same_facts_in_other_words_land(text: str) -> None:
    assert judged(text) == []


@pytest.mark.parametrize(
    ("said", "instead", "fault"),
    [
        ("The tempo is 118 BPM. ", "", "lost bpm 118"),
        ("118 BPM", "124 BPM", "changed bpm 118"),
        ("118 BPM", "59 BPM", "changed bpm 118"),
        ("4/4", "3/4", "changed meter 4"),
        ("It is in 4/4. ", "", "lost meter 4"),
        ("A minor", "A major", "changed key A minor"),
        ("A minor", "C major", "changed key A minor"),
        ("The key is A minor. ", "A minor key darkens it. ", "lost key A minor"),
        ("Am, F, C and G", "Am, C, F and G", "changed chords A:min F:maj C:maj G:maj"),
        ("Am, F, C and G", "Am, F and G", "changed chords A:min F:maj C:maj G:maj"),
        ("Am, F, C and G", "Am, F, C/E and G", "changed chords A:min F:maj C:maj G:maj"),
        ("Am, F, C and G", "Am, F, C7 and G", "changed chords A:min F:maj C:maj G:maj"),
    ],
)
def test_one_fact_lost_or_changed_is_the_one_fault(said: str, instead: str, fault: str) -> None:
    assert judged(SOURCE.replace(said, instead)) == [fault]


@pytest.mark.parametrize(
    ("of", "text"),
    [
        ("It is in D♭ major.", "The key is C# major."),
        ("The chords are C♯m7, A♭ and B♭7.", "It goes Dbm7 – G♯ – A#7."),
        ("It is in 3/4.", "It is a waltz."),
        ("It is in 3/4.", "The song is felt in three."),
        ("The tempo is 117.6 BPM.", "It runs at 118 BPM."),
        ("A tune in a minor key.", "The tune is in A minor."),
        ("The chords are Am and F, played twice.", "You hear the chords Am, F, Am and F."),
        ("The chords are Am, F, C and G.", "Am comes at 0 s, F at 2.5 s, C at 5 s and G at 7.5 s."),
    ],
)
def test_another_writing_of_the_same_value_states_it(of: str, text: str) -> None:
    assert judged(text, of, FULL if "minor key" in of or "0 s" in text else EMPTY) == []


def test_an_added_fact_needs_a_label_that_confirms_it() -> None:
    assert judged("A flute plays in A minor.", "A flute plays.") == []
    assert judged("A flute plays in A minor.", "A flute plays.", EMPTY) == ["added key A minor"]
    assert judged("A flute plays in A major.", "A flute plays.") == ["contradicts key A major"]
    assert judged("A flute plays. There is a crescendo.", "A flute plays.") == [
        "added dynamics crescendo"
    ]
    assert judged("A flute plays from 5 seconds on.", "A flute plays.") == ["added time 5"]


def test_a_plain_tempo_word_is_let_in_unless_something_speaks_against_it() -> None:
    assert judged("A fast flute tune.", "A flute plays.", EMPTY) == []
    assert judged("A slow flute tune.", "A flute plays.") == ["contradicts tempo_word slow"]
    assert judged("A slow flute tune. It runs at 150 BPM.", "The tempo is 150 BPM.", EMPTY) == [
        "contradicts tempo_word slow"
    ]
    assert judged("An Allegro flute tune.", "A flute plays.", EMPTY) == ["added tempo_word allegro"]


def test_a_tempo_word_is_stated_by_itself_alone() -> None:
    assert judged("The tempo is Vivace.", "The tempo is allegro.", EMPTY) == [
        "changed tempo_word allegro"
    ]
    assert judged("It is a fast tune.", "The tempo is allegro.", EMPTY) == [
        "lost tempo_word allegro"
    ]


def test_what_the_sources_own_words_get_wrong_must_not_be_repeated() -> None:
    assert judged("In D major a tune goes by.", "A tune in D major.") == ["contradicts key D major"]
    assert judged("A tune goes by.", "A tune in D major.") == []
    assert judged("A tune goes by in A minor.", "A tune in D major.") == []


def test_a_source_that_names_two_keys_is_stated_by_both() -> None:
    assert (
        judged(
            "The piece is in either C maj or FM.", "It is in the key of C major or F major.", EMPTY
        )
        == []
    )
    assert judged("The piece is in C maj.", "It is in the key of C major or F major.", EMPTY) == [
        "lost key F major"
    ]


def test_a_second_value_beside_the_right_one_contradicts_it() -> None:
    assert judged(f"{SOURCE} The song is in 3/4 time.") == ["contradicts meter 3"]


def test_timed_chords_keep_their_times() -> None:
    of = "The chords are Am at 0 s, F at 2.5 s and C at 5 s."
    assert judged("At 0 s: Am, at 2.5 s: F, at 5.0 s: C.", of, EMPTY) == []
    assert judged("Am at 0 s, F at 3.5 s and C at 5 s.", of, EMPTY) == [
        "changed timed_chords A:min@0 F:maj@2.5 C:maj@5"
    ]
    assert judged("The chords are Am, F and C.", of, EMPTY) == [
        "lost timed_chords A:min@0 F:maj@2.5 C:maj@5"
    ]


def test_instruments_and_moods_are_stated_by_their_words() -> None:
    of = source(
        "It features electric guitars and a cello.",
        (FactKind.INSTRUMENT, "electric guitar"),
        (FactKind.MOOD, "melancholic"),
    )
    assert judged("A melancholic piece for Electric Guitars.", of) == []
    assert judged("A melancholic piece for guitar.", of) == ["lost instrument electric guitar"]
    assert judged("A piece for electric-guitar, cello and bass.", of) == ["lost mood melancholic"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (" \u200b\n", Reason.EMPTY),
        ("A flute plays.", Reason.SAME),
        ("A flute plays and plays. " * 20, Reason.TOO_LONG),
        ("A flute sings, see www.flutes.com.", Reason.MARKUP),
        ("```A flute sings.```", Reason.MARKUP),
        ("<b>A flute</b> sings.", Reason.MARKUP),
        ("A tune:\n- a flute\n- sings", Reason.MARKUP),
        ("1. A flute sings.", Reason.MARKUP),
        ('{"caption": "A flute sings."}', Reason.MARKUP),
        ("As an AI language model, I hear a flute.", Reason.MARKUP),
        ("Sure! A flute sings.", Reason.MARKUP),
        ("Here is a paraphrase: a flute sings.", Reason.MARKUP),
        ("A flute sings <img/src=x onerror=alert(1)", Reason.MARKUP),
        ("A flute sings <\u200bsvg/onload=alert(1)>", Reason.MARKUP),
        ("A flute sings <!-- softly", Reason.MARKUP),
        ("A flute sings &lt;b&gt;softly", Reason.MARKUP),
        ("Follow javascript:alert(1), a flute sings.", Reason.MARKUP),
        ("=cmd|' /C calc'!A0 a flute sings.", Reason.MARKUP),
        ("\u200b=HYPERLINK(A1) a flute sings.", Reason.MARKUP),
        ("+cmd|' /C calc'!A0 a flute sings.", Reason.MARKUP),
        ("@SUM(1) a flute sings.", Reason.MARKUP),
    ],
)
def test_what_is_no_caption_is_refused(text: str, reason: Reason) -> None:
    assert [fault.reason for fault in faults(text, source("A flute plays."), EMPTY)] == [reason]


@pytest.mark.parametrize(
    "text",
    [
        "A flute – soft and low – sings.",
        "Here is a flute that sings.",
        "A 1. FC Köln anthem on the flute.",
        "I <3 this flute & strings; R&B for 2 < 3 players.",
        "+1 for this flute.",
    ],
)
def test_prose_that_looks_a_little_like_markup_lands(text: str) -> None:
    assert judged(text, "A flute plays.", EMPTY) == []
