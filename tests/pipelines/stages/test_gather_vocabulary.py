"""What may become a label: texts once, without facts, without what is held out; the rest is counted
by its reason.
"""

from pathlib import Path

import pytest

from pipelines.errors import PipelineError
from pipelines.stages.texts import gather_vocabulary as gathering
from pipelines.stages.texts.gather_vocabulary import gather_vocabulary, read_plan, read_slice
from pipelines.storage.store import Store
from schemas.label_recipe import LabelRecipe
from schemas.recipe import Recipe
from schemas.vocabulary import Form

SENTENCES = (
    "A flute plays over the soft drums.\n"
    "A FLUTE plays over the soft drums\n"
    "The song runs at 120 BPM in A minor.\n"
    "A sad violin sings to the quiet piano.\n"
    "Hi.\n"
)


class Place:
    """Files of texts and a build's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, Store(str(folder / "out"))

    def file(self, name: str, content: str) -> str:
        (self.folder / name).write_text(content)
        return str(self.folder / name)

    def gather(self, *files: str, **knobs: object) -> list[str]:
        recipe = Recipe(label=LabelRecipe(vocabularies=files, **knobs))
        gather_vocabulary(self.store, recipe)
        return [
            text
            for one in read_plan(self.store)
            for name in one.slices
            for text in read_slice(self.store, name)
        ]

    def counts(self, name: str, form: Form) -> dict[str, object]:
        return dict(self.store.read_sealed(gathering.PLAN)["counts"][name][form.value])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_text_is_kept_once_and_what_states_facts_is_dropped(place: Place) -> None:
    assert place.gather(place.file("long.txt", SENTENCES)) == [
        "A flute plays over the soft drums.",
        "A sad violin sings to the quiet piano.",
    ]
    assert place.counts("long", Form.LONG) == {
        "texts": 5,
        "kept": 2,
        "duplicate": 1,
        "dropped": {"facts": 1, "too_short": 1},
    }


def test_facts_stay_where_they_will_be_checked(place: Place) -> None:
    assert "The song runs at 120 BPM in A minor." in place.gather(
        place.file("long.txt", SENTENCES), facts="check"
    )


def test_held_out_sentences_are_dropped_and_counted_but_not_tags(place: Place) -> None:
    held_out = place.file(
        "test.csv", "caption\nThe sad violin sings to the quiet piano. A flute.\ncalm\n"
    )
    vocabularies = (place.file("long.txt", SENTENCES), place.file("short.txt", "calm\nwarm pad\n"))
    assert place.gather(*vocabularies, exclude=(held_out,)) == [
        "A flute plays over the soft drums.",
        "calm",
        "warm pad",
    ]
    assert place.counts("long", Form.LONG)["dropped"] == {"excluded": 1, "facts": 1, "too_short": 1}


def test_texts_lie_in_slices_of_a_known_size_in_an_order_of_their_own(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "SLICE", 2)
    names = "\n".join(["calm", "airy", "sad", "warm", "bold"])
    assert place.gather(place.file("short.txt", names)) == ["airy", "bold", "calm", "sad", "warm"]
    [vocabulary] = read_plan(place.store)
    assert vocabulary.slices == ("000-short-00000", "000-short-00001", "000-short-00002")
    assert place.store.read_sealed(gathering.PLAN)["slices"]["000-short-00002"] == 1


def test_gathering_again_writes_nothing_and_a_changed_file_is_noticed(place: Place) -> None:
    file = place.file("short.txt", "calm\nwarm\n")
    place.gather(file)
    before = {
        path.name: path.stat().st_mtime_ns for path in (place.folder / "out/vocabulary").iterdir()
    }
    place.gather(file)
    assert {
        path.name: path.stat().st_mtime_ns for path in (place.folder / "out/vocabulary").iterdir()
    } == before
    place.file("short.txt", "calm\nbold\n")
    assert place.gather(file) == ["bold", "calm"]


def test_slices_that_are_no_longer_in_force_go(place: Place) -> None:
    place.gather(place.file("short.txt", "calm\n"), place.file("more.txt", "warm\n"))
    place.gather(place.file("short.txt", "calm\n"))
    assert not [
        path for path in (place.folder / "out/vocabulary").iterdir() if path.name.startswith("001")
    ]


def test_two_files_of_one_name_stay_apart(place: Place) -> None:
    (place.folder / "b").mkdir()
    place.gather(place.file("v.txt", "calm\n"), place.file("b/v.txt", "warm\n"))
    assert [one.name for one in read_plan(place.store)] == ["v", "v #2"]


def test_a_vocabulary_of_which_nothing_is_left_is_an_error_with_the_account(place: Place) -> None:
    with pytest.raises(PipelineError, match=r"no text of .*short.txt can be a label: .*'facts': 1"):
        place.gather(place.file("short.txt", "120 bpm\n"))
