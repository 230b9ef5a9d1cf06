"""Labels set right in headless Chromium, and what the next build makes of it."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from flows.screens.report.material import of_build
from flows.screens.report.parts import ServedParts
from flows.screens.report.write import write_parts
from flows.screens.review.desk import ReviewDesk
from flows.screens.review.server import ReviewServer
from pipelines.shards.chosen import choose
from pipelines.shards.find import find_shards
from pipelines.shards.read import RawSample, as_ours, read_shard
from schemas.labels import Origin
from schemas.sample import Sample
from tests.support.chromium import PROGRAM, Page, chromium
from tests.support.small_build import Built, copied, rebuild

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="needs Chromium: apt-get install chromium"),
]
HOSTILE = "</script><img src=x onerror=alert(1)>"


class Reviewed(NamedTuple):
    """A copy of a build, and the address that its review is served at."""

    out: Path
    server: ReviewServer


@pytest.fixture
def reviewed(built: Built, tmp_path: Path) -> Iterator[Reviewed]:
    out = copied(built, tmp_path / "out")
    desk = ReviewDesk(str(out), built.recipe, HOSTILE, "CC0-1.0")
    material = of_build(str(out), "1")
    parts = ServedParts(tmp_path / "parts")
    about = write_parts(parts, material, choose(material.found, 0), lambda *_: lambda _done: None)
    parts.put("contents", {**about, "review": True})
    with ReviewServer(desk, tmp_path / "parts", "Review") as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield Reviewed(out, server)
        server.shutdown()
        thread.join()


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    with chromium(tmp_path / "profile") as opened:
        opened.size(1300, 900)
        yield opened


def samples(out: Path) -> dict[str, Sample]:
    entries = [entry for shard in find_shards(str(out)).shards for entry in read_shard(shard)]
    found = [as_ours(entry) for entry in entries if isinstance(entry, RawSample)]
    return {sample.key: sample for sample in found if isinstance(sample, Sample)}


def drag(page: Page, selector: str, by_px: float) -> None:
    box: dict[str, float] = page.value(
        f"(() => {{ const box = document.querySelector('{selector}').getBoundingClientRect();"
        " return {x: box.x + box.width / 2, y: box.y + box.height / 2}; })()"
    )
    mouse: dict[str, Any] = {"button": "left", "clickCount": 1, "y": box["y"]}
    page.send("Input.dispatchMouseEvent", type="mousePressed", x=box["x"], **mouse)
    for step in (0.5, 1.0):
        x = box["x"] + step * by_px
        page.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, buttons=1, **mouse)
    page.send("Input.dispatchMouseEvent", type="mouseReleased", x=box["x"] + by_px, **mouse)


def opened_clip(page: Page, reviewed: Reviewed, key: str) -> None:
    page.open(reviewed.server.address)
    # a wide window opens the first clip, whose address stands by then
    page.wait_for("innerWidth < 800 || document.querySelector('.tools')")
    page.value(f"(location.hash = 'clip={key}', null)")
    page.wait_for(f"clip.sample().key === '{key}' && document.querySelector('.tools')")


def test_a_tempo_and_chords_are_set_right_and_variants_carry_them(
    built: Built, reviewed: Reviewed, page: Page
) -> None:
    before = samples(reviewed.out)
    key = next(
        key
        for key, sample in sorted(before.items())
        if key.endswith("-orig") and sample.split == "train" and len(sample.chords.segments) > 2
    )
    clip, was = key.removesuffix("-orig"), before[key]
    opened_clip(page, reviewed, key)
    page.press("d")  # twice as fast
    page.wait_for("document.querySelectorAll('.set-right li').length === 1")
    assert page.value("clip.sample().beats_s.length") >= 2 * len(was.beats.times_s) - 1
    drag(page, '[data-key="boundary 1"]', 60.0)
    page.wait_for("document.querySelectorAll('.set-right li').length === 2")
    page.value("sound.seek(0.01)")
    page.value(
        "(() => { const menu = document.querySelector('[data-key=\"Chord here\"]');"
        " menu.value = 'N'; menu.dispatchEvent(new Event('change')); })()"
    )
    page.wait_for("clip.sample().chords[0].name === 'N.C.'")
    assert page.value("document.querySelectorAll('img').length") == 0  # whoever corrects is text
    assert {address.split("/")[2] for address in page.requests} == {
        f"127.0.0.1:{reviewed.server.port}"
    }
    assert page.complaints == []
    assert "token" not in page.value("location.href")

    rebuild(built, reviewed.out, built.recipe)
    after = samples(reviewed.out)
    assert after.keys() == before.keys()
    assert after[key].beats.origin is Origin.CORRECTED
    assert after[key].tempo.bpm == pytest.approx(2 * (was.tempo.bpm or 0), rel=0.01)
    assert after[key].chords.segments[0].label == "N"
    moved = after[f"{clip}-s1"]
    assert moved.tempo.bpm == pytest.approx(
        (after[key].tempo.bpm or 0) * moved.change.speed, rel=1e-3
    )
    edge_s = after[key].chords.segments[0].end_s
    assert edge_s > was.chords.segments[0].end_s
    assert moved.chords.segments[0].end_s == pytest.approx(edge_s / moved.change.speed, abs=2e-3)
    assert moved.beats.origin is Origin.CORRECTED
    others = [one for one in before if not one.startswith(clip)]
    assert all(after[one] == before[one] for one in others)


@pytest.mark.parametrize("width", [1300, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_lies_beside_the_page(
    reviewed: Reviewed, page: Page, width: int, dark: bool
) -> None:
    page.size(width, 900, dark=dark)
    key = next(key for key in sorted(samples(reviewed.out)) if key.endswith("-orig"))
    opened_clip(page, reviewed, key)
    page.press("d")
    page.wait_for("document.querySelector('.set-right li')")
    assert page.value("document.documentElement.scrollWidth") <= width
    assert page.value(
        "[...document.querySelectorAll('.tools > *')].every((one) =>"
        f" one.getBoundingClientRect().right <= {width})"
    )
