"""Table D of the security review: what an evaluation's table, folder and links may lead to, and
what its report may hold.
"""

import json
from pathlib import Path
from typing import Any

import soundfile
from typer.testing import CliRunner

from flows.cli import app
from tests.support.melodies import RATE_HZ, melody

# An annotator that hears 120 BPM in 4/4, C major and one C chord in everything.
PLAIN = [
    f"--set=annotate.{name}=tests.support.plug_ins.plain_annotator"
    for name in ("beats", "chords", "key")
]
SECRET = "the text of a private file at 120 BPM"


def sound(path: Path, seed: int) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, melody(seed, 2.4), RATE_HZ)
    return path.read_bytes()


def report_on(tmp_path: Path, *options: str) -> dict[str, Any]:
    """The report of an evaluation of the folder ``clips``."""
    result = CliRunner().invoke(
        app, ["evaluate", str(tmp_path / "clips"), "--out", str(tmp_path / "out"), *PLAIN, *options]
    )
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads((tmp_path / "out/report.json").read_text())
    return found


def reported(out: Path) -> list[bytes]:
    return [path.read_bytes() for path in out.rglob("*") if path.is_file()]


def test_d1_rows_lead_to_files_of_the_folder_alone(tmp_path: Path) -> None:
    secret = sound(tmp_path / "private/secret.flac", 1)
    sound(tmp_path / "clips/good.flac", 2)
    (tmp_path / "clips/link.flac").symlink_to(tmp_path / "private/secret.flac")
    (tmp_path / "clips/deep").symlink_to(tmp_path / "private")
    named = (
        f"{tmp_path}/private/secret.flac",
        "../private/secret.flac",
        f"file://{tmp_path}/private/secret.flac",
        "link.flac",
        "deep/secret.flac",
        "deep/../private/secret.flac",
        "good.flac",
    )
    (tmp_path / "clips/manifest.jsonl").write_text(
        "\n".join(json.dumps({"file": name, "prompt": "In C major."}) for name in named)
    )
    report = report_on(tmp_path)
    assert [clip["name"] for clip in report["clips"]] == ["good.flac"]
    assert [one["name"] for one in report["problems"]] == [
        f"manifest.jsonl#{number}" for number in range(1, 7)
    ]
    assert all(
        "lies outside of the folder: give --outside" in one["reason"] for one in report["problems"]
    )
    assert secret not in reported(tmp_path / "out")


def test_d1_outside_lets_rows_lead_anywhere(tmp_path: Path) -> None:
    secret = sound(tmp_path / "private/secret.flac", 1)
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips/manifest.jsonl").write_text(
        json.dumps({"file": "../private/secret.flac", "prompt": "In C major."})
    )
    assert [clip["name"] for clip in report_on(tmp_path, "--outside")["clips"]] == [
        "private/secret.flac"
    ]
    assert secret in reported(tmp_path / "out")


def test_d2_links_that_leave_the_folder_are_left_out_by_name(tmp_path: Path) -> None:
    secret = sound(tmp_path / "private/secret.flac", 1)
    (tmp_path / "private/secret.txt").write_text(SECRET)
    (tmp_path / "private/secret.json").write_text(json.dumps({"prompt": SECRET}))
    for name in ("a", "b", "good"):
        sound(tmp_path / f"clips/{name}.flac", 2)
    (tmp_path / "clips/a.txt").symlink_to(tmp_path / "private/secret.txt")
    (tmp_path / "clips/b.json").symlink_to(tmp_path / "private/secret.json")
    (tmp_path / "clips/c.flac").symlink_to(tmp_path / "private/secret.flac")
    (tmp_path / "clips/d.flac").symlink_to(tmp_path / "clips/good.flac")  # within: as good as any
    report = report_on(tmp_path)
    assert sorted(clip["name"] for clip in report["clips"]) == ["d.flac", "good.flac"]
    assert [
        (one["name"], one["reason"].partition(" lies outside")[0]) for one in report["problems"]
    ] == [("a.flac", "a.txt"), ("b.flac", "b.json"), ("c.flac", "c.flac")]
    assert not any(
        secret in content or SECRET.encode() in content for content in reported(tmp_path / "out")
    )


def test_d2_a_table_that_is_a_link_out_of_the_folder_is_no_manifest_of_it(tmp_path: Path) -> None:
    sound(tmp_path / "clips/good.flac", 2)
    (tmp_path / "private.csv").write_text(f"file,caption\ngood.flac,{SECRET}\n")
    (tmp_path / "clips/manifest.csv").symlink_to(tmp_path / "private.csv")
    assert [clip["caption"] for clip in report_on(tmp_path)["clips"]] == [""]


def test_d3_hostile_names_are_shown_as_they_are(tmp_path: Path) -> None:
    sound(tmp_path / "clips/good.flac", 2)
    (tmp_path / "clips/manifest.jsonl").write_text(
        "\n".join(
            json.dumps({"file": name})
            for name in ("good.flac", "<script>alert(1)</script>", "\x1b]0;owned\x07[red]x")
        )
    )
    result = CliRunner().invoke(
        app, ["evaluate", str(tmp_path / "clips"), "--out", str(tmp_path / "out"), *PLAIN]
    )
    assert result.exit_code == 0
    assert "\x1b]0;owned" not in result.output
    assert "[red]x is not there" in result.output
    assert "<script>alert" not in (tmp_path / "out/index.html").read_text()
