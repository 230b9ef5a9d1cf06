"""The page in headless Chromium, from its file: it draws, plays on the beat, and asks nobody."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from flows.screens.report.write import Material, write_report
from pipelines.shards.find import find_shards
from schemas.labels import Beats
from tests.flows.screens.report.report_material import HOSTILE, hostile_material
from tests.pipelines.shards.shard_samples import (
    RATE_HZ,
    foreign,
    our_sample,
    write_shard,
)
from tests.support.chromium import PROGRAM, Page, chromium

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="needs Chromium: apt-get install chromium"),
]

BEATS_S = (0.25, 0.7301, 1.2, 1.6667)  # one between two samples of 8 kHz
CLICKS = "{music: false, clicks: true, chords: false}"
MUSIC = "{music: true, clicks: false, chords: false}"
CHORDS = "{music: false, clicks: false, chords: true}"
# when a sound begins after at least 30 ms of silence, in seconds
ONSETS = """(track) => {{
  const wave = track.getChannelData(0), rate = track.sampleRate, found = [];
  let quiet = Infinity;
  wave.forEach((value, at) => {{
    if (Math.abs(value) > {threshold}) {{
      if (quiet > 0.03 * rate) found.push(at / rate);
      quiet = 0;
    }} else quiet++;
  }});
  return found;
}}"""


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with chromium(tmp_path / "profile") as opened:
        opened.size(1300, 900)
        yield opened


def made(material: Material, out: Path, *, embed: bool = False) -> str:
    write_report(material, out, 0, lambda _what, _total: lambda _done: None, embed=embed)
    return f"file://{out}/index.html"


def clicking_material(folder: Path) -> Material:
    """A clip whose audio is a click at each of its beats, the second a downbeat."""
    wave = np.zeros(2 * RATE_HZ)
    for beat_s in BEATS_S:
        wave[round(beat_s * RATE_HZ) :][:8] = 0.9
    out = io.BytesIO()
    soundfile.write(out, wave, RATE_HZ, format="FLAC")
    how = {"confidence": 1, "tool": "truth", "version": "1", "licence": "CC0"}
    sample = our_sample(beats=Beats(times_s=BEATS_S, numbers=(4, 1, 2, 3), **how))
    members = [
        (f"{sample.key}.flac", out.getvalue()),
        (f"{sample.key}.json", sample.model_dump_json().encode()),
    ]
    shard = write_shard(folder / "train-00000.tar", members)
    return Material(name="clicks", version="1", found=find_shards(str(shard)))


def onsets(page: Page, track: str, threshold: float) -> list[float]:
    found: list[float] = page.value(f"{track}.then({ONSETS.format(threshold=threshold)})")
    return found


def furthest_ms(found: Sequence[float], stated: Sequence[float]) -> float:
    assert len(found) == len(stated)
    return 1000 * max(abs(one - other) for one, other in zip(found, stated, strict=True))


def test_clicks_stand_on_the_beats_and_on_what_is_played(page: Page, tmp_path: Path) -> None:
    page.open(made(clicking_material(tmp_path), tmp_path / "report"))
    page.wait_for("clip.sample()")
    clicks = onsets(page, f"sound.render(clip.sample(), {CLICKS})", 0.1)
    assert furthest_ms(clicks, BEATS_S) < 0.05  # two samples of 48 kHz
    decode = "new OfflineAudioContext(1, 1, 48000).decodeAudioData(Uint8Array.from(atob(text), (s) => s.charCodeAt(0)).buffer)"  # noqa: E501
    music = (
        "parts.load(clip.sample().audio).then((text) => " + decode + ")"
        f".then((music) => sound.render(clip.sample(), {MUSIC}, 48000, music))"
    )
    assert furthest_ms(onsets(page, music, 0.4), BEATS_S) < 0.5  # a resampler's edge


def test_downbeats_click_higher_than_beats(page: Page, tmp_path: Path) -> None:
    page.open(made(clicking_material(tmp_path), tmp_path / "report"))
    page.wait_for("clip.sample()")
    wave = np.array(
        page.value(
            f"sound.render(clip.sample(), {CLICKS}).then((track) => [...track.getChannelData(0)])"
        )
    )
    pitches = []
    for beat_s in BEATS_S:
        start = round(beat_s * 48000)
        spectrum = np.abs(np.fft.rfft(wave[start : start + 2400], 48000))
        pitches.append(int(spectrum.argmax()))  # one bin a hertz
    assert pitches == pytest.approx([1100, 1760, 1100, 1100], rel=0.03)


def test_chords_sound_their_notes_while_they_last(page: Page, tmp_path: Path) -> None:
    page.open(made(clicking_material(tmp_path), tmp_path / "report"))
    page.wait_for("clip.sample()")
    wave = np.array(
        page.value(
            f"sound.render(clip.sample(), {CHORDS}).then((track) => [...track.getChannelData(0)])"
        )
    )
    assert np.abs(wave[: round(0.49 * 48000)]).max() == 0  # no chord until 0.5 s
    spectrum = np.abs(np.fft.rfft(wave[24000:48000], 48000))
    for hz in (220.0, 261.63, 329.63, 440.0):  # A minor over A3
        near = spectrum[round(hz) - 3 : round(hz) + 4].max()
        assert near > 20 * np.median(spectrum[200:500])


def test_the_spectrum_is_darkest_where_the_note_is(page: Page, tmp_path: Path) -> None:
    page.open(made(hostile_material(tmp_path), tmp_path / "report"))  # a sine of 440 Hz
    page.wait_for("document.querySelector('.lanes')")
    assert page.value("document.querySelectorAll('.stage canvas').length") == 0  # not heard yet
    page.press(" ")
    page.wait_for("document.querySelector('.stage canvas')")
    page.press(" ")
    column = page.value(
        "(() => { const canvas = document.querySelector('.stage canvas');"
        " const middle = Math.floor(canvas.width / 2);"
        " const data = canvas.getContext('2d').getImageData(middle, 0, 1, 60).data;"
        " return [...data].filter((_, at) => at % 4 === 3).reverse(); })()"
    )
    assert int(np.argmax(column)) == 21  # semitones from C3 to A4
    assert column[21] == 255
    assert max(column[:18] + column[25:]) < 40


def test_it_plays_from_its_file_and_switches_tracks_by_keys(page: Page, tmp_path: Path) -> None:
    page.open(made(clicking_material(tmp_path), tmp_path / "report"))
    page.wait_for("document.querySelector('.lanes')")
    for key in "ch":
        page.press(key)
    assert page.value("sound.audible") == {"music": True, "clicks": True, "chords": True}
    page.press(" ")
    page.wait_for("sound.isPlaying() && sound.position() > 0.3")
    page.press(" ")
    stood = page.value("sound.position()")
    assert stood > 0.3
    assert page.value("sound.isPlaying()") is False
    page.value("sound.seek(1.0)")
    page.press("l")  # the bar from the downbeat on
    assert page.value("sound.loop()") == {"start": 0.7301, "end": 2}
    page.press("m")
    assert page.value("sound.audible.music") is False
    assert page.complaints == []


def test_hostile_names_and_captions_stay_text_and_nothing_leaves_the_page(
    page: Page, tmp_path: Path
) -> None:
    material = hostile_material(tmp_path)
    for embed in (False, True):
        out = tmp_path / f"report-{embed}"
        page.open(made(material, out, embed=embed))
        page.wait_for("document.querySelector('.lanes')")
        page.press("v")
        page.wait_for("clip.sample().change === 'pitch +2'")
        for key in "23":
            page.press(key)
        page.wait_for("document.querySelector('table') && document.querySelector('.chart')")
        assert page.value("document.querySelectorAll('img, iframe, object, b').length") == 0
        assert page.value("({}).isOwned") is None
        title: str = page.value("document.title")
        assert title.startswith("</script><img src=x")
        seen: str = page.value("document.getElementById('unused').textContent")
        assert HOSTILE[:40] in seen
        page.press("1")
        page.press(" ")
        page.wait_for("sound.isPlaying()")
        page.press(" ")
    assert {address.partition(":")[0] for address in page.requests} == {"file"}
    assert all("/report-" in address for address in page.requests)
    assert page.complaints == []


def test_a_script_within_data_does_not_run_even_where_it_is_markup(
    page: Page, tmp_path: Path
) -> None:
    page.open(made(hostile_material(tmp_path), tmp_path / "report"))
    page.value(
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.owned = 1\">')"
    )
    page.value("fetch('https://example.com').catch(() => 0)")
    assert page.value("window.owned") is None
    assert any("Content Security Policy" in words for words in page.complaints)


def test_facts_are_marked_in_their_colours_and_say_why(page: Page, tmp_path: Path) -> None:
    page.open(made(hostile_material(tmp_path), tmp_path / "report"))
    page.wait_for("document.querySelector('.caption')")
    marks = page.value(
        "[...document.querySelectorAll('.caption mark')].map((one) => [one.textContent, "
        "one.classList[1], one.title])"
    )
    assert marks == [
        ["C minor", "differs", "C minor: the label differs (A minor)"],
        ["120 BPM", "agrees", "120 BPM: the label agrees (120 BPM)"],
        ["3/4", "agrees", "3/4: the label agrees (3/4)"],
        ["flute", "open", "flute: no label decides"],
    ]


def test_a_clip_is_found_filtered_ordered_and_linked(page: Page, tmp_path: Path) -> None:
    members = [member for at in range(3) for member in foreign(f"piece{at}", caption=f"Air {at}")]
    found = find_shards(str(write_shard(tmp_path / "x.tar", members)))
    address = made(Material(name="theirs", version="1", found=found), tmp_path / "report")
    page.open(f"{address}#clip=piece1")
    page.wait_for("document.querySelector('h2').textContent === 'piece1'")
    page.press("j")
    page.wait_for("document.querySelector('h2').textContent === 'piece2'")
    assert page.value("location.hash") == "#clip=piece2"
    page.press("/")
    assert page.value("document.activeElement.id") == "search"
    page.send("Input.insertText", text="air 0")
    assert page.value("document.getElementById('found').textContent") == "1 of 3 clips"
    assert page.value("document.querySelectorAll('.row').length") == 1


def test_of_ten_thousand_clips_those_in_sight_are_drawn(page: Page, tmp_path: Path) -> None:
    out = io.BytesIO()
    soundfile.write(out, np.zeros(80), RATE_HZ, format="FLAC")
    audio = out.getvalue()
    members = [
        (f"piece{at:05d}.{kind}", content)
        for at in range(10_000)
        for kind, content in (("flac", audio), ("json", b'{"caption": "An air."}'))
    ]
    found = find_shards(str(write_shard(tmp_path / "x.tar", members)))
    page.open(made(Material(name="many", version="1", found=found), tmp_path / "report"))
    assert page.value("document.getElementById('found').textContent") == "10,000 clips"
    assert page.value("document.querySelectorAll('.row').length") < 40
    page.value("document.getElementById('list').scrollTop = 68 * 9000")
    page.wait_for("document.getElementById('row-9000')")
    assert page.value("document.querySelectorAll('.row').length") < 40
    page.value("document.getElementById('row-9000').click()")
    page.wait_for("document.querySelector('h2').textContent === 'piece09000'")


@pytest.mark.parametrize("width", [1300, 390])
def test_nothing_is_wider_than_the_window(page: Page, tmp_path: Path, width: int) -> None:
    page.size(width, 844)
    page.open(made(hostile_material(tmp_path), tmp_path / "report"))
    page.value("list.open(0)")
    page.wait_for("document.querySelector('.lanes')")
    for view in ("clips", "statistics", "unused"):
        page.value(f"document.querySelector('[data-view={view}]').click()")
        page.value(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )
        wide = "document.documentElement.scrollWidth"
        assert page.value(wide) <= width
        inner = "Math.max(...[...document.querySelectorAll('.view:not([hidden]), #clip')].map((one) => one.scrollWidth - one.clientWidth))"  # noqa: E501
        assert page.value(inner) <= 0


def test_audio_that_cannot_be_decoded_is_said_and_the_rest_goes_on(
    page: Page, tmp_path: Path
) -> None:
    broken = [("b.mp3", b"broken"), ("b.txt", b"A waltz.")]
    found = find_shards(str(write_shard(tmp_path / "x.tar", [*foreign("a"), *broken])))
    address = made(Material(name="x", version="1", found=found), tmp_path / "report")
    page.open(f"{address}#clip=b")
    page.wait_for("clip.sample() && clip.sample().key === 'b'")
    page.press(" ")
    page.wait_for("document.getElementById('message').textContent.includes('cannot decode')")
    page.press("k")
    page.wait_for("clip.sample().key === 'a' && document.querySelector('.lanes')")
    page.press(" ")
    page.wait_for("sound.isPlaying()")
    assert page.complaints == []


def test_a_page_without_its_folder_says_so(page: Page, tmp_path: Path) -> None:
    address = made(hostile_material(tmp_path), tmp_path / "report")
    [data] = (tmp_path / "report").glob("data-*")
    data.rename(tmp_path / "gone")
    page.send("Page.navigate", url=address)
    page.wait_for("document.getElementById('message').textContent.includes('copy the whole')")
