"""Texts from every kind of file, with what it says of them; a file that is none is named."""

import csv
from pathlib import Path

import pytest

from pipelines.errors import PipelineError
from pipelines.vocabularies.files import Text, form_of, read_texts
from pipelines.vocabularies.gather import write_vocabulary
from schemas.vocabulary import Form, VocabularyEntry

FLUTE = Text("A flute plays, softly.", "long", "web", "CC0-1.0")


def written(folder: Path, name: str, content: str) -> str:
    (folder / name).write_text(content)
    return str(folder / name)


@pytest.mark.parametrize("name", ["v.parquet", "v.jsonl"])
def test_our_own_vocabularies_come_back_as_they_were_written(tmp_path: Path, name: str) -> None:
    path = str(tmp_path / name)
    write_vocabulary(
        path, [VocabularyEntry(text=FLUTE.text, form="long", source="web", licence="CC0-1.0")]
    )
    assert read_texts(path) == [FLUTE]


def test_tables_of_others_are_read_by_their_columns(tmp_path: Path) -> None:
    assert read_texts(
        written(
            tmp_path,
            "v.csv",
            'text,form,source,licence\n"A flute plays, softly.",long,web,CC0-1.0\n',
        )
    ) == [FLUTE]
    assert read_texts(written(tmp_path, "v.tsv", "id\tcaption\n1\tA flute.\n2\t\n")) == [
        Text("A flute.")
    ]
    assert read_texts(written(tmp_path, "v.txt", "\ufeffcalm\n\nsad piano\n")) == [
        Text("calm"),
        Text("sad piano"),
    ]


def test_the_form_of_a_file_follows_from_its_words() -> None:
    assert (
        form_of([Text("calm"), Text("sad piano"), Text("A long text of seven words here")])
        is Form.SHORT
    )
    assert (
        form_of([Text("A flute plays over the drums"), Text("calm"), Text("It is a very sad song")])
        is Form.LONG
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("v.mp3", "x", "is not a vocabulary: expected a name that ends in .parquet"),
        ("v.csv", "a,b\n1,2\n", "no column text or caption among 'a', 'b'"),
        ("v.jsonl", "{\n", "cannot be read as a vocabulary"),
        ("v.parquet", "no parquet", "cannot be read as a vocabulary"),
    ],
)
def test_what_is_no_vocabulary_is_named_with_the_reason(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    with pytest.raises(PipelineError, match=message):
        read_texts(written(tmp_path, name, content))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"gone\.txt does not exist"):
        read_texts(str(tmp_path / "gone.txt"))


def test_a_file_without_a_row_is_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="it holds no row"):
        read_texts(written(tmp_path, "v.csv", "text\n"))


def test_reading_a_vocabulary_leaves_the_limits_of_other_tables_alone(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    assert read_texts(written(tmp_path, "v.csv", f"text\n{'a' * 2**21}\n")) == [Text("a" * 2**21)]
    assert csv.field_size_limit() == before
