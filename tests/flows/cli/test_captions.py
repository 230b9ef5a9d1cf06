"""`obbligato captions vocabulary` as a user meets it: tables and a real server in, a file and an
account of every text out.
"""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from tests.support.running import obbligato
from tests.support.servers.llm_server import KEY, llm_server


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(
        app, ["captions", "vocabulary", *map(str, arguments)], catch_exceptions=False
    )
    return result.exit_code, result.stdout


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    path = tmp_path / "caps.csv"
    path.write_text(
        "caption,aspect_list\n"
        "\"A flute plays softly. It runs at 90 BPM. Sad.\",\"['flute', 'slow', 'sad mood']\"\n"
        '"A flute plays softly!","[\'Flute\']"\n'
    )
    return path


@pytest.fixture
def titles(tmp_path: Path) -> Path:
    path = tmp_path / "tracks.tsv"
    path.write_text("name\tartist\talbum\nAir\tAna\tSongs\n")
    return path


def test_what_became_of_every_text_is_shown_and_each_row_has_its_source(
    tmp_path: Path, captions: Path
) -> None:
    out = tmp_path / "vocabulary.jsonl"
    status, shown = run(captions, "--licence", "CC0-1.0", "--out", out)
    assert status == 0
    assert [line.split() for line in shown.splitlines()] == [
        ["long", "short"],
        ["texts", "4", "4"],
        ["kept", "1", "2"],
        ["duplicate", "1", "1"],
        ["dropped:", "facts", "1", "1"],
        ["dropped:", "too_short", "1", "0"],
        ["rows:", "2", "read"],
        f"3 entries written to {out}".split(),
    ]
    assert [json.loads(line) for line in out.read_text().splitlines()] == [
        {"text": text, "form": form, "source": "caps", "licence": "CC0-1.0", "writer": ""}
        for text, form in (
            ("A flute plays softly.", "long"),
            ("flute", "short"),
            ("sad mood", "short"),
        )
    ]


def test_a_model_is_asked_about_titles_and_its_answers_are_kept_beside_the_file(
    tmp_path: Path, captions: Path, titles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    out = tmp_path / "made" / "vocabulary.parquet"
    with llm_server(tmp_path / "server") as server:
        arguments = [
            captions,
            "--titles",
            titles,
            "--map",
            "title=name",
            "--source",
            "mine",
            "--per-track",
            2,
            "--out",
            out,
        ]
        settings = ["--set", f"llm.base_url={server.url}", "--set", "llm.budget_usd=0.5", "--json"]
        counts = json.loads(run(*arguments, *settings)[1])
        first = out.read_bytes()
        again = json.loads(run(*arguments, *settings, "--force")[1])
        questions = [json.loads(line["asked"]) for line in server.answered()]
    assert sorted(question.pop("count") for question in questions) == [2, 10]
    assert questions == [{"title": "Air", "artist": "Ana", "album": "Songs"}] * 2
    assert counts["long"] == {
        "texts": 6,
        "kept": 2,
        "duplicate": 1,
        "dropped": {"facts": 1, "names": 1, "too_short": 1},
    }
    assert counts["model"]["calls"]["answered"] == 2
    assert 0 < counts["model"]["usd"] < 0.5
    assert again["model"] == {**counts["model"], "calls": {"found": 2}, "usd": 0}
    assert out.read_bytes() == first
    assert list((tmp_path / "made" / "answers").iterdir())


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (("--out", "v.jsonl"), "name a table with captions, or one with --titles"),
        (("--out", "v.jsonl", "none.csv"), "none.csv does not exist"),
        (
            ("--out", "v.txt", "caps.csv"),
            "v.txt: expected a name that ends in .parquet, .jsonl or .ndjson",
        ),
        (
            ("--out", "v.jsonl", "caps.csv", "--map", "words=x"),
            "--map words=x: expected ours=theirs, where ours is",
        ),
        (
            ("--out", "v.jsonl", "caps.csv", "--map=caption=x", "--map=aspect_list=y"),
            "no row has text in a column x or y",
        ),
        (
            ("--out", "v.jsonl", "--titles", "caps.csv"),
            "no row has a name in a column title or artist or album; name yours",
        ),
        (
            ("--out", "caps.jsonl", "caps.csv"),
            "caps.jsonl exists: name another file, or --force to replace it",
        ),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    tmp_path: Path, captions: Path, arguments: tuple[str, ...], output: str
) -> None:
    (tmp_path / "caps.jsonl").write_text("")
    ended = obbligato("captions", "vocabulary", *arguments, cwd=tmp_path)
    assert ended.returncode in (1, 2)
    assert output in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert captions.exists()


def test_facts_that_a_text_states_are_printed_in_the_form_of_a_sample(tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("Chords: Am – F – C.\n")
    result = CliRunner().invoke(
        app,
        ["captions", "facts", "A waltz. It is in F# minor.", "--file", str(file)],
        catch_exceptions=False,
    )
    assert [json.loads(line) for line in result.stdout.splitlines()] == [
        {
            "text": "A waltz. It is in F# minor.",
            "facts": [
                {"kind": "meter", "sentence": 0, "beats_per_bar": 3},
                {"kind": "key", "sentence": 1, "tonic": 6, "mode": "minor"},
            ],
        },
        {
            "text": "Chords: Am – F – C.",
            "facts": [{"kind": "chords", "sentence": 0, "chords": ["A:min", "F:maj", "C:maj"]}],
        },
    ]
