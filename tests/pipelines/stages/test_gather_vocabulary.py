"""What may become a label: texts once, without facts, without what is held out; the rest is counted
by its reason.
"""

from pathlib import Path

import pytest

from pipelines.build.plans import gathered
from pipelines.build.tables import VOCABULARY
from pipelines.errors import PipelineError
from pipelines.stages.texts import gather_vocabulary as gathering
from pipelines.stages.texts.gather_vocabulary import gather_vocabulary
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
            for one in gathered(self.store).vocabularies
            for name in one.slices
            for text in VOCABULARY.read_column(self.store, name, "text")
        ]

    def counts(self, name: str, form: Form) -> dict[str, object]:
        return gathered(self.store).counts[name][form.value].model_dump()


@pytest.fixture
def folder_of_texts(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_text_is_kept_once_and_what_states_facts_is_dropped(folder_of_texts: Place) -> None:
    assert folder_of_texts.gather(folder_of_texts.file("long.txt", SENTENCES)) == [
        "A flute plays over the soft drums.",
        "A sad violin sings to the quiet piano.",
    ]
    assert folder_of_texts.counts("long", Form.LONG) == {
        "texts": 5,
        "kept": 2,
        "duplicate": 1,
        "dropped": {"facts": 1, "too_short": 1},
    }


def test_facts_stay_where_they_will_be_checked(folder_of_texts: Place) -> None:
    assert "The song runs at 120 BPM in A minor." in folder_of_texts.gather(
        folder_of_texts.file("long.txt", SENTENCES), facts="check"
    )


def test_held_out_sentences_are_dropped_and_counted_but_not_tags(folder_of_texts: Place) -> None:
    held_out = folder_of_texts.file(
        "test.csv", "caption\nThe sad violin sings to the quiet piano. A flute.\ncalm\n"
    )
    vocabularies = (
        folder_of_texts.file("long.txt", SENTENCES),
        folder_of_texts.file("short.txt", "calm\nwarm pad\n"),
    )
    assert folder_of_texts.gather(*vocabularies, exclude=(held_out,)) == [
        "A flute plays over the soft drums.",
        "calm",
        "warm pad",
    ]
    assert folder_of_texts.counts("long", Form.LONG)["dropped"] == {
        "excluded": 1,
        "facts": 1,
        "too_short": 1,
    }


def test_texts_lie_in_slices_of_a_known_size_in_an_order_of_their_own(
    folder_of_texts: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "SLICE", 2)
    names = "\n".join(["calm", "airy", "sad", "warm", "bold"])
    assert folder_of_texts.gather(folder_of_texts.file("short.txt", names)) == [
        "airy",
        "bold",
        "calm",
        "sad",
        "warm",
    ]
    [vocabulary] = gathered(folder_of_texts.store).vocabularies
    assert vocabulary.slices == ("000-short-00000", "000-short-00001", "000-short-00002")
    assert gathered(folder_of_texts.store).slices["000-short-00002"] == 1


def test_gathering_again_writes_nothing_and_a_changed_file_is_noticed(
    folder_of_texts: Place,
) -> None:
    file = folder_of_texts.file("short.txt", "calm\nwarm\n")
    folder_of_texts.gather(file)
    before = {
        path.name: path.stat().st_mtime_ns
        for path in (folder_of_texts.folder / "out/vocabulary").iterdir()
    }
    folder_of_texts.gather(file)
    assert {
        path.name: path.stat().st_mtime_ns
        for path in (folder_of_texts.folder / "out/vocabulary").iterdir()
    } == before
    folder_of_texts.file("short.txt", "calm\nbold\n")
    assert folder_of_texts.gather(file) == ["bold", "calm"]


def test_slices_that_are_no_longer_in_force_go(folder_of_texts: Place) -> None:
    folder_of_texts.gather(
        folder_of_texts.file("short.txt", "calm\n"), folder_of_texts.file("more.txt", "warm\n")
    )
    folder_of_texts.gather(folder_of_texts.file("short.txt", "calm\n"))
    assert not [
        path
        for path in (folder_of_texts.folder / "out/vocabulary").iterdir()
        if path.name.startswith("001")
    ]


def test_two_files_of_one_name_stay_apart(folder_of_texts: Place) -> None:
    (folder_of_texts.folder / "b").mkdir()
    folder_of_texts.gather(
        folder_of_texts.file("v.txt", "calm\n"), folder_of_texts.file("b/v.txt", "warm\n")
    )
    assert [one.name for one in gathered(folder_of_texts.store).vocabularies] == ["v", "v #2"]


def test_a_vocabulary_of_which_nothing_is_left_is_an_error_with_the_account(
    folder_of_texts: Place,
) -> None:
    with pytest.raises(PipelineError, match=r"no text of .*short.txt can be a label: .*'facts': 1"):
        folder_of_texts.gather(folder_of_texts.file("short.txt", "120 bpm\n"))
