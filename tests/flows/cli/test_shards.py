"""`obbligato shards` as a user meets it: screens, JSON for scripts, exit statuses."""

import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.screens.shards import change_text, print_sample
from flows.screens.terminal import Screen
from pipelines.shards.find import find_shards
from pipelines.shards.pick import pick
from schemas.corpus import Change
from tests.pipelines.shards.shard_samples import (
    KEY,
    foreign,
    our_sample,
    ours,
    write_build,
    write_shard,
)

SHEET = f"""\
{KEY}
original · 2 s · 8 kHz mono · train · train-00000.tar

key A minor (0.75)   tempo 120 BPM (0.75)   meter 3/4 (0.75)   chords (0.75)
   1     0.50 s |N.C. Am  N.C.     Am G♯dim7|

source       A flute plays.
control      A flute plays. It gets louder. The key is A minor. The meter is
             3/4. It runs at 120 BPM.
             states crescendo · A minor · 3/4 · 120 BPM
paraphrase   A flute, louder and louder.

source     /music/flute.wav, 0–2 s
title      Air
licence    CC-BY-4.0
metadata   {{"is_audioset_eval": true}}
labels     beats, meter, tempo, chords, key: extracted, truth 1 (CC0)
"""


def screen(target: Path, key: str = "", width: int = 80) -> str:
    out, console = io.StringIO(), Screen()
    console.file, console.width = out, width
    print_sample(console, pick(find_shards(str(target)), key))
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["shards", *map(str, arguments)])
    return result.exit_code, result.stdout


@pytest.fixture
def build(tmp_path: Path) -> Path:
    return write_build(tmp_path / "build", our_sample(), our_sample("pu1"))


def test_our_sample_is_a_lead_sheet(build: Path) -> None:
    assert screen(build) == SHEET


def test_a_foreign_sample_is_its_members_header_and_json(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "a.tar", foreign("0", caption="[red]loud[/red] \x1b[31m"))
    size = len(foreign("0")[0][1])
    assert screen(path) == (
        "0\n"
        "no sample of Obbligato · a.tar\n"
        "\n"
        f".flac   {size:,} bytes\n"
        ".json   41 bytes\n"
        "audio   1.000 s, 8000 Hz, 1 channel\n"
        "\n"
        "{\n"
        ' "caption": "[red]loud[/red] \\u001b[31m"\n'
        "}\n"
    )


def test_text_from_outside_neither_colours_nor_moves_the_cursor(tmp_path: Path) -> None:
    path = write_shard(
        tmp_path / "a.tar", [("\x1b[2J.flac", b""), ("\x1b[2J.txt", b"[bold]a\x1b[31m\x07")]
    )
    shown = screen(path)
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert r"[bold]a\x1b[31m\x07" in shown


def test_a_beat_numbered_a_billion_is_not_drawn(tmp_path: Path) -> None:
    sample = our_sample()
    beats = sample.beats.replaced(numbers=(1, 2, 1_000_000_000))
    shown = screen(write_build(tmp_path, sample.replaced(beats=beats)))
    assert (
        "3 beats, numbered up to 1000000000, are not drawn; chords by time:\n"
        "         0.00 s  N.C.\n"
    ) in shown


@pytest.mark.parametrize(
    ("change", "output"),
    [
        (Change(), "original"),
        (Change(variant="pd3", semitones=-3), "pitch -3"),
        (Change(variant="s2", speed=1.1312), "speed × 1.13"),
        (Change(variant="v1", gain_start=0.3), "crescendo from 0.3"),
        (Change(variant="v1", gain_end=0.45), "decrescendo to 0.45"),
    ],
)
def test_a_change_reads_as_a_musician_says_it(change: Change, output: str) -> None:
    assert change_text(change) == output


def test_show_finds_a_sample_by_the_start_of_its_key(build: Path) -> None:
    code, out = run("show", build, f"{KEY[:-4]}pu", "--json")
    shown = json.loads(out)
    assert (code, shown["key"], shown["ours"], shown["json"]["change"]["variant"]) == (
        0,
        f"{KEY[:-4]}pu1",
        True,
        "pu1",
    )
    assert shown["audio"] == {"rate_hz": 8000, "channels": 1, "duration_s": 2.0}


def test_show_without_a_key_takes_one_with_a_caption_of_train_if_there_is_one(
    tmp_path: Path,
) -> None:
    def shown() -> str:
        return str(json.loads(run("show", tmp_path, "--json")[1])["key"])

    bare, captioned = our_sample(captions=()), our_sample("pu1")
    write_shard(tmp_path / "test-00000.tar", ours(bare, our_sample("pu2")))
    assert shown() == f"{KEY[:-4]}pu2"
    write_shard(tmp_path / "train-00000.tar", ours(bare, captioned))
    assert shown() == captioned.key
    (tmp_path / "test-00000.tar").unlink()
    write_shard(tmp_path / "train-00000.tar", ours(bare, captioned.replaced(captions=())))
    assert shown() == bare.key


def test_ls_prints_a_line_per_shard_and_totals(build: Path) -> None:
    code, out = run("ls", build)
    assert code == 0
    assert [line.split() for line in out.splitlines()] == [
        ["shard", "split", "samples", "hours", "MB", "problems"],
        ["train-00000.tar", "train", "2", "0.00", "0.0", "0"],
        ["1", "shard", "2", "0.00", "0.0", "0"],
    ]
    assert json.loads(run("ls", build, "--json")[1])["duration_s"] == 4.0


def test_stats_draws_histograms(build: Path) -> None:
    code, out = run("stats", build)
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert code == 0
    assert "samples 2 in 1 shard" in lines
    assert "changes original 1 · pitch 1" in lines
    assert f"C major 0 A minor {'█' * 36} 2" in lines
    assert json.loads(run("stats", build, "--json")[1])["keys"] == {"A minor": 2}


def test_stats_counts_samples_without_a_caption(tmp_path: Path) -> None:
    build = write_build(tmp_path, our_sample(), our_sample("pu1", captions=()))
    lines = [" ".join(line.split()) for line in run("stats", build)[1].splitlines()]
    assert "no caption 1 of 2 (50 %)" in lines
    assert json.loads(run("stats", build, "--json")[1])["uncaptioned"] == 1


def test_verify_is_one_ok_line_or_a_line_per_problem(build: Path, tmp_path: Path) -> None:
    assert run("verify", build) == (0, "OK: 2 samples in 1 shard, 0.00 hours\n")
    broken = write_shard(tmp_path / "a.tar", [("0.json", b"{}"), ("1.json", b"\x1b")])
    code, out = run("verify", broken)
    assert code == 1
    assert out.splitlines()[0] == "a.tar: 0: has no audio: its members are .json [no_audio]"
    assert len(out.splitlines()) == 3
    code, out = run("verify", broken, "--json")
    assert (code, [problem["code"] for problem in json.loads(out)["problems"]]) == (
        1,
        ["no_audio", "no_audio", "bad_json"],
    )


def test_extract_and_export_write_files_and_say_so(build: Path, tmp_path: Path) -> None:
    assert run("extract", build, "--out", tmp_path / "out") == (
        0,
        f"4 files written to {tmp_path}/out\n",
    )
    assert (tmp_path / f"out/{KEY}.flac").exists()
    assert run(
        "export", build, "--out", tmp_path / "rows.jsonl", "--split", "train", "--dataset", "mine"
    ) == (
        0,
        f"2 rows written to {tmp_path}/rows.jsonl\n",
    )
    locations = [
        json.loads(line)["location"] for line in (tmp_path / "rows.jsonl").read_text().splitlines()
    ]
    assert all((tmp_path / "out" / location).exists() for location in locations)


def test_export_with_problems_has_exit_status_1_and_lists_them(tmp_path: Path) -> None:
    build = write_build(tmp_path, our_sample())
    write_shard(build / "shards/x.tar", foreign("0"))
    code, out = run("export", build / "shards", "--out", tmp_path / "rows.jsonl", "--json")
    answer = json.loads(out)
    assert (code, answer["rows"], [problem["code"] for problem in answer["problems"]]) == (
        1,
        1,
        ["foreign"],
    )


def test_export_for_a_trainer_says_what_was_written_and_under_which_licence(
    build: Path, tmp_path: Path
) -> None:
    out = tmp_path / "ace"
    code, printed = run("export", build, "--for", "acestep", "--out", out)
    assert (code, [" ".join(line.split()) for line in printed.splitlines()]) == (
        0,
        [
            "train 2 segments",
            "2 under CC-BY-4.0",
            f"2 samples of 0.00 hours, 0.00 of them in segments; written to {out}",
        ],
    )
    samples = json.loads((out / "train.json").read_bytes())["samples"]
    # the default recipe states nothing of a confidence of 0.75 but the key
    assert [(row["keyscale"], row["bpm"]) for row in samples] == [("A minor", None)] * 2
    assert [(out / "audio/train" / row["filename"]).exists() for row in samples] == [True] * 2
    code, printed = run("export", build, "--for", "acestep", "--out", out, "--force", "--json")
    assert json.loads(printed)["segments"] == {"train": 2}
    assert run("export", build, "--for", "kazoo", "--out", out)[0] != 0
    assert run("export", build, "--for", "musicgen", "--parts", "--out", out)[0] != 0


def test_export_for_wids_is_an_index_of_the_shards(build: Path, tmp_path: Path) -> None:
    index = tmp_path / "index.json"
    assert run("export", build, "--for", "wids", "--out", index) == (
        0,
        f"1 shard written to {index}\n",
    )
    (shard,) = json.loads(index.read_bytes())["shardlist"]
    assert (shard["url"], shard["nsamples"]) == (f"{build}/shards/train-00000.tar", 2)
