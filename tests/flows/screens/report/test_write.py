"""The page on disk: what is in it, that it is the same each time, and what it replaces."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

import flows.screens.report.write as report
from flows.errors import UsageError
from flows.screens.report.page import REVIEW_SCRIPTS, SCRIPTS
from flows.screens.report.parts import script_json
from flows.screens.report.write import Material, WrittenReport, write_report
from pipelines.shards.find import find_shards
from schemas.pseudo_label import PseudoLabel
from schemas.vocabulary import Form
from tests.flows.screens.report.report_material import HOSTILE, hostile_material
from tests.pipelines.shards.shard_samples import (
    KEY,
    flac,
    foreign,
    our_sample,
    write_build,
    write_shard,
)

FORBIDDEN = (
    "innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "new Function", "fetch(",
    "XMLHttp", "localStorage", "</script", "http:",
)  # fmt: skip
SOURCES = Path(report.__file__).parent / "web"


def written(material: Material, out: Path, most: int = 0, *, embed: bool = False) -> WrittenReport:
    return write_report(material, out, most, lambda _what, _total: lambda _done: None, embed=embed)


def part(out: Path, name: str) -> Any:
    """A part of a page that lies beside it."""
    [file] = out.glob(f"data-*/{name}.js")
    text = file.read_text(encoding="ascii")
    found = re.fullmatch(r"receive\((\".*?\"),(\".*\")\);\n", text)
    assert found
    assert json.loads(found[1]) == name
    return json.loads(json.loads(found[2]))


def contents(out: Path) -> dict[str, bytes]:
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


@pytest.fixture
def material(tmp_path: Path) -> Material:
    return hostile_material(tmp_path)


def test_the_page_holds_clips_rows_audio_statistics_and_what_was_not_used(
    material: Material, tmp_path: Path
) -> None:
    out = tmp_path / "report"
    done = written(material, out)
    assert (done.page, done.clips, done.of, done.samples) == (out / "index.html", 1, 1, 2)
    assert done.bytes == sum(map(len, contents(out).values()))
    [row] = part(out, "rows/0000")
    [clip] = part(out, "clips/00000")
    assert (row["page"], row["place"], row["name"]) == (0, 0, clip["name"])
    orig, higher = clip["samples"]
    assert (orig["key"], higher["change"]) == (KEY, "pitch +2")
    assert orig["beats_s"] == [0.5, 1.0, 1.5]
    assert [chord["name"] for chord in orig["chords"]] == ["N.C.", "Am", "N.C.", "Am", "G♯dim7"]
    assert orig["heard_again"][0] == {"name": "beats", "value": "0.60"}
    assert len(base64.b64decode(orig["peaks"])) == len(base64.b64decode(orig["levels"])) == 300
    assert base64.b64decode(part(out, orig["audio"])) == flac()
    statistics = part(out, "statistics")
    assert statistics["counts"][0] == {"name": "samples", "text": "2 in 1 shard"}
    assert statistics["charts"][0]["title"] == "tempo, BPM"
    unused = part(out, "unused")
    assert [(one["outcome"], one["code"]) for one in unused] == [
        ("dead", "undecodable"),
        ("rejected", "silent"),
    ]
    assert unused[1]["why"] == "0.993 silent, limit 0.5"


@pytest.mark.parametrize("embed", [False, True])
def test_the_same_build_gives_the_same_bytes(tmp_path: Path, embed: bool) -> None:
    (tmp_path / "a").mkdir()
    material = hostile_material(tmp_path / "a")
    first, second = tmp_path / "first", tmp_path / "second"
    written(material, first, embed=embed)
    written(material, second, embed=embed)
    assert contents(first) == contents(second)
    written(material, first, embed=embed)
    assert contents(first) == contents(second)


def test_nothing_from_outside_stands_as_markup_or_script(
    material: Material, tmp_path: Path
) -> None:
    for embed in (False, True):
        out = tmp_path / f"report-{embed}"
        written(material, out, embed=embed)
        for name, content in contents(out).items():
            assert b"<img" not in content, name
            assert b"<!-- \\" not in content, name
            assert "\u2028".encode() not in content, name
        page = (out / "index.html").read_text(encoding="utf-8")
        assert page.count("</script>") == page.count("<script")


def test_the_policy_lets_in_what_is_in_the_page_and_scripts_beside_it(
    material: Material, tmp_path: Path
) -> None:
    policies = []
    for embed in (False, True):
        written(material, tmp_path / str(embed), embed=embed)
        page = (tmp_path / str(embed) / "index.html").read_text()
        found = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
        assert found
        policies.append(re.sub(r"sha256-[\w+/=]{44}", "HASH", found[1]))
    rest = "style-src 'HASH'; base-uri 'none'; form-action 'none'"
    assert policies == [
        f"default-src 'none'; script-src 'HASH' 'self' file:; {rest}",
        f"default-src 'none'; script-src 'HASH'; {rest}",
    ]


def test_the_scripts_read_no_markup_and_run_no_text() -> None:
    assert {f"{name}.js" for name in REVIEW_SCRIPTS} == {path.name for path in SOURCES.glob("*.js")}
    for path in SOURCES.glob("*.js"):
        text = path.read_text(encoding="utf-8")
        assert text.startswith('"use strict";\n'), path.name
        # the review's page alone asks, and the server that it came from
        words = [word for word in FORBIDDEN if word != "fetch(" or path.name != "ask.js"]
        for word in words:
            left = text.replace("http://www.w3.org/2000/svg", "")
            assert word not in left, f"{path.name}: {word}"


def test_a_report_has_no_script_that_asks_anybody() -> None:
    assert "ask" not in SCRIPTS
    assert {*REVIEW_SCRIPTS} - {*SCRIPTS} == {"ask", "review"}


def test_a_text_within_a_script_is_the_text_it_was() -> None:
    for text in (HOSTILE, "\ud800", "__proto__", "a\\u003cb", "]]>", "\x00\x7f"):
        written_as = script_json({"t": [text]})
        assert written_as.isascii()
        assert not set("<>&") & set(written_as)
        assert json.loads(written_as) == {"t": [text]}


def test_an_earlier_page_is_replaced_and_stands_until_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "report"
    before = Material(
        name="before",
        version="1",
        found=find_shards(str(write_build(tmp_path / "before", our_sample()))),
    )
    written(before, out)
    held = contents(out)
    after = hostile_material(tmp_path)

    def fails(_: object) -> None:
        raise OSError("no room")

    with monkeypatch.context() as patched:
        patched.setattr(report, "count_all", fails)
        with pytest.raises(OSError, match="no room"):
            written(after, out)
    assert contents(out) == held
    (out / ".part-0123456789ab").mkdir()  # of a run that was killed
    written(after, out)
    fresh = contents(out)
    assert not set(fresh) & set(held) - {"index.html"}
    assert len({name.partition("/")[0] for name in fresh}) == 2
    written(after, out, embed=True)
    assert set(contents(out)) == {"index.html"}


def test_a_folder_with_something_else_is_left_alone(material: Material, tmp_path: Path) -> None:
    names = ("notes.txt", "data-mine", ".part-list", "data-0123456789abcdef")
    for name, content in (*((name, "mine") for name in names), ("index.html", "<p>mine</p>")):
        out = tmp_path / f"with-{name}"
        out.mkdir()
        (out / name).write_text(content)
        with pytest.raises(UsageError, match=f"something else than a report .{re.escape(name)}."):
            written(material, out)
        assert contents(out) == {name: content.encode()}
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(UsageError, match="is a file: name a folder"):
        written(material, file)


def test_clips_fill_parts_and_rows_say_where_each_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "_ROWS", 4)
    monkeypatch.setattr(report, "_CLIPS_BYTES", 4000)
    monkeypatch.setattr(report, "_AUDIO_IN_FOLDER", 5)
    keys = [f"piece{number}" for number in range(11)]
    found = find_shards(str(write_shard(tmp_path / "x.tar", foreign(*keys))))
    out = tmp_path / "report"
    done = written(Material(name="theirs", version="1", found=found), out)
    assert (done.clips, done.samples) == (11, 11)
    rows = [row for number in range(3) for row in part(out, f"rows/{number:04d}")]
    assert [row["name"] for row in rows] == sorted(keys)
    assert rows[-1]["page"] > 1
    for row in rows:
        clip = part(out, f"clips/{row['page']:05d}")[row["place"]]
        assert clip["name"] == row["name"]
        assert base64.b64decode(part(out, clip["samples"][0]["audio"])) == flac(1.0)


def test_problems_of_shards_stand_among_what_was_not_used(tmp_path: Path) -> None:
    broken = [("b.flac", b"no sound"), ("b.json", b"{")]
    shard = write_shard(tmp_path / "x.tar", [*foreign("a"), *broken])
    out = tmp_path / "report"
    done = written(Material(name="x", version="1", found=find_shards(str(shard))), out)
    assert done.clips == 2
    assert {(one["what"], one["code"]) for one in part(out, "unused")} == {
        ("b", "bad_json"),
        ("b", "undecodable"),
    }
    audio = [clip["samples"][0]["peaks"] != "" for clip in part(out, "clips/00000")]
    assert audio == [True, False]


def test_texts_that_embeddings_chose_are_counted(tmp_path: Path) -> None:
    label = PseudoLabel(
        text="folk <b>",
        form=Form.SHORT,
        vocabulary="v",
        source="s",
        licence="CC0",
        rank=1,
        similarity=0.5,
        frequency=1,
        model="m",
        model_licence="CC0",
    )
    found = find_shards(str(write_build(tmp_path / "b", our_sample(pseudo_labels=(label,)))))
    written(Material(name="x", version="1", found=found), tmp_path / "report")
    chart = part(tmp_path / "report", "statistics")["charts"][-1]
    assert chart == {
        "title": "tags chosen by embedding, 1 different ones",
        "bars": [{"label": "folk <b>", "value": 1, "figure": "1"}],
    }
    [row] = part(tmp_path / "report", "rows/0000")
    assert "folk <b>" in row["tags"]


def test_a_file_that_claims_a_million_beats_fills_no_page(tmp_path: Path) -> None:
    beats = our_sample().beats.replaced(
        times_s=tuple(at / 1000 for at in range(50_000)), numbers=(1,) * 50_000
    )
    found = find_shards(str(write_build(tmp_path / "b", our_sample(beats=beats))))
    written(Material(name="x", version="1", found=found), tmp_path / "report")
    [clip] = part(tmp_path / "report", "clips/00000")
    assert len(clip["samples"][0]["beats_s"]) == len(clip["samples"][0]["numbers"]) == 36_000
