"""A sample's picture: beats and chords stand where they sound, facts are marked, text is text."""

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.screens.sample_picture import sample_svg, time_x
from schemas.caption import Caption, CaptionKind
from schemas.corpus import Source
from schemas.sample import Sample
from tests.pipelines.shards.shard_samples import KEY, foreign, our_sample, write_build, write_shard

SVG = "{http://www.w3.org/2000/svg}"
RATE_HZ = 8000
LOUD_THEN_SOFT = np.r_[np.full(RATE_HZ, 0.8), np.full(RATE_HZ, 0.2)].astype(np.float32)


def drawn(sample: Sample, wave: npt.NDArray[np.float32] = LOUD_THEN_SOFT) -> ET.Element:
    return ET.fromstring(sample_svg(sample, wave))


def of_class(root: ET.Element, name: str) -> list[ET.Element]:
    return [node for node in root.iter() if name in node.get("class", "").split()]


def words(node: ET.Element) -> str:
    return "".join(node.itertext())


def test_time_runs_from_margin_to_margin() -> None:
    assert [time_x(time_s, 2.0) for time_s in (0.0, 0.5, 1.0, 2.0)] == [32.0, 241.0, 450.0, 868.0]


def test_beats_stand_at_their_times_and_downbeats_carry_the_number_of_their_bar() -> None:
    root = drawn(our_sample())  # beats at 0.5, 1 and 1.5 s of two seconds, the first a downbeat
    (beats,), (downbeats,) = of_class(root, "beat"), of_class(root, "downbeat")
    assert re.findall(r"M([\d.]+) ", downbeats.get("d", "")) == ["241"]
    assert re.findall(r"M([\d.]+) ", beats.get("d", "")) == ["450", "659"]
    assert (241.0, "1") in [(float(node.get("x", "")), node.text) for node in of_class(root, "bar")]


def test_chords_fill_their_time_and_read_as_lead_sheets_write_them() -> None:
    root = drawn(our_sample())
    assert [words(node) for node in of_class(root, "symbol")] == [
        "N.C.",
        "Am",
        "N.C.",
        "Am",
        "G♯dim7",
    ]
    segments = of_class(root, "segment")
    assert [float(segment.get("x", "")) for segment in segments] == [
        33.0,
        242.0,
        451.0,
        660.0,
        764.5,
    ]
    assert segments[1].get("width") == "207.0"  # half a second, less the gap
    fills = [segment.get("fill") for segment in segments]
    assert fills[1] == fills[3] != fills[4]
    assert fills[0] == fills[2]


def test_the_waveform_is_as_high_as_the_audio_is_loud() -> None:
    (wave,) = of_class(drawn(our_sample()), "wave")
    columns = re.findall(r"M[\d.]+ ([\d.]+)V([\d.]+)", wave.get("d", ""))
    heights = [float(bottom) - float(top) for top, bottom in columns]
    assert heights[0] == pytest.approx(96)
    assert heights[-1] == pytest.approx(24, abs=0.2)


def test_silence_and_samples_that_are_not_numbers_are_a_thin_line() -> None:
    for value in (0.0, np.nan):
        (wave,) = of_class(drawn(our_sample(), np.full(RATE_HZ, value, np.float32)), "wave")
        assert set(re.findall(r" ([\d.]+V[\d.]+)", wave.get("d", ""))) == {"159.5V160.5"}


def test_words_that_state_a_fact_are_marked_by_what_it_is_about() -> None:
    root = drawn(our_sample())
    marked = {words(node): node.get("class") for node in of_class(root, "fact")}
    assert marked == {
        "A minor": "fact key",
        "3/4": "fact meter",
        "120 BPM": "fact tempo",
        "gets louder": "fact other",
    }
    text = " ".join(words(node) for node in of_class(root, "caption"))
    first = "A flute plays. It gets louder. The key is A minor."
    assert text == f"{first} The meter is 3/4. It runs at 120 BPM."


def test_what_a_caption_does_not_carry_as_a_fact_is_not_marked() -> None:
    sentence = "It is in A minor, they say."
    caption = Caption(text=sentence, kind=CaptionKind.SOURCE, sentences=(sentence,), facts=())
    root = drawn(our_sample(captions=(caption,)))
    assert of_class(root, "fact") == []
    assert words(of_class(root, "caption")[0]) == sentence


def test_hostile_text_stays_text() -> None:
    hostile = '</text><script>alert(1)</script> & "\x1b[31m\u202e\x00'
    caption = Caption(text=hostile, kind=CaptionKind.SOURCE, sentences=(hostile,), facts=())
    source = Source(uri="/a", licence='"><image href="http://x/">')
    picture = sample_svg(our_sample(captions=(caption,), source=source), LOUD_THEN_SOFT)
    root = ET.fromstring(picture)
    assert {node.tag for node in root.iter()} == {
        f"{SVG}{tag}" for tag in ("svg", "style", "rect", "text", "path", "g", "title")
    }
    assert not set("\x1b\x00\u202e") & set(picture)
    assert "</text><script>alert(1)</script>" in words(root)


def test_an_endless_word_is_broken_and_an_endless_caption_cut() -> None:
    caption = Caption(text="x", kind=CaptionKind.SOURCE, sentences=("x" * 100_000,), facts=())
    lines = [words(node) for node in of_class(drawn(our_sample(captions=(caption,))), "caption")]
    assert sum(map(len, lines)) == 900
    assert 50 < len(lines[0]) < 110


def test_a_long_sample_is_drawn_for_its_first_minute() -> None:
    wave = np.r_[np.ones(600), np.zeros(600)].astype(np.float32)  # the second minute is silent
    root = drawn(our_sample(duration_s=120, end_s=120), wave)
    assert {node.text for node in of_class(root, "bar")} >= {"0 s", "60 s"}
    (path,) = of_class(root, "wave")
    assert set(re.findall(r" ([\d.]+V[\d.]+)", path.get("d", ""))) == {"112.0V208.0"}


def test_both_themes_are_there() -> None:
    assert "@media(prefers-color-scheme:dark)" in sample_svg(our_sample(), LOUD_THEN_SOFT)


def test_the_command_writes_the_picture_beside_what_it_prints(tmp_path: Path) -> None:
    build = write_build(tmp_path / "build", our_sample())
    file = tmp_path / "sample.svg"
    done = CliRunner().invoke(
        app, ["shards", "show", str(build), KEY, "--picture", str(file), "--json"]
    )
    assert json.loads(done.stdout)["key"] == KEY
    assert done.stderr == f"picture of {KEY}: {file}\n"
    assert len(of_class(ET.fromstring(file.read_text()), "segment")) == 5


def test_a_foreign_sample_has_no_picture(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "foreign.tar", foreign("a"))
    done = CliRunner().invoke(
        app, ["shards", "show", str(shard), "a", "--picture", str(tmp_path / "a.svg")]
    )
    assert done.exit_code != 0
    assert "not a sample of Obbligato" in str(done.exception)
    assert not (tmp_path / "a.svg").exists()


def test_a_picture_is_an_svg_file(tmp_path: Path) -> None:
    build = write_build(tmp_path / "build", our_sample())
    file = tmp_path / "sample.png"
    done = CliRunner().invoke(app, ["shards", "show", str(build), "--picture", str(file)])
    assert str(done.exception) == (
        f"--picture {file}: a picture is an SVG file, such as sample.svg"
    )
    assert not file.exists()
