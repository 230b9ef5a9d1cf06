"""A held-out sentence does not come back: not in other case, not with words added, not as a part,
not changed a little.
"""

import pytest

from pipelines.vocabularies.exclusion import Exclusion

HELD_OUT = Exclusion(
    [
        (
            "The low quality recording features a ballad song "
            "with sustained strings. A mellow piano melody plays along."
        ),
        "sad piano",
        "Loud.",
    ]
)


@pytest.mark.parametrize(
    "text",
    [
        "a mellow piano melody plays along",
        "A MELLOW PIANO melody plays along!",
        "In the back, a mellow piano melody plays along with drums.",
        "A mellow piano melody plays along. Birds sing.",
        "The recording features a ballad song with sustained strings.",
        "The low quality recording features a rock song with sustained strings.",
        "loud",
        "Sad piano.",
    ],
)
def test_a_sentence_and_what_is_nearly_it_leak(text: str) -> None:
    assert HELD_OUT.leaks(text)


@pytest.mark.parametrize(
    "text",
    [
        "A ballad with strings and a mellow piano.",
        "sad piano music",
        "Loud drums.",
        "A bright piano melody over soft drums.",
        "The recording",
    ],
)
def test_other_sentences_do_not(text: str) -> None:
    assert not HELD_OUT.leaks(text)


def test_nothing_leaks_where_nothing_is_held_out() -> None:
    assert not Exclusion([]).leaks("A mellow piano melody plays along.")


def test_a_whole_caption_is_held_out_as_well_as_its_sentences() -> None:
    assert len(Exclusion(["One flute plays softly. Two drums answer loudly."])) == 3
